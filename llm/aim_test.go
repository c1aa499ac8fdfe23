package llm

import (
	"net/url"
	"strings"
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

		"a deployment's path goes to a base of v1":          {"https://h/openai/v1", "/openai/deployments/a%2Fb/chat/completions?api-version=2024", "https://h/openai/v1/chat/completions"},
		"a deployment's path with plain slashes":            {"https://h/api/v2", "/openai/deployments/a/b/chat/completions", "https://h/api/v2/chat/completions"},
		"a deployment's path with a short root":             {"https://h/api", "/deployments/a/embeddings?x=1&API-Version=1&y", "https://h/api/embeddings?x=1&y"},
		"a deployment's path to itself":                     {"https://h/openai/deployments/gpt-4o?api-version=2025", "/openai/deployments/gpt-4o/chat/completions?api-version=2024", "https://h/openai/deployments/gpt-4o/chat/completions?api-version=2025"},
		"a deployment's path to another deployment":         {"https://h/openai/deployments/gpt-4o?api-version=2025", "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024", "https://h/openai/deployments/gpt-4o/chat/completions?api-version=2025"},
		"a deployment's path without a base path":           {"https://h", "/openai/deployments/a/chat/completions?api-version=1", "https://h/openai/deployments/a/chat/completions?api-version=1"},
		"a deployment's path to Azure's root":               {"https://h/openai", "/openai/deployments/a/chat/completions?api-version=1", "https://h/openai/deployments/a/chat/completions?api-version=1"},
		"a deployment's path with a short root to Azure's":  {"https://h/openai", "/deployments/a/chat/completions?api-version=1", "https://h/openai/deployments/a/chat/completions?api-version=1"},
		"a deployment's path to a root that ends like it":   {"https://h/v1beta/openai", "/openai/deployments/a/chat/completions?api-version=1", "https://h/v1beta/openai/chat/completions"},
		"a deployment's path before what nobody knows":      {"https://h/api", "/openai/deployments/a/extensions?api-version=1", "https://h/api/openai/deployments/a/extensions?api-version=1"},
		"a deployment's path before files":                  {"https://h/api", "/openai/deployments/a/files", "https://h/api/openai/deployments/a/files"},
		"a deployment's path before an escaped endpoint":    {"https://h/api", "/openai/deployments/a/%63hat/completions", "https://h/api/openai/deployments/a/%63hat/completions"},
		"a deployment's path in both kinds of slashes":      {"https://h/api", "/openai/deployments/a/b%2Fc/chat/completions", "https://h/api/openai/deployments/a/b%2Fc/chat/completions"},
		"a deployment's path without a deployment":          {"https://h/api", "/openai/deployments//chat/completions", "https://h/api/openai/deployments//chat/completions"},
		"Azure's responses":                                 {"https://h/openai/v1", "/openai/responses?api-version=2025-04-01-preview", "https://h/openai/v1/responses"},
		"Azure's response of a name":                        {"https://h/api", "/openai/responses/resp_1?api-version=1&a=b", "https://h/api/responses/resp_1?a=b"},
		"Azure's path of v1":                                {"https://h/api/v2", "/openai/v1/chat/completions?api-version=preview", "https://h/api/v2/chat/completions"},
		"Azure's path of v1 to itself":                      {"https://h/openai/v1", "/openai/v1/chat/completions?api-version=preview", "https://h/openai/v1/chat/completions?api-version=preview"},
		"Azure's list of models":                            {"https://h/api", "/openai/models?api-version=1", "https://h/api/models"},
		"Azure's model with an escaped slash":               {"https://h/api", "/openai/v1/models/a%2Fb", "https://h/api/models/a%2Fb"},
		"Azure's version that the base sets":                {"https://h/api?api-version=2", "/openai/files?api-version=1", "https://h/api/files?api-version=2"},
		"Azure's paths that nobody knows":                   {"https://h/api", "/openai/monitor?api-version=1", "https://h/api/openai/monitor?api-version=1"},
		"Azure's root alone":                                {"https://h/api", "/openai", "https://h/api/openai"},
		"Azure's root with another version":                 {"https://h/api", "/openai/v1beta/models", "https://h/api/openai/v1beta/models"},
		"Azure's root and an escaped slash":                 {"https://h/api", "/openai%2Fresponses", "https://h/api/openai%2Fresponses"},
		"Azure's root and two slashes":                      {"https://h/api", "/openai//responses", "https://h/api/openai//responses"},
		"a version of the API without Azure's root is kept": {"https://h/api", "/v1/chat?api-version=1", "https://h/api/chat?api-version=1"},
		"a word that only begins like one of OpenAI's":      {"https://h/api", "/openai/responsesx", "https://h/api/openai/responsesx"},
		"a word that only begins like Azure's root":         {"https://h/api", "/openaix/responses", "https://h/api/openaix/responses"},
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
	for _, path := range []string{
		"/v1/chat", "/", "", "/api/x", "/v1/models/a%2Fb", "//x", "/v1//x", "/%2e", "/a;b", "/?#%",
		"/openai/deployments/a/b/chat/completions?api-version=1", "/deployments/a%2Fb/embeddings", "/openai/v1/files/x", "/openai/responses/../x",
		"/openai/deployments/a/b%2Fc/chat/completions", "/openai/deployments/base/path/chat/completions", "/openai/deployments/;/completions?api-version;x",
	} {
		f.Add(path)
	}
	var bases []*url.URL
	for _, address := range []string{"https://h.example/base/path", "https://h.example/openai", "https://h.example/openai/v1?api-version=1", "https://h.example/v1/%2F/"} {
		base, err := url.Parse(address)
		if err != nil {
			f.Fatal(err)
		}
		bases = append(bases, base)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, base := range bases {
			u, err := url.ParseRequestURI(path)
			if err != nil || HasDotSegments(u.Path) {
				return
			}
			Aim(u, base)
			if u.Host != base.Host || u.Scheme != base.Scheme || !isBelow(u.EscapedPath(), strings.TrimRight(base.EscapedPath(), "/")) {
				t.Errorf("%q leaves as %s", path, u)
			}
			if HasDotSegments(u.Path) {
				t.Errorf("%q leaves as %s, which has dot segments", path, u)
			}
			// As net/http sends it, and servers read it: without a fragment.
			again, err := url.ParseRequestURI(u.RequestURI())
			if err != nil || again.RawQuery != u.RawQuery || again.EscapedPath() != u.EscapedPath() {
				t.Errorf("%q leaves as %s, which reads as %v", path, u, again)
			}
		}
	})
}
