package tokens

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestRefusedTokensCauseThreeTokenRequestsThenOneIn30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		mustToken(t, m)
		limited := 0
		for start := time.Now(); time.Since(start) < 299*time.Second; time.Sleep(100 * time.Millisecond) {
			_, err := m.Replacement(t.Context(), mustToken(t, m))
			if errors.Is(err, ErrRefusedTooOften) {
				limited++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if extra := e.requests() - 1; extra != 3+9 || limited != 2990-extra {
			t.Errorf("%d extra token requests in 299 s, want 3 and then one in 30 s; the limit was told %d times", extra, limited)
		}
	})
}

func TestATokenThatIsInHandAlreadyReplacesARefusedOneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		old := mustToken(t, m)
		for range 10 {
			if token := mustReplace(t, m, old); token.Value.Reveal() != "token-2" || m.Suspects(token) {
				t.Fatal("another token, or a suspect one, is given")
			}
		}
		wantRequests(t, e, 2)
	})
}

func TestARefusedRequestWaitsForTheFlightUnderWay(t *testing.T) {
	for name, test := range map[string]struct{ begin func(m *Manager, t *Token) }{
		"of another refused request": {func(m *Manager, t *Token) { go func() { _, _ = m.Replacement(context.Background(), t) }() }},
		"of a 401 that only passed":  {func(m *Manager, t *Token) { m.Suspect(t) }},
		"of an operator":             {func(m *Manager, _ *Token) { go func() { _, _ = m.Refresh(context.Background()) }() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEndpoint{lifetime: time.Hour}
				m := newTestManager(e)
				old := mustToken(t, m)
				e.set(func(e *fakeEndpoint) { e.latency = 3 * time.Second })
				test.begin(m, old)
				time.Sleep(time.Second)
				start := time.Now()
				if mustReplace(t, m, old); time.Since(start) > 3*time.Second || time.Since(start) < time.Second {
					t.Errorf("waited %v", time.Since(start))
				}
				wantRequests(t, e, 2)
			})
		})
	}
}

func TestOthersGoOnWithASuspectTokenUntilAnotherIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		old := mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.latency = 3 * time.Second })
		m.Suspect(old)
		for start := time.Now(); time.Since(start) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
			if asked := time.Now(); mustToken(t, m) != old || time.Since(asked) != 0 {
				t.Fatalf("waited %v for a token", time.Since(asked))
			}
		}
		synctest.Wait()
		if token := mustToken(t, m); token == old || m.Suspects(token) {
			t.Error("the suspect token is not replaced by one that is not suspect")
		}
		wantRequests(t, e, 2)
	})
}

func TestASuspectTokenServesToItsEndIfNoOtherCanBeHad(t *testing.T) {
	for name, fail := range map[string]func(int) error{"an outage": outage, "a refusal": refusal} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEndpoint{lifetime: time.Hour}
				m := newTestManager(e)
				start, old := time.Now(), mustToken(t, m)
				e.set(func(e *fakeEndpoint) { e.fail = fail })
				if _, err := m.Replacement(t.Context(), old); err == nil {
					t.Fatal("got a token")
				}
				for ; time.Since(start) < time.Hour; time.Sleep(time.Second) {
					if mustToken(t, m) != old || !m.Suspects(old) {
						t.Fatalf("the token is gone, or no longer suspect, after %v", time.Since(start))
					}
				}
				if _, err := m.Token(t.Context()); err == nil {
					t.Error("the token is used beyond its end")
				}
			})
		})
	}
}

// An upstream that answers 401 for reasons of its own does not cause more token
// requests than the failure that is known allows.
func TestAReplacementIsRefusedAtOnceWhileAFailureIsKnown(t *testing.T) {
	for name, test := range map[string]struct {
		fail  func(int) error
		code  string
		most  int
		first time.Duration
	}{
		"an outage": {outage, CodeUnavailable, 10, outageBackoff},
		"a refusal": {refusal, CodeInvalidClient, 4, refusalBackoff},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEndpoint{lifetime: time.Hour}
				m := newTestManager(e)
				old := mustToken(t, m)
				e.set(func(e *fakeEndpoint) { e.fail = test.fail })
				_, _ = m.Refresh(t.Context())
				for start := time.Now(); time.Since(start) < 100*time.Second; time.Sleep(100 * time.Millisecond) {
					asked := time.Now()
					_, err := m.Replacement(t.Context(), mustToken(t, m))
					failed, ok := errors.AsType[*AuthenticationError](err)
					if !ok || failed.Code != test.code || time.Since(asked) != 0 {
						t.Fatalf("got %v after %v", err, time.Since(asked))
					}
					if asked.Equal(start) && time.Until(failed.RetryAt) != test.first {
						t.Errorf("the next attempt is said to be in %v, want %v", time.Until(failed.RetryAt), test.first)
					}
				}
				if n := e.requests(); n > test.most {
					t.Errorf("%d token requests in 100 s, want at most %d", n, test.most)
				}
				e.set(func(e *fakeEndpoint) { e.fail = nil })
				time.Sleep(refusalBackoffLimit)
				mustToken(t, m)
				synctest.Wait()
				if mustToken(t, m) == old {
					t.Error("the refused token is not replaced when one can be had")
				}
			})
		})
	}
}

// What one client provokes is nobody else's trouble.
func TestA401ThatOneClientProvokesWhileTheTokenEndpointIsDownFailsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour, latency: 10 * time.Millisecond}
		m := newTestManager(e)
		mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.fail = outage })
		start, before := time.Now(), e.requests()
		var clients sync.WaitGroup
		clients.Go(func() {
			for ; time.Since(start) < 5*time.Minute; time.Sleep(50 * time.Millisecond) {
				_, _ = m.Replacement(t.Context(), mustToken(t, m))
			}
		})
		var mu sync.Mutex
		total, failed, slowest := 0, 0, time.Duration(0)
		for _, ask := range []func(context.Context) (*Token, error){m.Token, m.Token, m.Token, m.TrustedToken} {
			clients.Go(func() {
				for ; time.Since(start) < 5*time.Minute; time.Sleep(100 * time.Millisecond) {
					asked := time.Now()
					_, err := ask(t.Context())
					mu.Lock()
					total++
					slowest = max(slowest, time.Since(asked))
					if err != nil {
						failed++
					}
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		attempts := e.requests() - before
		t.Logf("figure provoked_401: %d of %d requests of others failed, the slowest waited %v, %d token requests in 5 min", failed, total, slowest, attempts)
		if failed != 0 || slowest > attemptWait || attempts > 16 {
			t.Errorf("%d failed, the slowest waited %v, %d token requests", failed, slowest, attempts)
		}
	})
}

func TestTheFetcherLearnsThatTheTokenInHandWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wants []Want
		m := newTestManager(wantFunc(func(want Want) (Token, error) {
			wants = append(wants, want)
			return Token{Value: NewSecret("x"), Lifetime: time.Hour}, nil
		}))
		first := mustToken(t, m)
		second := mustReplace(t, m, first)
		m.Suspect(second)
		synctest.Wait()
		_, _ = m.Refresh(t.Context())
		want := []Want{{Waiting: true}, {InHand: first, Refused: true, Waiting: true}, {InHand: second, Refused: true}, {InHand: mustToken(t, m), Waiting: true}}
		wants[3].InHand = want[3].InHand
		for i := range want {
			if wants[i] != want[i] {
				t.Errorf("%d: %+v, want %+v", i, wants[i], want[i])
			}
		}
	})
}

type wantFunc func(Want) (Token, error)

func (f wantFunc) Fetch(_ context.Context, want Want) (Token, error) { return f(want) }

func TestRefusedTokensAreLoggedOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		m := NewManager("corp")
		m.Bind(&Binding{Fetcher: &fakeEndpoint{lifetime: time.Hour}, Logger: zap.New(core)})
		for range 4 {
			token := mustToken(t, m)
			for range 50 {
				_, _ = m.Replacement(t.Context(), token)
			}
		}
		if suspect, limited := logs.FilterMessageSnippet("it serves on until another is there").Len(), logs.FilterMessageSnippet("has refused several tokens").Len(); suspect != 3 || limited != 1 {
			t.Errorf("%d lines about suspect tokens and %d about the limit, want 3 and 1", suspect, limited)
		}
	})
}

func TestTwoTokensThatAreRefusedWithinHalfOfTheirLifetimeAreWarnedOfOnce(t *testing.T) {
	for name, test := range map[string]struct {
		between  time.Duration
		refusals int
		warnings int
	}{
		"one alone":                   {time.Minute, 1, 0},
		"two soon after another":      {20 * time.Minute, 2, 1},
		"two half a lifetime apart":   {30 * time.Minute, 2, 0},
		"five, again after an hour":   {20 * time.Minute, 5, 2},
		"many within one minute":      {time.Second, 4, 1},
		"many that are far from each": {31 * time.Minute, 6, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.WarnLevel)
				m := NewManager("corp")
				m.Bind(&Binding{Fetcher: &fakeEndpoint{lifetime: time.Hour}, Logger: zap.New(core)})
				for range test.refusals {
					_, _ = m.Replacement(t.Context(), mustToken(t, m))
					time.Sleep(test.between)
				}
				warnings := logs.FilterMessageSnippet("max_ttl").FilterMessageSnippet("share_tokens").Len()
				if warnings != test.warnings {
					t.Errorf("%d warnings, want %d", warnings, test.warnings)
				}
			})
		})
	}
}

// Another instance that is asking is about to have another token.
func TestARefusedRequestWaitsForAnotherInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		old := mustToken(t, m)
		time.Sleep(59 * time.Minute)
		e.set(func(e *fakeEndpoint) {
			e.fail = func(int) error {
				return &AuthenticationError{Code: CodeUnavailable, Err: errClaimed, temporary: true, busy: true}
			}
		})
		m.Current()
		time.Sleep(20 * time.Second)
		e.set(func(e *fakeEndpoint) { e.fail = nil })
		if got, err := m.Replacement(t.Context(), old); err != nil || got == old {
			t.Errorf("got %v, %v", got, err)
		}
		time.Sleep(time.Minute)
	})
}
