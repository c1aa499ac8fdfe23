package tokens

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A custody knows what has become of one configured refresh token, for all providers
// and configurations of the process that have the same: a server that rotates refresh
// tokens takes each of them once (RFC 6749 §6, RFC 9700 §4.14), and one that is sent
// twice can end the grant. The storage says what has become of it elsewhere.
type custody struct {
	storage  *SharedStorage
	identity Identity
	claims   *claims
	// turn holds one element while somebody uses what is below.
	turn chan struct{}

	configured Secret
	// held is the newest record that is known; generation 0 is the configured token.
	held custodyRecord
	// ended is the highest generation that the server has refused, -1 without one.
	ended int
	// unsaved is the claim under which held is being saved, nil if it is saved.
	unsaved *claim
	// away says that a refresh token may have been used up without an answer.
	away absence
	// missing are records that are listed and were not found.
	missing map[int]*sighting
	// refusals are by the identity of the token request.
	refusals map[string]*refusedRequest
	warned   bool

	status atomic.Pointer[RefreshTokenStatus]
}

// An absence keeps a refresh token from being used for a while.
type absence struct {
	until   time.Time
	length  time.Duration
	failure *AuthenticationError
}

// A refusedRequest is a refusal that says nothing of the refresh token's end.
type refusedRequest struct {
	until   time.Time
	streak  int
	failure *AuthenticationError
}

const (
	// storageTimeout bounds an operation of the storage for refresh tokens.
	storageTimeout = 2 * time.Second
	// claimMargin is what a claim for a refresh token promises beyond the time-out of
	// the token request.
	claimMargin = 5 * time.Second
	// After a request without an answer an instance stays away for its promise plus
	// absenceMargin, so that another one may go on meanwhile.
	absenceMargin, absenceLimit = 5 * time.Second, 5 * time.Minute
	// silence is how long another instance is waited for without a line in the log.
	silence = 3 * time.Second
	// lateLimit is how often all steps are taken again because they took too long: each
	// time they get more time.
	lateLimit = 3
	// patience is how long another instance is waited for: long while a request waits.
	patience, backgroundPatience = 2 * time.Minute, 5 * time.Second
)

// custody returns the custody of a configured refresh token.
func (s *SharedStorage) custody(configured Secret) (*custody, error) {
	identity, err := NewIdentity("refresh_token", configured, "")
	if err != nil {
		return nil, err
	}
	claims := s.claims("oauth2_llm/refresh_tokens/" + identity.ID())
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.custodies[identity.ID()]
	if c == nil {
		c = &custody{
			storage: s, identity: identity, claims: claims, configured: configured, turn: make(chan struct{}, 1), ended: -1,
			missing: make(map[int]*sighting), refusals: make(map[string]*refusedRequest),
		}
		c.note()
		if s.custodies == nil {
			s.custodies = make(map[string]*custody)
		}
		s.custodies[identity.ID()] = c
	}
	return c, nil
}

// begin waits for the turn; the returned function ends it.
func (c *custody) begin(ctx context.Context) (end func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { c.note(); <-c.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another use of the refresh token to end: %w", context.Cause(ctx))
	}
}

// A redemption is what a refresh token is used for.
type redemption struct {
	client *Client
	// identity names the token request, and is empty if nothing does: its access tokens
	// are not kept then.
	identity string
	want     Want
	// asked says that the server was asked, anew that all steps were taken
	// again already after a refusal.
	asked, anew bool
}

// refreshToken is the newest one.
func (c *custody) refreshToken() Secret {
	if c.held.RefreshToken == "" {
		return c.configured
	}
	return NewSecret(c.held.RefreshToken)
}

// redeem returns an access token that another instance has obtained, or obtains one
// with the refresh token. That is used under an own claim only, and only if the
// storage agrees on what it is.
func (c *custody) redeem(ctx context.Context, r *redemption) (Token, error) {
	end, err := c.begin(ctx)
	if err != nil {
		return Token{}, err
	}
	defer end()
	if !c.storage.available() {
		return c.redeemInMemory(ctx, r)
	}
	limit := backgroundPatience
	if r.want.Waiting {
		limit = patience
	}
	pause, lates, silent := 50*time.Millisecond, 0, false
	for started := time.Now(); ; {
		token, err := c.attempt(ctx, r)
		if !errors.Is(err, errLate) && !errors.Is(err, errClaimed) {
			return token, err
		}
		if errors.Is(err, errLate) {
			lates++
		}
		if elapsed(started) > limit || lates > lateLimit || ctx.Err() != nil {
			if lates > 0 && r.want.Waiting {
				return Token{}, r.storageFailed(errLate)
			}
			return Token{}, r.failure(&AuthenticationError{Code: CodeUnavailable, Err: err, temporary: true, busy: true})
		}
		if !silent && r.want.Waiting && elapsed(started) > silence {
			silent = true
			c.log().Warn("another instance has claimed the refresh token and is silent: if it has ended, requests wait until its claim counts as abandoned",
				zap.String("provider", r.client.Provider), zap.String("folder", c.claims.folder))
		}
		wait(ctx, about(pause))
		pause = min(2*pause, lookInterval/2)
	}
}

// attempt takes all steps once. The error is errClaimed while another instance is
// asking, and errLate if the steps took too long: both are worth another attempt.
func (c *custody) attempt(ctx context.Context, r *redemption) (Token, error) {
	v, err := c.claims.look(ctx, storageTimeout, "")
	if err != nil {
		return Token{}, r.storageFailed(err)
	}
	token, found, err := c.adopt(ctx, r, v, nil)
	// What cannot be found may be deleted just now: a claim will tell.
	if found || err != nil && !errors.Is(err, errNotLoaded) {
		return token, err
	}
	if c.unsaved != nil {
		if err := c.save(ctx); err != nil {
			return Token{}, r.storageFailed(err)
		}
	}
	if err := c.mayAsk(r); err != nil {
		return Token{}, err
	}
	if len(v.live) > 0 || len(v.abandoned) > 0 && !r.want.Waiting {
		return Token{}, errClaimed
	}
	own, v, err := c.claims.acquire(ctx, v, claimTerms{storageTimeout, r.client.timeout() + claimMargin, claimHold})
	switch {
	case err == nil:
	case cannotBeWritten(err) && len(numbered(v.names, generationPrefix)) == 0:
		return c.redeemInMemory(ctx, r)
	case errors.Is(err, errClaimed):
		return Token{}, err
	default:
		return Token{}, r.storageFailed(err)
	}
	if len(own.passed) > 0 {
		c.log().Warn("another instance has claimed the refresh token and is silent: it may have used it up",
			zap.String("provider", r.client.Provider), zap.Int("claims", len(own.passed)))
	}
	token, found, err = c.adopt(ctx, r, v, own)
	if found || err != nil {
		own.release(ctx)
		return token, err
	}
	if err := c.mayAsk(r); err != nil {
		own.release(ctx)
		return Token{}, err
	}
	return c.ask(ctx, r, own, v)
}

// adopt takes over what the storage has, and gives an access token of it that serves.
func (c *custody) adopt(ctx context.Context, r *redemption, v view, own *claim) (token Token, found bool, err error) {
	kept, err := c.read(ctx, v, own)
	if err != nil {
		return Token{}, false, r.storageFailed(err)
	}
	c.ended = max(c.ended, kept.ended)
	switch stored := kept.record.Generation; {
	case stored > c.held.Generation:
		c.takeOver(ctx, kept.record)
	case own != nil && stored < c.held.Generation && c.unsaved == nil:
		// Only a list that shows the own claim says that something is gone.
		c.log().Warn("the storage has lost the newest refresh token: it is saved again",
			zap.String("provider", r.client.Provider), zap.String("folder", c.claims.folder))
		if err := c.write(ctx); err != nil {
			return Token{}, false, r.storageFailed(err)
		}
	}
	if known, ok := c.held.AccessTokens[r.identity]; ok && r.identity != "" && known.serves(r.want, time.Now()) {
		r.client.logger().Debug("took an access token that came with the refresh token, from the storage",
			zap.String("provider", r.client.Provider))
		return known.token(), true, nil
	}
	return Token{}, false, nil
}

// takeOver goes on with a record of another instance.
func (c *custody) takeOver(ctx context.Context, record custodyRecord) {
	c.held, c.away = record, absence{}
	if c.unsaved != nil {
		c.unsaved.release(ctx)
		c.unsaved = nil
	}
}

// mayAsk says why the refresh token is not used now, if so.
func (c *custody) mayAsk(r *redemption) error {
	if c.ended >= c.held.Generation {
		return r.failure(&AuthenticationError{Code: CodeInvalidGrant, Err: errEnded})
	}
	if refused := c.refusals[r.identity]; refused != nil && r.client.hasFallback() && time.Now().Before(refused.until) {
		return r.failure(refused.failure)
	}
	if time.Now().Before(c.away.until) {
		// Another instance may go on meanwhile: it is worth looking soon.
		return r.failure(c.away.failure)
	}
	return nil
}

// errEnded is about a refresh token that the server has refused before.
var errEnded = errors.New("the authorization server has refused the refresh token: put a new one into the configuration")

// redeemInMemory uses the refresh token where nothing can be stored.
func (c *custody) redeemInMemory(ctx context.Context, r *redemption) (Token, error) {
	if err := c.mayAsk(r); err != nil {
		return Token{}, err
	}
	return c.ask(ctx, r, nil, view{})
}

func (c *custody) log() *zap.Logger { return c.storage.logger() }

// failure is a failure of the redemption.
func (r *redemption) failure(failed *AuthenticationError) *AuthenticationError {
	copied := *failed
	copied.Provider = r.client.Provider
	return &copied
}

// storageFailed says that the refresh token cannot be used for want of the storage.
func (r *redemption) storageFailed(err error) error {
	return r.failure(&AuthenticationError{Code: CodeStorageUnavailable, Err: err, temporary: true})
}
