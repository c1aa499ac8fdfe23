package caddytest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// openWebSocket makes a WebSocket through the gateway, and returns its two ends.
func openWebSocket(t *testing.T, upstreamTLS bool) (client io.Reader, toClient net.Conn, upstream net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	g := route{upstreamHTTP2: upstreamTLS}.start(t, "default_provider corp", func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil || r.URL.String() != "/base/api/realtime?model=gpt-realtime" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer eyJ") {
			t.Errorf("%s arrived, %v", r.URL, err)
		}
		fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", webSocketAccept(r.Header.Get("Sec-WebSocket-Key")))
		accepted <- connection
	})
	response, reader, connection := g.exchange(t, http.MethodGet, []byte("GET /v1/realtime?model=corp%2Fgpt-realtime HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d, want a WebSocket", response.StatusCode)
	}
	upstream = <-accepted
	t.Cleanup(func() { upstream.Close() })
	_ = upstream.SetDeadline(time.Now().Add(10 * time.Second))
	return reader, connection, upstream
}

func TestTheEndOfAWebSocketPassesBothWays(t *testing.T) {
	const masked, plain = "\x88\x82\x00\x00\x00\x00\x03\xe8", "\x88\x02\x03\xe8"
	for _, upstreamTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("from the client, TLS %v", upstreamTLS), func(t *testing.T) {
			_, connection, upstream := openWebSocket(t, upstreamTLS)
			if _, err := io.WriteString(connection, masked); err != nil {
				t.Fatal(err)
			}
			connection.Close()
			if got, err := io.ReadAll(upstream); err != nil || string(got) != masked {
				t.Errorf("%q arrived, %v, want %q", got, err, masked)
			}
		})
		t.Run(fmt.Sprintf("from the upstream, TLS %v", upstreamTLS), func(t *testing.T) {
			client, _, upstream := openWebSocket(t, upstreamTLS)
			if _, err := io.WriteString(upstream, plain); err != nil {
				t.Fatal(err)
			}
			upstream.Close()
			if got, err := io.ReadAll(client); err != nil || string(got) != plain {
				t.Errorf("%q came, %v, want %q", got, err, plain)
			}
		})
	}
}

// The other base URL is for later requests: what is under way stays where it is.
func TestAStreamOfABoundProviderSurvivesAReload(t *testing.T) {
	for name, route := range routes {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			g := route.start(t, "", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				sendEventsOneByOne(w, r, next)
			})
			response := g.open(t.Context(), t)
			read := func(want string) {
				t.Helper()
				got := make([]byte, len(want))
				if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
					t.Fatalf("%q came, %v, want %q", got, err, want)
				}
			}
			read("data: 0\n\n")
			auth, other := newCorpAuth(t), newUpstream(t, nil)
			_, port, _ := net.SplitHostPort(g.address)
			if err := g.load(fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id corp-client
			client_secret corp-secret
			token_url %s
			base_url %s
		}
	}
}
http://:%s {
	bind 127.0.0.1
	oauth2_llm corp {
		client_key agents gateway-key
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm
	}
}`, auth.tokenURL(), other.URL, port)); err != nil {
				t.Fatal(err)
			}
			waitFor(t, 10*time.Second, func() bool { return strings.Contains(g.log(), "graceful shutdown 1s timeout") })
			g.wire(t, chatWith()).wantStatus(t, http.StatusOK)
			wantToken(t, auth, other.last(t).header, "Authorization", "Bearer ")
			next <- struct{}{}
			read("data: 1\n\n")
			next <- struct{}{}
			read("data: 2\n\n")
			close(next)
			if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
				t.Errorf("the stream ended with %q, %v", rest, err)
			}
		})
	}
}

func TestAConnectionThatTheUpstreamHasClosedIsNotUsedAgain(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			idle, closed := make(chan net.Conn, 16), make(chan struct{}, 16)
			up := newUpstream(t, nil)
			server := httptest.NewUnstartedServer(up.Config.Handler)
			server.Config.ConnState = func(connection net.Conn, state http.ConnState) {
				switch state { //nolint:exhaustive // the others do not matter
				case http.StateIdle:
					idle <- connection
				case http.StateClosed:
					closed <- struct{}{}
				}
			}
			provider := ""
			if http2 {
				ca := newAuthority(t)
				config := ca.serverConfig()
				config.ClientAuth = tls.NoClientCert
				server.TLS, server.EnableHTTP2 = config, true
				server.StartTLS()
				files := gateway{t: t, folder: t.TempDir()}
				provider = "transport http {\n tls_trust_pool file " + files.write("ca.pem", ca.files()["ca.pem"]) + "\n}"
			} else {
				server.Start()
			}
			defer server.Close()
			g := corpBoundTo(newCorpAuth(t), server.URL, provider, gatewayKey).start(t)
			const rounds = 20
			ended := map[net.Conn]bool{}
			for range rounds {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
				connection := <-idle
				// HTTP/2 is idle twice, before its first request, too.
				for ended[connection] {
					connection = <-idle
				}
				ended[connection] = true
				if err := connection.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				// The gateway has noticed once it closes its side, too.
				select {
				case <-closed:
				case <-time.After(10 * time.Second):
					t.Fatal("the gateway keeps the connection")
				}
			}
			if up.count() != rounds {
				t.Errorf("%d requests arrived, want %d", up.count(), rounds)
			}
		})
	}
}

// Go sends a request again on a new connection if a kept one breaks before the
// answer begins, but only if it can get the body again.
func TestARequestWithAHeldBodySurvivesABrokenConnection(t *testing.T) {
	for name, test := range map[string]struct {
		header []string
		proxy  string
	}{
		"with an Idempotency-Key": {header: []string{"Idempotency-Key", "1"}},
		"without one":             {},
		"where lb_retries is set": {proxy: "lb_retries 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var bodies [][]byte
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				bodies = append(bodies, body)
				second := len(bodies) == 2
				mu.Unlock()
				if second {
					connection, _, _ := w.(http.Hijacker).Hijack()
					connection.Close()
				}
			}))
			defer server.Close()
			site := corpBoundTo(newCorpAuth(t), server.URL, "", gatewayKey)
			site.proxy += "\n" + test.proxy
			g := site.start(t)
			g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			a := g.post("/v1/chat/completions", chat("corp/m"), append(test.header, withKey...)...)
			a.wantStatus(t, http.StatusOK)
			mu.Lock()
			defer mu.Unlock()
			if len(bodies) != 3 {
				t.Fatalf("%d requests arrived, want 3", len(bodies))
			}
			for _, body := range bodies {
				if !bytes.Equal(body, []byte(withoutPrefix(chat("corp/m")))) {
					t.Errorf("%s arrived", body)
				}
			}
		})
	}
}

func TestABoundProviderThatCannotBeReached(t *testing.T) {
	release := make(chan struct{})
	wait := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}
	silent := httptest.NewServer(http.HandlerFunc(wait))
	defer silent.Close()
	silentTLS, trusting := newHTTP2Server(t, wait)
	defer close(release)
	free := "http://" + freeAddress(t)
	own := func(option string) string { return "transport http {\n" + option + "\n}" }
	for name, test := range map[string]struct {
		base, transport string
		status          int
		code            string
	}{
		"nobody listens":                {free, "", 502, "upstream_unreachable"},
		"the name is unknown":           {"http://unknown.invalid", "", 502, "upstream_unreachable"},
		"its certificate is not known":  {silentTLS.URL, "", 502, "upstream_unreachable"},
		"it wants a client certificate": {silentTLS.URL, own("tls_insecure_skip_verify"), 502, "upstream_unreachable"},
		"it does not speak TLS":         {strings.Replace(silent.URL, "http:", "https:", 1), "", 502, "upstream_unreachable"},
		"it breaks off":                 {breaking(t).URL, "", 502, "upstream_unreachable"},
		// Caddy hides that it was for the time that dialing failed.
		"the connection takes too long":      {free, own("dial_timeout 1ns"), 502, "upstream_unreachable"},
		"the answer takes too long":          {silent.URL, own("response_header_timeout 50ms"), 504, "upstream_timeout"},
		"the answer of HTTPS takes too long": {silentTLS.URL, strings.Replace(trusting, "{\n", "{\nresponse_header_timeout 50ms\n", 1), 504, "upstream_timeout"},
	} {
		for kind, path := range map[string]string{"held": "/v1/chat/completions", "streaming": "/v1/files"} {
			t.Run(name+", a body that is "+kind, func(t *testing.T) {
				g := corpBoundTo(newCorpAuth(t), test.base, test.transport, gatewayKey+"max_body 64KiB\ndefault_provider corp").start(t)
				body := chat("corp/m")
				if kind == "streaming" {
					body = strings.Repeat("x", 100_000)
				}
				a := g.post(path, body, withKey...)
				a.wantError(t, test.status, "upstream_error", test.code)
				// An LLM that has got all of the body may have been at work.
				again := test.status == 504 || name == "it breaks off" && kind == "held"
				if a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Request-Id") == "" || again != (a.header.Get("Retry-After") != "") {
					t.Errorf("the answer's header is %v", a.header)
				}
				if strings.Contains(a.body, "127.0.0.1") || strings.Contains(a.body, "dial") {
					t.Errorf("the client learns %s", a.body)
				}
				if !strings.Contains(g.log(), `"code":"`+test.code+`"`) {
					t.Error("the log does not say it")
				}
			})
		}
	}
}
