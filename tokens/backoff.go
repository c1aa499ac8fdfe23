package tokens

import (
	"crypto/sha256"
	"time"

	"go.uber.org/zap"
)

// How long a failure is remembered: from the first bound, doubling with each
// further failure, to the second.
const (
	outageBackoff, outageBackoffLimit   = 5 * time.Second, 30 * time.Second
	refusalBackoff, refusalBackoffLimit = 30 * time.Second, 5 * time.Minute

	// retryAfterLimit bounds what a server may ask for with Retry-After.
	retryAfterLimit = 5 * time.Minute
	// failureMemory is how long after its back-off a failure still counts as
	// the same one. A request that comes later finds a clean slate: it gets
	// all retries.
	failureMemory = time.Minute
	// digestInterval bounds how often files are read to see whether a secret
	// was rotated while a failure is remembered.
	digestInterval = time.Second
)

// A failure is what the Manager remembers of a flight that brought no token.
type failure struct {
	err    error
	until  int64 // monotonic
	streak int

	digest   [sha256.Size]byte
	digestAt int64 // monotonic, when digest was last compared
}

// backoff is the time that the streak-th failure in a row is remembered.
func backoff(temporary bool, streak int) time.Duration {
	first, limit := refusalBackoff, refusalBackoffLimit
	if temporary {
		first, limit = outageBackoff, outageBackoffLimit
	}
	return min(first<<min(streak-1, 10), limit)
}

// fail ends a flight that brought no token and remembers why.
// digest names the secrets that the attempt was made with.
func (m *Manager) fail(f *flight, b *Binding, digest [sha256.Size]byte, err error, failed *AuthenticationError) {
	m.mu.Lock()
	streak := 1
	if m.failure != nil {
		streak += m.failure.streak
	}
	// Errors of the configuration, such as a file that is missing while it is
	// being replaced, can heal soon.
	delay := backoff(failed == nil || failed.temporary, streak)
	if failed != nil {
		delay = max(delay, min(failed.RetryAfter, retryAfterLimit))
	}
	m.remember(err, failed, delay, streak)
	m.failure.digest = digest
	m.flight = nil
	f.err = m.failure.err
	m.mu.Unlock()
	close(f.done)
	logFailure(b.Logger.Error, "no access token", m.provider, err, failed, zap.Duration("next_attempt_in", delay))
}

// announce makes the failure of a background attempt known while its flight
// goes on: callers whose token ends meanwhile need not wait to learn of it.
func (m *Manager) announce(f *flight, err error, failed *AuthenticationError, delay time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != f {
		return
	}
	m.remember(err, failed, delay, 0)
	// The flight that goes on is the refresh.
	m.quietUntil.Store(never)
}

// remember sets the failure that callers get until delay has passed. The
// caller holds the lock.
func (m *Manager) remember(err error, failed *AuthenticationError, delay time.Duration, streak int) {
	now := m.clock.now()
	if failed != nil {
		failed.RetryAt = now.Add(delay)
		err = failed
	}
	at := m.clock.at(now).mono
	m.failure = &failure{err: err, until: at + int64(delay), streak: streak, digestAt: at}
	// A rotated secret is noticed within digestInterval, the back-off's end at
	// its time.
	m.quietUntil.Store(at + int64(min(delay, digestInterval)))
}

// mayAskAgain reports whether a remembered failure is over: its time has
// passed, or a secret was rotated. The caller holds the lock, which is let go
// while files are read.
func (m *Manager) mayAskAgain(now instant) bool {
	known := m.failure
	if now.mono >= known.until {
		if now.mono >= known.until+int64(failureMemory) {
			m.failure = nil
		}
		return true
	}
	b := m.binding()
	if b.SecretsDigest == nil || now.mono < known.digestAt+int64(digestInterval) {
		return false
	}
	known.digestAt = now.mono
	m.quietUntil.Store(now.mono + int64(digestInterval))
	m.mu.Unlock()
	digest := b.SecretsDigest()
	m.mu.Lock()
	if m.failure != known {
		return m.failure == nil
	}
	if m.flight != nil {
		return false
	}
	if digest == known.digest {
		return false
	}
	m.failure = nil
	m.quietUntil.Store(0)
	return true
}

// forgetFailure ends the memory of a failure. The caller holds the lock.
func (m *Manager) forgetFailure() {
	m.failure = nil
	if m.flight == nil {
		m.quietUntil.Store(m.notBefore)
	}
}

// A rejectionBudget bounds the token requests that refused tokens cause: three
// at once, then one in 30 s (case U02). It is a token bucket on the monotonic
// clock; the zero value is full.
type rejectionBudget struct {
	spent    int
	refilled int64 // monotonic, when spent last went down
}

const (
	rejectionBurst    = 3
	rejectionInterval = 30 * time.Second
)

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
