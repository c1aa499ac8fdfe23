package standin

import (
	"crypto/rand"
	"sync"
	"time"
)

// A Grant is a chain of refresh tokens that rotate: each is taken once, and one that
// is sent again later ends the grant, as RFC 9700 §4.14.2 wants it.
type Grant struct {
	// Grace is how long a token that was spent is taken again, if none of what
	// replaced it has been used. 0 is strict: never.
	Grace time.Duration
	// SameAgain says that it is answered then with what replaced it before, and not
	// with another one.
	SameAgain bool

	mu      sync.Mutex
	tokens  map[string]*refreshToken
	ended   bool
	inGrace int
	late    int
	rotated int
	now     func() time.Time
}

type refreshToken struct {
	spent      time.Time
	successors []string
}

// Begin makes the first refresh token. Earlier ones are unknown from then on.
func (g *Grant) Begin() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil {
		g.now = time.Now
	}
	g.tokens, g.ended, g.inGrace, g.late, g.rotated = map[string]*refreshToken{}, false, 0, 0, 0
	return g.another()
}

// another makes a refresh token. The caller holds the lock.
func (g *Grant) another() string {
	token := rand.Text()
	g.tokens[token] = &refreshToken{}
	return token
}

// redeem returns what replaces a refresh token, or nothing if the token is not taken.
func (g *Grant) redeem(token string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, now := g.tokens[token], g.now()
	switch {
	case t == nil || g.ended:
		return ""
	case t.spent.IsZero():
		t.spent = now
		g.rotated++
	case now.Sub(t.spent) >= g.Grace || g.used(t.successors):
		g.late++
		g.ended = true
		return ""
	default:
		g.inGrace++
		if g.SameAgain {
			return t.successors[0]
		}
	}
	successor := g.another()
	t.successors = append(t.successors, successor)
	return successor
}

func (g *Grant) used(tokens []string) bool {
	for _, token := range tokens {
		if !g.tokens[token].spent.IsZero() {
			return true
		}
	}
	return false
}

// A GrantReport says what has become of a Grant.
type GrantReport struct {
	// Lives says that its newest refresh token is taken.
	Lives bool
	// Rotated counts the tokens that were spent.
	Rotated int
	// InGrace counts the spent tokens that were sent and taken again, Late those
	// that were not.
	InGrace, Late int
}

// Report says what has become of the grant.
func (g *Grant) Report() GrantReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GrantReport{Lives: !g.ended, Rotated: g.rotated, InGrace: g.inGrace, Late: g.late}
}
