package caddytest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A resettingLLM speaks HTTP/2 on raw frames, and counts what arrives.
type resettingLLM struct {
	net.Listener
	scheme string
	// transport is the provider's that trusts it.
	transport string

	mu sync.Mutex
	// end is what becomes of a request that has come to its end, of its beginning
	// if early is set: nil answers it.
	end   func(c *http2Conn, stream uint32)
	early bool
	// begun counts the requests that have begun to arrive, whole are the headers of
	// those that came to their end.
	begun int
	whole []http.Header
	open  []net.Conn
	// connections counts those that were made.
	connections atomic.Int64
}

// An http2Conn is the server's end of a connection. Frames are written by the
// goroutine that reads.
type http2Conn struct {
	net.Conn
	*http2.Framer
	headers map[uint32]http.Header
}

// newResettingLLM starts one that speaks TLS, or HTTP/2 alone.
func newResettingLLM(t *testing.T, encrypted bool) *resettingLLM {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &resettingLLM{Listener: listener, scheme: "http", transport: "transport http {\n versions h2c 2\n}"}
	if encrypted {
		ca := newAuthority(t)
		config := ca.plainConfig()
		config.NextProtos = []string{"h2"}
		l.Listener, l.scheme = tls.NewListener(listener, config), "https"
		l.transport = "transport http {\n tls_trust_pool file " + ca.file(t) + "\n}"
	}
	t.Cleanup(func() {
		l.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, connection := range l.open {
			connection.Close()
		}
	})
	go func() {
		for {
			connection, err := l.Accept()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.open = append(l.open, connection)
			l.connections.Add(1)
			l.mu.Unlock()
			go l.serve(connection)
		}
	}()
	return l
}

func (l *resettingLLM) url() string { return l.scheme + "://" + l.Addr().String() }

// become changes what becomes of requests, and forgets what has arrived.
func (l *resettingLLM) become(early bool, end func(c *http2Conn, stream uint32)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.early, l.end, l.begun, l.whole = early, end, 0, nil
	l.connections.Store(0)
}

func (l *resettingLLM) arrived() (begun int, whole []http.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun, slices.Clone(l.whole)
}

func (l *resettingLLM) serve(connection net.Conn) {
	defer connection.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(connection, preface); err != nil {
		return
	}
	c := &http2Conn{connection, http2.NewFramer(connection, connection), make(map[uint32]http.Header)}
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if c.WriteSettings() != nil {
		return
	}
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			if _, ok := errors.AsType[http2.StreamError](err); ok {
				continue
			}
			return
		}
		l.take(c, frame)
	}
}

func (l *resettingLLM) take(c *http2Conn, frame http2.Frame) {
	stream := frame.Header().StreamID
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			_ = c.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			_ = c.WritePing(true, frame.Data)
		}
	case *http2.MetaHeadersFrame:
		if c.headers[stream] == nil {
			c.headers[stream] = make(http.Header)
			for _, field := range frame.Fields {
				c.headers[stream].Add(field.Name, field.Value)
			}
			l.begins(c, stream)
		}
		if frame.StreamEnded() {
			l.ends(c, stream)
		}
	case *http2.DataFrame:
		if n := uint32(len(frame.Data())); n > 0 {
			_ = c.WriteWindowUpdate(0, n)
			_ = c.WriteWindowUpdate(stream, n)
		}
		if frame.StreamEnded() {
			l.ends(c, stream)
		}
	}
}

// begins notes that a request begins to arrive.
func (l *resettingLLM) begins(c *http2Conn, stream uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun++
	if l.early && l.end != nil {
		l.end(c, stream)
	}
}

// ends notes that a request has come to its end.
func (l *resettingLLM) ends(c *http2Conn, stream uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = append(l.whole, c.headers[stream])
	switch {
	case l.end == nil:
		c.answer(stream)
	case !l.early:
		l.end(c, stream)
	}
}

func (c *http2Conn) answer(stream uint32) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":status", "200"}, {"content-type", "application/json"}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = c.WriteData(stream, true, []byte("{}"))
}

// refusals are the ways of an upstream of HTTP/2 to end a request without an answer.
func refusals() map[string]func(c *http2Conn, stream uint32) {
	resets := func(code http2.ErrCode) func(c *http2Conn, stream uint32) {
		return func(c *http2Conn, stream uint32) { _ = c.WriteRSTStream(stream, code) }
	}
	// The request and all that come after it were not looked at.
	goesAway := func(code http2.ErrCode) func(c *http2Conn, stream uint32) {
		return func(c *http2Conn, stream uint32) { _ = c.WriteGoAway(stream-min(stream, 2), code, nil) }
	}
	return map[string]func(c *http2Conn, stream uint32){
		"RST_STREAM PROTOCOL_ERROR":                 resets(http2.ErrCodeProtocol),
		"RST_STREAM REFUSED_STREAM":                 resets(http2.ErrCodeRefusedStream),
		"RST_STREAM INTERNAL_ERROR":                 resets(http2.ErrCodeInternal),
		"GOAWAY with a lower last stream":           goesAway(http2.ErrCodeNo),
		"GOAWAY with a lower last stream and error": goesAway(http2.ErrCodeInternal),
		"an end without GOAWAY":                     func(c *http2Conn, _ uint32) { c.Close() },
	}
}
