package llm

import (
	"net/http"
	"net/url"
	"testing"
)

// parseTarget reads a request's target as net/http does.
func parseTarget(t *testing.T, target string) *url.URL {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestReadsBody(t *testing.T) {
	for _, c := range []struct {
		name, method, path string
		want               bool
	}{
		{"a chat", http.MethodPost, "/v1/chat/completions", true},
		{"a transcription", http.MethodPost, "/v1/audio/transcriptions", true},
		{"a GET, which may have a body", http.MethodGet, "/v1/models", true},
		{"no path", http.MethodOptions, "*", true},
		{"a path that only begins like files", http.MethodPost, "/v1/filesystem", true},
		{"files under another path", http.MethodPost, "/x/v1/files", true},
		{"an upload", http.MethodPost, "/v1/files", false},
		{"an upload with a slash", http.MethodPost, "/v1/files/", false},
		{"the content of a file", http.MethodGet, "/v1/files/file-1/content", false},
		{"an upload in parts", http.MethodPost, "/v1/uploads/upload_1/parts", false},
		{"a tunnel", http.MethodConnect, "/v1/chat/completions", false},
		{"a tunnel without a path", http.MethodConnect, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ReadsBody(c.method, c.path); got != c.want {
				t.Errorf("ReadsBody is %v", got)
			}
		})
	}
}

func TestFindModelInPath(t *testing.T) {
	for _, c := range []struct{ name, target, want, code string }{
		{"an escaped slash, as the SDKs send it", "/v1/models/corp%2Fgpt-4o", "corp/gpt-4o", ""},
		{"an escaped slash in small letters", "/v1/models/a%2fb", "a/b", ""},
		{"a plain slash", "/v1/models/a/b", "a/b", ""},
		{"several slashes", "/v1/models/a/meta/llama-3", "a/meta/llama-3", ""},
		{"a model without a slash", "/v1/models/gpt-4o", "gpt-4o", ""},
		{"escapes that nobody needs", "/v1/models/%61/%62", "a/b", ""},
		{"escapes in what comes before", "/v1/mod%65ls%2Fa/b", "a/b", ""},
		{"a plus is a plus", "/v1/models/a/b+c", "a/b+c", ""},
		{"an escaped percent sign is decoded once", "/v1/models/a%252Fb", "a%2Fb", ""},
		{"an escaped question mark belongs to the name", "/v1/models/a/b%3Fc?d", "a/b?c", ""},
		{"a letter outside ASCII", "/v1/models/a/%C3%A9", "a/é", ""},
		{"a letter outside ASCII, not escaped", "/v1/models/a/é", "a/é", ""},
		{"a quote, not escaped", `/v1/models/a/"`, `a/"`, ""},
		{"a slash at the end is found for ParseName to refuse", "/v1/models/a/b/", "a/b/", ""},
		{"dot segments are found for ParseName to refuse", "/v1/models/a%2F..%2Fb", "a/../b", ""},
		{"the list of models", "/v1/models", "", ""},
		{"the list of models with a slash", "/v1/models/", "", ""},
		{"models under another path", "/x/v1/models/a%2Fb", "a/b", ""},
		{"models in capitals", "/V1/Models/a%2Fb", "a/b", ""},
		{"a deployment where a base URL goes on", "/deployments/a%2Fb/chat/completions", "a/b", ""},
		{"a deployment below a version", "/v1/deployments/a/chat/completions", "a", ""},
		{"models below another version", "/v1beta/models/a:generate", "a:generate", ""},
		{"a segment that ends in models", "/v1/my-models/a", "", ""},
		{"a chat", "/v1/chat/completions", "", ""},
		{"an address with a host", "http://x/v1/models/a%2Fb", "a/b", ""},
		{"no path", "*", "", ""},
		{"a deployment with an escaped slash", "/openai/deployments/a%2Fb/chat/completions", "a/b", ""},
		{"a deployment with several", "/openai/deployments/a%2Fb%2fc/chat/completions?api-version=1", "a/b/c", ""},
		{"a deployment in plain segments ends before an endpoint", "/openai/deployments/a/b/chat/completions", "a/b", ""},
		{"a deployment at the end", "/openai/deployments/a%2Fb", "a/b", ""},
		{"no deployment", "/openai/deployments/", "", ""},
		{"an empty deployment", "/openai/deployments//chat/completions", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := FindInURL(http.MethodGet, parseTarget(t, c.target))
			wantCode(t, err, c.code)
			if found.Name != c.want || (found.Where == InPath) != (c.want != "") {
				t.Errorf("found %+v, want %q", found, c.want)
			}
		})
	}
}

func TestReplaceModelInPath(t *testing.T) {
	for _, c := range []struct{ name, target, replacement, want string }{
		{"the prefix is removed", "/v1/models/corp%2Fgpt-4o", "gpt-4o", "/v1/models/gpt-4o"},
		{"the prefix is removed before a plain slash", "/v1/models/corp/gpt-4o", "gpt-4o", "/v1/models/gpt-4o"},
		{"the rest keeps a plain slash", "/v1/models/corp/meta/llama", "meta/llama", "/v1/models/meta/llama"},
		{"the rest keeps an escaped slash", "/v1/models/corp%2Fmeta%2fllama", "meta/llama", "/v1/models/meta%2fllama"},
		{"the rest keeps escapes that nobody needs", "/v1/models/%63orp/%67pt%2D4o", "gpt-4o", "/v1/models/%67pt%2D4o"},
		{"the rest keeps its letters outside ASCII", "/v1/models/corp/%c3%a9", "é", "/v1/models/%c3%a9"},
		{"what comes before keeps its escapes", "/v1/mod%65ls/corp%2Fx", "x", "/v1/mod%65ls/x"},
		{"the query stays", "/v1/models/corp%2Fx?a=%41&&b", "x", "/v1/models/x?a=%41&&b"},
		{"another name of the same length", "/v1/models/corp%2Fx", "meta/y", "/v1/models/meta%2Fy"},
		{"a longer name", "/v1/models/x", "meta/llama 3?", "/v1/models/meta%2Fllama%203%3F"},
		{"the same name", "/v1/models/corp%2fx", "corp/x", "/v1/models/corp%2fx"},
		{"a percent sign stays one", "/v1/models/corp%2Fa%252Fb", "a%2Fb", "/v1/models/a%252Fb"},
		{"a deployment", "/openai/deployments/corp%2Fgpt/chat/completions?v=1", "gpt", "/openai/deployments/gpt/chat/completions?v=1"},
		{"a deployment before odd escapes", "/openai/deployments/corp%2Fgpt/%63hat%2Fx/", "gpt", "/openai/deployments/gpt/%63hat%2Fx/"},
		{"a deployment gets a slash", "/openai/deployments/gpt/chat", "meta/gpt", "/openai/deployments/meta%2Fgpt/chat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := parseTarget(t, c.target)
			found, err := FindInURL(http.MethodGet, u)
			if err != nil {
				t.Fatal(err)
			}
			if body := rename(&found, u, nil, c.replacement); body != nil {
				t.Errorf("a body came from nowhere: %q", body)
			}
			if got := u.RequestURI(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if path, err := url.PathUnescape(u.EscapedPath()); err != nil || path != u.Path {
				t.Errorf("Path is %q, EscapedPath %q", u.Path, u.EscapedPath())
			}
			again, err := FindInURL(http.MethodGet, u)
			if err != nil || again.Name != c.replacement || again.Where != found.Where {
				t.Errorf("found %+v, %v afterwards", again, err)
			}
		})
	}
}
