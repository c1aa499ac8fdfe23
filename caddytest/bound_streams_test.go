package caddytest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// route says how a client reaches the gateway, and the gateway a provider.
type route struct{ clientHTTP2, upstreamHTTP2 bool }

var routes = map[string]route{
	"over HTTP/1.1":             {},
	"to an upstream of HTTP/2":  {upstreamHTTP2: true},
	"from a client of HTTP/2":   {clientHTTP2: true},
	"over HTTP/2 on both sides": {clientHTTP2: true, upstreamHTTP2: true},
}

// start starts a gateway whose provider is bound to an upstream with a
// handler of its own.
func (r route) start(t *testing.T, directive string, answer http.HandlerFunc) *gateway {
	t.Helper()
	var server *httptest.Server
	provider := ""
	if r.upstreamHTTP2 {
		server, provider = newHTTP2Server(t, answer)
	} else {
		server = httptest.NewServer(answer)
		t.Cleanup(server.Close)
	}
	site := corpBoundTo(newCorpAuth(t), server.URL+"/base/api", provider, gatewayKey+directive)
	if !r.clientHTTP2 {
		return site.start(t)
	}
	site.global = "servers {\n protocols h1 h2 h2c\n}"
	g := site.start(t)
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	g.client.Transport = transport
	return g
}

func TestEachEventOfABoundProviderPassesBeforeTheNextIsMade(t *testing.T) {
	for name, route := range routes {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			g := route.start(t, "", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("X-Protocol", r.Proto)
				sendEventsOneByOne(w, r, next)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			response := g.open(ctx, t)
			if route.upstreamHTTP2 != (response.Header.Get("X-Protocol") == "HTTP/2.0") || route.clientHTTP2 != (response.Proto == "HTTP/2.0") {
				t.Errorf("the client speaks %s, the gateway %s", response.Proto, response.Header.Get("X-Protocol"))
			}
			wantEventsOneByOne(t, response, next)
		})
	}
}

func TestEarlyHintsAndTrailersOfABoundProviderPass(t *testing.T) {
	for name, route := range routes {
		t.Run(name, func(t *testing.T) {
			hinted := make(chan struct{})
			g := route.start(t, "", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Del("Link")
				select {
				case <-hinted:
				case <-r.Context().Done():
					return
				}
				w.Header().Set("Trailer", "X-Usage")
				_, _ = io.WriteString(w, "after the hint")
				_ = http.NewResponseController(w).Flush()
				w.Header().Set("X-Usage", "12")
				w.Header().Set(http.TrailerPrefix+"X-Late", "1")
			})
			response := g.wantEarlyHint(t, hinted)
			if response.Trailer.Get("X-Usage") != "12" || response.Trailer.Get("X-Late") != "1" {
				t.Errorf("the trailers are %v", response.Trailer)
			}
		})
	}
}

// An upstream that refuses a long body says so before it has read it.
func TestAnAnswerOfABoundProviderDoesNotWaitForTheBody(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too long")
	}
	for name, route := range routes {
		t.Run("a body that is held, "+name, func(t *testing.T) {
			g := route.start(t, "", refuse)
			if a := g.post("/v1/chat/completions", sized(16<<20), withKey...); a.status != http.StatusRequestEntityTooLarge || a.body != "too long" {
				t.Errorf("status %d with %s", a.status, a.body)
			}
		})
		t.Run("a body that streams, "+name, func(t *testing.T) {
			g := route.start(t, "max_body 64KiB\ndefault_provider corp", refuse)
			half := strings.Repeat("x", 1_000_000)
			reader, writer := io.Pipe()
			answered := make(chan struct{})
			go func() {
				_, _ = io.WriteString(writer, half)
				// A server of HTTP/1.1 goes on reading before it answers.
				if route.clientHTTP2 {
					<-answered
				}
				_, _ = io.WriteString(writer, half)
				writer.Close()
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url("/v1/files"), reader)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = int64(2 * len(half))
			a := g.send(r, withKey...)
			close(answered)
			if a.status != http.StatusRequestEntityTooLarge || a.body != "too long" {
				t.Errorf("status %d with %s", a.status, a.body)
			}
		})
	}
}

func TestAClientThatLeavesEndsTheRequestToABoundProvider(t *testing.T) {
	for name, route := range routes {
		t.Run(name, func(t *testing.T) {
			wantLeaversToEndTheirRequests(t, func(answer http.HandlerFunc) *gateway { return route.start(t, "", answer) })
		})
	}
}

// A client that leaves in the middle of its body must not leave a request that
// looks whole.
func TestAClientThatLeavesInItsBodyEndsTheRequestToABoundProvider(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for name, head := range map[string]string{"with a length": "Content-Length: 2000000\r\n\r\n", "in chunks": "Transfer-Encoding: chunked\r\n\r\n186a0\r\n"} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, http2), func(t *testing.T) {
				began, ended := make(chan struct{}, 1), make(chan error, 1)
				g := route{upstreamHTTP2: http2}.start(t, "max_body 64KiB\ndefault_provider corp", func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.CopyN(io.Discard, r.Body, 50_000)
					began <- struct{}{}
					_, err := io.Copy(io.Discard, r.Body)
					ended <- err
				})
				connection, err := net.Dial("tcp", g.address)
				if err != nil {
					t.Fatal(err)
				}
				defer connection.Close()
				if _, err := io.WriteString(connection, "POST /v1/files HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\n"+head+strings.Repeat("x", 100_000)); err != nil {
					t.Fatal(err)
				}
				select {
				case <-began:
					connection.Close()
				case <-time.After(10 * time.Second):
					t.Fatal("nothing arrived")
				}
				select {
				case err := <-ended:
					if err == nil {
						t.Error("the upstream got what looks like a whole body")
					}
				case <-time.After(10 * time.Second):
					t.Error("the upstream's request goes on")
				}
			})
		}
	}
}
