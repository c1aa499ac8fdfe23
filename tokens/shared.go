package tokens

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A Shared is a Fetcher that shares its tokens with all instances that have the same
// storage and the same credentials: a token that another instance has obtained is taken,
// and one that is obtained here is stored for the others. The storage is optional: if it
// fails or is slow, the token is obtained without it.
type Shared struct {
	// Fetcher obtains tokens.
	Fetcher Fetcher
	// Storage is what the instances share.
	Storage *SharedStorage
	// Identity names the credentials as they read now.
	Identity func(ctx context.Context) (Identity, error)
	// Provider names the provider in logs.
	Provider string
	Logger   *zap.Logger

	mu sync.Mutex
	// refused are the last tokens that an upstream has refused: they may still be in
	// the storage.
	refused []Secret

	// Seam for tests: the wall clock.
	now func() time.Time
}

const (
	// sharedPatience is how long a token is looked for before one is asked for. The
	// last part of it is no time to claim any more: a claim may have to be deleted.
	sharedPatience, sharedClosing = 3 * time.Second, time.Second
	// Another instance that asks is waited for from the first time to the second.
	sharedDelay, sharedDelayLimit = 50 * time.Millisecond, 400 * time.Millisecond
	// refusedMemory is how many refused tokens are remembered.
	refusedMemory = 8
)

// sharedTerms are those of claims for access tokens. A request that is made twice
// costs one token, so nothing is waited for after an abandoned claim.
var sharedTerms = claimTerms{operation: time.Second, promise: 3 * time.Second}

// Fetch takes a token that another instance has stored, or obtains one and stores
// it. An identity that cannot be read is the Fetcher's to explain.
func (s *Shared) Fetch(ctx context.Context, want Want) (Token, error) {
	if want.Refused && want.InHand != nil {
		s.noteRefused(want.InHand.Value)
	}
	identity, err := s.Identity(ctx)
	if err != nil || !s.Storage.usable() {
		return s.obtain(ctx, want)
	}
	record := sharedRecord{s, identity, want}
	adopted, own := record.seek(ctx)
	if adopted != nil {
		return *adopted, nil
	}
	asked := s.wallClock()
	token, err := s.obtain(ctx, want)
	if err == nil {
		record.store(ctx, token, asked)
	}
	record.end(ctx, own)
	return token, err
}

// obtain asks for a token of our own.
func (s *Shared) obtain(ctx context.Context, want Want) (Token, error) {
	token, err := s.Fetcher.Fetch(ctx, want)
	if err == nil {
		s.Logger.Debug("asked for an access token", zap.String("provider", s.Provider), zap.String("token_source", "token_endpoint"))
	}
	return token, err
}

// Forget deletes the stored token of the present credentials. Other instances keep
// what they have in hand.
func (s *Shared) Forget(ctx context.Context) error {
	identity, err := s.Identity(ctx)
	if err != nil {
		return err
	}
	return s.Storage.delete(ctx, sharedTerms.operation, sharedRecord{identity: identity}.key())
}

func (s *Shared) noteRefused(token Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.refused, token.Equal) {
		s.refused = append(s.refused[max(0, len(s.refused)+1-refusedMemory):], token)
	}
}

func (s *Shared) wasRefused(token Secret) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.refused, token.Equal)
}

func (s *Shared) wallClock() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}

// seek looks for a token that another instance has stored. Where there is none it
// claims the right to ask, or waits for an instance that does, but not for long: then
// there is neither a token nor a claim.
func (r sharedRecord) seek(ctx context.Context) (*Token, *claim) {
	end := time.Now().Add(sharedPatience)
	claimUntil := end.Add(-sharedClosing)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	contested := false
	for delay := sharedDelay; ctx.Err() == nil; delay = min(2*delay, sharedDelayLimit) {
		token, own, err := r.attempt(ctx, claimUntil)
		_, failed := errors.AsType[*StorageError](err)
		contested = contested || err != nil && !failed
		switch {
		case err == nil:
			return token, own
		case failed && !(contested && time.Now().After(claimUntil)):
			// Not for want of time that was spent on waiting for another instance.
			r.shared.Storage.pause(err)
			return nil, own
		}
		wait(ctx, delay)
	}
	r.shared.Logger.Debug("another instance takes long to obtain an access token: asking too", zap.String("provider", r.shared.Provider))
	return nil, nil
}

// attempt returns the stored token, or a claim. The error is a *StorageError, or another
// one while another instance is asking.
func (r sharedRecord) attempt(ctx context.Context, claimUntil time.Time) (*Token, *claim, error) {
	token, err := r.load(ctx)
	switch {
	case token != nil || err != nil:
		return token, nil, err
	case !time.Now().Before(claimUntil):
		return nil, nil, errClaimed
	}
	claiming, cancel := context.WithDeadline(ctx, claimUntil)
	defer cancel()
	claims := r.shared.Storage.claims(r.folder())
	before, err := claims.look(claiming, sharedTerms.operation, "")
	if err != nil {
		return nil, nil, err
	}
	own, _, err := claims.acquire(claiming, before, sharedTerms)
	if err != nil {
		return nil, nil, err
	}
	// Another may have stored one between the first look and the claim.
	if token, err = r.load(ctx); token != nil {
		own.release(ctx)
		return token, nil, nil
	}
	return nil, own, err
}

// end deletes the own claim. Who has asked without one has seen others for as long as
// they promise: those are abandoned.
func (r sharedRecord) end(ctx context.Context, own *claim) {
	storage := r.shared.Storage
	switch usable := storage.usable(); {
	case own != nil && usable:
		own.finish(ctx)
	case own != nil:
		// It is deleted when the storage is used again.
		own.leave(time.Now())
	case usable:
		v, err := storage.claims(r.folder()).look(ctx, sharedTerms.operation, "")
		if err != nil {
			storage.pause(err)
			return
		}
		for _, name := range v.abandoned {
			_ = storage.delete(ctx, sharedTerms.operation, r.folder()+"/"+name)
		}
	}
}
