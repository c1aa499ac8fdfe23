package tokens

import (
	"context"
	"fmt"
	"sync"
)

// RefreshTokens keeps what servers answer in place of a configured refresh
// token: a rotated one replaces it (RFC 6749 §6), and using the old one again
// can end the whole grant. So all clients that use the same refresh token must
// share one, and take turns. The zero value is ready for use. It keeps them in
// memory; a RefreshTokenStore keeps them beyond the process.
type RefreshTokens struct {
	mu sync.Mutex
	// turn holds one element while a client uses the refresh token.
	turn chan struct{}
	// configured is the refresh token that the rotation began with. Another
	// one in the configuration begins anew.
	configured Secret
	rotated    Secret
	refused    bool
	// unsaved says that the store does not have the rotated one.
	unsaved bool
	warned  bool
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
		r.begins(configured)
	}
	switch {
	case r.refused && fallback:
		return Secret{}
	case !r.rotated.Empty():
		return r.rotated
	}
	return configured
}

// begins forgets what has become of another refresh token. The caller holds the lock.
func (r *RefreshTokens) begins(configured Secret) {
	r.configured, r.rotated, r.refused, r.unsaved = configured, Secret{}, false, false
}

// adopt takes over what a store has: another process may have used the token.
func (r *RefreshTokens) adopt(configured, stored Secret) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.configured.Equal(configured) {
		r.begins(configured)
	}
	// What could not be saved is newer.
	if !stored.Empty() && !r.unsaved && !stored.Equal(r.rotated) {
		r.rotated, r.refused = stored, false
	}
}

// rotate keeps a new refresh token, which is not saved yet.
func (r *RefreshTokens) rotate(rotated Secret) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rotated, r.unsaved = rotated, true
}

// toSave gives a refresh token that the store does not have, or an empty one.
func (r *RefreshTokens) toSave() Secret {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.unsaved {
		return Secret{}
	}
	return r.rotated
}

func (r *RefreshTokens) saved() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsaved = false
}

// warn reports whether it is called for the first time.
func (r *RefreshTokens) warn() (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, r.warned = !r.warned, true
	return first
}

func (r *RefreshTokens) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = true
}
