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

func TestDotSegmentsNeverReachABaseURL(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	body := chat("corp/gpt-4o")
	paths := []string{
		"/v1/chat/../../admin/%2e%2e/x", "/v1/../admin", "/v1/./chat/completions", "/..", "/.", "/v1/chat/completions/..",
		"/v1/%2e%2e/admin", "/v1/%2E./admin", "/v1/.%2e/admin", "/v1/..%2fadmin", "/v1%2f..%2fadmin", "/v1/..%5Cadmin", "/v1/..\\admin", "/v1\\..\\admin",
		"/v1/%252e%252e/admin", "/v1/..%252fadmin", "/v1/..%255cadmin", "/v1/..;a=1/admin", "/v1/%2e%2e%3Ba/admin", "/v1/..%253b/admin",
		"/base/api/../admin", "/base/api/%2e%2e/admin", "/base/../base/api/x", "/v1/models/..%2f..%2fadmin", "/v1/models/corp%2F..%2Fgpt", "/v1/models/corp%2F%252e%252e",
		"/openai/deployments/corp%2F..%2Fx/chat", "/openai/deployments/corp%2F../chat", "/v1/files/../admin", "http://other.test/v1/../admin",
	}
	for _, base := range []string{"", "/", "/base/api"} {
		for _, fixed := range []bool{false, true} {
			site := corpBoundTo(auth, up.URL+base, "", gatewayKey+"default_provider corp\nunknown_model pass")
			site.fixed = fixed
			g := site.start(t)
			for _, path := range paths {
				t.Run(fmt.Sprintf("%s, base %q, fixed %v", path, base, fixed), func(t *testing.T) {
					g.wire(t, fmt.Sprintf("POST %s HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\nContent-Length: %d\n\n%s", path, len(body), body)).
						wantError(t, 400, "invalid_request_error", "invalid_path")
				})
			}
		}
	}
	if up.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Errorf("%d requests were forwarded, %d tokens fetched, want none", up.count(), auth.tokenRequests.Load())
	}
}

func TestPathsAndQueriesReachABaseURLByteForByte(t *testing.T) {
	for base, tests := range map[string]map[string]string{
		"/base/api": {
			"/v1": "/base/api", "/v1/": "/base/api/", "/": "/base/api/", "/v1?a=1": "/base/api?a=1", "/v1/x?": "/base/api/x?", "/?a": "/base/api/?a",
			"/v1/x%2Fy": "/base/api/x%2Fy", "/v1/x%2fy": "/base/api/x%2fy", "/v1%2Fx": "/base/api/v1%2Fx", "/%761/x": "/base/api/%761/x",
			"/v1//x": "/base/api//x", "/v1/x//": "/base/api/x//", "//v1/x": "/base/api//v1/x", "//other.test/x": "/base/api//other.test/x", "///": "/base/api///",
			"/v1/x;a=1": "/base/api/x;a=1", "/v1/x%3Fy%23z": "/base/api/x%3Fy%23z", "/v1/%5Cx": "/base/api/%5Cx", "/v1/a%20b%25": "/base/api/a%20b%25", "/v1/%C3%A4%FF": "/base/api/%C3%A4%FF",
			"/v1/a..b/...": "/base/api/a..b/...", "/v1/.well-known": "/base/api/.well-known", "/v1beta/x": "/base/api/v1beta/x", "/V1/x": "/base/api/V1/x", "/x/v1/y": "/base/api/x/v1/y", "/v1/v1/x": "/base/api/v1/x",
			"/base/api/x": "/base/api/x", "/base/api": "/base/api", "/base/api2": "/base/api/base/api2", "/base%2Fapi/x": "/base/api/base%2Fapi/x", "/v1/base/api/x": "/base/api/base/api/x",
			"/v1/x?q=../..%2f&r=/../": "/base/api/x?q=../..%2f&r=/../", "/v1/x?a=http://other.test/&b=%zz": "/base/api/x?a=http://other.test/&b=%zz",
			"/@other.test/x": "/base/api/@other.test/x", "/v1:80/x": "/base/api/v1:80/x",
		},
		"": {
			"/v1/x": "/v1/x", "/": "/", "//other.test/x": "//other.test/x", "/v1/x%2Fy": "/v1/x%2Fy", "/v1//x": "/v1//x", "/?a=1": "/?a=1", "/v1/x?": "/v1/x?",
			"//": "//", "/v1/x;a=1": "/v1/x;a=1",
		},
		"/a%2Fb/":    {"/v1/x": "/a%2Fb/x", "/a%2Fb/x": "/a%2Fb/x", "/a/b/x": "/a%2Fb/a/b/x"},
		"/v1":        {"/v1/x": "/v1/x", "/x": "/v1/x", "/v1/v1/x": "/v1/v1/x", "/v1": "/v1"},
		"?version=1": {"/v1/x": "/v1/x?version=1", "/": "/?version=1"},
		"/b?v=1&w=%20": {
			"/v1/x": "/b/x?v=1&w=%20", "/v1/x?": "/b/x?v=1&w=%20", "/v1/x?v=2": "/b/x?v=1&w=%20", "/v1/x?a=%20+&v=2&b&&V2=3": "/b/x?a=%20+&b&V2=3&v=1&w=%20",
			"/v1/x?%76=2&w&v": "/b/x?v=1&w=%20", "/v1/x?a=1;v=2": "/b/x?v=1&w=%20", "/v1/x?V=2&a=1": "/b/x?a=1&v=1&w=%20", "/v1/x?model=corp/m&v=2": "/b/x?model=m&v=1&w=%20",
		},
	} {
		auth, up := newCorpAuth(t), newUpstream(t, nil)
		g := corpBoundTo(auth, up.URL+base, "", gatewayKey+"default_provider corp").start(t)
		for uri, want := range tests {
			t.Run(fmt.Sprintf("%s, base %q", uri, base), func(t *testing.T) {
				g.wire(t, "GET "+uri+" HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n\n").wantStatus(t, http.StatusOK)
				if got := up.last(t); got.uri != want || got.host != up.address() {
					t.Errorf("%s for %s arrived, want %s", got.uri, got.host, want)
				}
			})
		}
	}
}

func TestNothingInARequestChoosesAnotherUpstreamThanTheBaseURL(t *testing.T) {
	auth, up, other := newCorpAuth(t), newUpstream(t, nil), newUpstream(t, nil)
	body := chat("corp/gpt-4o")
	_, port, _ := net.SplitHostPort(other.address())
	g := corpBoundTo(auth, up.URL+"/base/api", "", gatewayKey).start(t)
	for name, lines := range map[string]string{
		"the host is another's":            "POST /v1/chat/completions HTTP/1.1\nHost: " + other.address(),
		"the URI is absolute":              "POST http://" + other.address() + "/v1/chat/completions HTTP/1.1\nHost: gateway.test",
		"the URI is absolute, with https":  "POST https://" + other.address() + "/v1/chat/completions HTTP/1.1\nHost: gateway.test",
		"the URI has a user and a host":    "POST http://user:evil@" + other.address() + "/v1/chat/completions HTTP/1.1\nHost: gateway.test",
		"the path begins with a host":      "POST //" + other.address() + "/v1/chat/completions HTTP/1.1\nHost: gateway.test",
		"X-Forwarded-Host and others":      "POST /v1/chat/completions HTTP/1.1\nHost: gateway.test\nX-Forwarded-Host: " + other.address() + "\nX-Original-URL: http://" + other.address(),
		"a port in the query and a header": "POST /v1/chat/completions?base_url=" + other.URL + "&port=" + port + " HTTP/1.1\nHost: gateway.test\nX-Base-URL: " + other.URL,
		"members that LiteLLM takes":       "POST /v1/chat/completions HTTP/1.1\nHost: gateway.test",
	} {
		t.Run(name, func(t *testing.T) {
			content := body
			if name == "members that LiteLLM takes" {
				content = fmt.Sprintf(`{"model":"corp/gpt-4o","api_base":%q,"base_url":%q,"api_key":"k","provider":"zzz"}`, other.URL, other.URL)
			}
			before := up.count()
			g.wire(t, fmt.Sprintf("%s\nApi-Key: gateway-key\nContent-Length: %d\n\n%s", lines, len(content), content)).wantStatus(t, http.StatusOK)
			if up.count() != before+1 || other.count() != 0 {
				t.Errorf("%d requests arrived, %d where they do not belong", up.count()-before, other.count())
			}
			got := up.last(t)
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
			if got.host != up.address() || !strings.HasPrefix(got.uri, "/base/api/") || string(got.body) != withoutPrefix(content) {
				t.Errorf("%s for %s arrived with %s", got.uri, got.host, got.body)
			}
		})
	}
}

func TestACONNECTOpensNoTunnelToWhereItAsks(t *testing.T) {
	auth, up, other := newCorpAuth(t), newUpstream(t, nil), newUpstream(t, nil)
	g := corpBoundTo(auth, up.URL+"/base/api", "", gatewayKey+"default_provider corp").start(t)
	for _, target := range []string{other.address(), "/v1/x", "http://" + other.address() + "/"} {
		// The second request is for whoever is at the other end.
		response, reader, connection := g.exchange(t, http.MethodGet, []byte("CONNECT "+target+" HTTP/1.1\r\nHost: "+other.address()+"\r\nApi-Key: gateway-key\r\n\r\n"))
		_, _ = io.Copy(io.Discard, response.Body)
		_, _ = io.WriteString(connection, "GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		_, _ = io.Copy(io.Discard, reader)
	}
	if other.count() != 0 {
		t.Errorf("%d requests arrived where they do not belong", other.count())
	}
	for _, got := range up.all() {
		if got.method != http.MethodConnect || got.host != up.address() || !strings.HasPrefix(got.uri, "/base/api/") {
			t.Errorf("%s %s for %s arrived", got.method, got.uri, got.host)
		}
	}
}

// Go's server answers OPTIONS * itself.
func TestAnOPTIONSOfTheServerItselfIsNotForwarded(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpBoundTo(auth, up.URL, "", gatewayKey+"default_provider corp").start(t)
	g.wire(t, "OPTIONS * HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n\n").wantStatus(t, http.StatusOK)
	if up.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Errorf("%d requests were forwarded, %d tokens fetched", up.count(), auth.tokenRequests.Load())
	}
	g.wire(t, "OPTIONS /v1/x HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n\n").wantStatus(t, http.StatusOK)
	if got := up.last(t); got.method != http.MethodOptions || got.uri != "/v1/x" {
		t.Errorf("%s %s arrived", got.method, got.uri)
	}
}

func TestABaseURLMayBeAnIPv6Address(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatalf("no IPv6 on this machine, so this is not tested: %v", err)
	}
	requests := make(chan received, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- received{uri: r.RequestURI, host: r.Host, header: r.Header.Clone(), body: body}
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	auth := newCorpAuth(t)
	g := corpBoundTo(auth, server.URL+"/base/api", "", gatewayKey).start(t)
	g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
	select {
	case got := <-requests:
		wantToken(t, auth, got.header, "Authorization", "Bearer ")
		if got.host != listener.Addr().String() || got.uri != "/base/api/chat/completions" {
			t.Errorf("%s for %s arrived", got.uri, got.host)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing arrived")
	}
}
