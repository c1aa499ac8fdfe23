package llm

import (
	"net/url"
	"testing"
)

func TestAim(t *testing.T) {
	for name, test := range map[string]struct{ base, request, want string }{
		"a path stands in for /v1":                       {"https://h/api/v2", "/v1/chat/completions", "https://h/api/v2/chat/completions"},
		"a path stands in for /v1 alone":                 {"https://h/api/v2", "/v1", "https://h/api/v2"},
		"a path stands in for /v1 and a slash":           {"https://h/api/v2", "/v1/", "https://h/api/v2/"},
		"without a path the request's is kept":           {"https://h", "/v1/chat/completions", "https://h/v1/chat/completions"},
		"a slash counts as no path":                      {"https://h/", "/v1/chat/completions", "https://h/v1/chat/completions"},
		"a slash at the end of a path is none":           {"https://h/api/", "/v1/chat", "https://h/api/chat"},
		"two slashes at the end of a path are none":      {"https://h/api//", "/v1/chat", "https://h/api/chat"},
		"the base's own /v1 is not doubled":              {"https://h/v1", "/v1/chat", "https://h/v1/chat"},
		"the base's path below /v1":                      {"https://h/v1/x", "/v1/x/chat", "https://h/v1/x/x/chat"},
		"another path is appended":                       {"https://h/api", "/rerank", "https://h/api/rerank"},
		"a path that begins with the base's is kept":     {"https://h/api", "/api/rerank", "https://h/api/rerank"},
		"a path that is the base's is kept":              {"https://h/api", "/api", "https://h/api"},
		"a path that begins like the base's is not":      {"https://h/api", "/apiary", "https://h/api/apiary"},
		"/v1beta is not /v1":                             {"https://h/api", "/v1beta/models", "https://h/api/v1beta/models"},
		"the root":                                       {"https://h/api", "/", "https://h/api/"},
		"an empty path":                                  {"https://h/api", "", "https://h/api/"},
		"an empty path without a base path":              {"https://h", "", "https://h/"},
		"an escaped slash of the request stays":          {"https://h/api", "/v1/models/a%2Fb", "https://h/api/models/a%2Fb"},
		"an escaped slash of the base stays":             {"https://h/a%2Fb", "/v1/chat", "https://h/a%2Fb/chat"},
		"an escaped slash is no end of /v1":              {"https://h/api", "/v1%2Fchat", "https://h/api/v1%2Fchat"},
		"a double slash stays":                           {"https://h/api", "/v1//chat", "https://h/api//chat"},
		"spaces and umlauts stay escaped":                {"https://h/a%20b", "/v1/%C3%A4", "https://h/a%20b/%C3%A4"},
		"an IPv6 address and a port":                     {"http://[::1]:8080/x", "/v1/chat", "http://[::1]:8080/x/chat"},
		"the query of the request is kept":               {"https://h/api", "/v1/chat?a=1&b=%20", "https://h/api/chat?a=1&b=%20"},
		"the query of the base is set":                   {"https://h/api?api-version=1", "/v1/chat", "https://h/api/chat?api-version=1"},
		"both queries are joined":                        {"https://h/api?api-version=1", "/v1/chat?a=1", "https://h/api/chat?a=1&api-version=1"},
		"the base's parameter takes the client's place":  {"https://h/api?v=1", "/v1/chat?v=2&a=1&%76=3", "https://h/api/chat?a=1&v=1"},
		"the client's in another case gives way, too":    {"https://h/api?v=1", "/v1/chat?V=2&a=1", "https://h/api/chat?a=1&v=1"},
		"the client's behind a semicolon gives way, too": {"https://h/api?v=1", "/v1/chat?b=1;v=2&a=1", "https://h/api/chat?a=1&v=1"},
	} {
		t.Run(name, func(t *testing.T) {
			base, err := url.Parse(test.base)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(test.request)
			if err != nil {
				t.Fatal(err)
			}
			before := *base
			if Aim(u, base); u.String() != test.want {
				t.Errorf("got %s, want %s", u, test.want)
			}
			if *base != before {
				t.Error("the base has changed")
			}
		})
	}
}

// Whatever the request's path is, what leaves is below the base's.
func FuzzAim(f *testing.F) {
	for _, path := range []string{"/v1/chat", "/", "", "/api/x", "/v1/models/a%2Fb", "//x", "/v1//x", "/%2e", "/a;b", "/?#%"} {
		f.Add(path)
	}
	base, _ := url.Parse("https://h.example/base/path")
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || HasDotSegments(u.Path) {
			return
		}
		Aim(u, base)
		if u.Host != base.Host || u.Scheme != base.Scheme || !isBelow(u.EscapedPath(), "/base/path") {
			t.Errorf("%q leaves as %s", path, u)
		}
		// As net/http sends it, and servers read it: without a fragment.
		again, err := url.ParseRequestURI(u.RequestURI())
		if err != nil || again.RawQuery != u.RawQuery || again.EscapedPath() != u.EscapedPath() {
			t.Errorf("%q leaves as %s, which reads as %v", path, u, again)
		}
	})
}
