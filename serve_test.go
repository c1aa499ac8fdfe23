package oauth2llm

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The answer to a TRACE would hold the token.
func TestNeitherTraceNorConnectGetsAToken(t *testing.T) {
	for provider, fields := range map[string]string{"bound": bound, "unbound": ""} {
		for _, handler := range []string{routed, decorating} {
			h := mustHandler(t, corp("http://127.0.0.1:1", fields), strings.Replace(handler, "{", `{"default_provider":"corp",`, 1))
			for _, method := range []string{http.MethodTrace, http.MethodConnect} {
				r := httptest.NewRequest(method, "/v1/x", nil)
				r.Header.Set("Authorization", "Bearer key")
				forwarded, w := serve(t, h, r)
				if forwarded != nil || w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Body.String(), `"code":"method_not_allowed"`) {
					t.Errorf("%s to a provider that is %s: %d %s", method, provider, w.Code, w.Body)
				}
			}
		}
	}
}

// A target such as x:v1/files has no path to look at, and net/http sends it as it is.
func TestATargetWithoutAPathIsRefused(t *testing.T) {
	for provider, fields := range map[string]string{"bound": bound, "unbound": ""} {
		for _, directive := range []string{decorating, strings.Replace(routed, "{", `{"default_provider":"corp",`, 1), strings.Replace(routed, "{", `{"unknown_model":"pass",`, 1)} {
			h := mustHandler(t, corp("http://127.0.0.1:1", fields), directive)
			for _, target := range []string{"x:v1/files", "http:v1/files", "x:../admin", "x:%2e%2e/admin?a=b"} {
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				address, err := url.ParseRequestURI(target)
				if err != nil {
					t.Fatal(err)
				}
				r.URL, r.RequestURI = address, target
				r.Header.Set("Authorization", "Bearer key")
				forwarded, w := serve(t, h, r)
				if forwarded != nil || w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"code":"invalid_path"`) {
					t.Errorf("%s to a provider that is %s with %s: %d %s", target, provider, directive, w.Code, w.Body)
				}
			}
		}
	}
}

func TestAWebSocketOverHTTP2IsNoOrdinaryConnect(t *testing.T) {
	for name, test := range map[string]struct {
		major int
		proto string
		field string
		want  bool
	}{
		"HTTP/1.1":             {1, "HTTP/1.1", "", false},
		"HTTP/2":               {2, "HTTP/2.0", "", false},
		"HTTP/2 and websocket": {2, "HTTP/2.0", "websocket", true},
		"HTTP/2 and another":   {2, "HTTP/2.0", "connect-udp", false},
		"HTTP/3":               {3, "HTTP/3.0", "", false},
		"HTTP/3 and websocket": {3, "websocket", "", true},
	} {
		r := &http.Request{Method: http.MethodConnect, ProtoMajor: test.major, Proto: test.proto, Header: http.Header{}}
		if test.field != "" {
			r.Header[":protocol"] = []string{test.field}
		}
		if got := mayForward(r); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
