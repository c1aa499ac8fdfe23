package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// A Killer kills instances and starts them anew. The zero value kills nobody until
// Begin.
type Killer struct {
	mu    sync.Mutex
	fleet *Fleet
	// down are the instances that are killed, or are being started.
	down map[*Instance]bool
	// spared is the number of instances, from the first, that are never killed.
	spared int
	every  int
	grants int

	kills, beforeAnswer int
	err                 error
	restarts            sync.WaitGroup
}

// Begin makes the killer ready. Of the token requests that are granted it answers
// every so many with a kill. Some instances, from the first, are spared.
func (k *Killer) Begin(f *Fleet, every, spared int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fleet, k.every, k.spared, k.down = f, every, spared, map[*Instance]bool{}
}

// Kill kills one instance, chosen by chance, and starts it anew a moment later. An
// instance that is down already is not chosen.
func (k *Killer) Kill(ctx context.Context) {
	k.mu.Lock()
	if k.fleet == nil {
		k.mu.Unlock()
		return
	}
	candidates := k.fleet.Instances[k.spared:]
	victim := candidates[chance(len(candidates))]
	if k.down[victim] {
		k.mu.Unlock()
		return
	}
	k.down[victim] = true
	k.kills++
	k.mu.Unlock()

	victim.Kill()
	k.restarts.Go(func() {
		k.Pause(ctx, time.Second)
		// The fleet is whole again, also if the end has come meanwhile.
		err := victim.Restart(context.WithoutCancel(ctx))
		k.mu.Lock()
		defer k.mu.Unlock()
		k.err = errors.Join(k.err, err)
		delete(k.down, victim)
	})
}

// Granted is what an authorization server calls with the context of a token request
// that it has granted and not answered. Now and then it kills an instance: with luck
// the one that asked.
func (k *Killer) Granted(request context.Context) {
	k.mu.Lock()
	k.grants++
	due := k.fleet != nil && k.grants%k.every == 0
	k.mu.Unlock()
	if !due {
		return
	}
	k.Kill(context.WithoutCancel(request))
	// The connection of the one that asked ends with it.
	select {
	case <-request.Done():
		k.mu.Lock()
		k.beforeAnswer++
		k.mu.Unlock()
	case <-time.After(100 * time.Millisecond):
	}
}

// Pause waits for some time, chosen by chance, that is not longer than the longest.
func (*Killer) Pause(ctx context.Context, longest time.Duration) {
	select {
	case <-time.After(time.Duration(chance(int(longest)))):
	case <-ctx.Done():
	}
}

// End kills no more, and waits until all instances are up again.
func (k *Killer) End() error {
	k.mu.Lock()
	k.fleet = nil
	k.mu.Unlock()
	k.restarts.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Kills counts the instances that were killed.
func (k *Killer) Kills() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kills
}

// BeforeAnswer counts those that had sent a token request and got no answer.
func (k *Killer) BeforeAnswer() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.beforeAnswer
}

// chance is a number from 0 that is less than n.
func chance(n int) int {
	return rand.IntN(n) //nolint:gosec // Whoever guesses it has won nothing.
}
