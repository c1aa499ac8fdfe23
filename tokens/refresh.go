package tokens

import (
	"context"
	"errors"

	"go.uber.org/zap"
)

// fetchWithRefreshToken uses the refresh token, and the client credentials, or
// whatever the configured grant needs, where it is refused.
func (c *Client) fetchWithRefreshToken(ctx context.Context, want Want) (Token, error) {
	custody, identity, err := c.custody(ctx)
	if err != nil {
		return Token{}, err
	}
	r := &redemption{client: c, identity: identity, want: want}
	token, err := custody.redeem(ctx, r)
	failed, _ := errors.AsType[*AuthenticationError](err)
	if failed == nil || !failed.refusesRefreshToken() || !c.hasFallback() {
		return token, err
	}
	if r.asked {
		c.logger().Warn("the refresh token was refused, "+orDefault(c.GrantType, GrantClientCredentials)+" is used instead",
			zap.String("provider", c.Provider), zap.Error(err))
	}
	return c.fetch(ctx)
}

// custody returns what has become of the refresh token that is configured now, and the
// name of the token request.
func (c *Client) custody(ctx context.Context) (custody *custody, identity string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	configured, err := c.RefreshToken.Read(ctx)
	if err != nil {
		return nil, "", err
	}
	if c.Identity != nil {
		named, err := c.Identity(ctx)
		if err != nil {
			return nil, "", err
		}
		identity = named.ID()
	}
	custody, err = orDefault(c.Storage, &c.memory).custody(configured)
	return custody, identity, err
}

// hasFallback reports whether there is something to ask with when the refresh token
// is refused: client credentials, or what else another grant needs.
func (c *Client) hasFallback() bool {
	if grant := orDefault(c.GrantType, GrantClientCredentials); grant != GrantClientCredentials {
		return grant != GrantRefreshToken
	}
	return c.ClientSecret != nil || c.ClientAssertion != nil || c.AuthMethod == TLSClientAuth
}

func (c *Client) logger() *zap.Logger {
	if c.Logger == nil {
		return zap.NewNop()
	}
	return c.Logger
}
