package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/zap"
)

// A fakeEndpoint is a Fetcher that takes a time to answer and notes when it
// was asked.
type fakeEndpoint struct {
	mu       sync.Mutex
	latency  time.Duration
	lifetime time.Duration
	fail     func(request int) error
	asked    []time.Time
}

func (e *fakeEndpoint) Fetch(ctx context.Context) (Token, error) {
	e.mu.Lock()
	e.asked = append(e.asked, time.Now())
	n, latency, lifetime, fail := len(e.asked), e.latency, e.lifetime, e.fail
	e.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
	if fail != nil {
		if err := fail(n); err != nil {
			return Token{}, err
		}
	}
	return Token{Value: NewSecret(fmt.Sprint("token-", n)), Lifetime: lifetime}, nil
}

func (e *fakeEndpoint) set(change func(*fakeEndpoint)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

func (e *fakeEndpoint) requests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

// delays returns the time between requests, in seconds.
func (e *fakeEndpoint) delays() []float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var delays []float64
	for i := 1; i < len(e.asked); i++ {
		delays = append(delays, e.asked[i].Sub(e.asked[i-1]).Seconds())
	}
	return delays
}

func outage(int) error {
	return &AuthenticationError{Code: CodeUnavailable, Status: 503, temporary: true}
}

func refusal(int) error {
	return &AuthenticationError{Code: CodeInvalidClient, Status: 401}
}

func newTestManager(e Fetcher) *Manager {
	m := NewManager("corp")
	m.jitter = func() float64 { return 0.5 }
	m.Bind(&Binding{Fetcher: e, Retries: DefaultRetries, Logger: zap.NewNop()})
	return m
}

func mustToken(t *testing.T, m *Manager) *Token {
	t.Helper()
	token, err := m.Token(t.Context())
	if err != nil {
		t.Fatalf("no token: %v", err)
	}
	return token
}

func wantRequests(t *testing.T, e *fakeEndpoint, want int) {
	t.Helper()
	if got := e.requests(); got != want {
		t.Fatalf("%d token requests, want %d", got, want)
	}
}

func TestC01ColdStartOf512CallersIsOneTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{latency: 100 * time.Millisecond, lifetime: time.Hour}
		m := newTestManager(e)
		var ok atomic.Int64
		var wg sync.WaitGroup
		for range 512 {
			wg.Go(func() {
				if token, err := m.Token(t.Context()); err == nil && token.Value.Reveal() == "token-1" {
					ok.Add(1)
				}
			})
		}
		start := time.Now()
		wg.Wait()
		if ok.Load() != 512 || time.Since(start) > 250*time.Millisecond {
			t.Errorf("%d of 512 callers got the token after %v", ok.Load(), time.Since(start))
		}
		wantRequests(t, e, 1)
	})
}

func TestT02ShortTokensAreRefreshedInTheBackgroundAtHalfTheirLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{latency: 100 * time.Millisecond, lifetime: 5 * time.Second}
		m := newTestManager(e)
		mustToken(t, m)
		var waited atomic.Int64
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
					if m.Current() == nil {
						waited.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if e.requests() > 13 || waited.Load() != 0 {
			t.Errorf("%d token requests, want at most 13; %d requests found no token", e.requests(), waited.Load())
		}
	})
}

func TestTheRefreshMarginFollowsTheLifetime(t *testing.T) {
	for _, test := range []struct {
		name          string
		lifetime      time.Duration
		refreshBefore time.Duration
		refreshIn     time.Duration
		jitter        float64
		want          time.Duration
	}{
		{"an hour: 20 percent", time.Hour, 0, 0, 0.5, 48 * time.Minute},
		{"an hour, least jitter: 22 percent", time.Hour, 0, 0, 1, 46*time.Minute + 48*time.Second},
		{"four minutes: the seed's 60 seconds", 4 * time.Minute, 0, 0, 0.5, 3 * time.Minute},
		{"a minute: half", time.Minute, 0, 0, 0.5, 30 * time.Second},
		{"a minute with jitter: never more than half", time.Minute, 0, 0, 1, 30 * time.Second},
		{"five seconds: half", 5 * time.Second, 0, 0, 0.5, 2500 * time.Millisecond},
		{"a configured margin is taken as it is", time.Hour, 5 * time.Minute, 0, 1, 55 * time.Minute},
		{"a configured margin is at most half", time.Minute, 5 * time.Minute, 0, 1, 30 * time.Second},
		{"T35 refresh_in of the server comes first", time.Hour, 0, 30 * time.Minute, 0.5, 30 * time.Minute},
		{"T35 refresh_in beyond the margin is cut", time.Hour, 0, 2 * time.Hour, 0.5, 48 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := &Token{Lifetime: test.lifetime, RefreshIn: test.refreshIn}
			if got := token.freshTime(test.refreshBefore, test.jitter); got.Round(time.Millisecond) != test.want {
				t.Errorf("fresh for %v, want %v", got, test.want)
			}
		})
	}
}

func TestC02ACallerThatGoesAwayTakesNobodyWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{latency: 100 * time.Millisecond, lifetime: time.Hour}
		m := newTestManager(e)
		first, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var ok atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := m.Token(first); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first caller got %v", err)
			}
		})
		synctest.Wait()
		for range 99 {
			wg.Go(func() {
				if _, err := m.Token(t.Context()); err == nil {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 99 {
			t.Errorf("%d of 99 callers got a token", ok.Load())
		}
		wantRequests(t, e, 1)
	})
}

func TestC03TheFetchOutlivesAllItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{latency: time.Second, lifetime: time.Hour}
		m := newTestManager(e)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Token(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled caller got %v", err)
		}
		time.Sleep(2 * time.Second)
		if m.Current() == nil {
			t.Error("the token of an abandoned fetch is not there")
		}
		wantRequests(t, e, 1)
	})
}

func TestC04ACallerLeavesAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTestManager(&fakeEndpoint{latency: time.Minute, lifetime: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := m.Token(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		time.Sleep(time.Minute)
	})
}

func TestT31RetriesComeAfterOneTwoAndFourSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{fail: outage}
		m := newTestManager(e)
		start := time.Now()
		_, err := m.Token(t.Context())
		var failed *AuthenticationError
		if !errors.As(err, &failed) || failed.Code != CodeUnavailable || failed.Attempts != 4 || failed.Provider != "corp" {
			t.Fatalf("got %#v", err)
		}
		if time.Since(start) != 7*time.Second {
			t.Errorf("failed after %v, want 7s", time.Since(start))
		}
		if got := fmt.Sprint(e.delays()); got != "[1 2 4]" {
			t.Errorf("delays %s, want [1 2 4]", got)
		}
		if wait := time.Until(failed.RetryAt); wait != outageBackoff {
			t.Errorf("retry at +%v, want +%v", wait, outageBackoff)
		}
	})
}

func TestTheSecondAttemptCanSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, fail: func(n int) error {
			if n == 1 {
				return outage(n)
			}
			return nil
		}}
		m := newTestManager(e)
		if token := mustToken(t, m); token.Value.Reveal() != "token-2" {
			t.Errorf("got the token of another attempt")
		}
	})
}

func TestT27ARefusalIsNotRetriedAndRememberedFrom30SecondsTo5Minutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{fail: refusal}
		m := newTestManager(e)
		for range 1200 {
			if _, err := m.Token(t.Context()); err == nil {
				t.Fatal("got a token")
			}
			time.Sleep(time.Second)
		}
		if got := fmt.Sprint(e.delays()); got != "[30 60 120 240 300 300]" {
			t.Errorf("asked after %s seconds", got)
		}
	})
}

func TestN10AnOutageIsProbedByTimeNotByTraffic(t *testing.T) {
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
		if got != "[1 2 4 5 10 20 30 30]" {
			t.Errorf("asked after %s seconds", got)
		}
	})
}

func TestN09AnOutageInsideTheMarginIsNotNoticedByCallers(t *testing.T) {
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
		if wait := time.Until(failed.RetryAt); wait <= 0 || wait > 4*time.Second {
			t.Errorf("retry at +%v, want the next attempt's time", wait)
		}
		time.Sleep(4 * time.Second)
	})
}

func TestC06OneFailedBackgroundRequestDoesNotEndRefreshing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: 10 * time.Minute, fail: func(n int) error {
			if n == 2 {
				return refusal(n)
			}
			return nil
		}}
		m := newTestManager(e)
		mustToken(t, m)
		time.Sleep(8*time.Minute + 10*time.Second)
		m.Current()
		time.Sleep(31 * time.Second)
		m.Current()
		synctest.Wait()
		if m.Current().Value.Reveal() != "token-3" {
			t.Error("the token was not replaced 31 s after one failure")
		}
	})
}

func TestT29RetryAfterWinsOverTheRetryDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, fail: func(n int) error {
			if n == 1 {
				return &AuthenticationError{Code: CodeUnavailable, Status: 429, RetryAfter: 20 * time.Second, temporary: true}
			}
			return nil
		}}
		m := newTestManager(e)
		start := time.Now()
		if _, err := m.Token(t.Context()); err == nil || time.Since(start) != 0 {
			t.Fatalf("callers were released with %v after %v, want an error at once", err, time.Since(start))
		}
		time.Sleep(19 * time.Second)
		if _, err := m.Token(t.Context()); err == nil {
			t.Fatal("asked before Retry-After had passed")
		}
		time.Sleep(2 * time.Second)
		mustToken(t, m)
		wantRequests(t, e, 2)
	})
}

func TestT04AndT32TheSameTokenAgainCausesNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager("corp")
		end := time.Now().Add(100 * time.Second)
		var requests atomic.Int64
		m.Bind(&Binding{Logger: zap.NewNop(), Fetcher: fetcherFunc(func(context.Context) (Token, error) {
			requests.Add(1)
			return Token{Value: NewSecret("same"), Lifetime: time.Until(end)}, nil
		})})
		for time.Now().Before(end.Add(-time.Second)) {
			mustToken(t, m)
			time.Sleep(5 * time.Millisecond)
		}
		if requests.Load() > 12 {
			t.Errorf("%d token requests for a token that is not replaced", requests.Load())
		}
	})
}

type fetcherFunc func(context.Context) (Token, error)

func (f fetcherFunc) Fetch(ctx context.Context) (Token, error) { return f(ctx) }

func TestC08APanicInTheFetchIsAnErrorAndEndsTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := true
		m := newTestManager(fetcherFunc(func(context.Context) (Token, error) {
			if panics {
				panic("canary-secret")
			}
			return Token{Value: NewSecret("x"), Lifetime: time.Hour}, nil
		}))
		_, err := m.Token(t.Context())
		if err == nil || contains(err.Error(), "canary") {
			t.Fatalf("got %v", err)
		}
		panics = false
		time.Sleep(outageBackoff)
		mustToken(t, m)
	})
}

func TestC05ARotatedSecretEndsTheMemoryOfARefusal(t *testing.T) {
	for _, background := range []bool{false, true} {
		t.Run(fmt.Sprintf("with a token in hand: %v", background), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rotated atomic.Bool
				e := &fakeEndpoint{lifetime: 10 * time.Minute, fail: func(n int) error {
					if (background && n == 1) || rotated.Load() {
						return nil
					}
					return refusal(n)
				}}
				m := NewManager("corp")
				m.Bind(&Binding{Fetcher: e, Logger: zap.NewNop(), SecretsDigest: func() [sha256.Size]byte {
					if rotated.Load() {
						return [sha256.Size]byte{1}
					}
					return [sha256.Size]byte{}
				}})
				if background {
					mustToken(t, m)
					time.Sleep(9 * time.Minute)
				}
				failing := func() string {
					if token := m.Current(); token != nil {
						synctest.Wait()
						return m.Current().Value.Reveal()
					}
					_, err := m.Token(t.Context())
					return fmt.Sprint(err)
				}
				failing()
				time.Sleep(2 * time.Second)
				failing()
				asked := e.requests()
				rotated.Store(true)
				time.Sleep(2 * time.Second)
				failing()
				synctest.Wait()
				if e.requests() != asked+1 || m.Current() == nil {
					t.Errorf("%d token requests after the rotation, want 1", e.requests()-asked)
				}
			})
		})
	}
}

func TestBindingAConfigurationEndsTheMemoryOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, fail: refusal}
		m := newTestManager(e)
		_, _ = m.Token(t.Context())
		e.set(func(e *fakeEndpoint) { e.fail = nil })
		m.Bind(&Binding{Fetcher: e, Logger: zap.NewNop()})
		mustToken(t, m)
	})
}

func TestRefreshIgnoresARememberedFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, fail: refusal}
		m := newTestManager(e)
		_, _ = m.Token(t.Context())
		e.set(func(e *fakeEndpoint) { e.fail = nil })
		if _, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantRequests(t, e, 2)
	})
}

func TestTheNewestBindingIsUsedAndTheLastOneStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fakeEndpoint{lifetime: time.Hour}, &fakeEndpoint{lifetime: time.Hour}
		m := NewManager("corp")
		if _, err := m.Token(t.Context()); !errors.Is(err, ErrNotBound) {
			t.Fatalf("without a binding: %v", err)
		}
		unbindFirst := m.Bind(&Binding{Fetcher: first, Logger: zap.NewNop()})
		unbindSecond := m.Bind(&Binding{Fetcher: second, Logger: zap.NewNop()})
		m.Reject(mustToken(t, m))
		unbindSecond() // the second configuration failed elsewhere
		m.Reject(mustToken(t, m))
		unbindFirst() // L03: requests of a configuration that is gone still finish
		mustToken(t, m)
		if first.requests() != 2 || second.requests() != 1 {
			t.Errorf("%d and %d token requests, want 2 and 1", first.requests(), second.requests())
		}
	})
}

func TestU02RefusedTokensCauseThreeTokenRequestsThenOneIn30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		mustToken(t, m)
		for start := time.Now(); time.Since(start) < 299*time.Second; time.Sleep(100 * time.Millisecond) {
			m.Reject(mustToken(t, m))
		}
		if extra := e.requests() - 1; extra != 3+9 {
			t.Errorf("%d extra token requests in 299 s, want 3 and then one in 30 s", extra)
		}
	})
}

func TestRejectKeepsATokenThatIsNotTheRefusedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		old := mustToken(t, m)
		for range 10 {
			if !m.Reject(old) {
				t.Fatal("a token that is gone already counts against the budget")
			}
			mustToken(t, m)
		}
		wantRequests(t, e, 2)
	})
}

func TestC11AManagerThatNobodyAsksDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Minute}
		m := newTestManager(e)
		mustToken(t, m)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantRequests(t, e, 1)
	})
}

func TestOneProvidersTroubleDoesNotDelayAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newTestManager(&fakeEndpoint{latency: time.Hour, lifetime: time.Hour})
		fast := newTestManager(&fakeEndpoint{lifetime: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = slow.Token(ctx) }()
		synctest.Wait()
		start := time.Now()
		mustToken(t, fast)
		if time.Since(start) != 0 {
			t.Errorf("waited %v", time.Since(start))
		}
		cancel()
		time.Sleep(time.Hour)
	})
}

// wallJump returns now with its wall clock moved and its monotonic clock as it
// was, which is what time.Now returns after a machine slept.
func wallJump(now time.Time, by time.Duration) time.Time {
	// A time.Time with both clocks holds the wall seconds in bits 30 to 62 of
	// its first word.
	*(*uint64)(unsafe.Pointer(&now)) += uint64(by/time.Second) << 30
	return now
}

func TestC09AndC10ATokenHasExpiredWhenEitherClockSaysSo(t *testing.T) {
	start := time.Now()
	if jumped := wallJump(start, time.Hour); jumped.Sub(start) != 0 || jumped.Round(0).Sub(start.Round(0)) != time.Hour {
		t.Fatal("wallJump does not move the wall clock alone")
	}
	for _, test := range []struct {
		name    string
		now     time.Time
		expired bool
	}{
		{"at once", start, false},
		{"after its life on both clocks", start.Add(31 * time.Minute), true},
		{"C10 suspended for two hours: the monotonic clock stood still", wallJump(start, 2*time.Hour), true},
		{"C09 the wall clock was set back an hour", wallJump(start.Add(5*time.Minute), -time.Hour), false},
		{"C09 the wall clock was set back and its life is over", wallJump(start.Add(31*time.Minute), -time.Hour), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := start
			m := NewManager("corp")
			m.clock = newClock(func() time.Time { return now })
			m.Bind(&Binding{Logger: zap.NewNop(), Fetcher: fetcherFunc(func(context.Context) (Token, error) {
				return Token{Value: NewSecret("x"), Lifetime: 30 * time.Minute}, nil
			})})
			mustToken(t, m)
			m.quietUntil.Store(never) // only expiry is looked at
			now = test.now
			if expired := m.Current() == nil; expired != test.expired {
				t.Errorf("expired: %v, want %v", expired, test.expired)
			}
		})
	}
}

func TestACachedTokenCostsNoAllocation(t *testing.T) {
	m := newTestManager(fetcherFunc(func(context.Context) (Token, error) {
		return Token{Value: NewSecret("x"), Lifetime: time.Hour}, nil
	}))
	ctx := t.Context()
	mustToken(t, m)
	if n := testing.AllocsPerRun(1000, func() { _, _ = m.Token(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCachedToken(b *testing.B) {
	m := newTestManager(fetcherFunc(func(context.Context) (Token, error) {
		return Token{Value: NewSecret("x"), Lifetime: time.Hour}, nil
	}))
	ctx := b.Context()
	if _, err := m.Token(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = m.Token(ctx)
		}
	})
}
