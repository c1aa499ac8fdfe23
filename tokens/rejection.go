package tokens

import (
	"time"

	"go.uber.org/zap"
)

// Refused tokens cause three token requests at once, then one in 30 s, whatever
// clients provoke (case U02).
const (
	rejectionBurst    = 3
	rejectionInterval = 30 * time.Second
)

// Reject drops a token that an upstream has refused, if it is still the one in
// hand, so that the next caller gets a new one. It reports whether asking for a
// token is worthwhile. It is not if the provider's tokens were refused so often
// that the next new one has to wait, or while an outage is known: an upstream
// that answers 401 for reasons of its own would otherwise end a token that
// cannot be replaced (rule 3.2 of the design). Such a token is used on, and
// replaced as soon as one can be had.
func (m *Manager) Reject(t *Token) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current.Load() != t {
		return true
	}
	if m.failure != nil && m.failure.temporary {
		kept := *t
		kept.freshFor = 0
		m.current.Store(&kept)
		return false
	}
	now := m.clock.instant().mono
	if !m.rejections.spend(now) {
		if m.rejections.tell(now) {
			m.logger().Warn("the upstream has refused several tokens: new ones are asked for once in 30 s only; check scope, audience and where the requests go",
				zap.String("provider", m.provider))
		}
		return false
	}
	m.current.Store(nil)
	m.notBefore = 0
	m.settle()
	m.logger().Warn("the upstream has refused the token: it is dropped and replaced",
		zap.String("provider", m.provider))
	return true
}

func (m *Manager) logger() *zap.Logger {
	if b := m.binding(); b != nil {
		return b.Logger
	}
	return zap.NewNop()
}

// A rejectionBudget is a token bucket on the monotonic clock. The zero value is
// full.
type rejectionBudget struct {
	spent    int
	refilled int64 // monotonic, when spent last went down
	tellAt   int64 // monotonic, when tell says yes again
}

func (r *rejectionBudget) spend(now int64) bool {
	if r.spent == 0 {
		r.refilled = now
	}
	refill := min(int(time.Duration(now-r.refilled)/rejectionInterval), r.spent)
	r.spent -= refill
	r.refilled += int64(refill) * int64(rejectionInterval)
	if r.spent == 0 {
		r.refilled = now
	}
	if r.spent >= rejectionBurst {
		return false
	}
	r.spent++
	return true
}

// tell reports whether it is time for a log line: once in rejectionInterval.
func (r *rejectionBudget) tell(now int64) bool {
	if now < r.tellAt {
		return false
	}
	r.tellAt = now + int64(rejectionInterval)
	return true
}
