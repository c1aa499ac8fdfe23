package caddytest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An llmStandIn is an LLM that answers only to valid tokens of its
// authorization server, and keeps what it was sent.
type llmStandIn struct {
	*httptest.Server
	auth *authServer

	requests atomic.Int64
	refused  atomic.Int64
	mu       sync.Mutex
	// client is whom tokens must have been issued to.
	client   string
	last     received
	refusals []string
}

// received is a request as the stand-in saw it.
type received struct {
	method, uri   string
	proto, host   string
	header        http.Header
	body          []byte
	trailer       http.Header
	contentLength int64
}

func newLLM(t *testing.T, auth *authServer, client string) *llmStandIn {
	t.Helper()
	l := &llmStandIn{auth: auth, client: client}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

// newTLSLLM starts one that speaks HTTPS and HTTP/2.
func newTLSLLM(t *testing.T, auth *authServer, client string, config *tls.Config) *llmStandIn {
	t.Helper()
	l := &llmStandIn{auth: auth, client: client}
	l.Server = httptest.NewUnstartedServer(l)
	l.TLS, l.EnableHTTP2 = config, true
	l.StartTLS()
	t.Cleanup(l.Close)
	return l
}

func (l *llmStandIn) address() string { return strings.TrimPrefix(l.URL, "http://") }

func (l *llmStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.requests.Add(1)
	l.mu.Lock()
	expected := l.client
	l.last = received{r.Method, r.RequestURI, r.Proto, r.Host, r.Header.Clone(), body, r.Trailer.Clone(), r.ContentLength}
	l.mu.Unlock()

	authorization := r.Header["Authorization"]
	client, problem := "", fmt.Sprintf("%d Authorization headers", len(authorization))
	if len(authorization) == 1 {
		if token, ok := strings.CutPrefix(authorization[0], "Bearer "); ok {
			client, problem = l.auth.check(token)
		} else {
			problem = "no Bearer token"
		}
	}
	if problem == "" && client != expected {
		problem = "issued to " + client
	}
	if problem != "" {
		l.refused.Add(1)
		l.mu.Lock()
		l.refusals = append(l.refusals, problem)
		l.mu.Unlock()
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	l.answer(w, r, body, client)
}

func (l *llmStandIn) answer(w http.ResponseWriter, r *http.Request, body []byte, client string) {
	var asked struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	_ = json.Unmarshal(body, &asked)
	if !asked.Stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"object":"chat.completion","model":%q,"client":%q}`, asked.Model, client)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		fmt.Fprintf(w, "data: {\"chunk\":%d,\"model\":%q}\n\n", i, asked.Model)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(20 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

// setClient says whom tokens must have been issued to from now on.
func (l *llmStandIn) setClient(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = client
}

func (l *llmStandIn) lastRequest() received {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// wantNoRefusals fails the test if a token was refused.
func (l *llmStandIn) wantNoRefusals(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.refusals) > 0 {
		t.Errorf("%d tokens were refused, the first: %s", len(l.refusals), l.refusals[0])
	}
}
