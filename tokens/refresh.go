package tokens

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"
)

// RefreshTokens keeps what servers answer in place of a configured refresh
// token: a rotated one replaces it (RFC 6749 §6), and using the old one again
// can end the whole grant. So all clients that use the same refresh token must
// share one, and take turns. The zero value is ready for use. It keeps them in
// memory only, so a rotated one is lost when the process ends.
type RefreshTokens struct {
	mu sync.Mutex
	// turn holds one element while a client uses the refresh token.
	turn chan struct{}
	// configured is the refresh token that the rotation began with. Another
	// one in the configuration begins anew.
	configured Secret
	rotated    Secret
	refused    bool
	warned     bool
}

// begin waits for the turn to use the refresh token; the returned function ends
// it. Two requests with one token look like theft to a server.
func (r *RefreshTokens) begin(ctx context.Context) (end func(), err error) {
	r.mu.Lock()
	if r.turn == nil {
		r.turn = make(chan struct{}, 1)
	}
	turn := r.turn
	r.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another use of the refresh token to end: %w", ctx.Err())
	}
}

// use returns the newest refresh token, or an empty one if it was refused and
// there is something else to use.
func (r *RefreshTokens) use(configured Secret, fallback bool) Secret {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.configured.Equal(configured) {
		r.configured, r.rotated, r.refused = configured, Secret{}, false
	}
	switch {
	case r.refused && fallback:
		return Secret{}
	case !r.rotated.Empty():
		return r.rotated
	}
	return configured
}

// rotate keeps a new refresh token. It reports whether it is the first one.
func (r *RefreshTokens) rotate(rotated Secret) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rotated = rotated
	first = !r.warned
	r.warned = true
	return first
}

func (r *RefreshTokens) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = true
}

// fetchWithRefreshToken uses the refresh token, and the client credentials, or
// whatever the configured grant needs, where it is refused.
func (c *Client) fetchWithRefreshToken(ctx context.Context) (Token, error) {
	configured, err := c.RefreshToken.Read(ctx)
	if err != nil {
		return Token{}, err
	}
	end, err := c.refreshTokens().begin(ctx)
	if err != nil {
		return Token{}, err
	}
	defer end()
	if refreshToken := c.refreshTokens().use(configured, c.hasFallback()); !refreshToken.Empty() {
		answer, err := c.request(ctx, GrantRefreshToken, refreshToken)
		c.keepRefreshToken(refreshToken, answer.refreshToken)
		failed, _ := errors.AsType[*AuthenticationError](err)
		switch {
		case err == nil:
			return answer.token, nil
		case failed == nil || failed.Code != CodeInvalidGrant || !c.hasFallback():
			return Token{}, err
		}
		c.refreshTokens().refuse()
		c.logger().Warn("the refresh token was refused, "+orDefault(c.GrantType, GrantClientCredentials)+" is used from now on",
			zap.String("provider", c.Provider), zap.Error(err))
	}
	answer, err := c.request(ctx, orDefault(c.GrantType, GrantClientCredentials), Secret{})
	return answer.token, err
}

// hasFallback reports whether there is something to ask with when the refresh token
// is refused: client credentials, or what else another grant needs.
func (c *Client) hasFallback() bool {
	if grant := orDefault(c.GrantType, GrantClientCredentials); grant != GrantClientCredentials {
		return grant != GrantRefreshToken
	}
	return c.ClientSecret != nil || c.ClientAssertion != nil || c.AuthMethod == TLSClientAuth
}

// keepRefreshToken keeps a rotated refresh token. An answer without one means
// that the old one stays (case T33).
func (c *Client) keepRefreshToken(used, answered Secret) {
	if answered.Empty() || answered.Equal(used) {
		return
	}
	if c.refreshTokens().rotate(answered) {
		c.logger().Warn("the authorization server rotates the refresh token: the newest is kept in memory only and lost when this process ends",
			zap.String("provider", c.Provider))
	}
}

func (c *Client) refreshTokens() *RefreshTokens {
	if c.RefreshTokens == nil {
		return &c.memory
	}
	return c.RefreshTokens
}

func (c *Client) logger() *zap.Logger {
	if c.Logger == nil {
		return zap.NewNop()
	}
	return c.Logger
}
