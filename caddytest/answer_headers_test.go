package caddytest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// An answerSite is a way to an LLM that shows what it was sent.
type answerSite struct {
	bound, plain bool
	provider     string
	// issued is what the token endpoint issues in the place of a JWT.
	issued string
}

// answerSites are the ways that differ for the headers of an answer.
func answerSites() map[string]answerSite {
	return map[string]answerSite{
		"bound":                        {bound: true},
		"with a static upstream":       {},
		"with a plain reverse_proxy":   {plain: true},
		"bound, with a place":          {bound: true, provider: "place header X-Token"},
		"plain, with a place":          {plain: true, provider: "place header X-Token \"Token \""},
		"bound, in the query":          {bound: true, provider: "place query sesame"},
		"plain, in the query":          {plain: true, provider: "place query sesame"},
		"bound, with an opaque token":  {bound: true, issued: "opaque/token+with=%signs~of-40.characters"},
		"plain, with an opaque token":  {plain: true, issued: "opaque/token+with=%signs~of-40.characters"},
		"bound, with a token of 16":    {bound: true, issued: "abcdefghijklmnop"},
		"with a short token, bound":    {bound: true, issued: "abcdefghijklmno"},
		"with a short token, plain":    {plain: true, issued: "abcdefghijklmno"},
		"with a short token, in place": {bound: true, issued: "short", provider: "place header X-Token"},
	}
}

// start starts a gateway in front of an LLM.
func (s answerSite) start(t *testing.T, llm http.HandlerFunc) *gateway {
	t.Helper()
	auth := newCorpAuth(t)
	if s.issued != "" {
		auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, s.issued)
		})
	}
	server := httptest.NewServer(llm)
	t.Cleanup(server.Close)
	site := corpSite{auth: auth, upstream: strings.TrimPrefix(server.URL, "http://"), directive: gatewayKey, provider: s.provider, proxy: "transport oauth2_llm"}
	switch {
	case s.bound:
		site.upstream, site.proxy, site.provider = "", site.proxy+"\ndynamic oauth2_llm", site.provider+"\nbase_url "+server.URL
	case s.plain:
		site.proxy = ""
	}
	return site.start(t)
}

// tokenOf is the token that a request carries, wherever it is.
func tokenOf(r *http.Request) string {
	if token := r.URL.Query().Get("sesame"); token != "" {
		return strings.TrimPrefix(token, "Bearer ")
	}
	for _, name := range []string{"X-Token", "Authorization"} {
		if value := r.Header.Get(name); value != "" {
			return value[strings.LastIndexByte(value, ' ')+1:]
		}
	}
	return ""
}

// encoded is a text of which every byte is percent-encoded.
func encoded(text string) string {
	var all strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&all, "%%%02x", text[i])
	}
	return all.String()
}

// echo puts all that an LLM could show of a request into a header.
func echo(header http.Header, r *http.Request) {
	for name, values := range r.Header {
		if !slices.Contains([]string{"Content-Length", "Content-Type", "Connection", "Accept-Encoding", "Upgrade"}, name) {
			header[name] = values
		}
	}
	token := tokenOf(r)
	header.Set("X-Echo", token)
	header.Set("X-Text", "you have sent <"+token+">")
	header.Set("X-Escaped", url.QueryEscape(token))
	header.Set("X-Encoded", encoded(token))
	header.Add("X-Several", "one")
	header.Add("X-Several", "Bearer "+token)
	header.Set("Location", "/v1/x?"+url.Values{"t": {token}}.Encode())
	header["X-Api-Key"], header["Api-Key"], header["X-Goog-Api-Key"], header["Authorization"] = []string{"a"}, []string{"b"}, []string{"c"}, []string{"d"}
	for name, value := range harmless {
		header.Set(name, value)
	}
}

// harmless are headers of an answer that are nobody's secret.
var harmless = map[string]string{
	"X-Request-Id": "req_1", "X-Ratelimit-Remaining": "99", "Set-Cookie": "a=b", "Openai-Organization": "acme", "X-Api-Key-Id": "1", "Etag": `"1"`,
}

// shown are the tokens that LLMs have seen in a test.
type shown struct {
	mu     sync.Mutex
	tokens []string
}

func (s *shown) see(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, tokenOf(r))
}

// wantNothingShown fails the test if a header shows a token, or is missing that is
// harmless.
func (s *shown) wantNothingShown(t *testing.T, where string, header http.Header, complete bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tokens) == 0 || s.tokens[0] == "" {
		t.Fatal("the LLM has seen no token")
	}
	for name, values := range header {
		if slices.Contains([]string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Token"}, name) {
			t.Errorf("%s: %s is left", where, name)
		}
		for _, value := range values {
			plain, _ := url.PathUnescape(value)
			for _, token := range s.tokens {
				if len(token) >= 16 && (strings.Contains(value, token) || strings.Contains(plain, token)) {
					t.Errorf("%s: %s shows the token", where, name)
				}
				if name == "X-Echo" && len(token) >= 16 {
					t.Errorf("%s: X-Echo is left", where)
				}
			}
		}
	}
	if len(s.tokens[0]) < 16 && complete && header.Get("X-Echo") != s.tokens[0] {
		t.Errorf("%s: a value that may be anything is gone: %v", where, header)
	}
	for name, value := range harmless {
		if complete && header.Get(name) != value {
			t.Errorf("%s: %s is %q, want %q", where, name, header.Get(name), value)
		}
	}
}

func TestNoAnswerShowsTheToken(t *testing.T) {
	statuses := []int{200, 400, 401, 403, 404, 429, 500}
	for where, site := range answerSites() {
		for how, stream := range map[string]bool{"whole": false, "as events": true} {
			t.Run(where+", "+how, func(t *testing.T) {
				var seen shown
				status := 200
				g := site.start(t, func(w http.ResponseWriter, r *http.Request) {
					seen.see(r)
					echo(w.Header(), r)
					w.Header().Set("Trailer", "X-Late-Echo, X-Usage")
					if stream {
						w.Header().Set("Content-Type", "text/event-stream")
					}
					w.WriteHeader(status)
					if stream {
						_ = http.NewResponseController(w).Flush()
					}
					_, _ = io.WriteString(w, "data: 0\n\n")
					_ = http.NewResponseController(w).Flush()
					w.Header().Set("X-Late-Echo", "Bearer "+tokenOf(r))
					w.Header().Set("X-Usage", "12")
					w.Header().Set(http.TrailerPrefix+"X-Unannounced", encoded(tokenOf(r)))
					w.Header().Set(http.TrailerPrefix+"X-Api-Key", "x")
					w.Header().Set(http.TrailerPrefix+"X-Cost", "1")
				})
				for _, status = range statuses {
					response := g.open(t.Context(), t)
					text, err := io.ReadAll(response.Body)
					if err != nil {
						t.Fatal(err)
					}
					if status == http.StatusUnauthorized && !site.plain {
						// The gateway answers itself.
						seen.wantNothingShown(t, fmt.Sprint(status), response.Header, false)
						continue
					}
					if response.StatusCode != status || string(text) != "data: 0\n\n" {
						t.Errorf("status %d with %q, want %d", response.StatusCode, text, status)
					}
					seen.wantNothingShown(t, fmt.Sprint(status), response.Header, true)
					seen.wantNothingShown(t, fmt.Sprint(status, " trailers"), response.Trailer, false)
					if response.Trailer.Get("X-Usage") != "12" || response.Trailer.Get("X-Cost") != "1" {
						t.Errorf("the trailers are %v", response.Trailer)
					}
					if long := len(seen.tokens[0]) >= 16; long && (response.Trailer.Get("X-Late-Echo") != "" || response.Trailer.Get("X-Unannounced") != "") {
						t.Errorf("the trailers are %v", response.Trailer)
					}
				}
			})
		}
	}
}

func TestNoEarlyHintShowsTheToken(t *testing.T) {
	for where, site := range answerSites() {
		t.Run(where, func(t *testing.T) {
			var seen shown
			g := site.start(t, func(w http.ResponseWriter, r *http.Request) {
				seen.see(r)
				echo(w.Header(), r)
				w.WriteHeader(http.StatusEarlyHints)
				clear(w.Header())
				_, _ = io.WriteString(w, "{}")
			})
			hints := make(chan http.Header, 10)
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				if code == http.StatusEarlyHints {
					hints <- http.Header(header)
				}
				return nil
			}})
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			response := g.open(ctx, t)
			if text, err := io.ReadAll(response.Body); err != nil || string(text) != "{}" {
				t.Errorf("%q, %v", text, err)
			}
			if len(hints) != 1 {
				t.Fatalf("%d hints came", len(hints))
			}
			seen.wantNothingShown(t, "the hint", <-hints, true)
		})
	}
}

func TestNoWebSocketShowsTheToken(t *testing.T) {
	for where, site := range answerSites() {
		t.Run(where, func(t *testing.T) {
			var seen shown
			g := site.start(t, func(w http.ResponseWriter, r *http.Request) {
				seen.see(r)
				connection, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return
				}
				defer connection.Close()
				header := http.Header{}
				echo(header, r)
				header.Del("Sec-Websocket-Key")
				var lines strings.Builder
				_ = header.Write(&lines)
				_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+webSocketAccept(r.Header.Get("Sec-WebSocket-Key"))+"\r\n"+lines.String()+"\r\n")
			})
			response, _, _ := g.exchange(t, http.MethodGet, []byte("GET /v1/realtime?model=corp%2Fgpt-4o HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
			if response.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %d", response.StatusCode)
			}
			seen.wantNothingShown(t, "the WebSocket", response.Header, true)
		})
	}
}

// A request that is passed on carries the client's own credentials, and its answer is
// as its upstream makes it.
func TestTheAnswerToWhatIsPassedOnIsItsUpstreams(t *testing.T) {
	auth := newCorpAuth(t)
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { echo(w.Header(), r) })
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "unknown_model pass"}.start(t)
	a := g.post("/v1/chat/completions", chat("zzz/m"), "Api-Key", "gateway-key", "Authorization", "Bearer a-key-of-the-clients-own")
	a.wantStatus(t, http.StatusOK)
	for name, want := range map[string]string{"Authorization": "d", "X-Api-Key": "a", "X-Echo": "a-key-of-the-clients-own", "Set-Cookie": "a=b"} {
		if a.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, a.header.Get(name), want)
		}
	}
}
