package tokens

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestAnOutageIsProbedByTimeNotByTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{fail: outage, latency: time.Millisecond}
		m := newTestManager(e)
		_, _ = m.Token(t.Context())
		var slow, answered atomic.Int64
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				for start := time.Now(); time.Since(start) < 100*time.Second; time.Sleep(10 * time.Millisecond) {
					asked := time.Now()
					if _, err := m.Token(t.Context()); err == nil {
						t.Error("got a token")
					}
					answered.Add(1)
					if time.Since(asked) > 50*time.Millisecond {
						slow.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if slow.Load() != 0 {
			t.Errorf("%d of %d callers waited for more than 50 ms", slow.Load(), answered.Load())
		}
		got := fmt.Sprintf("%.0f", e.delays())
		if want := "[1 2 4" + strings.Repeat(" 2", len(e.delays())-3) + "]"; got != want || e.requests() < 4+48 {
			t.Errorf("asked after %s seconds", got)
		}
	})
}

func TestAnOutageInsideTheMarginIsNotNoticedByCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: 10 * time.Minute, latency: 10 * time.Millisecond}
		m := newTestManager(e)
		mustToken(t, m)
		time.Sleep(8*time.Minute + 10*time.Second)
		e.set(func(e *fakeEndpoint) { e.fail = outage })
		before := e.requests()
		for start := time.Now(); time.Since(start) < 60*time.Second; time.Sleep(50 * time.Millisecond) {
			if m.Current() == nil {
				t.Fatalf("no token %v into the outage", time.Since(start))
			}
		}
		if attempts := e.requests() - before; attempts < 3 || attempts > 10 {
			t.Errorf("%d attempts during the outage, want 3 to 10 spaced ones", attempts)
		}
		e.set(func(e *fakeEndpoint) { e.fail = nil })
		for range 35 {
			time.Sleep(time.Second)
			m.Current()
		}
		if token := mustToken(t, m); token.Value.Reveal() == "token-1" {
			t.Error("the token was not replaced after the outage")
		}
	})
}

func TestAKnownOutageIsToldAtOnceWhenTheTokenEndsDuringTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: 8 * time.Second}
		m := newTestManager(e)
		mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.fail = outage })
		time.Sleep(4 * time.Second)
		m.Current() // starts the background request: attempts at 4, 5, 7 and 11 s
		time.Sleep(4 * time.Second)
		start := time.Now()
		_, err := m.Token(t.Context())
		var failed *AuthenticationError
		if !errors.As(err, &failed) || time.Since(start) != 0 {
			t.Fatalf("got %v after %v, want the known failure at once", err, time.Since(start))
		}
		if wait := time.Until(failed.RetryAt); wait <= 0 || wait > outageInterval {
			t.Errorf("retry at +%v, want the next attempt's time", wait)
		}
		time.Sleep(4 * time.Second)
	})
}

// The other provider remembers its failure by itself: asking it is cheap.
func TestTheFailureOfANeededTokenIsNotRememberedLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		needed := newTestManager(&fakeEndpoint{lifetime: time.Hour, fail: refusal})
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(fetcherFunc(func(ctx context.Context) (Token, error) {
			if _, err := needed.Token(ctx); err != nil {
				failed, _ := errors.AsType[*AuthenticationError](err)
				copied := *failed
				copied.Needs = "other"
				return Token{}, &copied
			}
			return e.Fetch(ctx, Want{})
		}))
		for range 600 {
			_, _ = m.Token(t.Context())
			time.Sleep(time.Second)
		}
		needed.Bind(&Binding{Fetcher: &fakeEndpoint{lifetime: time.Hour}, Logger: zap.NewNop()})
		time.Sleep(neededBackoff)
		mustToken(t, m)
	})
}

// inOutage is a manager of which the first token request has failed with all its
// retries.
func inOutage(t *testing.T, e *fakeEndpoint) *Manager {
	t.Helper()
	m := newTestManager(e)
	e.set(func(e *fakeEndpoint) { e.fail = outage })
	if _, err := m.Token(t.Context()); err == nil {
		t.Fatal("got a token")
	}
	return m
}

// knock sends requests, a pause between them, until the time is over, and returns the
// first that got a token, and the longest that one waited.
func knock(t *testing.T, m *Manager, pause, total time.Duration) (recovered, slowest time.Duration) {
	t.Helper()
	for start := time.Now(); time.Since(start) < total; time.Sleep(pause) {
		asked := time.Now()
		_, err := m.Token(t.Context())
		slowest = max(slowest, time.Since(asked))
		if err == nil {
			return time.Since(start), slowest
		}
	}
	return 0, slowest
}

func TestAttemptsInAnOutageAreTwoSecondsApartMoreOrLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := inOutage(t, e)
		m.jitter = rand.Float64
		before := e.requests()
		knock(t, m, 10*time.Millisecond, 2*time.Minute)
		least, most := time.Hour.Seconds(), 0.0
		for _, delay := range e.delays()[before:] {
			least, most = min(least, delay), max(most, delay)
		}
		if least < 1.6 || most > 2.41 || least > 1.75 || most < 2.25 {
			t.Errorf("attempts are %.2f to %.2f s apart, want 1.6 to 2.4 s, spread", least, most)
		}
	})
}

func TestAnOutageThatNobodyAsksAboutCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := inOutage(t, e)
		before := e.requests()
		time.Sleep(time.Minute)
		wantRequests(t, e, before)
		_, _ = m.Token(t.Context())
		wantRequests(t, e, before+1)
	})
}

// The token in hand was good when the failure was remembered for 30 s.
func TestTheEndOfTheTokenEndsTheLongWaitOfTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: 10 * time.Minute}
		m := newTestManager(e)
		start := time.Now()
		mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.fail = outage })
		for ; m.Current() != nil; time.Sleep(100 * time.Millisecond) {
			m.Current()
		}
		if age := time.Since(start); age != 10*time.Minute {
			t.Fatalf("the token served for %v", age)
		}
		before := e.requests()
		e.set(func(e *fakeEndpoint) { e.fail = nil })
		recovered, _ := knock(t, m, 50*time.Millisecond, time.Minute)
		if mustToken(t, m); recovered > outageInterval || e.requests() != before+1 {
			t.Errorf("a token came after %v and %d requests, want %v at most and 1", recovered, e.requests()-before, outageInterval)
		}
	})
}

func TestRetryAfterWinsInAnOutageUpToFiveMinutes(t *testing.T) {
	for _, test := range []struct{ says, waits time.Duration }{
		{time.Second, outageInterval}, {20 * time.Second, 20 * time.Second}, {time.Hour, retryAfterLimit},
	} {
		t.Run(test.says.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEndpoint{lifetime: time.Hour}
				m := inOutage(t, e)
				e.set(func(e *fakeEndpoint) {
					e.fail = func(int) error {
						return &AuthenticationError{Code: CodeUnavailable, Status: 429, RetryAfter: test.says, temporary: true}
					}
				})
				time.Sleep(outageInterval)
				_, err := m.Token(t.Context())
				if failed, ok := errors.AsType[*AuthenticationError](err); !ok || time.Until(failed.RetryAt) != test.waits {
					t.Errorf("got %v, to come back in %v, want %v", err, time.Until(failed.RetryAt), test.waits)
				}
				before := e.requests()
				knock(t, m, 100*time.Millisecond, test.waits)
				wantRequests(t, e, before)
				_, _ = m.Token(t.Context())
				wantRequests(t, e, before+1)
			})
		})
	}
}

func TestAnOutageThatLastsIsLoggedOnceInHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		m := NewManager("corp")
		e := &fakeEndpoint{lifetime: time.Hour, fail: outage}
		m.Bind(&Binding{Fetcher: e, Logger: zap.New(core)})
		knock(t, m, 100*time.Millisecond, 119*time.Second)
		lines := logs.FilterMessage("no access token")
		if loud := lines.FilterLevelExact(zap.ErrorLevel).Len(); loud != 4 || lines.Len() != e.requests() {
			t.Errorf("%d lines at ERROR, %d in all for %d attempts, want 4 and one for each", loud, lines.Len(), e.requests())
		}
		e.set(func(e *fakeEndpoint) { e.fail = refusal })
		knock(t, m, 100*time.Millisecond, 3*time.Second)
		if loud := logs.FilterMessage("no access token").FilterLevelExact(zap.ErrorLevel).Len(); loud != 5 {
			t.Errorf("%d lines at ERROR, want one more for the refusal", loud)
		}
	})
}
