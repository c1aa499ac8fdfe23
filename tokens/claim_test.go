package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var testTerms = claimTerms{operation: storageTimeout, promise: 15 * time.Second, hold: claimHold}

// claimIn looks at a folder and claims it, as another process.
func claimIn(ctx context.Context, storage Storage) (*claim, view, error) {
	c := sharing(storage).claims("f")
	before, err := c.look(ctx, storageTimeout, "")
	if err != nil {
		return nil, before, err
	}
	return c.acquire(ctx, before, testTerms)
}

func TestOneClaimsAtATime(t *testing.T) {
	for _, instances := range []int{2, 3, 10, 50} {
		t.Run(fmt.Sprint(instances, " instances"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := &memoryStorage{}
				// A list, and a store, take a while, each another.
				var n atomic.Int64
				storage.breaks(func(string, string) error {
					time.Sleep(time.Duration(n.Add(1)*7919%100) * time.Millisecond)
					return nil
				})
				var at, most, done atomic.Int64
				var all sync.WaitGroup
				started := time.Now()
				for range instances {
					all.Go(func() {
						for {
							own, _, err := claimIn(t.Context(), storage)
							if errors.Is(err, errClaimed) {
								time.Sleep(about(200 * time.Millisecond))
								continue
							}
							if err != nil {
								t.Error(err)
								return
							}
							most.Store(max(most.Load(), at.Add(1)))
							time.Sleep(300 * time.Millisecond)
							at.Add(-1)
							own.finish(t.Context())
							done.Add(1)
							return
						}
					})
				}
				all.Wait()
				if most.Load() != 1 || done.Load() != int64(instances) {
					t.Errorf("%d at once, %d in all", most.Load(), done.Load())
				}
				t.Logf("figure claims: %d instances one after the other in %v", instances, time.Since(started).Round(100*time.Millisecond))
				if storage.names() != "" {
					t.Errorf("the storage has %s", storage.names())
				}
			})
		})
	}
}

func TestAClaimIsAbandonedWhenItWasSeenForAsLongAsItPromises(t *testing.T) {
	for _, test := range []struct {
		name  string
		claim string
		looks time.Duration
		want  time.Duration
	}{
		{"looking twice a second", "claim-a-15", 500 * time.Millisecond, 15 * time.Second},
		{"looking each 10 s, of which 2 s count", "claim-a-15", 10 * time.Second, 80 * time.Second},
		{"a promise that is too long", "claim-a-86400", time.Second, 10 * time.Minute},
		{"a promise that is far too long", "claim-a-18446744073709551616", time.Second, time.Minute},
		{"a promise that cannot be read", "claim-a-torn", time.Second, time.Minute},
		{"a negative promise", "claim-a--1", time.Second, time.Minute},
		{"a promise of nothing", "claim-a-0", time.Second, time.Minute},
		{"a name without a promise", "claim-15", time.Second, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := &memoryStorage{keys: map[string][]byte{"f/" + test.claim: nil, "f/123456": nil}}
				c := sharing(storage).claims("f")
				started := time.Now()
				for {
					v, err := c.look(t.Context(), storageTimeout, "")
					if err != nil || len(v.live)+len(v.abandoned) != 1 || strings.Join(v.names, " ") != "123456" {
						t.Fatalf("got %v, %v", v, err)
					}
					if len(v.abandoned) == 1 {
						break
					}
					time.Sleep(test.looks)
				}
				if waited := time.Since(started); waited != test.want {
					t.Errorf("it was abandoned after %v, want %v", waited, test.want)
				}
			})
		})
	}
}

func TestWhoSeesAnotherClaimWithdraws(t *testing.T) {
	for _, test := range []struct {
		name  string
		other string
		stays bool
	}{
		{"one with a lower name stays", "claim-0-15", false},
		{"one with a higher name has to go first", "claim-g-15", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := &memoryStorage{}
				c := sharing(storage).claims("f")
				before, err := c.look(t.Context(), storageTimeout, "")
				if err != nil {
					t.Fatal(err)
				}
				own, err := c.stand(t.Context(), testTerms, before.abandoned)
				if err != nil {
					t.Fatal(err)
				}
				// The other one's claim comes right after the own one.
				_ = storage.Store(t.Context(), "f/"+test.other, nil)
				started := time.Now()
				if test.stays {
					time.AfterFunc(time.Second, func() { _ = storage.Delete(context.Background(), "f/"+test.other) })
				}
				_, err = own.lookAround(t.Context())
				if test.stays != (err == nil) || !test.stays && !errors.Is(err, errClaimed) {
					t.Errorf("got %v", err)
				}
				if waited := time.Since(started); test.stays != (waited >= time.Second) {
					t.Errorf("after %v", waited)
				}
			})
		})
	}
}

// A file system lists nothing if the first name goes away while it lists.
func TestAListThatIsEmptyOnceIsLookedAtAgain(t *testing.T) {
	storage := &memoryStorage{}
	lists := 0
	storage.breaks(func(operation, _ string) error {
		if operation == "list" {
			if lists++; lists == 2 {
				return errLooksEmpty
			}
		}
		return nil
	})
	own, v, err := claimIn(t.Context(), storage)
	if err != nil || !v.own || lists != 3 {
		t.Fatalf("got %v, %v after %d lists", v, err, lists)
	}
	own.finish(t.Context())
}

func TestAListWithoutTheOwnClaimIsNotBelieved(t *testing.T) {
	storage := &memoryStorage{}
	storage.breaks(func(operation, _ string) error {
		if operation == "list" {
			return errLooksEmpty
		}
		return nil
	})
	_, _, err := claimIn(t.Context(), storage)
	if !errors.Is(err, errOwnClaim) || storage.names() != "" {
		t.Errorf("got %v; the storage has %s", err, storage.names())
	}
}

func TestAnOwnClaimThatLandsLateIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &memoryStorage{}
		storage.breaks(func(operation, _ string) error {
			if operation == "store" {
				time.Sleep(time.Minute)
			}
			return nil
		})
		c := sharing(storage).claims("f")
		if _, _, err := c.acquire(t.Context(), view{}, testTerms); !errors.Is(err, errStorageSlow) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(time.Minute)
		if storage.names() != "a claim" {
			t.Fatalf("the storage has %s", storage.names())
		}
		if v, err := c.look(t.Context(), storageTimeout, ""); err != nil || len(v.live) != 0 || storage.names() != "" {
			t.Errorf("got %v, %v; the storage has %s", v, err, storage.names())
		}
	})
}

func TestASlowStorageGetsMoreTimeFromThenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &memoryStorage{}
		storage.breaks(func(string, string) error { time.Sleep(1500 * time.Millisecond); return nil })
		c := sharing(storage).claims("f")
		for _, late := range []bool{true, false} {
			own, _, err := c.acquire(t.Context(), view{}, testTerms)
			if err != nil {
				t.Fatal(err)
			}
			if own.late() != late || own.promise != 15*time.Second+own.window-claimWindow {
				t.Errorf("late: %v after %v; it promises %v", !late, time.Since(own.started), own.promise)
			}
			own.release(t.Context())
		}
	})
}

// Of a claim that was listed before it was written, or whose content cannot be read,
// others know what it promises.
func TestAClaimsNameSaysItsPromise(t *testing.T) {
	for promise, want := range map[time.Duration]time.Duration{
		15 * time.Second: 15 * time.Second, 12300 * time.Millisecond: 13 * time.Second, time.Hour: promiseLimit,
	} {
		if got := promiseOf(claimName(promise)); got != want {
			t.Errorf("%v is read as %v, want %v", promise, got, want)
		}
	}
}

// While a claim waits for the owner of an abandoned one to save, nothing is asked
// under it: if it is left standing itself, it is passed sooner than one that asks.
func TestAClaimThatWaitsForAnotherPromisesLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &memoryStorage{keys: map[string][]byte{"f/claim-a-15": nil}}
		c := sharing(storage).claims("f")
		var promised []time.Duration
		storage.breaks(func(operation, key string) error {
			if operation == "store" {
				promised = append(promised, promiseOf(key))
			}
			return nil
		})
		own, v, err := c.acquire(t.Context(), view{abandoned: []string{"claim-a-15"}}, testTerms)
		if !errors.Is(err, errClaimed) {
			t.Fatalf("a claim that was not watched is passed: %v, %v", own, err)
		}
		for len(v.abandoned) == 0 {
			time.Sleep(time.Second)
			v, _ = c.look(t.Context(), storageTimeout, "")
		}
		promised = nil
		started := time.Now()
		own, _, err = c.acquire(t.Context(), v, testTerms)
		if err != nil || !slices.Equal(promised, []time.Duration{claimHold + holdMargin, testTerms.promise}) {
			t.Fatalf("got %v; it promised %v", err, promised)
		}
		if held := time.Since(started); held < claimHold || elapsed(own.started) > time.Second {
			t.Errorf("it asks after %v, under a claim of %v", held, elapsed(own.started))
		}
		own.finish(t.Context())
		if storage.names() != "" {
			t.Errorf("the storage has %s", storage.names())
		}
	})
}
