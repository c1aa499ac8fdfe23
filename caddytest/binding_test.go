package caddytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A wiretap keeps every byte that it is sent, and answers 200 at once.
type wiretap struct {
	net.Listener
	mu  sync.Mutex
	got strings.Builder
}

func newWiretap(t *testing.T) *wiretap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go w.listen(t, connection)
		}
	}()
	return w
}

func (w *wiretap) listen(t *testing.T, connection net.Conn) {
	defer connection.Close()
	go func() {
		<-t.Context().Done()
		connection.Close()
	}()
	piece := make([]byte, 4096)
	for answered := false; ; {
		n, err := connection.Read(piece)
		w.mu.Lock()
		w.got.Write(piece[:n])
		w.mu.Unlock()
		if err != nil {
			return
		}
		if !answered {
			answered = true
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
		}
	}
}

func (w *wiretap) address() string { return w.Addr().String() }

func (w *wiretap) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.String()
}

const (
	bodyCanary   = "canary-9-body"
	clientCanary = "canary-10-client"
)

// misdirections are ways to forward a bound provider's request that are not
// dynamic oauth2_llm with transport oauth2_llm. WRONG is another host.
var misdirections = map[string]string{
	"a plain reverse_proxy":                   "reverse_proxy WRONG",
	"one with the default transport":          "reverse_proxy WRONG {\n dynamic oauth2_llm\n}",
	"a transport without the upstream source": "reverse_proxy WRONG {\n transport oauth2_llm\n}",
	"one that buffers":                        "reverse_proxy WRONG {\n request_buffers 1MiB\n}",
	"one that buffers and retries":            "reverse_proxy WRONG {\n request_buffers 1MiB\n lb_retries 2\n lb_retry_match {\n  method GET HEAD POST DELETE\n }\n}",
	"one that buffers before the transport":   "reverse_proxy WRONG {\n request_buffers 1MiB\n dynamic oauth2_llm\n}",
	"one that waits to be asked for the body": "reverse_proxy WRONG {\n transport http {\n  expect_continue_timeout 10s\n }\n}",
	"HTTP/2 from the beginning":               "reverse_proxy h2c://WRONG",
	"another upstream source":                 "reverse_proxy {\n dynamic a localhost PORT {\n  versions ipv4\n }\n transport oauth2_llm\n}",
}

// misdirected are requests of every shape: the head after the request line's
// method and path, and the body.
var misdirected = map[string]struct{ line, head, body string }{
	"JSON":                      {"POST /v1/chat/completions", "Content-Length: %d", `{"model":"corp/m","x":"` + bodyCanary + `"}`},
	"JSON in chunks":            {"POST /v1/chat/completions", "Transfer-Encoding: chunked", `{"model":"corp/m","x":"` + bodyCanary + `"}`},
	"a long body":               {"POST /v1/files", "Content-Length: %d", strings.Repeat(bodyCanary, 20_000)},
	"a long body in chunks":     {"POST /v1/files", "Transfer-Encoding: chunked", strings.Repeat(bodyCanary, 20_000)},
	"a body that must be asked": {"POST /v1/files", "Expect: 100-continue\r\nContent-Length: %d", bodyCanary},
	"a POST without a body":     {"POST /v1/x", "Content-Length: 0", ""},
	"a GET":                     {"GET /v1/models/corp%2Fm", "X-A: 1", ""},
	"a HEAD":                    {"HEAD /v1/models/corp%2Fm", "X-A: 1", ""},
	"a DELETE":                  {"DELETE /v1/responses/r", "X-A: 1", ""},
	"a WebSocket":               {"GET /v1/realtime?model=corp%2Fm", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", ""},
}

func TestABoundProvidersRequestsReachNoOtherHost(t *testing.T) {
	auth, llm := newCorpAuth(t), newUpstream(t, nil)
	auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"`+strings.ReplaceAll(tokenCanary, "/", "")+`","expires_in":3600}`)
	})
	requests := 0
	for way, proxy := range misdirections {
		for _, fixed := range []bool{false, true} {
			tap := newWiretap(t)
			_, port, _ := net.SplitHostPort(tap.address())
			name := map[bool]string{true: "corp"}[fixed]
			site := fmt.Sprintf("oauth2_llm %s {\n%s\ndefault_provider corp\nmax_body 64KiB\n}\n", name, gatewayKey) +
				strings.NewReplacer("WRONG", tap.address(), "PORT", port).Replace(proxy)
			for what, request := range misdirected {
				t.Run(fmt.Sprintf("%s, fixed: %v, %s", way, fixed, what), func(t *testing.T) {
					g := boundSite(t, auth, llm.URL, site)
					head, body := request.head, request.body
					if strings.Contains(head, "%d") {
						head = fmt.Sprintf(head, len(body))
					} else if strings.Contains(head, "chunked") {
						body = chunks(body, 1000)
					}
					method, _, _ := strings.Cut(request.line, " ")
					response, reader, _ := g.exchange(t, method, fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer gateway-key\r\nX-Api-Key: %s\r\nCookie: %s\r\n%s\r\n\r\n%s", request.line, clientCanary, clientCanary, head, body))
					for response.StatusCode == http.StatusContinue {
						var err error
						if response, err = http.ReadResponse(reader, nil); err != nil {
							t.Fatal(err)
						}
					}
					requests++
					text, _ := io.ReadAll(response.Body)
					a := answer{response.StatusCode, response.Header, string(text)}
					if method == http.MethodHead {
						a.wantStatus(t, http.StatusInternalServerError)
					} else {
						a.wantError(t, http.StatusInternalServerError, "oauth2_configuration_error", "transport_required")
					}
					if a.header.Get("X-Should-Retry") != "false" || a.header.Get("X-Request-Id") == "" || a.header.Get("Content-Type") != "application/json" {
						t.Errorf("the header is %v", a.header)
					}
				})
			}
			if got := tap.text(); got != "" {
				t.Errorf("%s, fixed: %v: the other host got %.300s", way, fixed, got)
			}
		}
	}
	if llm.count() != 0 {
		t.Errorf("the LLM got %d requests without a token", llm.count())
	}
	figure(t, "misdirected", "%d requests of a bound provider to another host, not a byte arrived", requests)
}

// boundSite is a gateway for every host name whose one provider, corp, has a
// base_url. The routes of the site are given.
func boundSite(t *testing.T, auth *authServer, base, routes string) *gateway {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	g := startGateway(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id corp-client
			client_secret corp-secret
			token_url %s
			base_url %s
			header_up X-Group canary-11-group
		}
	}
}
http://:%s {
	bind 127.0.0.1
	%s
}`, auth.tokenURL(), base, port, routes))
	g.address = address
	return g
}
