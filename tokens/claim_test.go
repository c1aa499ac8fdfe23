package tokens

import (
	"context"
	"errors"
	"fmt"
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
		name    string
		content string
		looks   time.Duration
		want    time.Duration
	}{
		{"looking twice a second", `{"promise_seconds":15}`, 500 * time.Millisecond, 15 * time.Second},
		{"looking each 10 s, of which 2 s count", `{"promise_seconds":15}`, 10 * time.Second, 80 * time.Second},
		{"a promise that is too long", `{"promise_seconds":86400}`, time.Second, 10 * time.Minute},
		{"a promise that cannot be read", `torn`, time.Second, time.Minute},
		{"a negative promise", `{"promise_seconds":-1}`, time.Second, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := &memoryStorage{keys: map[string][]byte{"f/claim-other": []byte(test.content), "f/123456": nil}}
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
		{"one with a lower name stays", "claim-0", false},
		{"one with a higher name has to go first", "claim-g", true},
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
				_ = storage.Store(t.Context(), "f/"+test.other, []byte(`{"promise_seconds":15}`))
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

// Two requests for tokens may look at one folder at the same time.
func TestAClaimThatOthersDoNotSeeAnyMoreIsLive(t *testing.T) {
	c := sharing(&memoryStorage{}).claims("f")
	c.meet("claim-x", time.Minute, false)
	c.watch(nil)
	if live, abandoned := c.watch([]string{"claim-x"}); len(live) != 1 || len(abandoned) != 0 {
		t.Errorf("got %v, %v", live, abandoned)
	}
}

// A storage that fails as a claim is seen first, or has listed it before it was
// written, says later what it promises.
func TestAPromiseThatCannotBeLoadedAtFirstIsLoadedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &memoryStorage{keys: map[string][]byte{"f/claim-other": []byte(`{"promise_seconds":15}`)}}
		loads := 0
		storage.breaks(func(operation, _ string) error {
			if operation == "load" {
				if loads++; loads <= 3 {
					return errDown
				}
			}
			return nil
		})
		c := sharing(storage).claims("f")
		started := time.Now()
		for {
			v, err := c.look(t.Context(), storageTimeout, "")
			if err != nil {
				t.Fatal(err)
			}
			if len(v.abandoned) == 1 {
				break
			}
			time.Sleep(time.Second)
		}
		if waited := time.Since(started); waited != 15*time.Second || loads != 4 {
			t.Errorf("it was abandoned after %v and %d loads", waited, loads)
		}
	})
}
