package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a client sees of the ways in which tokens are obtained; package tokens
// has the rest.

func TestEachRefusalHasItsCode(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	config := decorateWith(auth, llm, "client_a", "s")
	g := startGateway(t, config)
	for field, code := range map[string]string{
		"scope no.such.scope":   "invalid_scope",
		"grant_type urn:x:none": "unsupported_grant_type",
	} {
		if err := g.load(strings.Replace(config, "client_secret s", "client_secret s\n"+field, 1)); err != nil {
			t.Fatal(err)
		}
		a := g.post("/v1/x", "{}", withKey...)
		a.wantError(t, http.StatusBadGateway, "oauth2_authentication_error", code)
		if a.header.Get("X-Should-Retry") != "false" || a.header.Get("Retry-After") != "" {
			t.Errorf("%s: got %v", code, a.header)
		}
	}
}

func TestTokenWaitEndsAWaitAndNotTheTokenRequest(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	release := make(chan struct{})
	auth.setGate(release)
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s", "token_wait 50ms"))
	a := g.post("/v1/x", "{}", withKey...)
	a.wantError(t, http.StatusGatewayTimeout, "oauth2_authentication_error", "token_endpoint_timeout")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	auth.setGate(nil)
	close(release)
	waitFor(t, 10*time.Second, func() bool { return g.post("/v1/x", "{}", withKey...).status == http.StatusOK })
	if n := auth.tokenRequests.Load(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// Callers do not wait for a Retry-After that is longer than a retry.
func TestALongRetryAfterIsPassedOnAtOnce(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	start := time.Now()
	for range 10 {
		a := g.post("/v1/x", "{}", withKey...)
		a.wantError(t, http.StatusServiceUnavailable, "oauth2_authentication_error", "token_endpoint_unavailable")
		if a.header.Get("Retry-After") != "30" {
			t.Errorf("Retry-After is %q, want the most that clients are told", a.header.Get("Retry-After"))
		}
	}
	if n := auth.tokenRequests.Load(); n != 1 || time.Since(start) > 10*time.Second {
		t.Errorf("%d token requests, %v", n, time.Since(start))
	}
}

// A token that no header may carry never gets near the upstream.
func TestATokenWithALineEndIsRefusedAtAcquisition(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"a\r\nX-Injected: 1","expires_in":60}`)
	})
	g.post("/v1/x", "{}", withKey...).wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_token_response")
	if llm.requests.Load() != 0 {
		t.Error("the upstream was asked")
	}
}

// A refresh token is used first; a rotated one takes its place; when it is
// refused there are the client credentials.
func TestARefreshTokenIsUsedRotatedAndReplaced(t *testing.T) {
	var mu sync.Mutex
	valid := "refresh-1"
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.PostForm.Get("grant_type")+" "+r.PostForm.Get("refresh_token"))
		switch {
		case r.PostForm.Get("grant_type") == "client_credentials":
			_, _ = io.WriteString(w, `{"access_token":"of-credentials","expires_in":3600}`)
		case r.PostForm.Get("refresh_token") == valid:
			valid += "1"
			fmt.Fprintf(w, `{"access_token":"of-refresh-token","expires_in":3600,"refresh_token":%q}`, valid)
		default:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
		}
	}))
	t.Cleanup(server.Close)
	var token atomic.Value
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token.Store(r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized) // Each token is good for one request.
	}))
	t.Cleanup(upstream.Close)
	g := startGateway(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id id
			client_secret secret
			refresh_token refresh-1
			token_url %s
		}
	}
}
{{site}} {
	oauth2_llm corp {
		client_key off
	}
	reverse_proxy %s
}`, server.URL, strings.TrimPrefix(upstream.URL, "http://")))
	wantToken := func(want string) {
		t.Helper()
		g.post("/v1/x", "{}").wantStatus(t, http.StatusUnauthorized)
		if token.Load() != "Bearer "+want {
			t.Errorf("the upstream got %v, want %s", token.Load(), want)
		}
	}
	wantToken("of-refresh-token")
	wantToken("of-refresh-token")
	mu.Lock()
	valid = "revoked"
	mu.Unlock()
	wantToken("of-credentials")
	want := "refresh_token refresh-1, refresh_token refresh-11, refresh_token refresh-111, client_credentials "
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("token requests were %s", got)
	}
	if log := g.log(); strings.Contains(log, "kept in memory") || !strings.Contains(log, "the refresh token was refused") {
		t.Error("the log does not say what became of the refresh token")
	}
}

// The token of one provider in the token request of another.
func TestAProvidersTokenCanPayForAnothers(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	var form atomic.Pointer[url.Values]
	exchange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form.Store(&r.PostForm)
		_, _ = io.WriteString(w, `{"access_token":"exchanged","expires_in":3600}`)
	}))
	t.Cleanup(exchange.Close)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	}))
	t.Cleanup(upstream.Close)
	g := startGateway(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider first {
			client_id client_a
			client_secret s
			token_url %s
		}
		provider second {
			client_id id
			auth_method none
			token_url %s
			grant_type urn:ietf:params:oauth:grant-type:token-exchange
			token_request {
				param subject_token {token.first}
				param subject_token_type urn:ietf:params:oauth:token-type:access_token
			}
		}
	}
}
{{site}} {
	oauth2_llm second {
		client_key off
	}
	reverse_proxy %s
}`, auth.tokenURL(), exchange.URL, strings.TrimPrefix(upstream.URL, "http://")))
	a := g.post("/v1/x", "{}")
	if a.body != "Bearer exchanged" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if client, problem := auth.check(form.Load().Get("subject_token")); client != "client_a" {
		t.Errorf("the subject token is %s", problem)
	}
	if form.Load().Has("client_secret") {
		t.Error("auth_method none sent a secret")
	}
}

// A client with little time leaves in time, the others stay.
func TestAClientThatGoesAwayTakesNobodyWithIt(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	release := make(chan struct{})
	auth.setGate(release)
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	hasty := &http.Client{Timeout: 100 * time.Millisecond}
	r, _ := http.NewRequest(http.MethodPost, g.url("/v1/x"), strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer gateway-key")
	patient := make(chan answer, 9)
	failed := make(chan error)
	go func() {
		response, err := hasty.Do(r)
		if err == nil {
			response.Body.Close()
		}
		failed <- err
	}()
	waitFor(t, 10*time.Second, func() bool { return auth.tokenRequests.Load() == 1 })
	for range cap(patient) {
		go func() { patient <- g.post("/v1/x", "{}", withKey...) }()
	}
	if err := <-failed; err == nil {
		t.Error("the hasty client got an answer")
	}
	waitFor(t, 10*time.Second, func() bool { return g.waiting() >= cap(patient) })
	close(release)
	for range cap(patient) {
		(<-patient).wantStatus(t, http.StatusOK)
	}
	if n := auth.tokenRequests.Load(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// A token that waits for another provider's which does not come is a 504, not a
// client that went away.
func TestATokenThatWaitsForAnothersInVainIsATimeout(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	release := make(chan struct{})
	auth.setGate(release)
	defer close(release)
	g := startGateway(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider first {
			client_id client_a
			client_secret s
			token_url %s
		}
		provider second {
			client_id id
			auth_method none
			token_url http://%s/never
			token_request {
				param subject_token {token.first}
				timeout 100ms
				retries 0
			}
		}
	}
}
{{site}} {
	oauth2_llm second {
		client_key off
	}
	reverse_proxy localhost:1
}`, auth.tokenURL(), freeAddress(t)))
	a := g.post("/v1/x", "{}")
	a.wantError(t, http.StatusGatewayTimeout, "oauth2_authentication_error", "token_endpoint_timeout")
	if a.header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
}

// What a server has made of a refresh token outlives a change of the
// provider; the used one is never sent again.
func TestARotatedRefreshTokenOutlivesAChangedProvider(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		mu.Lock()
		defer mu.Unlock()
		token := r.PostForm.Get("refresh_token")
		seen[token]++
		fmt.Fprintf(w, `{"access_token":"a","expires_in":3600,"refresh_token":%q}`, token+"+")
	}))
	t.Cleanup(server.Close)
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	config := func(name, scope string) string {
		return fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider %s {
			client_id id
			client_secret secret
			refresh_token one
			scope %s
			token_url %s
		}
	}
}
{{site}} {
	oauth2_llm %s {
		client_key off
	}
	reverse_proxy %s
}`, name, scope, server.URL, name, strings.TrimPrefix(upstream.URL, "http://"))
	}
	g := startGateway(t, config("corp", "a"))
	g.post("/v1/x", "{}").wantStatus(t, http.StatusOK)
	for i, next := range []string{config("corp", "b"), config("other", "b"), config("corp", "c")} {
		if err := g.load(next); err != nil {
			t.Fatal(err)
		}
		// The server of the old configuration may still answer.
		waitFor(t, 10*time.Second, func() bool {
			g.post("/v1/x", "{}").wantStatus(t, http.StatusOK)
			mu.Lock()
			defer mu.Unlock()
			return len(seen) == i+2
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 4 {
		t.Errorf("the server saw %v, want four refresh tokens once each", seen)
	}
}
