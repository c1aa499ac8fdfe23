package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Another instance that is asking is no trouble, and soon done.
func TestAnotherInstanceThatAsksIsWaitedForWithoutALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		m := NewManager("corp")
		busy := func(int) error {
			return &AuthenticationError{Code: CodeTimeout, temporary: true, busy: true}
		}
		e := &fakeEndpoint{lifetime: time.Hour, fail: busy}
		m.Bind(&Binding{Fetcher: e, Logger: zap.New(core)})
		knock(t, m, 100*time.Millisecond, 19500*time.Millisecond)
		if n := e.requests(); n < 18 || n > 21 {
			t.Errorf("%d attempts in 19.5 s, want one each second", n)
		}
		if lines := logs.Len(); lines != e.requests() || logs.FilterLevelExact(zap.DebugLevel).Len() != lines {
			t.Errorf("%d lines for %d attempts: %v", lines, e.requests(), logs.All())
		}
		// It is no failure of its kind: what follows is the first.
		m.mu.Lock()
		streak := m.failure.streak
		m.mu.Unlock()
		e.set(func(e *fakeEndpoint) { e.fail = outage })
		time.Sleep(busyBackoff)
		_, _ = m.Token(t.Context())
		synctest.Wait()
		if loud := logs.FilterLevelExact(zap.ErrorLevel).Len(); streak != 0 || m.failure.streak != 1 || loud != 1 {
			t.Errorf("streaks %d and %d, %d lines at ERROR", streak, m.failure.streak, loud)
		}
	})
}

func TestAnErrorThatIsATimeoutIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTestManager(fetcherFunc(func(context.Context) (Token, error) {
			return Token{}, fmt.Errorf("{token.other}: %w", context.DeadlineExceeded)
		}))
		_, err := m.Token(t.Context())
		if failed, ok := errors.AsType[*AuthenticationError](err); !ok || failed.Code != CodeTimeout || !failed.Temporary() || failed.Provider != "corp" {
			t.Errorf("got %v", err)
		}
	})
}

// Rule 3.2: a token whose life is over when it arrives is no token.
func TestATokenThatHasEndedOnArrivalIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{latency: 2 * time.Second, lifetime: time.Second}
		m := newTestManager(e)
		token, err := m.Token(t.Context())
		if failed, ok := errors.AsType[*AuthenticationError](err); !ok || failed.Code != CodeInvalidResponse {
			t.Errorf("got %v, %v", token, err)
		}
		wantRequests(t, e, 1+DefaultRetries)
	})
}

func TestAPanicInTheDigestIsAnErrorToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager("corp")
		m.Bind(&Binding{Fetcher: &fakeEndpoint{lifetime: time.Hour}, Logger: zap.NewNop(), SecretsDigest: func() [sha256.Size]byte { panic("secret") }})
		for range 3 {
			if _, err := m.Token(t.Context()); err == nil {
				t.Error("got a token")
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// Who refreshes ahead does not wait long for another instance; a request that comes
// meanwhile does.
func TestARequestThatJoinsABackgroundFlightIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wants []bool
		first := true
		m := NewManager("corp")
		m.Bind(&Binding{Logger: zap.NewNop(), Fetcher: fetcherWanting(func(want Want) (Token, error) {
			if first {
				first = false
				return Token{Value: NewSecret("first"), Lifetime: 10 * time.Second}, nil
			}
			wants = append(wants, want.Waiting)
			time.Sleep(6 * time.Second)
			if !want.Waiting {
				return Token{}, &AuthenticationError{Code: CodeUnavailable, temporary: true, busy: true}
			}
			return Token{Value: NewSecret("second"), Lifetime: time.Hour}, nil
		})})
		mustToken(t, m)
		time.Sleep(9 * time.Second)
		mustToken(t, m)
		time.Sleep(2 * time.Second)
		started := time.Now()
		if token := mustToken(t, m); token.Value.Reveal() != "second" || time.Since(started) != 10*time.Second {
			t.Errorf("got %s after %v", token.Value.Reveal(), time.Since(started))
		}
		if fmt.Sprint(wants) != "[false true]" {
			t.Errorf("the fetcher was asked for waiting requests: %v", wants)
		}
	})
}

type fetcherWanting func(Want) (Token, error)

func (f fetcherWanting) Fetch(_ context.Context, want Want) (Token, error) { return f(want) }
