package tokens

import (
	"context"
	"errors"

	"go.uber.org/zap"
)

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
	store, err := c.openStore(ctx, configured)
	if err != nil {
		return Token{}, err
	}
	defer store.close()
	if refreshToken := c.refreshTokens().use(configured, c.hasFallback()); !refreshToken.Empty() {
		answer, err := c.request(ctx, GrantRefreshToken, refreshToken)
		c.keepRefreshToken(ctx, store, refreshToken, answer.refreshToken)
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
func (c *Client) keepRefreshToken(ctx context.Context, store *openStore, used, answered Secret) {
	if answered.Empty() || answered.Equal(used) {
		return
	}
	c.refreshTokens().rotate(answered)
	if store.RefreshTokenStore == nil {
		if c.refreshTokens().warn() {
			c.logger().Warn("the authorization server rotates the refresh token: the newest is kept in memory only and lost when this process ends",
				zap.String("provider", c.Provider))
		}
		return
	}
	// The server has used the old one up: whoever waits no longer must not lose it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	c.save(ctx, store)
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
