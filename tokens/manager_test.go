package tokens

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

func (e *fakeEndpoint) Fetch(ctx context.Context, want Want) (Token, error) {
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

func mustReplace(t *testing.T, m *Manager, refused *Token) *Token {
	t.Helper()
	token, err := m.Replacement(t.Context(), refused)
	if err != nil || token == refused {
		t.Fatalf("the refused token is not replaced: %v", err)
	}
	return token
}

func wantRequests(t *testing.T, e *fakeEndpoint, want int) {
	t.Helper()
	if got := e.requests(); got != want {
		t.Fatalf("%d token requests, want %d", got, want)
	}
}

func TestColdStartOf512CallersIsOneTokenRequest(t *testing.T) {
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

func TestShortTokensAreRefreshedInTheBackgroundAtHalfTheirLife(t *testing.T) {
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
		{"four minutes: at least 60 seconds", 4 * time.Minute, 0, 0, 0.5, 3 * time.Minute},
		{"a minute: half", time.Minute, 0, 0, 0, 30 * time.Second},
		{"a minute with jitter: earlier than half", time.Minute, 0, 0, 1, 27 * time.Second},
		{"five seconds: half", 5 * time.Second, 0, 0, 0, 2500 * time.Millisecond},
		{"five seconds with jitter: earlier", 5 * time.Second, 0, 0, 0.5, 2375 * time.Millisecond},
		{"a configured margin is taken as it is", time.Hour, 5 * time.Minute, 0, 1, 55 * time.Minute},
		{"a configured margin is at most half", time.Minute, 5 * time.Minute, 0, 1, 30 * time.Second},
		{"refresh_in of the server comes first", time.Hour, 0, 30 * time.Minute, 0.5, 30 * time.Minute},
		{"refresh_in beyond the margin is cut", time.Hour, 0, 2 * time.Hour, 0.5, 48 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := &Token{Lifetime: test.lifetime, RefreshIn: test.refreshIn}
			if got := token.freshTime(test.refreshBefore, test.jitter); got.Round(time.Millisecond) != test.want {
				t.Errorf("fresh for %v, want %v", got, test.want)
			}
		})
	}
}

func TestACallerThatGoesAwayTakesNobodyWithIt(t *testing.T) {
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

func TestTheFetchOutlivesAllItsCallers(t *testing.T) {
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

func TestACallerLeavesAtItsDeadline(t *testing.T) {
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

func TestAndT32TheSameTokenAgainCausesNoLoop(t *testing.T) {
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

func (f fetcherFunc) Fetch(ctx context.Context, _ Want) (Token, error) { return f(ctx) }

func TestAPanicInTheFetchIsAnErrorAndEndsTheFlight(t *testing.T) {
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

func TestTheNewestBindingIsUsedAndTheLastOneStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fakeEndpoint{lifetime: time.Hour}, &fakeEndpoint{lifetime: time.Hour}
		m := NewManager("corp")
		if _, err := m.Token(t.Context()); !errors.Is(err, ErrNotBound) {
			t.Fatalf("without a binding: %v", err)
		}
		unbindFirst := m.Bind(&Binding{Fetcher: first, Logger: zap.NewNop()})
		unbindSecond := m.Bind(&Binding{Fetcher: second, Logger: zap.NewNop()})
		refused := mustToken(t, m)
		unbindSecond() // the second configuration failed elsewhere
		refused = mustReplace(t, m, refused)
		unbindFirst() // requests of a configuration that is gone still finish
		mustReplace(t, m, refused)
		if first.requests() != 2 || second.requests() != 1 {
			t.Errorf("%d and %d token requests, want 2 and 1", first.requests(), second.requests())
		}
	})
}

func TestAManagerThatNobodyAsksDoesNothing(t *testing.T) {
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
		slow := newTestManager(&fakeEndpoint{latency: time.Hour, lifetime: 2 * time.Hour})
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
