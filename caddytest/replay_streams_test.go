package caddytest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Whatever number of clients meets the revoked token, one token request is made
// for it.
func TestManyClientsWithOneRevokedTokenCauseOneTokenRequest(t *testing.T) {
	clients := 512
	if testing.Short() {
		clients = 128
	}
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			llm := newStrictLLM(t, auth, nil, nil)
			site.site = "log"
			g := site.start(t, llm)
			g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			llm.revoke(t)
			// Nobody is refused before all have arrived.
			var arrived atomic.Int64
			everyone := make(chan struct{})
			llm.refusing = func() {
				if arrived.Add(1) == int64(clients) {
					close(everyone)
				}
				<-everyone
			}
			var failed atomic.Int64
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					if g.post("/v1/chat/completions", chat("corp/m"), withKey...).status != http.StatusOK {
						failed.Add(1)
					}
				})
			}
			all.Wait()
			n := auth.tokenRequests.Load() - 1
			figure(t, "revoked_token", "%d clients at once, %d of them refused by the LLM, %d visible failures, %d extra token requests", clients, llm.refused.Load(), failed.Load(), n)
			if failed.Load() != 0 || n != 1 || llm.refused.Load() != int64(clients) {
				t.Errorf("%d failures, %d extra token requests and %d refusals, want 0, 1 and %d", failed.Load(), n, llm.refused.Load(), clients)
			}
			replayed := 0
			for _, entry := range accessEntries(t, g, clients+1) {
				if entry["llm_replayed"] == true {
					replayed++
				}
				if entry["status"] != 200.0 {
					t.Errorf("the access log has status %v", entry["status"])
				}
			}
			if replayed != clients {
				t.Errorf("the access log has llm_replayed %d times, want %d", replayed, clients)
			}
		})
	}
}

func TestAStreamAfterAReplayPassesAsItComes(t *testing.T) {
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			// An event is made only once the client has the one before.
			streams := make(chan chan struct{}, 1)
			llm := newStrictLLM(t, auth, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				sendEventsOneByOne(w, r, <-streams)
			}, nil)
			g := site.start(t, llm)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for _, revoked := range []bool{false, true} {
				if revoked {
					llm.revoke(t)
				}
				next := make(chan struct{})
				streams <- next
				wantEventsOneByOne(t, g.open(ctx, t), next)
			}
			if llm.refused.Load() != 1 {
				t.Errorf("%d requests were refused, want 1", llm.refused.Load())
			}
		})
	}
}

func TestAWebSocketAfterAReplayIsOne(t *testing.T) {
	ca := newAuthority(t)
	for where, site := range leaseSites() {
		for _, speaksTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, with TLS: %v", where, speaksTLS), func(t *testing.T) {
				auth := newCorpAuth(t)
				var config *tls.Config
				if speaksTLS {
					config, site.ca = ca.plainConfig(), ca.file(t)
				}
				llm := newStrictLLM(t, auth, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Upgrade") != "websocket" {
						return
					}
					connection, buffered, err := w.(http.Hijacker).Hijack()
					if err != nil {
						return
					}
					defer connection.Close()
					fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", webSocketAccept(r.Header.Get("Sec-WebSocket-Key")))
					_, _ = io.Copy(connection, buffered)
				}, config)
				g := site.start(t, llm)
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
				llm.revoke(t)
				response, reader, connection := g.exchange(t, http.MethodGet, []byte("GET /v1/realtime?model=corp%2Fgpt-4o HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer gateway-key\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
				if response.StatusCode != http.StatusSwitchingProtocols {
					body, _ := io.ReadAll(response.Body)
					t.Fatalf("status %d, body %s", response.StatusCode, body)
				}
				const message = "\x82\x05hello"
				if _, err := io.WriteString(connection, message); err != nil {
					t.Fatal(err)
				}
				echo := make([]byte, len(message))
				if _, err := io.ReadFull(reader, echo); err != nil || string(echo) != message {
					t.Errorf("%q came back, %v", echo, err)
				}
				if got, _ := llm.last(t); llm.refused.Load() != 1 || !slices.Contains(got.header["Upgrade"], "websocket") || got.proto != "HTTP/1.1" {
					t.Errorf("%d refusals, then %s with %v", llm.refused.Load(), got.proto, got.header)
				}
			})
		}
	}
}

// An answer that does not end holds up nobody: it is the next that counts.
func TestARefusalThatDoesNotEndIsNotWaitedFor(t *testing.T) {
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			llm := newStrictLLM(t, auth, nil, nil)
			endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, problem := auth.check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); problem == "" {
					llm.ServeHTTP(w, r)
					return
				}
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, "the token is")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}))
			t.Cleanup(endless.Close)
			g := site.start(t, &strictLLM{Server: endless, auth: auth})
			g.client.Timeout = 20 * time.Second
			g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			llm.revoke(t)
			g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
		})
	}
}
