package tokens

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// A RefreshTokenStore keeps what has taken the place of a configured refresh token
// beyond the life of the process, for all processes that use the same.
type RefreshTokenStore interface {
	// Lock keeps the other processes from using the refresh token until unlock is
	// called.
	Lock(ctx context.Context) (unlock func(), err error)
	// Load gives what has taken the place of a configured refresh token, or an empty
	// one if nothing has.
	Load(ctx context.Context, configured Secret) (Secret, error)
	// Save keeps it.
	Save(ctx context.Context, configured, rotated Secret) error
}

// An openStore is the store of a client while it uses its refresh token. It holds
// none if there is none that can be used.
type openStore struct {
	RefreshTokenStore
	configured Secret
	close      func()
}

// openStore locks the store and takes over what it has. A store that fails costs no
// token: the gateway goes on with what it remembers.
func (c *Client) openStore(ctx context.Context, configured Secret) (*openStore, error) {
	store := &openStore{configured: configured, close: func() {}}
	if c.RefreshTokenStore == nil {
		return store, nil
	}
	unlock, err := c.RefreshTokenStore.Lock(ctx)
	switch {
	case ctx.Err() != nil:
		if err == nil {
			unlock()
		}
		return nil, fmt.Errorf("waiting for another process to end its use of the refresh token: %w", ctx.Err())
	case err != nil:
		c.storeFailed(err)
		return store, nil
	}
	store.RefreshTokenStore, store.close = c.RefreshTokenStore, unlock
	stored, err := store.Load(ctx, configured)
	if err != nil {
		c.storeFailed(err)
	}
	c.refreshTokens().adopt(configured, stored)
	c.save(ctx, store)
	return store, nil
}

// storeTimeout bounds how long a rotated refresh token takes to save.
const storeTimeout = 5 * time.Second

// save saves a refresh token that the store does not have yet.
func (c *Client) save(ctx context.Context, store *openStore) {
	rotated := c.refreshTokens().toSave()
	if rotated.Empty() {
		return
	}
	if err := store.Save(ctx, store.configured, rotated); err != nil {
		c.storeFailed(err)
		return
	}
	c.refreshTokens().saved()
}

func (c *Client) storeFailed(err error) {
	c.logger().Error("the storage for rotated refresh tokens fails: the newest is kept in memory, and lost when this process ends",
		zap.String("provider", c.Provider), zap.Error(err))
}
