package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Not even the request that has started the attempt waits for a dead address.
func TestADeadAddressHoldsNoRequestForMoreThanASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := inOutage(t, e)
		time.Sleep(outageInterval)
		e.set(func(e *fakeEndpoint) { e.latency = 10 * time.Second })
		before := e.requests()
		_, err := m.Token(t.Context())
		if failed, ok := errors.AsType[*AuthenticationError](err); !ok || failed.Code != CodeUnavailable || time.Until(failed.RetryAt) != time.Second {
			t.Errorf("got %v, want the known failure and to come back in a second", err)
		}
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				if _, slowest := knock(t, m, 100*time.Millisecond, time.Minute); slowest != attemptWait {
					t.Errorf("a request waited %v, want %v", slowest, attemptWait)
				}
			})
		}
		clients.Wait()
		// One at a time: the next begins when the last has timed out.
		if n := e.requests() - before; n > 7 {
			t.Errorf("%d token requests in a minute that each take 10 s", n)
		}
		time.Sleep(10 * time.Second)
	})
}

func TestARequestThatComesDuringTheFirstRetriesWaitsForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, fail: func(n int) error {
			if n < 4 {
				return outage(n)
			}
			return nil
		}}
		m := newTestManager(e)
		go func() { _, _ = m.Token(t.Context()) }()
		time.Sleep(3500 * time.Millisecond)
		mustToken(t, m)
		wantRequests(t, e, 4)
	})
}

// A retry of the background that would come too late comes when a request needs it.
func TestARequestWithoutATokenEndsTheWaitForALateRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: 8 * time.Second}
		m := newTestManager(e)
		mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.fail = outage })
		time.Sleep(4 * time.Second)
		m.Current() // starts the background request: attempts at 4, 5, 7 and 11 s
		time.Sleep(4 * time.Second)
		e.set(func(e *fakeEndpoint) { e.fail = nil })
		if recovered, _ := knock(t, m, 100*time.Millisecond, 4*time.Second); recovered != time.Second || e.requests() != 5 {
			t.Errorf("a token came after %v and %d requests, want the attempt 2 s after the last", recovered, e.requests())
		}
	})
}

// One caller a second waits for files to be read, the others know the failure.
func TestOneCallerWaitsForFilesToBeReadTheOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reading atomic.Bool
		m := NewManager("corp")
		m.Bind(&Binding{Fetcher: &fakeEndpoint{fail: refusal}, Logger: zap.NewNop(), SecretsDigest: func() [sha256.Size]byte {
			if reading.Load() {
				time.Sleep(time.Hour)
			}
			return [sha256.Size]byte{}
		}})
		_, _ = m.Token(t.Context())
		reading.Store(true)
		time.Sleep(2 * time.Second)
		asked, waited := time.Now(), make(chan error, 1)
		go func() {
			_, err := m.Token(t.Context())
			waited <- err
		}()
		synctest.Wait()
		start := time.Now()
		for range 3 {
			if _, err := m.Token(t.Context()); err == nil || time.Since(start) != 0 {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		}
		err := <-waited
		if failed, ok := errors.AsType[*AuthenticationError](err); !ok || failed.Code != CodeInvalidClient || time.Since(asked) != attemptWait {
			t.Errorf("the one that waits got %v after %v", err, time.Since(asked))
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestARequestThatCannotBeSentTwiceWaitsAtMostASecondForABetterToken(t *testing.T) {
	for name, test := range map[string]struct {
		latency time.Duration
		suspect bool
		waits   time.Duration
		better  bool
	}{
		"the new one comes soon":           {300 * time.Millisecond, true, 300 * time.Millisecond, true},
		"the new one comes late":           {5 * time.Second, true, time.Second, false},
		"the token in hand is not suspect": {5 * time.Second, false, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEndpoint{lifetime: time.Hour}
				m := newTestManager(e)
				old := mustToken(t, m)
				e.set(func(e *fakeEndpoint) { e.latency = test.latency })
				if test.suspect {
					m.Suspect(old)
				} else {
					go func() { _, _ = m.Refresh(context.Background()) }()
				}
				synctest.Wait()
				start := time.Now()
				token, err := m.TrustedToken(t.Context())
				if err != nil || (token != old) != test.better || time.Since(start) != test.waits {
					t.Errorf("got another token: %v, after %v, %v", token != old, time.Since(start), err)
				}
				time.Sleep(10 * time.Second)
			})
		})
	}
}

func TestARequestThatCannotBeSentTwiceLeavesAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		old := mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.latency = 5 * time.Second })
		m.Suspect(old)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := m.TrustedToken(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		time.Sleep(10 * time.Second)
	})
}

// A refusal that came while a token was in hand is trouble when that has ended.
func TestARememberedRefusalIsLoggedWhenRequestsBeginToFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		e := &fakeEndpoint{lifetime: 20 * time.Second}
		m := NewManager("corp")
		m.Bind(&Binding{Fetcher: e, Logger: zap.New(core)})
		mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.fail = refusal })
		for range 25 {
			time.Sleep(time.Second)
			_, _ = m.Token(t.Context())
		}
		synctest.Wait()
		if warned, failed := logs.FilterLevelExact(zap.WarnLevel).Len(), logs.FilterLevelExact(zap.ErrorLevel); warned != 1 || failed.Len() != 1 || failed.All()[0].Message != noTokenMessage {
			t.Errorf("logged %v", logs.All())
		}
	})
}
