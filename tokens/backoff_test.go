package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestRetriesComeAfterOneTwoAndFourSeconds(t *testing.T) {
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
		if wait := time.Until(failed.RetryAt); wait != outageInterval {
			t.Errorf("retry at +%v, want +%v", wait, outageInterval)
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

func TestARefusalIsNotRetriedAndRememberedFrom30SecondsTo5Minutes(t *testing.T) {
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

func TestOneFailedBackgroundRequestDoesNotEndRefreshing(t *testing.T) {
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

func TestRetryAfterWinsOverTheRetryDelays(t *testing.T) {
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

func TestARotatedSecretEndsTheMemoryOfARefusal(t *testing.T) {
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

// The configuration that is loaded while an attempt of the old one is under way
// has the word.
func TestTheFailureOfAnAttemptThatIsOutOfDateIsNotRemembered(t *testing.T) {
	for name, renew := range map[string]func(m *Manager, good Fetcher){
		"a configuration is loaded": func(m *Manager, good Fetcher) {
			m.Bind(&Binding{Fetcher: good, Logger: zap.NewNop()})
		},
		"an operator asks": func(m *Manager, _ Fetcher) { _, _ = m.Refresh(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEndpoint{latency: 5 * time.Second, lifetime: time.Hour, fail: refusal}
				m := newTestManager(e)
				errs := make(chan error, 1)
				go func() {
					_, err := m.Token(t.Context())
					errs <- err
				}()
				time.Sleep(time.Second)
				// The attempt under way has its answer already.
				e.set(func(e *fakeEndpoint) { e.fail = func(n int) error { return map[bool]error{true: refusal(n)}[n == 1] } })
				renew(m, e)
				if err := <-errs; err != nil {
					t.Errorf("the caller got %v", err)
				}
				wantRequests(t, e, 2)
			})
		})
	}
}

func TestALoadedConfigurationEndsTheWaitForARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, fail: outage}
		m := newTestManager(e)
		go func() { _, _ = m.Token(t.Context()) }()
		time.Sleep(3500 * time.Millisecond) // the wait of 4 s has begun
		m.Bind(&Binding{Fetcher: &fakeEndpoint{lifetime: time.Hour}, Logger: zap.NewNop()})
		start := time.Now()
		mustToken(t, m)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestARefusalAfterAnOutageIsRememberedAsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, fail: outage}
		m := newTestManager(e)
		for start := time.Now(); time.Since(start) < 2*time.Minute; time.Sleep(time.Second) {
			_, _ = m.Token(t.Context())
		}
		e.set(func(e *fakeEndpoint) { e.fail = refusal })
		var failed *AuthenticationError
		for failed == nil || failed.Code != CodeInvalidClient {
			_, err := m.Token(t.Context())
			failed, _ = errors.AsType[*AuthenticationError](err)
			time.Sleep(time.Second)
		}
		if remembered := time.Until(failed.RetryAt); remembered > refusalBackoff {
			t.Errorf("remembered for %v more, want at most %v", remembered, refusalBackoff)
		}
	})
}

// Whoever mends a secret and tries once must see that it is mended.
func TestTheFirstRequestAfterARotationGetsAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rotated atomic.Bool
		e := &fakeEndpoint{lifetime: time.Hour, fail: func(n int) error {
			if rotated.Load() {
				return nil
			}
			return refusal(n)
		}}
		m := NewManager("corp")
		m.Bind(&Binding{Fetcher: e, Logger: zap.NewNop(), SecretsDigest: func() [sha256.Size]byte {
			return [sha256.Size]byte{map[bool]byte{true: 1}[rotated.Load()]}
		}})
		_, _ = m.Token(t.Context())
		rotated.Store(true)
		time.Sleep(digestInterval)
		mustToken(t, m)
	})
}
