package tokens

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// A RefreshTokenState says what has become of a configured refresh token.
type RefreshTokenState string

const (
	// RefreshTokenConfigured means that the configured one is used, or none was yet.
	RefreshTokenConfigured RefreshTokenState = "configured"
	// RefreshTokenRotated means that another one has taken its place, and is saved.
	RefreshTokenRotated RefreshTokenState = "rotated"
	// RefreshTokenUnsaved means that another one has taken its place, and is lost if
	// the process ends before it can be saved.
	RefreshTokenUnsaved RefreshTokenState = "unsaved"
	// RefreshTokenUncertain means that a request with it had no answer: the server may
	// have used it up.
	RefreshTokenUncertain RefreshTokenState = "uncertain"
	// RefreshTokenEnded means that the server has refused it.
	RefreshTokenEnded RefreshTokenState = "ended"
)

// A RefreshTokenStatus is a state, and since when this process has known it.
type RefreshTokenStatus struct {
	State RefreshTokenState
	Since time.Time
}

// RefreshTokenStatus says what has become of the client's refresh token, as far as
// this process knows; it asks nobody. The error is about a Value that could not be
// read. A client without a refresh token has the zero value.
func (c *Client) RefreshTokenStatus(ctx context.Context) (RefreshTokenStatus, error) {
	if c.RefreshToken == nil {
		return RefreshTokenStatus{}, nil
	}
	custody, _, err := c.custody(ctx)
	if err != nil {
		return RefreshTokenStatus{}, err
	}
	return *custody.status.Load(), nil
}

// ForgetRefreshToken makes the configured refresh token count again, for all
// instances, whatever has taken its place. The error is a *StorageError, the error of a
// Value that could not be read, or says that another instance is asking.
func (c *Client) ForgetRefreshToken(ctx context.Context) error {
	if c.RefreshToken == nil {
		return nil
	}
	custody, _, err := c.custody(ctx)
	if err != nil {
		return err
	}
	end, err := custody.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return custody.forget(ctx, c)
}

// forget stores a next generation that is the configured token: a record that is
// deleted would come back from another instance's memory.
func (c *custody) forget(ctx context.Context, client *Client) error {
	number, names := max(c.held.Generation, c.ended)+1, []string(nil)
	var own *claim
	if c.storage.available() {
		v, err := c.claims.look(ctx, storageTimeout, "")
		if err != nil {
			return err
		}
		own, v, err = c.claims.acquire(ctx, v, claimTerms{storageTimeout, client.timeout() + claimMargin, claimHold})
		if err != nil {
			return err
		}
		names = v.names
		if generations := numbered(names, generationPrefix); len(generations) > 0 {
			number = max(number, generations[0]+1)
		}
		ended, err := c.readEnded(ctx, v)
		if err != nil {
			own.release(ctx)
			return err
		}
		number = max(number, ended+1)
		number += len(own.passed)
	}
	before := c.held
	c.held = custodyRecord{Version: custodyVersion, Generation: number}
	if own != nil {
		if err := c.write(ctx); err != nil {
			c.held = before
			own.release(ctx)
			return err
		}
		own.finish(ctx)
		c.sweep(ctx, names)
	}
	if c.unsaved != nil {
		c.unsaved.release(ctx)
		c.unsaved = nil
	}
	c.away, c.refusals = absence{}, make(map[string]*refusedRequest)
	c.log().Info("what had taken the place of the configured refresh token is forgotten", zap.String("provider", client.Provider))
	return nil
}

// note keeps the state for those who ask. The caller has the turn.
func (c *custody) note() {
	state := RefreshTokenConfigured
	switch {
	case c.ended >= c.held.Generation:
		state = RefreshTokenEnded
	case c.unsaved != nil:
		state = RefreshTokenUnsaved
	case c.away.length > 0:
		state = RefreshTokenUncertain
	case c.held.RefreshToken != "":
		state = RefreshTokenRotated
	}
	if known := c.status.Load(); known == nil || known.State != state {
		c.status.Store(&RefreshTokenStatus{state, time.Now()})
	}
}
