package tokens

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A rotatingServer replaces a refresh token at each use, and notes each that is sent
// again.
type rotatingServer struct {
	mu      sync.Mutex
	current string
	sent    []string
	spent   int
	// answers, if set, answers in place of the server; 0 lets it answer.
	answers func(form url.Values) (int, string)
}

func (s *rotatingServer) RoundTrip(r *http.Request) (*http.Response, error) {
	e := &exchange{answer: func(_ *http.Request, body string) (int, string) {
		form, _ := url.ParseQuery(body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent = append(s.sent, strings.TrimSpace(form.Get("grant_type")+" "+form.Get("refresh_token")))
		if s.answers != nil {
			if status, text := s.answers(form); status != 0 {
				return status, text
			}
		}
		if form.Get("grant_type") != GrantRefreshToken {
			return http.StatusOK, `{"access_token":"of-the-client","expires_in":3600}`
		}
		if form.Get("refresh_token") != s.current {
			s.spent++
			return http.StatusBadRequest, `{"error":"invalid_grant"}`
		}
		s.current += "+"
		return http.StatusOK, fmt.Sprintf(`{"access_token":"a%d","expires_in":3600,"refresh_token":%q}`, len(s.current), s.current)
	}}
	return e.RoundTrip(r)
}

// used are the refresh tokens that were sent.
func (s *rotatingServer) used() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(strings.Join(s.sent, ", "), "refresh_token ", "")
}

// instance is a process of its own: its client, and what it logs.
func instance(storage Storage, server *rotatingServer) (*Client, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	c := testClient(nil)
	c.Transport, c.RefreshToken = server, Literal("r")
	c.Storage, c.Logger = &SharedStorage{}, zap.New(core)
	c.Identity = func(context.Context) (Identity, error) { return NewIdentity("access_tokens", NewSecret("s"), "corp") }
	c.Storage.Bind(storage, c.Logger)
	return c, logs
}

// fetch returns the access token, or the code of the failure.
func fetchFor(t *testing.T, c *Client, want Want) string {
	t.Helper()
	token, err := c.Fetch(t.Context(), want)
	failed, ok := errors.AsType[*AuthenticationError](err)
	switch {
	case ok:
		return failed.Code
	case err != nil:
		t.Fatal(err)
	}
	return token.Value.Reveal()
}

var waiting = Want{Waiting: true}

func TestWhatTheStorageDoesDecidesWhetherARefreshTokenIsRedeemed(t *testing.T) {
	down := func(operations string) func(*memoryStorage) {
		return func(m *memoryStorage) {
			m.breaks(func(operation, _ string) error {
				if strings.Contains(operations, operation) {
					return errDown
				}
				return nil
			})
		}
	}
	readOnly := func(m *memoryStorage) {
		m.breaks(func(operation, _ string) error {
			if operation == "store" {
				return &fs.PathError{Op: "open", Path: "/data", Err: fs.ErrPermission}
			}
			return nil
		})
	}
	for _, test := range []struct {
		name string
		// before is how many redemptions another instance has made.
		before  int
		breaks  func(*memoryStorage)
		want    string
		used    string
		message string
	}{
		{"it works", 1, func(*memoryStorage) {}, "a3", "r, r+", ""},
		{"it is down", 1, down("list load store delete"), CodeStorageUnavailable, "r", ""},
		{"it cannot be listed", 1, down("list"), CodeStorageUnavailable, "r", ""},
		{"it cannot be loaded from", 1, down("load"), CodeStorageUnavailable, "r", ""},
		{"it is full", 1, down("store"), CodeStorageUnavailable, "r", ""},
		{"it is full, and has nothing of the token", 0, down("store"), CodeStorageUnavailable, "", ""},
		{"the record is torn", 1, func(m *memoryStorage) {
			m.change(generationPrefix, func(content []byte) []byte { return content[:len(content)/2] })
		}, CodeStorageUnavailable, "r", ""},
		{"the record is of a newer version", 1, func(m *memoryStorage) {
			m.change(generationPrefix, func([]byte) []byte { return []byte(`{"v":2,"sealed":"AAAA"}`) })
		}, CodeStorageUnavailable, "r", ""},
		{"the file system is read-only, and has nothing of the token", 0, readOnly, "a2", "r", "kept in memory only"},
		{"the file system is read-only, and has a record", 1, readOnly, CodeStorageUnavailable, "r", ""},
		{"each error looks like an absence", 1, func(m *memoryStorage) {
			m.breaks(func(operation, _ string) error {
				if operation == "load" {
					return fs.ErrNotExist
				}
				return nil
			})
		}, CodeStorageUnavailable, "r", ""},
		{"a list is empty whatever is there", 1, func(m *memoryStorage) {
			m.breaks(func(operation, _ string) error {
				if operation == "list" {
					return errLooksEmpty
				}
				return nil
			})
		}, CodeStorageUnavailable, "r", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
				other, _ := instance(storage, server)
				inHand := Want{Waiting: true}
				for range test.before {
					token, err := other.Fetch(t.Context(), inHand)
					if err != nil {
						t.Fatal(err)
					}
					inHand.InHand = &token
				}
				test.breaks(storage)
				c, logs := instance(storage, server)
				if got := fetchFor(t, c, inHand); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				if got := server.used(); got != test.used || server.spent != 0 {
					t.Errorf("sent %q, want %q; %d were spent", got, test.used, server.spent)
				}
				if test.message != "" && logs.FilterMessageSnippet(test.message).Len() != 1 {
					t.Errorf("logged %v", logs.All())
				}
			})
		})
	}
}

func TestAnUnreadableRecordNamesTheFolderToDelete(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
	c, _ := instance(storage, server)
	fetchFor(t, c, waiting)
	storage.change(generationPrefix, func([]byte) []byte { return []byte("torn") })
	c, _ = instance(storage, server)
	_, err := c.Fetch(t.Context(), waiting)
	identity, _ := NewIdentity("refresh_token", NewSecret("r"), "")
	folder := "oauth2_llm/refresh_tokens/" + identity.ID()
	if err == nil || !strings.Contains(err.Error(), "delete the folder "+folder) {
		t.Errorf("got %v", err)
	}
}

func TestOneRedemptionServesAllInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		first, _ := instance(storage, server)
		fetchFor(t, first, waiting)
		second, _ := instance(storage, server)
		token, err := second.Fetch(t.Context(), waiting)
		if err != nil || token.Value.Reveal() != "a2" || server.used() != "r" {
			t.Fatalf("got %v, %v; sent %s", token, err, server.used())
		}
		if token.Lifetime != time.Hour-storedTokenMargin || token.ObtainedAt.IsZero() {
			t.Errorf("it lives for %v from %v", token.Lifetime, token.ObtainedAt)
		}
		// In the second half of its life it is not worth taking while nobody waits.
		time.Sleep(40 * time.Minute)
		if got := fetchFor(t, second, Want{InHand: &token}); got != "a3" {
			t.Errorf("got %s", got)
		}
		if got := storage.names(); got != "gen-00000002" {
			t.Errorf("the storage has %s", got)
		}
	})
}

func TestNothingInTheStorageShowsARefreshToken(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "r-is-long-enough-to-be-found"}
	c, _ := instance(storage, server)
	c.RefreshToken = Literal(server.current)
	fetchFor(t, c, waiting)
	for key, content := range storage.keys {
		if strings.Contains(key+string(content), "long-enough") {
			t.Errorf("%s holds %s", key, content)
		}
	}
}

// The same content is the same refresh token, wherever it stands.
func TestARefreshTokenThatIsPutBackGoesOnWhereItWas(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
	c, _ := instance(storage, server)
	c.Scope = nil
	token, err := c.Fetch(t.Context(), waiting)
	if err != nil {
		t.Fatal(err)
	}
	server.current = "other"
	c.RefreshToken = Literal("other")
	fetchFor(t, c, waiting)
	server.current = "r+"
	c.RefreshToken = Literal("r")
	if got := fetchFor(t, c, Want{InHand: &token, Refused: true, Waiting: true}); got != "a3" {
		t.Errorf("got %s", got)
	}
	if got := server.used(); got != "r, other, r+" || server.spent != 0 {
		t.Errorf("sent %s", got)
	}
}

func TestTheStorageThatHasLostARecordGetsItAgain(t *testing.T) {
	for name, loses := range map[string]func([]byte) []byte{
		"it is emptied": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
			c, logs := instance(storage, server)
			token, _ := c.Fetch(t.Context(), waiting)
			storage.change(generationPrefix, loses)
			if got := fetchFor(t, c, Want{InHand: &token, Waiting: true}); got != "a3" || server.used() != "r, r+" {
				t.Errorf("got %s; sent %s", got, server.used())
			}
			if logs.FilterMessageSnippet("saved again").Len() != 1 {
				t.Errorf("logged %v", logs.All())
			}
			// One that has started after it knows the configured one only.
			storage.change(generationPrefix, loses)
			fresh, _ := instance(storage, server)
			fresh.GrantType = GrantRefreshToken
			if got := fetchFor(t, fresh, waiting); got != CodeInvalidGrant {
				t.Errorf("got %s", got)
			}
		})
	}
	t.Run("it is set back", func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		c, _ := instance(storage, server)
		token, _ := c.Fetch(t.Context(), waiting)
		before := maps.Clone(storage.keys)
		token, _ = c.Fetch(t.Context(), Want{InHand: &token, Waiting: true})
		storage.keys = before
		if got := fetchFor(t, c, Want{InHand: &token, Waiting: true}); got != "a4" || server.spent != 0 || server.used() != "r, r+, r++" {
			t.Errorf("got %s; sent %s", got, server.used())
		}
	})
}

func TestWhoOnlyRefreshesAheadDoesNotPassASilentClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		c, _ := instance(storage, server)
		custody, _, _ := c.custody(t.Context())
		silent := sharing(storage).claims(custody.claims.folder)
		if _, _, err := silent.acquire(t.Context(), view{}, claimTerms{storageTimeout, 15 * time.Second, claimHold}); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			_, err := c.Fetch(t.Context(), Want{})
			failed, ok := errors.AsType[*AuthenticationError](err)
			if !ok || !failed.busy || !failed.Temporary() {
				t.Fatalf("got %v", err)
			}
		}
		started := time.Now()
		if got := fetchFor(t, c, waiting); got != "a2" {
			t.Errorf("got %s", got)
		}
		if took := time.Since(started); took < claimHold || took > 10*time.Second {
			t.Errorf("it took %v, want the time for the other one to save", took)
		}
		if got := storage.names(); got != "gen-00000002" {
			t.Errorf("the storage has %s, want a number that the silent one does not have in mind", got)
		}
	})
}

func TestAnotherInstanceThatIsAskingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		var asked atomic.Int64
		server.answers = func(url.Values) (int, string) {
			asked.Add(1)
			return 0, ""
		}
		slow := func(c *Client) *Client {
			transport := c.Transport
			c.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				response, err := transport.RoundTrip(r)
				time.Sleep(5 * time.Second)
				return response, err
			})
			return c
		}
		var all sync.WaitGroup
		for range 5 {
			c, _ := instance(storage, server)
			slow(c)
			all.Go(func() {
				if got := fetchFor(t, c, waiting); got != "a2" {
					t.Errorf("got %s", got)
				}
			})
		}
		all.Wait()
		if asked.Load() != 1 {
			t.Errorf("%d instances have asked", asked.Load())
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Some storages list a key before they write it, and an instance may end in between.
func TestARecordThatIsListedAndNotFoundIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		c, _ := instance(storage, server)
		token, _ := c.Fetch(t.Context(), waiting)
		lost := "gen-00000002"
		storage.mu.Lock()
		for key := range storage.keys {
			storage.keys[strings.Replace(key, "gen-00000001", lost, 1)] = []byte("not written")
		}
		storage.mu.Unlock()
		storage.breaks(func(operation, key string) error {
			if operation == "load" && strings.HasSuffix(key, lost) {
				return fs.ErrNotExist
			}
			return nil
		})
		started := time.Now()
		inHand := Want{InHand: &token, Waiting: true}
		for fetchFor(t, c, inHand) != "a3" {
			if time.Since(started) > time.Minute {
				t.Fatal("it is never given up")
			}
			time.Sleep(time.Second)
		}
		if waited := time.Since(started); waited < 15*time.Second || waited > 20*time.Second {
			t.Errorf("it was given up after %v", waited)
		}
		if got := storage.names(); got != "gen-00000003" || server.used() != "r, r+" {
			t.Errorf("the storage has %s; sent %s", got, server.used())
		}
	})
}
