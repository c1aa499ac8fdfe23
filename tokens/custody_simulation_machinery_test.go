package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An unguardedFetcher redeems the newest refresh token of the storage without a claim:
// what a simulation must catch.
type unguardedFetcher struct{ *simulatedInstance }

func (f unguardedFetcher) Fetch(ctx context.Context, _ Want) (Token, error) {
	const folder = "refresh_tokens/unguarded"
	storage, newest := storageView(f), f.s.server.configured
	keys, err := storage.List(ctx, folder, true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Token{}, err
	}
	if len(keys) > 0 {
		value, err := storage.Load(ctx, slices.Max(keys))
		if err != nil {
			return Token{}, err
		}
		newest = string(value)
	}
	form := url.Values{"grant_type": {GrantRefreshToken}, "refresh_token": {newest}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://as.example/token", strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, err
	}
	response, err := f.RoundTrip(request)
	if err != nil {
		return Token{}, err
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken  string  `json:"access_token"`
		RefreshToken string  `json:"refresh_token"`
		ExpiresIn    float64 `json:"expires_in"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
		return Token{}, &AuthenticationError{Code: CodeInvalidGrant, Err: err}
	}
	key := folder + "/gen-" + strings.Repeat("x", len(keys)) + answer.RefreshToken
	return Token{Value: NewSecret(answer.AccessToken), Lifetime: seconds(answer.ExpiresIn)}, storage.Store(ctx, key, []byte(answer.RefreshToken))
}

func TestASimulationFindsWhatAFetcherWithoutAClaimDoes(t *testing.T) {
	unguarded := func(i *simulatedInstance) Fetcher { return unguardedFetcher{i} }
	for _, test := range []struct {
		world  custodyWorld
		breach string
	}{
		{custodyWorld{name: "one instance needs no claim", instances: 1, well: true, storage: nearStorage}, ""},
		{custodyWorld{name: "many send one token", instances: 10, well: true, storage: nearStorage}, "was spent and is sent again"},
		{custodyWorld{
			name: "a write that fails loses the token", instances: 1, storage: nearStorage.with(func(f *storageFaults) { f.lateWrites = 1 }),
		}, "was spent and is sent again"},
		{custodyWorld{
			name: "a storage that is down fails requests", instances: 1, well: true, storage: nearStorage,
			outages: outages{kind: everythingFails, lengths: []time.Duration{5 * time.Minute}, atSteps: 1},
		}, "a request fails although all is well"},
	} {
		t.Run(test.world.name, func(t *testing.T) {
			test.world.fetcher = unguarded
			var s *simulation
			synctest.Test(t, func(*testing.T) { s = test.world.simulate(1) })
			found := strings.Join(s.breaches, "; ")
			if (found == "") != (test.breach == "") || !strings.Contains(found, test.breach) {
				t.Errorf("found %q, want %q\n%s", found, test.breach, s.story())
			}
			if s.server.redemptions == 0 {
				t.Error("nothing was redeemed")
			}
		})
	}
}

// still is a simulation in which nothing happens by itself, with two instances.
func still(w custodyWorld) (s *simulation, first, second *simulatedInstance) {
	s = &simulation{world: w, seed: 1, started: time.Now()}
	s.random = s.generator()
	s.storage, s.server = newSimulatedStorage(s), newCustodyServer(s)
	return s, s.newInstance(0, 0), s.newInstance(1, 0)
}

func TestTheSimulatedServerRotatesAndDetectsReuse(t *testing.T) {
	redeem := func(i *simulatedInstance, token string) (status int, r *rotation) {
		i.s.do(func() { status, _, r = i.s.server.redeem(i, GrantRefreshToken, token, 0) })
		return status, r
	}
	for _, test := range []struct {
		name   string
		server serverFaults
		// before happens between two uses of the first token.
		before func(r *rotation)
		second int
		// third is the use of what replaced the first token.
		third   int
		breach  bool
		revoked bool
	}{
		{"a spent token ends the grant of a strict server", serverFaults{}, func(*rotation) {}, 400, 400, true, true},
		{"a spent token is taken again in the grace", withGrace, func(*rotation) { time.Sleep(time.Minute) }, 200, 200, true, false},
		{"a spent token ends the grant after the grace", withGrace, func(*rotation) { time.Sleep(61 * time.Second) }, 400, 400, true, true},
		{"a lost answer excuses", serverFaults{}, func(r *rotation) { r.lost = true }, 400, 400, false, true},
		{"a death before the save excuses", serverFaults{}, func(r *rotation) { r.by.alive = false }, 400, 400, false, true},
		{"a death after the save does not", serverFaults{}, func(r *rotation) { r.saved, r.by.alive = true, false }, 400, 400, true, true},
		{"a cut off instance excuses", serverFaults{}, func(r *rotation) { r.cutOff = true }, 400, 400, false, true},
		{"a short freeze does not", serverFaults{}, func(r *rotation) { r.frozen = 10 * time.Second }, 400, 400, true, true},
		{"a long freeze excuses", serverFaults{}, func(r *rotation) { r.frozen = 15 * time.Second }, 400, 400, false, true},
		{"a token that is kept is never spent", serverFaults{keepsToken: true}, func(*rotation) {}, 200, 400, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, first, second := still(custodyWorld{server: test.server})
				status, r := redeem(first, "r0")
				if status != 200 {
					t.Fatalf("the first use got %d", status)
				}
				test.before(r)
				if status, _ := redeem(second, "r0"); status != test.second {
					t.Errorf("the second use got %d, want %d", status, test.second)
				}
				if (len(s.breaches) > 0) != test.breach || s.server.revoked[1] != test.revoked {
					t.Errorf("revoked: %t, breaches: %q", s.server.revoked[1], s.breaches)
				}
				if status, _ := redeem(second, "r1"); status != test.third {
					t.Errorf("its successor got %d, want %d", status, test.third)
				}
			})
		})
	}
}

func TestTheOperatorConfiguresAnotherTokenForALostGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, first, _ := still(custodyWorld{})
		s.do(func() {
			_, _, r := s.server.redeem(first, GrantRefreshToken, "r0", 0)
			r.lose()
			s.server.redeem(first, GrantRefreshToken, "r0", 0)
		})
		time.Sleep(30 * time.Second)
		s.do(func() {
			if s.server.configured != "r2" || s.server.revoked[2] {
				t.Errorf("configured is %s", s.server.configured)
			}
			if status, _, _ := s.server.redeem(first, GrantRefreshToken, "r2", 0); status != 200 {
				t.Errorf("got %d", status)
			}
		})
	})
}
