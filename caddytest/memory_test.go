package caddytest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// mostMemory is what requests may take of a gateway's memory beside what it takes at
// rest.
const mostMemory = 40 << 20

// wantMemory fails the test if the gateway takes more memory than it may. The most
// that it has taken since it was measured last depends on the garbage collector.
func (p *gatewayProcess) wantMemory(t *testing.T, what string) {
	t.Helper()
	m := p.measure()
	now, most, inUse := m.resident-p.idle.resident, m.most-p.idle.resident, m.inUse-p.idle.inUse
	figure(t, "memory", "%s: %.1f MiB more than at rest, %.1f MiB at most; %.1f MiB of heap and stacks", what, float64(now)/(1<<20), float64(most)/(1<<20), float64(inUse)/(1<<20))
	if raceDetector {
		// Its own memory grows with all that was ever used, and is never given back.
		now = inUse
	}
	if max(now, inUse) >= mostMemory {
		t.Errorf("%d bytes more than at rest, want less than %d", max(now, inUse), mostMemory)
	}
}

func compressedWith(t *testing.T, content []byte, writers ...func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	for _, writer := range writers {
		var compressed bytes.Buffer
		w := writer(&compressed)
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		content = compressed.Bytes()
	}
	return content
}

// A small body can become a large one.
func TestBodiesThatGrowTakeNoMemory(t *testing.T) {
	const requests, size = 24, 31 << 20
	asGzip := func(w io.Writer) io.WriteCloser {
		compressor, _ := gzip.NewWriterLevel(w, gzip.BestCompression)
		return compressor
	}
	asZstd := func(w io.Writer) io.WriteCloser {
		compressor, _ := zstd.NewWriter(w)
		return compressor
	}
	content := []byte(jsonOf(size))
	llm := newUpstream(t, nil)
	p := corpBoundTo(newCorpAuth(t), llm.URL, "", gatewayKey).startProcess(t)
	p.rest()
	before := llm.count()
	for name, test := range map[string]struct {
		body     []byte
		encoding string
		status   int
		code     string
	}{
		"gzip in gzip":         {compressedWith(t, content, asGzip, asGzip), "gzip, gzip", http.StatusUnsupportedMediaType, "unsupported_encoding"},
		"gzip":                 {compressedWith(t, content, asGzip), "gzip", http.StatusRequestEntityTooLarge, "body_too_large"},
		"zstd":                 {compressedWith(t, content, asZstd), "zstd", http.StatusRequestEntityTooLarge, "body_too_large"},
		"gzip that breaks off": {compressedWith(t, content, asGzip)[:256], "gzip", http.StatusBadRequest, "invalid_body"},
	} {
		t.Run(name, func(t *testing.T) {
			p.measure()
			var all sync.WaitGroup
			for range requests {
				all.Go(func() {
					p.post("/v1/chat/completions", string(test.body), append([]string{"Content-Encoding", test.encoding}, withKey...)...).
						wantError(t, test.status, "invalid_request_error", test.code)
				})
			}
			all.Wait()
			p.wantMemory(t, fmt.Sprintf("%d requests of %d bytes of %s that would become %d", requests, len(test.body), name, size))
		})
	}
	if llm.count() != before {
		t.Errorf("%d requests were forwarded", llm.count()-before)
	}
}

// A length is only what a client says.
func TestBodiesThatDoNotComeTakeNoMemory(t *testing.T) {
	const beginning = `{"model":"corp/m","x":"`
	site := corpBoundTo(newCorpAuth(t), newUpstream(t, nil).URL, "", gatewayKey)
	site.global = "servers {\n protocols h1 h2 h2c\n}"
	t.Run("over HTTP/1.1", func(t *testing.T) {
		const connections = 200
		p := site.startProcess(t)
		p.rest()
		for range connections {
			connection, err := net.Dial("tcp", p.address)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n"+beginning); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, 10*time.Second, func() bool { return p.measure().goroutines >= p.idle.goroutines+connections })
		p.wantMemory(t, fmt.Sprintf("%d connections that declare 1 MiB and send %d bytes", connections, len(beginning)))
	})
	t.Run("over HTTP/2", func(t *testing.T) {
		const streams = 240
		p := site.startProcess(t)
		p.rest()
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		var all sync.WaitGroup
		defer all.Wait()
		for range streams {
			reader, writer := io.Pipe()
			defer writer.CloseWithError(io.ErrUnexpectedEOF)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url("/v1/chat/completions"), reader)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = 1 << 20
			r.Header.Set("Api-Key", "gateway-key")
			r.Header.Set("Content-Type", "application/json")
			all.Go(func() {
				if response, err := transport.RoundTrip(r); err == nil {
					response.Body.Close()
				}
			})
			if _, err := io.WriteString(writer, beginning); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, 10*time.Second, func() bool { return p.measure().goroutines >= p.idle.goroutines+streams })
		p.wantMemory(t, fmt.Sprintf("%d streams that declare 1 MiB and send %d bytes", streams, len(beginning)))
	})
}

// A request of 1 MiB takes no memory any more once its answer has begun.
func TestOpenStreamsDoNotHoldTheirRequests(t *testing.T) {
	const streams, event = 100, "data: 0\n\n"
	for name, upstreamHTTP2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run("to an LLM of "+name, func(t *testing.T) {
			end := make(chan struct{})
			answer := func(w http.ResponseWriter, r *http.Request) {
				if n, err := io.Copy(io.Discard, r.Body); err != nil || n < 1<<19 {
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, event)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-end:
				case <-r.Context().Done():
				}
			}
			server, transport := newHTTP2Server(t, answer)
			if !upstreamHTTP2 {
				server, transport = httptest.NewServer(http.HandlerFunc(answer)), ""
				t.Cleanup(server.Close)
			}
			p := corpBoundTo(newCorpAuth(t), server.URL, transport, gatewayKey).startProcess(t)
			p.rest()
			defer close(end)
			body := strings.Replace(jsonOf(1<<20), `"x":`, `"stream":true,"x":`, 1)
			for range streams {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url("/v1/chat/completions"), strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Api-Key", "gateway-key")
				response, err := p.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if got, err := io.ReadAll(io.LimitReader(response.Body, int64(len(event)))); err != nil || string(got) != event {
					t.Fatalf("%q came, %v", got, err)
				}
			}
			p.wantMemory(t, fmt.Sprintf("%d open streams to an LLM of %s whose requests were 1 MiB", streams, name))
		})
	}
}
