package caddytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A corpSite is a gateway for every host name, whose one provider is corp.
type corpSite struct {
	auth     *authServer
	upstream string
	// Lines of the Caddyfile: in the global options, in the provider, in the
	// directive, in reverse_proxy, and in the site.
	global, provider, directive, proxy, site string
	// fixed names the provider in the directive.
	fixed bool
}

func (s corpSite) start(t *testing.T) *gateway {
	t.Helper()
	address := freeAddress(t)
	g := startGateway(t, s.caddyfile(address))
	g.address = address
	return g
}

// caddyfile is the site's Caddyfile, as startGateway takes it.
func (s corpSite) caddyfile(address string) string {
	_, port, _ := net.SplitHostPort(address)
	fixed := ""
	if s.fixed {
		fixed = "corp"
	}
	return fmt.Sprintf(`
{
	{{global}}
	%s
	oauth2_llm {
		provider corp {
			client_id corp-client
			client_secret corp-secret
			token_url %s
			%s
		}
	}
}
http://:%s {
	bind 127.0.0.1
	%s
	oauth2_llm %s {
		%s
	}
	reverse_proxy %s {
		%s
	}
}`, s.global, s.auth.tokenURL(), s.provider, port, s.site, fixed, s.directive, s.upstream, s.proxy)
}

func newCorpAuth(t *testing.T) *authServer {
	t.Helper()
	return newAuthServer(t, oauthClient{id: "corp-client", secret: "corp-secret"})
}

// exchange writes bytes to the gateway, as they are, and reads one answer. The
// connection is closed at the end of the test.
func (g *gateway) exchange(t *testing.T, method string, raw []byte) (*http.Response, *bufio.Reader, net.Conn) {
	t.Helper()
	connection, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := connection.Write(raw); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return response, reader, connection
}

// wire sends a request, written with plain line ends, and returns the answer.
func (g *gateway) wire(t *testing.T, request string) answer {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	response, _, _ := g.exchange(t, method, []byte(strings.ReplaceAll(request, "\n", "\r\n")))
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// An upstream keeps what it was sent, and lets its test decide what it answers.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []received
}

// newUpstream starts an upstream that answers 200 if answer is nil. It takes no
// notice of requests whose body breaks off.
func newUpstream(t *testing.T, answer http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		u.mu.Lock()
		u.seen = append(u.seen, received{r.Method, r.RequestURI, r.Proto, r.Host, r.Header.Clone(), body, r.Trailer.Clone(), r.ContentLength})
		u.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) address() string { return strings.TrimPrefix(u.URL, "http://") }

func (u *upstream) all() []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

func (u *upstream) count() int { return len(u.all()) }

// last is the last request; a test that got none cannot go on.
func (u *upstream) last(t *testing.T) received {
	t.Helper()
	seen := u.all()
	if len(seen) == 0 {
		t.Fatal("nothing was forwarded")
	}
	return seen[len(seen)-1]
}

// wantToken fails the test unless a header holds one valid token of corp.
func wantToken(t *testing.T, auth *authServer, header http.Header, name, prefix string) {
	t.Helper()
	values := header[http.CanonicalHeaderKey(name)]
	if len(values) != 1 || !strings.HasPrefix(values[0], prefix) {
		t.Errorf("%s arrived %d times, with %q; want one token behind %q", name, len(values), values, prefix)
		return
	}
	if client, problem := auth.check(values[0][len(prefix):]); problem != "" || client != "corp-client" {
		t.Errorf("the token in %s is issued to %q, and %s", name, client, problem)
	}
}

const gatewayKey = "client_key agents gateway-key\n"

// chatWith is a chat completion request on the wire, with further headers. The
// client's key is in the header that fewest of these tests are about.
func chatWith(headers ...string) string {
	body := chat("corp/gpt-4o")
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\nContent-Type: application/json\n%sContent-Length: %d\n\n%s",
		strings.Join(append(headers, ""), "\n"), len(body), body)
}
