package linger

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// dial connects to a server on loopback.
func dial(t *testing.T, server *httptest.Server) *peer {
	t.Helper()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	return &peer{Conn: connection, reader: bufio.NewReader(connection)}
}

// bodies are sizes around those that net/http takes off a connection by itself.
var bodies = []int{1, 256 << 10, 257 << 10, 3 << 20, 40 << 20}

func TestAClientThatSendsEverythingBeforeItReadsGetsTheAnswer(t *testing.T) {
	for way := range ways {
		server := httptest.NewServer(refusing(way, nil))
		defer server.Close()
		for _, size := range bodies {
			t.Run(fmt.Sprintf("%s, %d bytes with a length", way, size), func(t *testing.T) {
				p := dial(t, server)
				p.send(t, fmt.Sprintf("Content-Length: %d", size), strings.Repeat("x", size))
				p.wantRefusal(t)
				p.wantNextRequest(t)
			})
			t.Run(fmt.Sprintf("%s, %d bytes in chunks", way, size), func(t *testing.T) {
				p := dial(t, server)
				p.send(t, "Transfer-Encoding: chunked", chunked(size))
				p.wantRefusal(t)
				p.wantNextRequest(t)
			})
			t.Run(fmt.Sprintf("%s, %d bytes of which some were read", way, size), func(t *testing.T) {
				p := dial(t, server)
				p.send(t, fmt.Sprintf("Test-Read: 70000\r\nContent-Length: %d", size), strings.Repeat("x", size))
				p.wantRefusal(t)
				p.wantNextRequest(t)
			})
			t.Run(fmt.Sprintf("%s, %d bytes, then the client closes", way, size), func(t *testing.T) {
				p := dial(t, server)
				p.send(t, fmt.Sprintf("Connection: close\r\nContent-Length: %d", size), strings.Repeat("x", size))
				p.wantRefusal(t)
				p.wantEnd(t)
			})
		}
	}
}

func TestAClientThatReadsWhileItSendsGetsTheAnswer(t *testing.T) {
	for way := range ways {
		server := httptest.NewServer(refusing(way, nil))
		defer server.Close()
		for _, size := range append(bodies, 100<<20) {
			if size > mostBytes && way == "Discard" {
				// Nothing can be promised: the answer comes after the bounds.
				continue
			}
			for name, length := range map[string]int64{"with a length": int64(size), "in chunks": -1} {
				t.Run(fmt.Sprintf("%s, %d bytes %s", way, size, name), func(t *testing.T) {
					for range 3 {
						r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, io.LimitReader(endless{}, int64(size)))
						if err != nil {
							t.Fatal(err)
						}
						r.ContentLength = length
						response, err := server.Client().Do(r)
						if err != nil {
							t.Fatalf("the answer is lost: %v", err)
						}
						body, err := io.ReadAll(response.Body)
						response.Body.Close()
						if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge || string(body) != refusal {
							t.Fatalf("%d %q, %v", response.StatusCode, body, err)
						}
					}
				})
			}
		}
	}
}

// endless reads as x for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A body may hold what looks like a request. net/http would serve it.
func TestWhatIsLeftOfABodyIsNeverTheNextRequest(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
	for way := range ways {
		for name, sent := range map[string]string{
			"longer than what is read":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 70<<20, strings.Repeat(smuggled, 70<<20/len(smuggled)+1)),
			"chunks that are malformed": "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n" + strings.Repeat(smuggled, 1000),
			"trailers that are":         "Transfer-Encoding: chunked\r\n\r\n0\r\n: \r\n\r\n" + strings.Repeat(smuggled, 1000),
			"a body that others closed": "Test-Close: 1\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat(smuggled, 1000000/len(smuggled)+1),
			"one that others cut off":   "Test-Limit: 10\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat(smuggled, 1000000/len(smuggled)+1),
			"one that is held back":     "Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat(smuggled, 1000),
		} {
			t.Run(way+", "+name, func(t *testing.T) {
				var requests atomic.Int64
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests.Add(1)
					if r.Header.Get("Test-Close") != "" {
						r.Body.Close()
					}
					if r.Header.Get("Test-Limit") != "" {
						// Its ResponseWriter is wrapped: it cannot tell net/http.
						r.Body = http.MaxBytesReader(wrapped{w}, r.Body, 10)
					}
					r.Body = struct{ io.ReadCloser }{r.Body}
					ways[way](wrapped{w}, r)
				}))
				p := dial(t, server)
				go func() { _, _ = io.WriteString(p, "POST /v1/x HTTP/1.1\r\nHost: gateway.test\r\n"+sent) }()
				// Whether the answer arrives is not what this is about.
				_, _ = io.Copy(io.Discard, p.reader)
				server.Close()
				if n := requests.Load(); n != 1 {
					t.Errorf("%d requests were served, want 1", n)
				}
			})
		}
	}
}

func TestARequestWhoseBodyHasEndedKeepsItsConnection(t *testing.T) {
	for way := range ways {
		server := httptest.NewServer(refusing(way, nil))
		defer server.Close()
		for name, fields := range map[string]string{
			"no body":                "Content-Length: 0",
			"no body and no length":  "Test: 1",
			"one that was read":      "Test-Read: 5\r\nContent-Length: 5\r\n\r\nhello",
			"chunks that were read":  "Test-Read: 6\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
			"one that was asked for": "Expect: 100-continue\r\nTest-Read: 5\r\nContent-Length: 5\r\n\r\nhello",
		} {
			t.Run(way+", "+name, func(t *testing.T) {
				p := dial(t, server)
				head, body, _ := strings.Cut(fields, "\r\n\r\n")
				if strings.HasSuffix(body, "\r\n0") {
					body += "\r\n\r\n"
				}
				p.send(t, head, body)
				if strings.Contains(head, "Expect") {
					p.want(t, http.MethodPost, http.StatusContinue, "")
				}
				if response := p.wantRefusal(t); response.Close {
					t.Error("the answer says that the connection closes")
				}
				p.wantNextRequest(t)
			})
		}
	}
}

// Over HTTP/2 a stream is reset without harm to the answer.
func TestHTTP2IsLeftAlone(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			var major atomic.Int64
			server := httptest.NewUnstartedServer(refusing(way, func(r *http.Request) { major.Store(int64(r.ProtoMajor)) }))
			server.EnableHTTP2 = true
			server.StartTLS()
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, io.LimitReader(endless{}, 40<<20))
			if err != nil {
				t.Fatal(err)
			}
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if major.Load() != 2 || response.StatusCode != http.StatusRequestEntityTooLarge || response.Close {
				t.Errorf("%d over HTTP/%d, closing: %t", response.StatusCode, major.Load(), response.Close)
			}
		})
	}
}

// A ResponseWriter without deadlines is none of a server's: nothing bounds a
// Read, so nothing is read.
func TestAnAnswerThatCannotBeBoundedIsWrittenAsItIs(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			body := &io.LimitedReader{R: endless{}, N: 1 << 20}
			r := httptest.NewRequest(http.MethodPost, "/v1/x", body)
			w := httptest.NewRecorder()
			ways[way](w, r)
			if w.Code != http.StatusRequestEntityTooLarge || w.Body.String() != refusal || body.N != 1<<20 {
				t.Errorf("%d %s, %d bytes are left", w.Code, w.Body, body.N)
			}
		})
	}
}

func TestLeaveLeavesTheBodyAndWaitsForNone(t *testing.T) {
	for name, test := range map[string]struct {
		fields, body string
		closes       bool
	}{
		"a short body":                    {"Content-Length: 5", "hello", true},
		"a long one":                      {"Content-Length: 1000000", "hello", true},
		"one whose length is not known":   {"Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", true},
		"one that its client holds back":  {"Expect: 100-continue\r\nContent-Length: 1000000", "", true},
		"a request that has none at all":  {"Content-Length: 0", "", false},
		"a body that somebody still uses": {"Test-Use: 1\r\nContent-Length: 1000000", strings.Repeat("x", 1000000), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := serveInMemory(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodGet {
						_, _ = io.WriteString(w, "hello")
						return
					}
					Leave(w, r, Rest{Body: r.Body})
					if r.Header.Get("Test-Use") != "" {
						if n, err := io.Copy(io.Discard, r.Body); n != r.ContentLength || err != nil {
							t.Errorf("%d bytes were read, then %v", n, err)
						}
					}
					refuse(w)
				})})
				p := network.dial()
				defer p.Close()
				p.send(t, test.fields, "")
				go func() { _, _ = io.WriteString(p, test.body) }()
				started := time.Now()
				if response := p.wantRefusal(t); response.Close != test.closes || time.Since(started) > 0 {
					t.Errorf("the answer came after %v; it says that the connection closes: %t", time.Since(started), response.Close)
				}
				if test.closes {
					p.wantEnd(t)
				} else {
					p.wantNextRequest(t)
				}
			})
		})
	}
}

// An opaqueWriter hides all that a ResponseWriter can do but for its deadline.
type opaqueWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
}

func (w opaqueWriter) SetReadDeadline(deadline time.Time) error {
	return w.controller.SetReadDeadline(deadline)
}

func TestWithoutFullDuplexTheRestIsReadBeforeTheAnswer(t *testing.T) {
	for way := range ways {
		if way == "Overlap and Finish" {
			// There is nothing that could be done before the answer.
			continue
		}
		t.Run(way, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					_, _ = io.WriteString(w, "hello")
					return
				}
				ways[way](opaqueWriter{w, http.NewResponseController(w)}, r)
			}))
			defer server.Close()
			p := dial(t, server)
			p.send(t, fmt.Sprintf("Content-Length: %d", 3<<20), strings.Repeat("x", 3<<20))
			p.wantRefusal(t)
			p.wantNextRequest(t)
		})
	}
}
