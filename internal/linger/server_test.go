package linger

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// The ways in which a request is answered early.
var ways = map[string]http.HandlerFunc{
	"Respond": func(w http.ResponseWriter, r *http.Request) {
		Respond(w, r, Rest{Body: r.Body, Begun: begin(r)}, func() { refuse(w) })
	},
	"Discard": func(w http.ResponseWriter, r *http.Request) {
		Discard(w, r, Rest{Body: r.Body, Begun: begin(r)})
		refuse(w)
	},
	"Overlap and Finish": func(w http.ResponseWriter, r *http.Request) {
		Overlap(w, r)
		begun := begin(r)
		refuse(w)
		Finish(w, r, Rest{Body: r.Body, Begun: begun})
	},
}

// begin reads as much of a body as a header of the request says.
func begin(r *http.Request) bool {
	var size int64
	_, _ = fmt.Sscan(r.Header.Get("Test-Read"), &size)
	n, _ := io.CopyN(io.Discard, r.Body, size)
	return n > 0
}

const refusal = `{"error":"the request body is larger than this gateway accepts"}`

func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Length", fmt.Sprint(len(refusal)))
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	_, _ = io.WriteString(w, refusal)
}

// refusing serves GET requests, and refuses others in one of the ways. As in
// Caddy, others have wrapped the body and the ResponseWriter.
func refusing(way string, got func(*http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got != nil {
			got(r)
		}
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "hello")
			return
		}
		r.Body = struct{ io.ReadCloser }{r.Body}
		ways[way](wrapped{w}, r)
	})
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A memoryNetwork is a listener whose connections are in memory, for tests in
// a bubble of synctest.
type memoryNetwork struct {
	accepting chan net.Conn
	closed    chan struct{}
	once      sync.Once
}

func (m *memoryNetwork) Accept() (net.Conn, error) {
	select {
	case connection := <-m.accepting:
		return connection, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memoryNetwork) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (*memoryNetwork) Addr() net.Addr { return &net.TCPAddr{} }

func (m *memoryNetwork) dial() *peer {
	client, server := net.Pipe()
	m.accepting <- server
	return &peer{Conn: client, reader: bufio.NewReader(client)}
}

// serveInMemory starts a server, until the test ends.
func serveInMemory(t *testing.T, server *http.Server) *memoryNetwork {
	t.Helper()
	network := &memoryNetwork{accepting: make(chan net.Conn), closed: make(chan struct{})}
	go func() { _ = server.Serve(network) }()
	t.Cleanup(func() { server.Close() })
	return network
}

// A peer is the client's end of a connection.
type peer struct {
	net.Conn
	reader *bufio.Reader
}

// send writes the head of a POST and the beginning of its body.
func (p *peer) send(t *testing.T, fields, body string) {
	t.Helper()
	if _, err := io.WriteString(p, "POST /v1/x HTTP/1.1\r\nHost: gateway.test\r\n"+fields+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
}

// wantRefusal reads the answer.
func (p *peer) wantRefusal(t *testing.T) *http.Response {
	t.Helper()
	return p.want(t, http.MethodPost, http.StatusRequestEntityTooLarge, refusal)
}

func (p *peer) want(t *testing.T, method string, status int, body string) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(p.reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("the answer is lost: %v", err)
	}
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || string(got) != body {
		t.Fatalf("%d %q, %v; want %d %q", response.StatusCode, got, err, status, body)
	}
	return response
}

// wantNextRequest fails the test unless the connection is good for another one.
func (p *peer) wantNextRequest(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p, "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	p.want(t, http.MethodGet, http.StatusOK, "hello")
}

// wantEnd fails the test unless the server closes the connection, without
// another word.
func (p *peer) wantEnd(t *testing.T) {
	t.Helper()
	if more, err := io.ReadAll(p.reader); err != nil || len(more) > 0 {
		t.Errorf("%q and %v arrived, want nothing but the end", more, err)
	}
}

// chunked is a body in chunks, with its end.
func chunked(size int) string {
	const piece = 64 << 10
	var all strings.Builder
	for size > 0 {
		n := min(size, piece)
		fmt.Fprintf(&all, "%x\r\n%s\r\n", n, strings.Repeat("x", n))
		size -= n
	}
	return all.String() + "0\r\n\r\n"
}
