package oauth2llm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// A budgetSite is a real gateway whose budget can be seen.
type budgetSite struct {
	// heldBodies is how much may be held in addition, 0 for the default.
	heldBodies int64
	// static makes the LLM the static upstream of reverse_proxy.
	static bool
	// Further fields, as JSON: of the directive, and of reverse_proxy.
	directive, proxy string
	// errors are routes that handle errors.
	errors string
}

// A budgetGateway is one that runs. It listens on a socket that no other test can
// take. Requests of other tests may never end: what they hold was held before.
type budgetGateway struct {
	socket string
	before int64
}

// start runs the gateway in front of an LLM.
func (s budgetSite) start(t *testing.T, llm *httptest.Server) *budgetGateway {
	t.Helper()
	g := &budgetGateway{before: heldBodies.Used()}
	if s.heldBodies > 0 {
		s.heldBodies += g.before
	}
	// The names of sockets are short, those of tests are not.
	folder, err := os.MkdirTemp("", "gateway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	g.socket = filepath.Join(folder, "socket")
	provider := fmt.Sprintf(`"client_id":"i","client_secret":"s","token_url":%q`, newTokens(t).URL)
	proxy := `"handler":"reverse_proxy","transport":{"protocol":"oauth2_llm"}` + s.proxy
	if s.static {
		proxy += fmt.Sprintf(`,"upstreams":[{"dial":%q}]`, strings.TrimPrefix(llm.URL, "http://"))
	} else {
		provider += fmt.Sprintf(`,"base_url":%q`, llm.URL)
		proxy += `,"dynamic_upstreams":{"source":"oauth2_llm"}`
	}
	if llm.TLS != nil {
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: llm.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		provider += fmt.Sprintf(`,"transport":{"protocol":"http","tls":{"ca":{"provider":"file","pem_files":[%q]},"server_name":"example.com"}}`, ca)
	}
	config := fmt.Sprintf(`{
		"admin": {"disabled": true, "config": {"persist": false}},
		"logging": {"logs": {"default": {"level": "FATAL"}}},
		"apps": {
			"oauth2_llm": {"held_bodies": %d, "providers": {"corp": {%s}}},
			"http": {"grace_period": "1s", "servers": {"s": {
				"listen": ["unix/%s"], "automatic_https": {"disable": true},
				"routes": [{"handle": [{"handler": "oauth2_llm", "client_keys_off": true %s}, {%s}]}],
				"errors": {"routes": [%s]}
			}}}
		}
	}`, s.heldBodies, provider, g.socket, s.directive, proxy, s.errors)
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = caddy.Stop()
		heldBodies.SetLimit(defaultHeldBodies)
	})
	return g
}

// newTokens is a token endpoint whose tokens are all different.
func newTokens(t *testing.T) *httptest.Server {
	t.Helper()
	var issued atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprint("token-", issued.Add(1)), "token_type": "Bearer", "expires_in": 3600})
	}))
	t.Cleanup(server.Close)
	return server
}

// newLLM starts an LLM; its errors are not logged.
func newLLM(t *testing.T, http2 bool, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if http2 {
		server.EnableHTTP2, server.TLS = true, new(tls.Config)
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// callOf is a chat completion of so many bytes.
func callOf(size int) string {
	const start, end = `{"model":"corp/m","x":"`, `"}`
	return start + strings.Repeat("x", size-len(start)-len(end)) + end
}

// post sends a body to the gateway, one that is no JSON as a file, and returns the
// status and the body of the answer; the status is 0 if there is none.
func (g *budgetGateway) post(ctx context.Context, t *testing.T, body string, header ...string) (status int, answer string) {
	t.Helper()
	path, contentType := "/v1/chat/completions", "application/json"
	if !strings.HasPrefix(body, "{") && len(header) == 0 {
		path, contentType = "/v1/files", "audio/wav"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway.test"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.socket)
	}}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// held is how many bytes the gateway holds.
func (g *budgetGateway) held() int64 { return heldBodies.Used() - g.before }

// wantNothing waits until nothing is held.
func (g *budgetGateway) wantNothing(t *testing.T) {
	t.Helper()
	g.wait(t, func(held int64) bool { return held == 0 })
}

// wait waits until what is held is as it should be.
func (g *budgetGateway) wait(t *testing.T, want func(held int64) bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !want(g.held()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are held", g.held())
		}
	}
}

// Whatever becomes of a request, what its body took is given back, and something was
// taken before.
func TestWhatBodiesTakeIsGivenBackWhateverHappens(t *testing.T) {
	const size = 200_000
	broken := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 0\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	drop := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}
	refuse := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("Authorization") == "Bearer token-1" {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	refuseAll := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	early := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }
	answersOf := func(status int) string {
		return fmt.Sprintf(`{"handle":[{"handler":"static_response","status_code":%d}]}`, status)
	}
	handle := `,"errors":"handle"`
	elsewhere := func(address string) string {
		return fmt.Sprintf(`{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":%q}]}]}`, strings.TrimPrefix(address, "http://"))
	}
	whole := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != size {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer whole.Close()
	for name, test := range map[string]struct {
		site   budgetSite
		llm    http.HandlerFunc
		body   string
		status int
	}{
		"success":                                  {budgetSite{}, nil, callOf(size), 200},
		"success with a small body":                {budgetSite{}, nil, callOf(1000), 200},
		"success without a base_url":               {budgetSite{static: true}, nil, callOf(size), 200},
		"a body that another handler has wrapped":  {budgetSite{static: true, proxy: `,"request_buffers":1000000`}, nil, callOf(size), 200},
		"a body over max_body":                     {budgetSite{directive: `,"max_body":1000,"default_provider":"corp"`}, nil, strings.Repeat("R", size), 200},
		"a body that is refused":                   {budgetSite{directive: `,"max_body":1000`}, nil, callOf(size), 413},
		"a model that is unknown":                  {budgetSite{}, nil, strings.Replace(callOf(size), "corp/", "none/", 1), 404},
		"an LLM that breaks off its answer":        {budgetSite{}, broken, callOf(size), 200},
		"an LLM that does not answer":              {budgetSite{}, drop, callOf(size), 502},
		"an LLM that does not answer, wrapped":     {budgetSite{static: true, proxy: `,"request_buffers":1000000`}, drop, callOf(size), 502},
		"an LLM that refuses the first token":      {budgetSite{}, refuse, callOf(size), 200},
		"an LLM that refuses all tokens early":     {budgetSite{}, refuseAll, callOf(size), 502},
		"an LLM that refuses the body early":       {budgetSite{}, early, callOf(size), 429},
		"an error route":                           {budgetSite{directive: handle, errors: answersOf(418)}, drop, callOf(size), 418},
		"an error route, a wrapped body":           {budgetSite{static: true, directive: handle, proxy: `,"request_buffers":1000000`, errors: answersOf(418)}, drop, callOf(size), 418},
		"an error route for a refused token":       {budgetSite{directive: handle, errors: answersOf(418)}, refuseAll, callOf(size), 418},
		"an error route that sends it elsewhere":   {budgetSite{directive: handle, errors: elsewhere(whole.URL)}, drop, callOf(size), 200},
		"an error route for what is not forwarded": {budgetSite{directive: handle, errors: answersOf(418)}, nil, strings.Replace(callOf(size), "corp/", "none/", 1), 418},
		"a second directive":                       {budgetSite{directive: `,"default_provider":"corp"},{"handler":"oauth2_llm","client_keys_off":true,"default_provider":"corp"`}, nil, callOf(size), 200},
	} {
		for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
			if http2 && test.site.static {
				continue
			}
			t.Run(name+", over "+protocol, func(t *testing.T) {
				answer := test.llm
				if answer == nil {
					answer = func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
				}
				g := test.site.start(t, newLLM(t, http2, answer))
				for range 3 {
					status, text := g.post(t.Context(), t, test.body)
					if status != test.status {
						t.Errorf("status %d, want %d: %s", status, test.status, text)
					}
				}
				g.wantNothing(t)
			})
		}
	}
}

func TestWhatBodiesTakeIsGivenBackWhenTheirClientLeaves(t *testing.T) {
	for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for name, header := range map[string]bool{"before the answer": false, "in the answer": true} {
			for errors, site := range map[string]budgetSite{
				"": {}, ", with an error route": {directive: `,"errors":"handle"`, errors: `{"handle":[{"handler":"static_response","status_code":418}]}`},
			} {
				t.Run(name+", over "+protocol+errors, func(t *testing.T) {
					got := make(chan struct{}, 1)
					g := site.start(t, newLLM(t, http2, func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body)
						if header {
							_ = http.NewResponseController(w).Flush()
						}
						got <- struct{}{}
						<-r.Context().Done()
					}))
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan struct{})
					go func() {
						defer close(done)
						g.post(ctx, t, callOf(200_000))
					}()
					<-got
					if !header && g.held() < 200_000 {
						t.Errorf("%d bytes are held while the request waits", g.held())
					}
					cancel()
					<-done
					g.wantNothing(t)
				})
			}
		}
	}
}

func TestABodyThatBreaksOffTakesNothing(t *testing.T) {
	g := budgetSite{}.start(t, newLLM(t, false, func(http.ResponseWriter, *http.Request) {}))
	connection, err := net.Dial("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(connection, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n\r\n"+callOf(500_000)[:400_000]); err != nil {
		t.Fatal(err)
	}
	g.wait(t, func(held int64) bool { return held >= 400_000 })
	connection.Close()
	g.wantNothing(t)
}

// The size of a body that is decoded is what it takes, beside what came.
func TestDecodedBytesAreCounted(t *testing.T) {
	const size = 500_000
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, _ = io.WriteString(w, callOf(size))
	w.Close()
	release, got := make(chan struct{}), make(chan struct{})
	llm := newLLM(t, false, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(got)
		<-release
	})
	g := budgetSite{}.start(t, llm)
	done := make(chan int)
	go func() {
		status, _ := g.post(t.Context(), t, compressed.String(), "Content-Encoding", "gzip")
		done <- status
	}()
	<-got
	if held := g.held(); held < size {
		t.Errorf("%d bytes are held for a body of %d", held, size)
	}
	close(release)
	if status := <-done; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	g.wantNothing(t)
}

func TestTooManyBodiesAreRefusedBeforeTheyAreRead(t *testing.T) {
	const limit = 300_000
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, _ = io.WriteString(w, callOf(500_000))
	w.Close()
	arrived := new(atomic.Int64)
	llm := newLLM(t, false, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived.Add(1)
	})
	for name, test := range map[string]struct {
		header, sent string
	}{
		"a body with a length":       {"Content-Length: 10000000\r\n", callOf(500_000)},
		"a body in chunks":           {"Transfer-Encoding: chunked\r\n", "989680\r\n" + callOf(500_000)},
		"a body that grows too much": {fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", compressed.Len()), compressed.String()},
	} {
		t.Run(name, func(t *testing.T) {
			g := budgetSite{heldBodies: limit}.start(t, llm)
			connection, err := net.Dial("unix", g.socket)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
			// The rest of the body never comes.
			go func() {
				_, _ = io.WriteString(connection, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\n"+test.header+"\r\n"+test.sent)
			}()
			response, err := http.ReadResponse(bufio.NewReader(connection), nil)
			if err != nil {
				t.Fatal(err)
			}
			var answer struct {
				Error struct{ Type, Code string }
			}
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusServiceUnavailable || answer.Error.Type != "overloaded_error" || answer.Error.Code != "overloaded" || response.Header.Get("Retry-After") != "1" {
				t.Errorf("status %d with %+v and Retry-After %q", response.StatusCode, answer, response.Header.Get("Retry-After"))
			}
			g.wantNothing(t)
			// There is room for another.
			if status, text := g.post(t.Context(), t, callOf(1000)); status != http.StatusOK {
				t.Errorf("the next request gets %d: %s", status, text)
			}
			g.wantNothing(t)
		})
	}
	if arrived.Load() != 3 {
		t.Errorf("%d requests arrived, want 3", arrived.Load())
	}
}
