package caddytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestNoCredentialTravelsInATrailer(t *testing.T) {
	const evil = "Authorization: Bearer evil\nX-Api-Key: evil\nX-Token: evil\nCookie: evil\nX-Group: evil\nX-Checksum: 1\n"
	for name, test := range map[string]struct {
		fixed          bool
		announced      string
		body, trailers string
		// checksum is what arrives of the trailer that is nobody's business.
		checksum string
	}{
		"a body that is held":              {announced: "Authorization, X-Api-Key, X-Token, X-Group, X-Checksum", body: chat("corp/m"), trailers: evil, checksum: "1"},
		"a body that streams":              {announced: "Authorization, X-Checksum", body: "RIFF", trailers: evil, checksum: "1"},
		"a fixed provider":                 {fixed: true, announced: "Authorization, X-Checksum, X-Token, Cookie", body: "{}", trailers: evil, checksum: "1"},
		"an announcement in lower case":    {fixed: true, announced: "authorization,x-checksum", body: "{}", trailers: "authorization: evil\nx-checksum: 1\n", checksum: "1"},
		"trailers that are not announced":  {fixed: true, announced: "X-Checksum", body: "{}", trailers: evil, checksum: "1"},
		"no announcement at all":           {body: "RIFF", trailers: evil},
		"nothing but credentials":          {announced: "Authorization", body: chat("corp/m"), trailers: "Authorization: Bearer evil\n"},
		"underscores":                      {fixed: true, announced: "X_Api_Key, X-Checksum", body: "{}", trailers: "X_Api_Key: evil\nX-Checksum: 1\n", checksum: "1"},
		"an announcement that never comes": {fixed: true, announced: "Authorization, X-Checksum", body: "{}", checksum: ""},
	} {
		t.Run(name, func(t *testing.T) {
			auth, up := newCorpAuth(t), newUpstream(t, nil)
			g := corpSite{
				auth: auth, upstream: up.address(), fixed: test.fixed, provider: "place header X-Token\nheader_up X-Group g",
				directive: gatewayKey + "default_provider corp",
			}.start(t)
			announcement := ""
			if test.announced != "" {
				announcement = "Trailer: " + test.announced + "\n"
			}
			g.wire(t, fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n%sTransfer-Encoding: chunked\n\n%x\n%s\n0\n%s\n",
				announcement, len(test.body), test.body, test.trailers)).wantStatus(t, http.StatusOK)
			got := up.last(t)
			for field, values := range got.trailer {
				if field != "X-Checksum" {
					t.Errorf("the trailer %s arrived as %q", field, values)
				}
			}
			if checksum := got.trailer.Get("X-Checksum"); checksum != test.checksum {
				t.Errorf("the trailer X-Checksum arrived as %q, want %q", checksum, test.checksum)
			}
			wantToken(t, auth, got.header, "X-Token", "")
		})
	}
}

// The upstream sees the trailers of a body only after its end: a copy of them
// that is made too early is empty.
func TestTrailersOfALongBodyArriveAfterIt(t *testing.T) {
	wantTrailersAfterALongBody(t, func(url string) *gateway {
		return corpSite{auth: newCorpAuth(t), upstream: strings.TrimPrefix(url, "http://"), directive: gatewayKey, fixed: true}.start(t)
	})
}

// wantTrailersAfterALongBody fails the test unless a body streams to an upstream
// and its trailers follow, less those that are credentials.
func wantTrailersAfterALongBody(t *testing.T, start func(url string) *gateway) {
	t.Helper()
	const half = 300_000
	arrived, trailers := make(chan struct{}, 1), make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, half)
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer.Clone()
	}))
	defer server.Close()
	g := start(server.URL)
	connection, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	piece := fmt.Sprintf("%x\r\n%s\r\n", half, strings.Repeat("x", half))
	send := func(text string) {
		if _, err := io.WriteString(connection, text); err != nil {
			t.Fatal(err)
		}
	}
	send("POST /v1/x HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\nTrailer: Authorization, X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n" + piece)
	select {
	case <-arrived:
	case <-time.After(20 * time.Second):
		t.Fatal("the first half did not arrive before the second was sent")
	}
	send(piece + "0\r\nAuthorization: Bearer evil\r\nX-Checksum: 1\r\n\r\n")
	got := <-trailers
	if got.Get("X-Checksum") != "1" || got["Authorization"] != nil {
		t.Errorf("the trailers are %v, want X-Checksum alone", got)
	}
}

// Caddy wraps request bodies, so net/http does not see that a client waits to be
// asked for one, and would wait for it before it sends the answer.
func TestAnAnswerDoesNotWaitForABodyThatNobodyWants(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "max_body 1MiB"}.start(t)
	const head = "POST %s HTTP/1.1\r\nHost: gateway.test\r\n%s\r\nContent-Length: %d\r\n\r\n"
	const waiting = "Api-Key: gateway-key\r\nExpect: 100-continue\r\nContent-Type: "
	for name, test := range map[string]struct {
		path, header string
		length       int
		status       int
		kind, code   string
	}{
		"JSON that is too long":     {"/v1/x", waiting + "application/json", 1<<20 + 1, 413, "invalid_request_error", "body_too_large"},
		"a form that is too long":   {"/v1/x", waiting + "multipart/form-data; boundary=b", 1<<20 + 1, 413, "invalid_request_error", "body_too_large"},
		"a client that did not ask": {"/v1/x", "Api-Key: gateway-key", 1<<20 + 1, 413, "invalid_request_error", "body_too_large"},
		"a client without a key":    {"/v1/x", "Expect: 100-continue", 100_000, 401, "authentication_error", "invalid_api_key"},
		"a path with a dot segment": {"/v1/../x", waiting + "application/json", 100_000, 400, "invalid_request_error", "invalid_path"},
	} {
		t.Run(name, func(t *testing.T) {
			// ReadResponse returns the first answer, a 100 too.
			response, _, _ := g.exchange(t, http.MethodPost, fmt.Appendf(nil, head, test.path, test.header, test.length))
			body, _ := io.ReadAll(response.Body)
			answer{response.StatusCode, response.Header, string(body)}.wantError(t, test.status, test.kind, test.code)
		})
	}
	if auth.tokenRequests.Load() != 0 || up.count() != 0 {
		t.Error("a token was fetched or a request forwarded")
	}
	t.Run("a body that fits is asked for", func(t *testing.T) {
		body := chat("corp/gpt-4o")
		response, reader, connection := g.exchange(t, http.MethodPost, fmt.Appendf(nil, head, "/v1/x", waiting+"application/json", len(body)))
		if response.StatusCode != http.StatusContinue {
			t.Fatalf("status %d, want 100", response.StatusCode)
		}
		if _, err := io.WriteString(connection, body); err != nil {
			t.Fatal(err)
		}
		// The upstream's own 100 passes, too.
		for response.StatusCode == http.StatusContinue {
			var err error
			if response, err = http.ReadResponse(reader, nil); err != nil {
				t.Fatal(err)
			}
		}
		if response.StatusCode != http.StatusOK {
			t.Errorf("status %d, want 200", response.StatusCode)
		}
	})
}

func TestNeitherHostNorAnAbsoluteURIChoosesAProvider(t *testing.T) {
	auth, up, other := newCorpAuth(t), newUpstream(t, nil), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey}.start(t)
	body := chat("corp/gpt-4o")
	for name, lines := range map[string]string{
		"the host is another's":         "POST /v1/chat/completions HTTP/1.1\nHost: " + other.address(),
		"the URI is absolute":           "POST http://" + other.address() + "/v1/chat/completions HTTP/1.1\nHost: gateway.test",
		"the URI has a user and a host": "POST http://user:evil@" + other.address() + "/v1/chat/completions HTTP/1.1\nHost: gateway.test",
		"X-Forwarded-Host and others":   "POST /v1/chat/completions HTTP/1.1\nHost: gateway.test\nX-Forwarded-Host: " + other.address() + "\nX-Provider: zzz\nX-Original-URL: http://" + other.address(),
	} {
		t.Run(name, func(t *testing.T) {
			before := up.count()
			g.wire(t, fmt.Sprintf("%s\nApi-Key: gateway-key\nContent-Length: %d\n\n%s", lines, len(body), body)).wantStatus(t, http.StatusOK)
			if up.count() != before+1 || other.count() != 0 {
				t.Errorf("%d requests arrived, %d where they do not belong", up.count()-before, other.count())
			}
			got := up.last(t)
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
			if got.uri != "/v1/chat/completions" {
				t.Errorf("the URI arrived as %s", got.uri)
			}
		})
	}
	t.Run("a host that is a provider's name", func(t *testing.T) {
		body := chat("gpt-4o")
		g.wire(t, fmt.Sprintf("POST /corp/v1/chat/completions?provider=corp HTTP/1.1\nHost: corp\nX-Provider: corp\nApi-Key: gateway-key\nContent-Length: %d\n\n%s", len(body), body)).
			wantError(t, 404, "invalid_request_error", "model_not_found")
	})
}

func TestDotSegmentsAreRefused(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	body := chat("corp/gpt-4o")
	paths := []string{
		"/v1/chat/../../admin/%2e%2e/x", "/v1/../admin", "/v1/./chat/completions", "/..", "/v1/chat/completions/..",
		"/v1/%2e%2e/admin", "/v1/%2E./admin", "/v1/..%2fadmin", "/v1/..%5Cadmin", "/v1/..\\admin",
		"/v1/%252e%252e/admin", "/v1/..%252fadmin", "/v1/..;a=1/admin", "/v1/%2e%2e%3Ba/admin",
		"/v1/models/..%2f..%2fadmin", "/v1/models/corp%2F..%2Fgpt", "/v1/files/../admin",
	}
	for _, fixed := range []bool{false, true} {
		g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp\nunknown_model pass", fixed: fixed}.start(t)
		for _, path := range paths {
			t.Run(fmt.Sprintf("%s, fixed %v", path, fixed), func(t *testing.T) {
				g.wire(t, fmt.Sprintf("POST %s HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\nContent-Length: %d\n\n%s", path, len(body), body)).
					wantError(t, 400, "invalid_request_error", "invalid_path")
			})
		}
	}
	if up.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Errorf("%d requests were forwarded, %d tokens fetched, want none", up.count(), auth.tokenRequests.Load())
	}
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp"}.start(t)
	for _, path := range []string{"/v1/a..b/c", "/v1/...", "/v1/.well-known/x", "/v1/x/file.tar.gz", "/v1//x"} {
		t.Run("no dot segment is in "+path, func(t *testing.T) {
			g.wire(t, "GET "+path+" HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n\n").wantStatus(t, http.StatusOK)
			if got := up.last(t).uri; got != path {
				t.Errorf("%s arrived", got)
			}
		})
	}
}
