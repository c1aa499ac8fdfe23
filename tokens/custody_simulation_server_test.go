package tokens

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// serverFaults are how an authorization server treats refresh tokens, and what is
// wrong with it and the way to it. The shares are those of requests.
type serverFaults struct {
	// grace is how long a spent refresh token is accepted again. Without it the
	// first use of a spent one revokes the grant (RFC 9700 §4.14.2).
	grace time.Duration
	// lostAnswers come never: the server has rotated the token, and the client gets
	// a reset or a time-out.
	lostAnswers float64
	// unreachable is refused before anything is sent, unavailable is answered by 503.
	unreachable, unavailable float64
	// stalls hold up one instance's requests on their way for up to half a minute,
	// stallsAnswers its answers.
	stalls, stallsAnswers float64
	// longestLife is that of an access token, a minute if 0.
	longestLife time.Duration
	// keepsToken says that refresh tokens are never rotated.
	keepsToken bool
}

// A custodyServer is an authorization server. A grant is what an operator has
// obtained: it lives until a spent token of its is used.
type custodyServer struct {
	s      *simulation
	random *rand.Rand
	// configured is the refresh token of the present grant that was configured.
	configured string
	grants     int
	tokens     map[string]*rotatingToken
	revoked    map[int]bool
	// accessTokens says when they end.
	accessTokens map[string]time.Time
	redemptions  int
}

// A rotatingToken is a refresh token and the requests that it was sent with.
type rotatingToken struct {
	name      string
	grant     int
	spentAt   time.Time
	rotations []*rotation
}

// A rotation is a token request that the server has answered with a new refresh
// token, and what became of the answer.
type rotation struct {
	by *simulatedInstance
	// lost answers never reach the instance. saved ones are stored.
	lost, saved bool
	savedAt     time.Time
	// cutOff says that the storage refused this instance alone before it had saved.
	cutOff bool
	// frozen is how long the instance stood still before its request.
	frozen time.Duration
}

func newCustodyServer(s *simulation) *custodyServer {
	server := &custodyServer{
		s: s, random: s.generator(), tokens: make(map[string]*rotatingToken),
		revoked: make(map[int]bool), accessTokens: make(map[string]time.Time),
	}
	server.grant()
	return server
}

// grant is what an operator does who obtains a refresh token and configures it.
func (server *custodyServer) grant() {
	server.grants++
	server.configured = server.issue(server.grants)
	server.s.note("", "grant", server.configured, "", nil)
}

func (server *custodyServer) issue(grant int) string {
	name := fmt.Sprintf("r%d", len(server.tokens))
	server.tokens[name] = &rotatingToken{name: name, grant: grant}
	return name
}

const invalidGrant = `{"error":"invalid_grant"}`

// redeem is the moment at which a token request reaches the server.
func (server *custodyServer) redeem(by *simulatedInstance, grantType, name string, frozen time.Duration) (status int, body string, r *rotation) {
	s := server.s
	token := server.tokens[name]
	switch {
	case grantType != GrantRefreshToken || token == nil:
		s.breach(by.name, "a request with grant "+grantType+" and the refresh token "+name)
		return 400, invalidGrant, nil
	case s.chance(by.random, s.world.server.unavailable):
		s.note(by.name, "redeem", name, "503", nil)
		return 503, `{}`, nil
	case server.revoked[token.grant]:
		s.note(by.name, "redeem", name, "invalid_grant", nil)
		return 400, invalidGrant, nil
	}
	r = &rotation{by: by, frozen: frozen}
	if !token.spentAt.IsZero() && !server.reuse(token, r) {
		return 400, invalidGrant, nil
	}
	return 200, server.rotate(token, r), r
}

// reuse reports whether a spent token is accepted once more.
func (server *custodyServer) reuse(token *rotatingToken, r *rotation) bool {
	s := server.s
	excuse := token.excuse(r)
	if excuse == "" {
		s.breach(r.by.name, token.name+" was spent and is sent again")
	}
	s.note(r.by.name, "SPENT", token.name, excuse, nil)
	if grace := s.world.server.grace; grace > 0 && time.Since(token.spentAt) <= grace {
		return true
	}
	server.revoked[token.grant] = true
	s.note("", "revoke", token.name, "", nil)
	if token.grant == server.grants {
		time.AfterFunc(20*time.Second, func() { s.do(server.grant) })
	}
	return false
}

func (server *custodyServer) rotate(token *rotatingToken, r *rotation) (body string) {
	server.redemptions++
	accessToken := fmt.Sprintf("a%d", server.redemptions)
	lifetime := between(server.random, 10*time.Second, orDefault(server.s.world.server.longestLife, time.Minute)).Truncate(time.Second)
	server.accessTokens[accessToken] = time.Now().Add(lifetime)
	next := token.name
	if !server.s.world.server.keepsToken {
		if token.spentAt.IsZero() {
			token.spentAt = time.Now()
		}
		token.rotations = append(token.rotations, r)
		next = server.issue(token.grant)
	}
	server.s.note(r.by.name, "redeem", token.name, next+", "+accessToken+" for "+lifetime.String(), nil)
	return fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d,"refresh_token":%q}`,
		accessToken, int(lifetime.Seconds()), next)
}

// wholePromise is how long an instance must have been frozen before its request for
// others to go on rightly meanwhile.
const wholePromise = 15 * time.Second

// excuse says why a spent token may be sent again, "" if nothing does: nobody could
// know that it was spent, or nothing could keep the request back.
func (t *rotatingToken) excuse(again *rotation) string {
	if again.frozen >= wholePromise {
		return "it was frozen"
	}
	for _, r := range t.rotations {
		switch {
		case r.frozen >= wholePromise:
			return r.by.name + " was frozen"
		case r.cutOff && r.saved && time.Since(r.savedAt) < claimWindow:
			// Whoever has gone on rightly has looked before.
			return r.by.name + " was cut off, and has saved just now"
		case r.saved:
		case r.lost:
			return "the answer to " + r.by.name + " was lost"
		case !r.by.alive:
			return r.by.name + " died"
		case r.cutOff:
			return r.by.name + " was cut off"
		}
	}
	return ""
}
