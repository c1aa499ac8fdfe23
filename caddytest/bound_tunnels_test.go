package caddytest

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// An http2Tunnel is a connection on which a CONNECT is the only request. Go's
// client cannot make one of a WebSocket.
type http2Tunnel struct {
	t *testing.T
	net.Conn
}

// The types and flags of frames (RFC 9113 §6).
const (
	frameData, frameHeaders, frameReset, frameSettings = 0, 1, 3, 4
	flagEndStream, flagEndHeaders                      = 1, 4
)

func openTunnel(t *testing.T, address string, fields ...string) http2Tunnel {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	tunnel := http2Tunnel{t, connection}
	if _, err := io.WriteString(connection, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	tunnel.send(frameSettings, 0, 0, "")
	block := ""
	for i := 0; i < len(fields); i += 2 {
		// A literal with its name, not indexed (RFC 7541 §6.2.2).
		block += "\x00" + string(byte(len(fields[i]))) + fields[i] + string(byte(len(fields[i+1]))) + fields[i+1]
	}
	tunnel.send(frameHeaders, flagEndHeaders, 1, block)
	return tunnel
}

func (c http2Tunnel) send(kind, flags byte, stream uint32, payload string) {
	c.t.Helper()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), stream)
	if _, err := io.WriteString(c, string(head)+payload); err != nil {
		c.t.Fatal(err)
	}
}

// next is the next frame of the request's stream.
func (c http2Tunnel) next() (kind, flags byte, payload string) {
	c.t.Helper()
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			c.t.Fatal(err)
		}
		size := binary.BigEndian.Uint32(head) >> 8
		content := make([]byte, size)
		if _, err := io.ReadFull(c, content); err != nil {
			c.t.Fatal(err)
		}
		switch kind := head[3]; kind {
		case frameData, frameHeaders, frameReset:
			return kind, head[4], string(content)
		}
	}
}

// A WebSocket over HTTP/2 is a CONNECT whose body is the tunnel, one over HTTP/3
// is the same.
func TestAWebSocketOverHTTP2PassesBothWays(t *testing.T) {
	const setting = "http2xconnect=1"
	if !strings.Contains(os.Getenv("GODEBUG"), setting) {
		// Go's server reads it only when a process starts.
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), "GODEBUG="+setting)
		if output, err := again.CombinedOutput(); err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, output)
		}
		return
	}
	for name, bound := range map[string]bool{"to a base_url": true, "to a static upstream": false} {
		for ended, byClient := range map[string]bool{"the client ends it": true, "the upstream ends it": false} {
			t.Run(name+", "+ended, func(t *testing.T) {
				auth := newCorpAuth(t)
				accepted, requests := make(chan net.Conn, 1), make(chan received, 1)
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests <- received{method: r.Method, uri: r.RequestURI, header: r.Header.Clone()}
					connection, _, err := w.(http.Hijacker).Hijack()
					if err != nil {
						return
					}
					_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+webSocketAccept(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
					accepted <- connection
				}))
				defer server.Close()
				site := corpSite{auth: auth, upstream: strings.TrimPrefix(server.URL, "http://"), directive: gatewayKey}
				if bound {
					site = corpBoundTo(auth, server.URL, "", gatewayKey)
				}
				site.global = "servers {\n protocols h1 h2 h2c\n}"
				g := site.start(t)
				tunnel := openTunnel(t, g.address, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "gateway.test",
					":path", "/v1/realtime?model=corp%2Fgpt-realtime", "sec-websocket-version", "13", "api-key", "gateway-key")
				// The first field is `:status: 200`, from the static table.
				if kind, _, block := tunnel.next(); kind != frameHeaders || !strings.HasPrefix(block, "\x88") {
					t.Fatalf("frame %d with %q came", kind, block)
				}
				got, upstream := <-requests, <-accepted
				defer upstream.Close()
				_ = upstream.SetDeadline(time.Now().Add(20 * time.Second))
				wantToken(t, auth, got.header, "Authorization", "Bearer ")
				if got.method != http.MethodGet || got.uri != "/v1/realtime?model=gpt-realtime" {
					t.Errorf("%s %s arrived", got.method, got.uri)
				}
				tunnel.send(frameData, 0, 1, "hello")
				message := make([]byte, 5)
				if _, err := io.ReadFull(upstream, message); err != nil || string(message) != "hello" {
					t.Fatalf("%q arrived, %v", message, err)
				}
				if _, err := io.WriteString(upstream, "world"); err != nil {
					t.Fatal(err)
				}
				if kind, _, text := tunnel.next(); kind != frameData || text != "world" {
					t.Fatalf("frame %d with %q came", kind, text)
				}
				if byClient {
					tunnel.send(frameData, flagEndStream, 1, "")
					if rest, err := io.ReadAll(upstream); err != nil || len(rest) > 0 {
						t.Errorf("%q arrived, %v", rest, err)
					}
				}
				upstream.Close()
				if kind, flags, text := tunnel.next(); kind != frameReset && (flags&flagEndStream == 0 || text != "") {
					t.Errorf("frame %d with %q came", kind, text)
				}
			})
		}
	}
}
