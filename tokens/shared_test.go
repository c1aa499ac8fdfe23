package tokens

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// newSharedOver is one instance's Shared over a storage and an endpoint.
func newSharedOver(storage Storage, endpoint Fetcher, logger *zap.Logger) *Shared {
	shared := &SharedStorage{}
	if storage != nil {
		shared.Bind(storage, logger)
	}
	return &Shared{
		Fetcher: endpoint, Storage: shared, Provider: "corp", Logger: logger,
		Identity: func(context.Context) (Identity, error) {
			return NewIdentity("access_tokens", NewSecret("client secret"), "about")
		},
	}
}

// fetched is the value of the token that a Shared gives.
func fetched(t *testing.T, s *Shared, want Want) string {
	t.Helper()
	token, err := s.Fetch(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return token.Value.Reveal()
}

func (r sharedRecord) put(t *testing.T, memory *slowStorage, stored storedToken) {
	t.Helper()
	content, err := r.identity.seal(r.key(), stored)
	if err != nil {
		t.Fatal(err)
	}
	if err := memory.memoryStorage.Store(t.Context(), r.key(), content); err != nil {
		t.Fatal(err)
	}
}

func recordOf(t *testing.T, s *Shared) sharedRecord {
	t.Helper()
	identity, err := s.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sharedRecord{shared: s, identity: identity}
}

func TestATokenOfAnotherInstanceIsTakenWhereItServes(t *testing.T) {
	inHand := &Token{Value: NewSecret("in-hand"), Lifetime: time.Hour}
	for name, test := range map[string]struct {
		stored   string
		age      time.Duration
		lifetime time.Duration
		want     Want
		taken    bool
	}{
		"a new one":                                 {"stored", time.Minute, time.Hour, Want{Waiting: true}, true},
		"an old one, for who waits":                 {"stored", 50 * time.Minute, time.Hour, Want{Waiting: true}, true},
		"an old one, in the background":             {"stored", 31 * time.Minute, time.Hour, Want{InHand: inHand}, false},
		"one in the first half, in the background":  {"stored", 29 * time.Minute, time.Hour, Want{InHand: inHand}, true},
		"an old one, in place of a refused one":     {"stored", 31 * time.Minute, time.Hour, Want{InHand: inHand, Refused: true}, true},
		"the one in hand":                           {"in-hand", time.Minute, time.Hour, Want{InHand: inHand, Waiting: true}, false},
		"the refused one":                           {"in-hand", time.Minute, time.Hour, Want{InHand: inHand, Refused: true, Waiting: true}, false},
		"one that ends soon":                        {"stored", time.Hour - 9*time.Second, time.Hour, Want{Waiting: true}, false},
		"a short one that ends soon":                {"stored", 9100 * time.Millisecond, 10 * time.Second, Want{Waiting: true}, false},
		"a short one":                               {"stored", 8400 * time.Millisecond, 10 * time.Second, Want{Waiting: true}, true},
		"one that has ended":                        {"stored", 2 * time.Hour, time.Hour, Want{Waiting: true}, false},
		"one from the future, within the tolerance": {"stored", -9 * time.Second, time.Hour, Want{Waiting: true}, true},
		"one from the future, out of the tolerance": {"stored", -11 * time.Second, time.Hour, Want{Waiting: true}, false},
		"one that is empty":                         {"", time.Minute, time.Hour, Want{Waiting: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory, endpoint := newSlowStorage(), &fakeEndpoint{lifetime: time.Hour}
				memory.latency = [2]time.Duration{}
				s := newSharedOver(memory, endpoint, zap.NewNop())
				obtained := time.Now().Add(-test.age)
				recordOf(t, s).put(t, memory, storedToken{Token: test.stored, ObtainedAt: obtained, Lifetime: test.lifetime.Seconds(), RefreshIn: 60})
				token, err := s.Fetch(t.Context(), test.want)
				if err != nil {
					t.Fatal(err)
				}
				if got := token.Value.Reveal() == test.stored; got != test.taken || endpoint.requests() == 1 == test.taken {
					t.Fatalf("got %s with %d token requests", token.Value.Reveal(), endpoint.requests())
				}
				if !test.taken {
					return
				}
				if early := test.lifetime - min(10*time.Second, test.lifetime/10); token.Lifetime != early || !token.ObtainedAt.Equal(obtained) || token.RefreshIn != time.Minute {
					t.Errorf("it lives for %v from %v on, want %v from %v", token.Lifetime, token.ObtainedAt, early, obtained)
				}
			})
		})
	}
}

func TestWhatIsObtainedIsStoredForTheOthersAndTheClaimDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, endpoint := newSlowStorage(), &fakeEndpoint{latency: time.Second, lifetime: time.Hour}
		first, second := newSharedOver(memory, endpoint, zap.NewNop()), newSharedOver(memory, endpoint, zap.NewNop())
		asked := time.Now()
		if got := fetched(t, first, Want{Waiting: true}); got != "token-1" {
			t.Fatalf("got %s", got)
		}
		token, err := second.Fetch(t.Context(), Want{Waiting: true})
		if err != nil || token.Value.Reveal() != "token-1" {
			t.Fatalf("the other got %v, %v", token.Value.Reveal(), err)
		}
		if late := token.ObtainedAt.Sub(asked); late < 0 || late > 200*time.Millisecond {
			t.Errorf("its life begins %v after it was asked for", late)
		}
		if names := memory.names(); names != "token" {
			t.Errorf("the storage holds %s", names)
		}
		for key, content := range memory.keys {
			if strings.Contains(string(content), "token-1") || !strings.HasPrefix(key, "oauth2_llm/tokens/") {
				t.Errorf("the token is stored in the clear, or as %s", key)
			}
		}
		if err := second.Forget(t.Context()); err != nil || memory.names() != "" {
			t.Errorf("forgotten: %v, the storage holds %v", err, memory.names())
		}
		if got := fetched(t, second, Want{Waiting: true}); got != "token-2" {
			t.Errorf("got %s, the forgotten one", got)
		}
	})
}

func TestColdInstancesMakeOneTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, endpoint := newSlowStorage(), &fakeEndpoint{latency: 300 * time.Millisecond, lifetime: time.Hour}
		var wg sync.WaitGroup
		for range 20 {
			s := newSharedOver(memory, endpoint, zap.NewNop())
			wg.Go(func() {
				if got := fetched(t, s, Want{Waiting: true}); got != "token-1" {
					t.Errorf("got %s", got)
				}
			})
		}
		wg.Wait()
		wantRequests(t, endpoint, 1)
	})
}

// A token that was refused is in the storage until a newer one is there.
func TestARefusedTokenIsNeverTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, endpoint := newSlowStorage(), &fakeEndpoint{lifetime: time.Hour}
		s := newSharedOver(memory, endpoint, zap.NewNop())
		first := &Token{Value: NewSecret(fetched(t, s, Want{Waiting: true}))}
		kept := recordOf(t, s)
		content := memory.keys[kept.key()]
		second := fetched(t, s, Want{InHand: first, Refused: true, Waiting: true})
		// The storage is set back.
		memory.change("token", func([]byte) []byte { return content })
		third := fetched(t, s, Want{InHand: &Token{Value: NewSecret(second)}, Waiting: true})
		if second != "token-2" || third != "token-3" {
			t.Errorf("got %s, then %s", second, third)
		}
		for i := range 3 * refusedMemory {
			s.noteRefused(NewSecret(strings.Repeat("x", i+1)))
		}
		if len(s.refused) != refusedMemory || !s.wasRefused(NewSecret(strings.Repeat("x", 3*refusedMemory))) {
			t.Errorf("%d refused tokens are remembered", len(s.refused))
		}
	})
}

func TestAClaimantThatIsKilledIsWaitedForThreeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, endpoint := newSlowStorage(), &fakeEndpoint{latency: 200 * time.Millisecond, lifetime: time.Minute}
		s := newSharedOver(memory, endpoint, zap.NewNop())
		killed := recordOf(t, newSharedOver(memory, endpoint, zap.NewNop()))
		if _, err := killed.shared.Storage.claims(killed.folder()).stand(t.Context(), sharedTerms, nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		fetched(t, s, Want{Waiting: true})
		if took := time.Since(start); took < 3200*time.Millisecond || took > 3300*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if names := memory.names(); names != "token" {
			t.Errorf("the storage holds %s", names)
		}
	})
}

func TestARecordThatCannotBeReadCostsOneTokenRequest(t *testing.T) {
	for name, content := range map[string]string{
		"torn": `{"v":1,"seal`, "of a newer version": `{"v":2,"sealed":"AAAA"}`, "of another key": `{"v":1,"sealed":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.WarnLevel)
				memory, endpoint := newSlowStorage(), &fakeEndpoint{lifetime: time.Hour}
				s := newSharedOver(memory, endpoint, zap.New(core))
				key := recordOf(t, s).key()
				memory.memoryStorage = memoryStorage{keys: map[string][]byte{key: []byte(content)}}
				fetched(t, s, Want{Waiting: true})
				if got := fetched(t, s, Want{Waiting: true}); got != "token-1" {
					t.Errorf("got %s: the record was not overwritten", got)
				}
				if logs.Len() == 0 || logs.All()[0].ContextMap()["key"] != key {
					t.Errorf("no warning names the key: %v", logs.All())
				}
			})
		})
	}
}

func TestAFailureOfTheEndpointEndsTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, endpoint := newSlowStorage(), &fakeEndpoint{lifetime: time.Hour, fail: outage}
		s := newSharedOver(memory, endpoint, zap.NewNop())
		_, err := s.Fetch(t.Context(), Want{Waiting: true})
		if failed, ok := errors.AsType[*AuthenticationError](err); !ok || failed.Code != CodeUnavailable || memory.names() != "" {
			t.Errorf("got %v, the storage holds %v", err, memory.names())
		}
	})
}

func TestWithoutAnIdentityOrAStorageTheFetcherDecides(t *testing.T) {
	broken := errors.New("the file cannot be read")
	s := newSharedOver(newSlowStorage(), &fakeEndpoint{fail: func(int) error { return broken }}, zap.NewNop())
	s.Identity = func(context.Context) (Identity, error) { return Identity{}, errors.New("the identity cannot be read") }
	if _, err := s.Fetch(t.Context(), Want{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := s.Forget(t.Context()); err == nil {
		t.Error("a token without an identity was forgotten")
	}
	if got := fetched(t, newSharedOver(nil, &fakeEndpoint{lifetime: time.Hour}, zap.NewNop()), Want{}); got != "token-1" {
		t.Errorf("got %s", got)
	}
}

func TestATokenFromTheFutureIsALineAboutClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		memory, endpoint := newSlowStorage(), &fakeEndpoint{lifetime: time.Hour}
		ahead, behind := newSharedOver(memory, endpoint, zap.NewNop()), newSharedOver(memory, endpoint, zap.New(core))
		ahead.now = func() time.Time { return time.Now().Add(time.Minute) }
		fetched(t, ahead, Want{Waiting: true})
		if got := fetched(t, behind, Want{Waiting: true}); got != "token-2" {
			t.Errorf("got %s", got)
		}
		if logs.Len() == 0 || !strings.HasPrefix(logs.All()[0].Message, "the clocks of instances differ") {
			t.Errorf("the log says %v", logs.All())
		}
	})
}
