package tokens

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// Refused tokens cause three token requests at once, then one in 30 s, whatever
// clients provoke.
const (
	rejectionBurst    = 3
	rejectionInterval = 30 * time.Second
)

// ErrRefusedTooOften is what Replacement answers where tokens were refused so often
// that the next new one has to wait.
var ErrRefusedTooOften = errors.New("the upstream has refused several tokens: another one is not asked for yet")

// Suspect makes a token suspect that an upstream has refused, if it is still the one
// in hand: it is replaced in the background, and serves on until then.
func (m *Manager) Suspect(refused *Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.replace(refused, true)
}

// Suspects reports whether a token is in hand and suspect.
func (m *Manager) Suspects(t *Token) bool {
	h := m.current.Load()
	return h != nil && h.Token == t && h.suspect
}

// Replacement returns another token than one that an upstream has refused, or waits
// for it as long as ctx allows. The refused one becomes suspect. It is never dropped: an
// upstream may answer 401 for reasons of its own, so the token is used until another is
// there, or until it expires. The error is ErrRefusedTooOften, the remembered failure,
// which is returned at once, or an error that Token can return.
func (m *Manager) Replacement(ctx context.Context, refused *Token) (*Token, error) {
	m.mu.Lock()
	f, err := m.replace(refused, false)
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if f == nil {
		return m.Token(ctx)
	}
	t, err := f.await(ctx)
	if err == nil && t.expired(m.clock.instant()) {
		return m.Token(ctx)
	}
	return t, err
}

// replace makes a refused token suspect and gives the flight that shall replace it:
// nil if another token is in hand already, or none. The caller holds the lock.
func (m *Manager) replace(refused *Token, background bool) (*flight, error) {
	now := m.clock.instant()
	h := m.usable(now)
	if h == nil || h.Token != refused {
		return nil, nil //nolint:nilnil // no flight is no error
	}
	m.forgetOldFailure(now)
	switch {
	case m.failure != nil && !m.failure.busy:
		// What it says of the next attempt goes for this token, too.
		m.suspect(h, now)
		return nil, m.tell(now)
	case m.flight != nil:
		m.suspect(h, now)
	case m.rejections.AllowN(now.monotonic(), 1):
		m.suspect(h, now)
		m.notBefore = 0
		m.launch(background)
	default:
		if m.rejectionLines.AllowN(now.monotonic(), 1) {
			m.logger().Warn("the upstream has refused several tokens: new ones are asked for once in 30 s only; check scope, audience and where the requests go",
				zap.String("provider", m.provider))
		}
		return nil, ErrRefusedTooOften
	}
	if !background {
		m.flight.waiting = true
	}
	return m.flight, nil
}

// suspect makes the token in hand suspect. The caller holds the lock.
func (m *Manager) suspect(h *inHand, now instant) {
	if h.suspect {
		return
	}
	m.current.Store(&inHand{Token: h.Token, suspect: true})
	m.logger().Warn("the upstream has refused the token: it serves on until another is there",
		zap.String("provider", m.provider))
	if m.refusals.tooFast(now.mono, h.Lifetime) {
		m.logger().Warn("two tokens were refused within half of their lifetime: if the authorization server says that they live longer than they do, set max_ttl in token_response; if it keeps one live token per client, set share_tokens, or give each gateway a client of its own",
			zap.String("provider", m.provider), zap.Duration("lifetime", h.Lifetime))
	}
}

func (m *Manager) logger() *zap.Logger {
	if b := m.binding(); b != nil {
		return b.Logger
	}
	return zap.NewNop()
}

// monotonic is the time for limits: whoever sets the wall clock changes none of them.
func (now instant) monotonic() time.Time { return time.Unix(0, now.mono) }

// refusalWarning is how often it is said that tokens are refused too soon.
const refusalWarning = time.Hour

// A refusalPace notices tokens that are refused long before their end. The zero
// value has seen none.
type refusalPace struct {
	seen, warned   bool
	last, lastWarn int64 // monotonic
}

// tooFast notes a refused token and reports whether it is time to warn: the one
// before was refused less than half of a lifetime ago.
func (p *refusalPace) tooFast(now int64, lifetime time.Duration) bool {
	fast := p.seen && time.Duration(now-p.last) < lifetime/2
	p.seen, p.last = true, now
	if !fast || p.warned && time.Duration(now-p.lastWarn) < refusalWarning {
		return false
	}
	p.warned, p.lastWarn = true, now
	return true
}
