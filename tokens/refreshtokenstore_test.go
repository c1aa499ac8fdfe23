package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A fakeStore keeps one refresh token, as another process may see it.
type fakeStore struct {
	configured, token                   string
	lockErr, loadErr, saveErr           error
	locked                              bool
	locks, unlocks, loads, saves, wrong int
}

func (s *fakeStore) Lock(context.Context) (func(), error) {
	if s.lockErr != nil {
		return nil, s.lockErr
	}
	s.locked = true
	s.locks++
	return func() { s.locked = false; s.unlocks++ }, nil
}

func (s *fakeStore) Load(_ context.Context, configured Secret) (Secret, error) {
	s.loads++
	if !s.locked {
		s.wrong++
	}
	if s.loadErr != nil || configured.Reveal() != s.configured {
		return Secret{}, s.loadErr
	}
	return NewSecret(s.token), nil
}

func (s *fakeStore) Save(_ context.Context, configured, rotated Secret) error {
	s.saves++
	if !s.locked {
		s.wrong++
	}
	if s.saveErr == nil {
		s.configured, s.token = configured.Reveal(), rotated.Reveal()
	}
	return s.saveErr
}

// rotatingClient uses refresh tokens at a server that gives a new one each time:
// r1 becomes r11, and so on. It notes which ones were sent.
func rotatingClient(store RefreshTokenStore, sent *[]string) *Client {
	c := testClient(&exchange{answer: func(_ *http.Request, body string) (int, string) {
		form, _ := url.ParseQuery(body)
		token := form.Get("refresh_token")
		*sent = append(*sent, token)
		return http.StatusOK, fmt.Sprintf(`{"access_token":"t","expires_in":60,"refresh_token":"%s1"}`, token)
	}})
	c.RefreshToken, c.RefreshTokenStore = Literal("r1"), store
	return c
}

func fetchTimes(t *testing.T, c *Client, times int) {
	t.Helper()
	for range times {
		if _, err := c.Fetch(t.Context(), Want{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARotatedRefreshTokenOutlivesTheProcess(t *testing.T) {
	var sent []string
	store := &fakeStore{}
	fetchTimes(t, rotatingClient(store, &sent), 2)
	// The client of another process, after a restart.
	fetchTimes(t, rotatingClient(store, &sent), 1)
	if want := []string{"r1", "r11", "r111"}; !slices.Equal(sent, want) || store.token != "r1111" {
		t.Errorf("%v were sent and %s is stored, want %v", sent, store.token, want)
	}
	if store.wrong != 0 || store.locked || store.locks != 3 || store.unlocks != 3 {
		t.Errorf("%d uses without the lock, %d locks, %d unlocks", store.wrong, store.locks, store.unlocks)
	}
}

func TestWhatAnotherProcessHasRotatedIsUsed(t *testing.T) {
	var sent []string
	store := &fakeStore{}
	c := rotatingClient(store, &sent)
	fetchTimes(t, c, 1)
	store.token = "of-the-other-process"
	fetchTimes(t, c, 1)
	c.RefreshToken = Literal("r2")
	fetchTimes(t, c, 1)
	if want := []string{"r1", "of-the-other-process", "r2"}; !slices.Equal(sent, want) {
		t.Errorf("%v were sent, want %v", sent, want)
	}
}

func TestARefreshTokenThatWasRefusedIsUsedAgainWhenAnotherIsStored(t *testing.T) {
	refused := true
	var grants []string
	c := testClient(&exchange{answer: func(_ *http.Request, body string) (int, string) {
		form, _ := url.ParseQuery(body)
		grants = append(grants, form.Get("grant_type"))
		if refused && form.Get("grant_type") == GrantRefreshToken {
			return http.StatusBadRequest, `{"error":"invalid_grant"}`
		}
		return http.StatusOK, goodAnswer
	}})
	store := &fakeStore{}
	c.RefreshToken, c.RefreshTokenStore = Literal("r1"), store
	fetchTimes(t, c, 2)
	refused = false
	store.configured, store.token = "r1", "new"
	fetchTimes(t, c, 1)
	if want := []string{GrantRefreshToken, GrantClientCredentials, GrantClientCredentials, GrantRefreshToken}; !slices.Equal(grants, want) {
		t.Errorf("the grants were %v, want %v", grants, want)
	}
}

// A storage that fails costs no token, and says so.
func TestAStoreThatFailsIsLoggedAndCostsNothing(t *testing.T) {
	failure := errors.New("the disk is full")
	for name, test := range map[string]struct {
		store *fakeStore
		saves int
	}{
		"when it is locked":  {&fakeStore{lockErr: failure}, 0},
		"when it is read":    {&fakeStore{loadErr: failure}, 3},
		"when it is written": {&fakeStore{saveErr: failure}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			var sent []string
			c := rotatingClient(test.store, &sent)
			c.Logger = zap.New(core)
			fetchTimes(t, c, 3)
			if want := []string{"r1", "r11", "r111"}; !slices.Equal(sent, want) {
				t.Errorf("%v were sent, want %v", sent, want)
			}
			if logs.FilterMessageSnippet("the storage for rotated refresh tokens fails").Len() == 0 || test.store.saves != test.saves {
				t.Errorf("%v logged, %d saves, want %d", logs.All(), test.store.saves, test.saves)
			}
			for _, line := range logs.All() {
				if strings.Contains(fmt.Sprint(line.ContextMap()), "r111") {
					t.Error("a refresh token is logged")
				}
			}
			// What could not be saved is saved when it can be, and is not forgotten for an older one.
			test.store.lockErr, test.store.loadErr, test.store.saveErr = nil, nil, nil
			fetchTimes(t, c, 1)
			if sent[3] != "r1111" || test.store.token != "r11111" {
				t.Errorf("%s was sent and %s is stored", sent[3], test.store.token)
			}
		})
	}
}

func TestACallerDoesNotWaitForEverForTheStore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var sent []string
	store := &fakeStore{}
	if _, err := rotatingClient(store, &sent).Fetch(ctx, Want{}); !errors.Is(err, context.Canceled) || store.locked || len(sent) != 0 {
		t.Errorf("got %v, locked: %t", err, store.locked)
	}
}
