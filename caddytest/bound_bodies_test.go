package caddytest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A body that is too long to be sent again is not held: its first half arrives
// before the second is sent.
func TestABodyOverMaxBodyStreamsToTheBaseURL(t *testing.T) {
	const half, piece = 300_000, 50_000
	text := strings.Repeat("0123456789", 2*half/10)
	for name, test := range map[string]struct {
		http2, fixed, chunked bool
		uri, body             string
	}{
		"a file with a length":                     {uri: "/v1/files", body: text},
		"a file in chunks":                         {uri: "/v1/files", body: text, chunked: true},
		"a file with a length over HTTP/2":         {uri: "/v1/files", body: text, http2: true},
		"a file in chunks over HTTP/2":             {uri: "/v1/files", body: text, http2: true, chunked: true},
		"a part of an upload":                      {uri: "/v1/uploads/upload-1/parts", body: text},
		"JSON for a fixed provider, with a length": {uri: "/v1/chat/completions", body: sized(2 * half), fixed: true},
		"JSON for a fixed provider, in chunks":     {uri: "/v1/chat/completions", body: sized(2 * half), fixed: true, chunked: true},
		"what is no JSON, in chunks":               {uri: "/v1/x", body: text, chunked: true},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newCorpAuth(t)
			arrived, requests := make(chan struct{}, 1), make(chan received, 1)
			answer := func(_ http.ResponseWriter, r *http.Request) {
				sum := sha256.New()
				_, _ = io.CopyN(sum, r.Body, half)
				arrived <- struct{}{}
				_, _ = io.Copy(sum, r.Body)
				requests <- received{uri: r.RequestURI, proto: r.Proto, header: r.Header.Clone(), body: sum.Sum(nil), contentLength: r.ContentLength}
			}
			var server *httptest.Server
			provider := ""
			if test.http2 {
				server, provider = newHTTP2Server(t, answer)
			} else {
				server = httptest.NewServer(http.HandlerFunc(answer))
				defer server.Close()
			}
			site := corpBoundTo(auth, server.URL+"/base/api", provider, gatewayKey+"max_body 64KiB")
			if site.fixed = test.fixed; !test.fixed {
				site.directive += "\ndefault_provider corp"
			}
			g := site.start(t)
			connection, err := net.Dial("tcp", g.address)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
			send := func(text string) {
				if _, err := io.WriteString(connection, text); err != nil {
					t.Fatal(err)
				}
			}
			head, first, second := length(test.body), test.body[:half], test.body[half:]
			if test.chunked {
				head, first, second = "Transfer-Encoding: chunked", strings.TrimSuffix(chunks(first, piece), "0\r\n\r\n"), chunks(second, piece)
			}
			send("POST " + test.uri + " HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\n" + head + "\r\n\r\n" + first)
			select {
			case <-arrived:
			case <-time.After(20 * time.Second):
				t.Fatal("the first half did not arrive before the second was sent")
			}
			send(second)
			got := <-requests
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
			if sum := sha256.Sum256([]byte(test.body)); !bytes.Equal(got.body, sum[:]) {
				t.Error("another body arrived")
			}
			if want := "/base/api" + strings.TrimPrefix(test.uri, "/v1"); got.uri != want || test.http2 != (got.proto == "HTTP/2.0") {
				t.Errorf("%s %s arrived, want %s", got.proto, got.uri, want)
			}
			if want := int64(len(test.body)); got.contentLength != want && (!test.chunked || got.contentLength != -1) {
				t.Errorf("the length is %d, want %d", got.contentLength, want)
			}
		})
	}
}

// A body without a length, in chunks of one byte.
func TestAChunkedBodyReachesABoundProviderWhole(t *testing.T) {
	for name, path := range map[string]string{"JSON": "/v1/chat/completions", "a file": "/v1/files"} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, http2), func(t *testing.T) {
				g, auth, up := boundTo(t, http2, "", "default_provider corp")
				body := sized(5000)
				g.wire(t, "POST "+path+" HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\nTransfer-Encoding: chunked\n\n"+strings.ReplaceAll(chunks(body, 1), "\r\n", "\n")).wantStatus(t, http.StatusOK)
				got := up.last(t)
				if path != "/v1/files" {
					body = withoutPrefix(body)
				}
				if string(got.body) != body || got.contentLength != int64(len(body)) {
					t.Errorf("%d bytes of length %d arrived", len(got.body), got.contentLength)
				}
				wantToken(t, auth, got.header, "Authorization", "Bearer ")
			})
		}
	}
}
