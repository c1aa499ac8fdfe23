package tokens

import (
	"context"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

// A claimTerms says what one kind of claim is for.
type claimTerms struct {
	// operation bounds each operation of the storage.
	operation time.Duration
	// promise is how long it takes at most to look, to ask and to store what came.
	promise time.Duration
	// hold is how long is waited after an abandoned claim was passed.
	hold time.Duration
}

const (
	// claimWindow is the time from the start of a claim to its request. A storage
	// whose operations take longer gets more, up to claimWindowLimit.
	claimWindow, claimWindowLimit = 2 * time.Second, 8 * time.Second
	// closingTime is what the end of a promise leaves for storing what came.
	closingTime = 3 * time.Second
	// claimHold is how long a claim stands alone that has passed an abandoned one, before
	// the one that asks: the owner may be saving still, and tries again each 4 s.
	claimHold = 6 * time.Second
	// holdMargin is what such a claim promises beyond that, to be stored and to look.
	// Nothing is asked under it, so others need not wait longer if its owner dies.
	holdMargin = 4 * time.Second
)

// A claim is this instance's own claim.
type claim struct {
	claims *claims
	terms  claimTerms
	name   string
	// started is when its Store began, from which on it promises to be done.
	started         time.Time
	promise, window time.Duration
	// slow widens the window once.
	slow sync.Once
	// passed are the abandoned claims of others that it stands beside.
	passed []string
}

// errClaimed means that another instance is asking.
var errClaimed = errors.New("another instance is asking")

// contentionTime is how long a claim with the lowest name waits for the others to
// withdraw.
const contentionTime = 1500 * time.Millisecond

// acquire claims the folder in which nobody was asking before, and gives what it holds
// then. The error is errClaimed while another is asking, or a *StorageError.
func (c *claims) acquire(ctx context.Context, before view, terms claimTerms) (*claim, view, error) {
	if len(before.live) > 0 {
		return nil, before, errClaimed
	}
	if len(before.abandoned) > 0 && terms.hold > 0 {
		if held, err := c.holdAlone(ctx, terms, before); err != nil {
			return nil, held, err
		}
	}
	return c.standAlone(ctx, terms, before)
}

// holdAlone lets a claim stand for a while under which nothing is asked. The next look
// deletes it, which comes after the claim that replaces it.
func (c *claims) holdAlone(ctx context.Context, terms claimTerms, before view) (view, error) {
	own, held, err := c.standAlone(ctx, claimTerms{operation: terms.operation, promise: terms.hold + holdMargin}, before)
	if err != nil {
		return held, err
	}
	wait(ctx, terms.hold)
	if held, err = own.lookAround(ctx); err != nil {
		own.release(ctx)
		return held, err
	}
	own.leave(time.Now())
	return held, nil
}

// standAlone stores a new claim, and looks until nobody else has one.
func (c *claims) standAlone(ctx context.Context, terms claimTerms, before view) (*claim, view, error) {
	own, err := c.stand(ctx, terms, before.abandoned)
	if err != nil {
		return nil, before, err
	}
	after, err := own.lookAround(ctx)
	if err != nil {
		own.release(ctx)
		return nil, after, err
	}
	return own, after, nil
}

// stand stores a new claim.
func (c *claims) stand(ctx context.Context, terms claimTerms, passed []string) (*claim, error) {
	c.mu.Lock()
	window := c.window
	c.mu.Unlock()
	promise := min(terms.promise+window-claimWindow, promiseLimit)
	own := &claim{
		claims: c, terms: terms, name: claimName(promise), passed: passed,
		window: window, promise: promise, started: time.Now(),
	}
	content, err := json.Marshal(storedClaim{hostName(), own.started.UTC()})
	if err != nil {
		return nil, err
	}
	if err := c.storage.store(ctx, terms.operation, own.key(), content); err != nil {
		own.release(ctx)
		return nil, err
	}
	return own, nil
}

var hostName = sync.OnceValue(func() string {
	name, _ := os.Hostname()
	return name
})

// lookAround looks until the own claim is alone.
func (k *claim) lookAround(ctx context.Context) (view, error) {
	misses := 0
	for first := time.Now(); ; wait(ctx, about(35*time.Millisecond)) {
		v, err := k.claims.look(ctx, k.terms.operation, k.name)
		switch {
		case err != nil:
			return v, err
		case ctx.Err() != nil:
			return v, context.Cause(ctx)
		case !v.own && misses < listTries:
			// A file system breaks a list off before its first name if that goes away
			// meanwhile, which looks as if nothing were there.
			misses++
		case !v.own:
			// The list leaves out what is there: it may leave out others' claims.
			return v, &StorageError{Operation: "list", Key: k.claims.folder, Err: errOwnClaim}
		case slices.ContainsFunc(v.abandoned, func(name string) bool { return !slices.Contains(k.passed, name) }):
			return v, errClaimed
		case len(v.live) == 0:
			return v, nil
		case slices.Min(v.live) < k.name, time.Since(first) > contentionTime:
			return v, errClaimed
		}
	}
}

var errOwnClaim = errors.New("what was just stored is not listed")

func (k *claim) key() string { return k.claims.folder + "/" + k.name }

// late reports whether it is too late to ask: others may soon take the claim for
// abandoned. A storage that is too slow for the time gets more next time.
func (k *claim) late() bool {
	if elapsed(k.started) <= k.window {
		return false
	}
	k.slow.Do(k.claims.widen)
	return true
}

// widen gives a storage that is too slow for the time more of it next time.
func (c *claims) widen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window = min(2*c.window, claimWindowLimit)
}

// timeToAsk is how long a request may take that begins now.
func (k *claim) timeToAsk() time.Duration { return k.promise - closingTime - elapsed(k.started) }

// release deletes the claim. Nothing has come of it that others must know.
func (k *claim) release(ctx context.Context) { k.claims.remove(ctx, k.terms.operation, k.name) }

// finish deletes the claim, and the abandoned ones that it has passed.
func (k *claim) finish(ctx context.Context) {
	for _, name := range k.passed {
		_ = k.claims.storage.delete(context.WithoutCancel(ctx), k.terms.operation, k.claims.folder+"/"+name)
	}
	k.release(ctx)
}

// leave ends the work under the claim, and lets it stand for others to see.
func (k *claim) leave(until time.Time) { k.claims.leave(k.name, until) }

// about is a random time between half of d and one and a half: those who have
// withdrawn from each other must not meet again.
func about(d time.Duration) time.Duration {
	return d/2 + time.Duration(mathrand.Int64N(int64(d))) //nolint:gosec // nothing secret depends on it
}

// wait waits for some time, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
