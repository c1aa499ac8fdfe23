package caddytest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestADroppedRequestIsRepeatedOnceAtMostOverHTTP2(t *testing.T) {
	for refusal, end := range refusals() {
		for name, encrypted := range map[string]bool{"": true, ", without TLS": false} {
			t.Run(refusal+name, func(t *testing.T) {
				llm := newResettingLLM(t, encrypted)
				g := corpBoundTo(newCorpAuth(t), llm.url(), llm.transport, gatewayKey+"default_provider corp").start(t)
				executions := make(map[int]int)
				for name, request := range droppedRequests() {
					t.Run(name, func(t *testing.T) {
						llm.become(false, nil)
						g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
						llm.become(false, end)
						executions[request.wantDropped(t, g, llm.arrived)]++
						// net/http dials one that it may not need, and the one before may count.
						if n := llm.connections.Load(); n > 5 {
							t.Errorf("%d connections were made, want at most 5", n)
						}
					})
				}
				figure(t, "dropped_http2", "%s%s: %d requests ran once and %d twice", refusal, name, executions[1], executions[2])
			})
		}
	}
}

// Nothing of such a request can have run, but an upstream that goes on like this must
// not keep the gateway busy.
func TestARequestThatIsRefusedBeforeItsEndDoesNotLoop(t *testing.T) {
	for refusal, end := range refusals() {
		t.Run(refusal, func(t *testing.T) {
			llm := newResettingLLM(t, true)
			g := corpBoundTo(newCorpAuth(t), llm.url(), llm.transport, gatewayKey).start(t)
			g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			llm.become(true, end)
			a := replayedRequest{body: jsonOf(1 << 20)}.send(t, g)
			a.wantError(t, http.StatusBadGateway, "upstream_error", "upstream_unreachable")
			begun, whole := llm.arrived()
			figure(t, "refused_early", "%s: the request began to arrive %d times, and %d connections were made", refusal, begun, llm.connections.Load())
			if begun > 4 || len(whole) != 0 || llm.connections.Load() > 4 {
				t.Errorf("the request arrived %d times, %d times whole, over %d new connections", begun, len(whole), llm.connections.Load())
			}
		})
	}
}

// A server shuts down as an update does it: another takes new connections, and it
// says GOAWAY over its own.
func TestNoRequestFailsWhileServersOfHTTP2AreReplaced(t *testing.T) {
	const total, clients = 4000, 16
	auth := newCorpAuth(t)
	ca := newAuthority(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	shared := &sharedListener{Listener: listener, accepted: make(chan net.Conn)}
	go shared.run()
	var arrived atomic.Int64
	serve := func() *http.Server {
		server := &http.Server{
			ReadHeaderTimeout: time.Minute, TLSConfig: ca.plainConfig(), ErrorLog: log.New(io.Discard, "", 0),
			Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				arrived.Add(1)
			}),
		}
		go func() { _ = server.ServeTLS(&closable{sharedListener: shared, closed: make(chan struct{})}, "", "") }()
		return server
	}
	server := serve()
	g := corpBoundTo(auth, "https://"+listener.Addr().String(), "transport http {\n tls_trust_pool file "+ca.file(t)+"\n}", gatewayKey).start(t)
	var sent, failed atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for sent.Add(1) <= total {
				if g.post("/v1/chat/completions", chat("corp/m"), withKey...).status != http.StatusOK {
					failed.Add(1)
				}
			}
		})
	}
	replaced := 0
	for sent.Load() < total {
		// A request may meet one end of a server, and not the next one's, too.
		next := min(sent.Load()+total/20, total)
		waitFor(t, time.Minute, func() bool { return sent.Load() >= next })
		old := server
		server = serve()
		_ = old.Shutdown(context.Background())
		replaced++
	}
	all.Wait()
	server.Close()
	figure(t, "goaway", "%d of %d requests failed while %d servers said GOAWAY, %d arrived", failed.Load(), total, replaced, arrived.Load())
	if failed.Load() != 0 || arrived.Load() > total+int64(total/100) {
		t.Errorf("%d of %d requests failed, %d arrived", failed.Load(), total, arrived.Load())
	}
}

// A sharedListener gives connections to whichever server accepts one.
type sharedListener struct {
	net.Listener
	accepted chan net.Conn
}

func (l *sharedListener) run() {
	defer close(l.accepted)
	for {
		connection, err := l.Accept()
		if err != nil {
			return
		}
		l.accepted <- connection
	}
}

// A closable is a server's part of a sharedListener.
type closable struct {
	*sharedListener
	once   sync.Once
	closed chan struct{}
}

func (l *closable) Accept() (net.Conn, error) {
	select {
	case connection, ok := <-l.accepted:
		if ok {
			return connection, nil
		}
	case <-l.closed:
	}
	return nil, net.ErrClosed
}

func (l *closable) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// The gateway lets a body go when its answer begins; what is sent of it until then
// goes on.
func TestAnEarlyRefusalReachesTheClientWhileTheBodyIsSent(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			g := route{upstreamHTTP2: http2}.start(t, "", func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				w.WriteHeader(http.StatusTooManyRequests)
				_ = http.NewResponseController(w).Flush()
				// Over HTTP/2, net/http stops sending.
				if !http2 {
					_, _ = io.Copy(io.Discard, r.Body)
				}
			})
			var refused atomic.Int64
			var all sync.WaitGroup
			const total, clients = 64, 8
			for range clients {
				all.Go(func() {
					for range total / clients {
						if g.post("/v1/chat/completions", jsonOf(1<<20), withKey...).status == http.StatusTooManyRequests {
							refused.Add(1)
						}
					}
				})
			}
			all.Wait()
			figure(t, "early_refusal", "HTTP/2 %v: %d of %d requests of 1 MiB were refused early", http2, refused.Load(), total)
			if refused.Load() != total {
				t.Errorf("%d of %d requests got the LLM's answer", refused.Load(), total)
			}
		})
	}
}
