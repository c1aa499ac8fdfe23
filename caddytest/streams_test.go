package caddytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// streaming is a gateway in front of an upstream with a handler of its own.
func streaming(t *testing.T, auth *authServer, directive, site string, answer http.HandlerFunc) *gateway {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return corpSite{auth: auth, upstream: strings.TrimPrefix(server.URL, "http://"), directive: gatewayKey + directive, site: site}.start(t)
}

// open sends a request for a stream and returns the answer with its body unread.
func (g *gateway) open(ctx context.Context, t *testing.T) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url("/v1/chat/completions"), strings.NewReader(`{"model":"corp/m","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer gateway-key")
	response, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestEachEventPassesBeforeTheNextIsMade(t *testing.T) {
	for _, contentType := range []string{"text/event-stream", "text/event-stream; charset=utf-8", "application/x-ndjson", "application/octet-stream"} {
		t.Run(contentType, func(t *testing.T) {
			// The upstream makes an event only once the client has the one before:
			// a gateway that collects them brings both to a halt.
			next := make(chan struct{})
			g := streaming(t, newCorpAuth(t), "", "", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", contentType)
				sendEventsOneByOne(w, r, next)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			response := g.open(ctx, t)
			wantEventsOneByOne(t, response, next)
		})
	}
}

// sendEventsOneByOne answers with an event for each that it is asked for, until
// next is closed.
func sendEventsOneByOne(w http.ResponseWriter, r *http.Request, next <-chan struct{}) {
	for i := 0; ; i++ {
		fmt.Fprintf(w, "data: %d\n\n", i)
		_ = http.NewResponseController(w).Flush()
		select {
		case _, more := <-next:
			if !more {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// wantEventsOneByOne fails the test unless each event comes before the next is
// asked for, and nothing after the last.
func wantEventsOneByOne(t *testing.T, response *http.Response, next chan<- struct{}) {
	t.Helper()
	for i := range 20 {
		if i > 0 {
			next <- struct{}{}
		}
		want := fmt.Sprintf("data: %d\n\n", i)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q came, %v, want %q", got, err, want)
		}
	}
	close(next)
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}

func TestAClientThatLeavesEndsTheUpstreamsRequestAndLeavesNothingBehind(t *testing.T) {
	wantLeaversToEndTheirRequests(t, func(answer http.HandlerFunc) *gateway {
		return streaming(t, newCorpAuth(t), "", "", answer)
	})
}

// wantLeaversToEndTheirRequests fails the test unless the upstream's request ends
// when its client leaves in the middle of a stream, and nothing is left of it.
func wantLeaversToEndTheirRequests(t *testing.T, start func(answer http.HandlerFunc) *gateway) {
	t.Helper()
	ended := make(chan struct{}, 1)
	g := start(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 0\n\n")
		_ = http.NewResponseController(w).Flush()
		if r.Header.Get("X-End") != "" {
			return
		}
		<-r.Context().Done()
		ended <- struct{}{}
	})
	const rounds = 20
	for range rounds {
		g.post("/v1/chat/completions", chat("corp/m"), append([]string{"X-End", "1"}, withKey...)...).wantStatus(t, http.StatusOK)
	}
	g.client.CloseIdleConnections()
	var control int
	waitFor(t, 10*time.Second, func() bool {
		before := control
		control = runtime.NumGoroutine()
		return control == before
	})
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		response := g.open(ctx, t)
		if _, err := io.ReadFull(response.Body, make([]byte, len("data: 0\n\n"))); err != nil {
			t.Fatal(err)
		}
		cancel()
		response.Body.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the upstream's request goes on")
		}
	}
	waitFor(t, 10*time.Second, func() bool {
		// A connection is idle only when the end of its last stream is known.
		g.client.CloseIdleConnections()
		var stacks bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		return runtime.NumGoroutine() <= control && !strings.Contains(stacks.String(), "oauth2llm.(*Handler).ServeHTTP")
	})
}

func TestAStreamThatBreaksDoesNotLookWhole(t *testing.T) {
	for name, header := range map[string]string{"without a length": "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 0\n\n\r\n", "with a length": "Content-Length: 100\r\n\r\ndata: 0\n\n"} {
		t.Run(name, func(t *testing.T) {
			g := streaming(t, newCorpAuth(t), "", "", func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return
				}
				defer connection.Close()
				_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"+header)
			})
			response := g.open(t.Context(), t)
			got, err := io.ReadAll(response.Body)
			if err == nil || response.StatusCode != http.StatusOK {
				t.Errorf("status %d with %q ended well", response.StatusCode, got)
			}
		})
	}
}

func TestTrailersOfAnAnswerPass(t *testing.T) {
	g := streaming(t, newCorpAuth(t), "", "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Usage")
		_, _ = io.WriteString(w, "data: 0\n\n")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Usage", "12")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	})
	response := g.open(t.Context(), t)
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "data: 0\n\n" || response.Trailer.Get("X-Usage") != "12" || response.Trailer.Get("X-Late") != "1" {
		t.Errorf("%q came with trailers %v, %v", body, response.Trailer, err)
	}
}

func TestEarlyHintsPass(t *testing.T) {
	hinted := make(chan struct{})
	g := streaming(t, newCorpAuth(t), "", "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		select {
		case <-hinted:
			_, _ = io.WriteString(w, "after the hint")
		case <-r.Context().Done():
		}
	})
	g.wantEarlyHint(t, hinted)
}

// wantEarlyHint fails the test unless a hint comes before the answer, which is made
// only once hinted is closed. It gives the answer, whose body has been read.
func (g *gateway) wantEarlyHint(t *testing.T, hinted chan<- struct{}) *http.Response {
	t.Helper()
	var hint atomic.Value
	ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hint.Store(fmt.Sprint(code, " ", header.Get("Link")))
			close(hinted)
			return nil
		},
	}), 10*time.Second)
	defer cancel()
	response := g.open(ctx, t)
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || string(body) != "after the hint" {
		t.Errorf("status %d with %q, %v", response.StatusCode, body, err)
	}
	if hint.Load() != "103 </style.css>; rel=preload" {
		t.Errorf("the hint was %v", hint.Load())
	}
	return response
}

// The token request that a client has started goes on without it: others wait
// for the same token, and the next request needs it.
func TestAClientThatLeavesWhileItWaitsForATokenLeavesTheTokenToTheNext(t *testing.T) {
	auth := newCorpAuth(t)
	asked, release := make(chan struct{}, 1), make(chan struct{})
	auth.setFault(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-release
		auth.handler.ServeHTTP(w, r)
	})
	var forwarded atomic.Int64
	g := streaming(t, auth, "", "log", func(http.ResponseWriter, *http.Request) { forwarded.Add(1) })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.url("/v1/chat/completions"), strings.NewReader(chat("corp/m")))
		r.Header.Set("Authorization", "Bearer gateway-key")
		response, err := g.client.Do(r)
		if err == nil {
			response.Body.Close()
		}
		left <- err
	}()
	<-asked
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	entry := accessEntries(t, g, 1)[0]
	if entry["status"] != 499.0 || entry["llm_provider"] != "corp" || entry["llm_token_wait"] == nil {
		t.Errorf("the access log says %v", entry)
	}
	close(release)
	g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
	if n := auth.tokenRequests.Load(); n != 1 || forwarded.Load() != 1 {
		t.Errorf("%d token requests and %d forwarded ones, want 1 and 1", n, forwarded.Load())
	}
}
