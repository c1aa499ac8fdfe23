package tokens

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Servers say in many words that a refresh token is of no use.
func TestAnyFinalRefusalOfARefreshTokenFallsBack(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		falls  bool
		// again says that the refresh token is tried again after a while.
		again bool
	}{
		{400, "invalid_grant", true, false},
		{200, "invalid_grant", true, false},
		{400, "bad_refresh_token", true, true},
		{401, "invalid_refresh_token", true, true},
		{200, "expired_token", true, true},
		{403, "access_denied", true, true},
		{400, "unauthorized_client", true, true},
		{400, "invalid_scope", true, true},
		{401, "invalid_client", false, true},
		{401, "unauthorized_client", false, true},
		{400, "temporarily_unavailable", false, true},
	} {
		t.Run(fmt.Sprint(test.status, " ", test.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refuses := true
				server := &rotatingServer{current: "r"}
				server.answers = func(form url.Values) (int, string) {
					if refuses && form.Get("grant_type") == GrantRefreshToken {
						return test.status, fmt.Sprintf(`{"error":%q}`, test.code)
					}
					return 0, ""
				}
				c, _ := instance(&memoryStorage{}, server)
				falls := fetchFor(t, c, waiting) == "of-the-client"
				if falls != test.falls {
					t.Errorf("it falls back: %v", falls)
				}
				if _ = fetchFor(t, c, waiting); test.falls && strings.Count(server.used(), "client_credentials") != 2 {
					t.Errorf("sent %s", server.used())
				}
				if n := strings.Count(server.used(), "r,"); test.falls && n != 1 {
					t.Errorf("the refused token was sent %d times", n)
				}
				refuses = false
				time.Sleep(refusalBackoff + time.Second)
				if got := fetchFor(t, c, waiting); (got == "a2") != test.again {
					t.Errorf("after a while: %s; sent %s", got, server.used())
				}
			})
		})
	}
}

func TestAnEndedRefreshTokenIsAskedForByNoInstance(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "another"}
	c, logs := instance(storage, server)
	c.GrantType = GrantRefreshToken
	if got := fetchFor(t, c, waiting); got != CodeInvalidGrant {
		t.Fatalf("got %s", got)
	}
	if logs.FilterMessageSnippet("the refresh token was refused").Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
	other, _ := instance(storage, server)
	other.GrantType = GrantRefreshToken
	if got := fetchFor(t, other, waiting); got != CodeInvalidGrant || server.used() != "r" {
		t.Errorf("got %s; sent %s", got, server.used())
	}
	if status, _ := other.RefreshTokenStatus(t.Context()); status.State != RefreshTokenEnded {
		t.Errorf("the state is %s", status.State)
	}
	if got := storage.names(); got != "ended-00000000" {
		t.Errorf("the storage has %s", got)
	}
	// A new one begins anew at once.
	other.RefreshToken = Literal("another")
	if got := fetchFor(t, other, waiting); got != "a8" {
		t.Errorf("got %s", got)
	}
}

// One instance may be refused because another was faster with a storage that shows it
// late.
func TestARefusedRefreshTokenThatWasReplacedMeanwhileDoesNotEnd(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
	slow, _ := instance(storage, server)
	hidden := true
	server.answers = func(form url.Values) (int, string) {
		if !hidden || form.Get("refresh_token") != "r" {
			return 0, ""
		}
		// While the server answers, the replaced one is there.
		hidden = false
		custody, _, _ := slow.custody(t.Context())
		record := custodyRecord{Version: custodyVersion, Generation: 5, RefreshToken: "r+"}
		key := custody.claims.folder + "/" + generationName(5)
		content, _ := custody.identity.seal(key, record)
		_ = storage.Store(t.Context(), key, content)
		server.current = "r+"
		return http.StatusBadRequest, `{"error":"invalid_grant"}`
	}
	if got := fetchFor(t, slow, waiting); got != "a3" || server.used() != "r, r+" {
		t.Errorf("got %s; sent %s", got, server.used())
	}
	if got := storage.names(); got != "gen-00000006" {
		t.Errorf("the storage has %s", got)
	}
}

func TestARefreshTokenThatMayHaveBeenUsedUpIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		c, _ := instance(storage, server)
		lost := true
		transport := c.Transport
		c.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if lost {
				_, _ = io.ReadAll(r.Body)
				time.Sleep(2 * time.Second)
				return nil, io.ErrUnexpectedEOF
			}
			return transport.RoundTrip(r)
		})
		if got := fetchFor(t, c, waiting); got != CodeUnavailable {
			t.Fatalf("got %s", got)
		}
		lost = false
		if status, _ := c.RefreshTokenStatus(t.Context()); status.State != RefreshTokenUncertain || storage.names() != "a claim" {
			t.Errorf("the state is %s, the storage has %s", status.State, storage.names())
		}
		asked := time.Now()
		for fetchFor(t, c, waiting) != "a2" {
			time.Sleep(time.Second)
		}
		if waited := time.Since(asked); waited < 20*time.Second || waited > 22*time.Second {
			t.Errorf("it was used again after %v", waited)
		}
		if got := storage.names(); got != "gen-00000001" {
			t.Errorf("the storage has %s", got)
		}
	})
}

// A reset at once may come from a server that is being replaced: asking again fits
// into the time that the claim promises.
func TestAResetAtOnceIsAskedAgainUnderTheSameClaim(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
	c, _ := instance(storage, server)
	requests := 0
	transport := c.Transport
	c.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if requests++; requests == 1 {
			_, _ = io.ReadAll(r.Body)
			return nil, io.ErrUnexpectedEOF
		}
		return transport.RoundTrip(r)
	})
	if got := fetchFor(t, c, waiting); got != "a2" || requests != 2 {
		t.Errorf("got %s after %d requests", got, requests)
	}
}

// A machine that sleeps between its look at the storage and its request must not send
// what others have gone on with.
func TestARequestThatIsLateDoesNotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		c, _ := instance(storage, server)
		transport, frozen := c.Transport, true
		c.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if frozen {
				frozen = false
				time.Sleep(claimWindow + time.Millisecond)
				if body, err := io.ReadAll(r.Body); err == nil || len(body) > 0 {
					t.Errorf("a late request sends %q", body)
				}
				return nil, errLate
			}
			return transport.RoundTrip(r)
		})
		// All steps are taken again.
		if got := fetchFor(t, c, waiting); got != "a2" || server.used() != "r" || frozen {
			t.Errorf("got %s; sent %s", got, server.used())
		}
		if storage.names() != "gen-00000001" {
			t.Errorf("the storage has %s", storage.names())
		}
	})
}
