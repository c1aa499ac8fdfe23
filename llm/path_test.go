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
		{"an upload in Azure's way", http.MethodPost, "/openai/files", false},
		{"an upload in Azure's newer way", http.MethodPost, "/openai/v1/files/", false},
		{"an upload in parts in Azure's way", http.MethodPost, "/openai/v1/uploads/upload_1/parts", false},
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

func TestWhereADeploymentEnds(t *testing.T) {
	const azure = "/openai/deployments/"
	for _, c := range []struct{ name, target, want, code string }{
		{"before an endpoint", azure + "gpt/chat/completions", "gpt", ""},
		{"before the longest endpoint", azure + "azure_prod/small/chat/completions", "azure_prod/small", ""},
		{"before an endpoint that another ends like", azure + "azure_prod/small/completions", "azure_prod/small", ""},
		{"before the last endpoint", azure + "a/meta/llama-3/chat/completions", "a/meta/llama-3", ""},
		{"before another endpoint", azure + "a/whisper/audio/transcriptions?api-version=1", "a/whisper", ""},
		{"before an endpoint of two names", azure + "a/b/messages/count_tokens", "a/b", ""},
		{"before an endpoint with odd escapes", azure + "a/b/%63hat/complet%69ons", "a/b", ""},
		{"at its escaped slash, whatever comes then", azure + "a%2Fb/c/chat/completions", "a/b", ""},
		{"at its escaped slash, before what nobody knows", azure + "a%2fb/files/x%2Fy", "a/b", ""},
		{"at the first slash before what nobody knows", azure + "a/b/files", "a", ""},
		{"at the first slash before an endpoint and a slash", azure + "a/b/chat/completions/", "a", ""},
		{"at the end", azure + "a", "a", ""},
		{"at the first slash, with a name like an endpoint", azure + "chat/completions", "chat", ""},
		{"before the endpoint, with a name like another", azure + "embeddings/chat/completions", "embeddings", ""},
		{"in a shorter root", "/deployments/a/b/embeddings", "a/b", ""},
		{"in another case", "/openai/DEPLOYMENTS/a/b/embeddings", "a/b", ""},
		{"with models in it", azure + "a/accounts/x/models/y/chat/completions", "a/accounts/x/models/y", ""},
		{"nowhere if it is empty", azure + "/chat/completions", "", ""},
		{"two slashes are no name", azure + "a//chat/completions", "a/", ""},
		{"slashes of both kinds", azure + "a/b%2Fc/chat/completions", "", CodeAmbiguousModel},
		{"slashes of both kinds, up to the endpoint", azure + "a/x%2fchat/completions", "", CodeAmbiguousModel},
		{"two deployments", azure + "a/deployments/b/chat/completions", "", CodeAmbiguousModel},
		{"two deployments in other cases", azure + "a/Deployments/b/chat/completions", "", CodeAmbiguousModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := FindInURL(http.MethodPost, parseTarget(t, c.target))
			wantCode(t, err, c.code)
			if found.Name != c.want || (found.Where == InPath) != (c.want != "") {
				t.Errorf("found %+v, want %q", found, c.want)
			}
		})
	}
}

func TestAVerbIsNoPartOfTheModel(t *testing.T) {
	const post = http.MethodPost
	for _, c := range []struct{ name, method, target, want, renamed, code string }{
		{"behind an escaped slash", post, "/v1beta/models/a%2Fgemini-2.5:generateContent", "a/gemini-2.5", "/v1beta/models/x%2Fy:generateContent", ""},
		{"behind a plain slash", post, "/v1beta/models/a/gemini-2.5:streamGenerateContent?alt=sse", "a/gemini-2.5", "/v1beta/models/x%2Fy:streamGenerateContent?alt=sse", ""},
		{"that nobody knows", post, "/v1/models/a/b:batchEmbedContents", "a/b", "/v1/models/x%2Fy:batchEmbedContents", ""},
		{"of another method", http.MethodPut, "/models/a:x", "a", "/models/x%2Fy:x", ""},
		{"below other paths", post, "/v1beta1/projects/p/publishers/google/models/a/b:predict", "a/b", "/v1beta1/projects/p/publishers/google/models/x%2Fy:predict", ""},
		{"behind a colon of the name", post, "/v1beta/models/ft:gpt-4o:org::id:generateContent", "ft:gpt-4o:org::id", "/v1beta/models/x%2Fy:generateContent", ""},
		{"with a letter outside ASCII is none", post, "/v1beta/models/a:g%C3%A9", "a:gé", "/v1beta/models/x%2Fy", ""},
		{"with a digit is none", post, "/v1beta/models/llama3:8b", "llama3:8b", "/v1beta/models/x%2Fy", ""},
		{"with nothing is none", post, "/v1beta/models/a:", "a:", "/v1beta/models/x%2Fy", ""},
		{"in an earlier segment is none", post, "/v1beta/models/a:generate/b", "a:generate/b", "/v1beta/models/x%2Fy", ""},
		{"behind a slash is none", post, "/v1beta/models/a/b/countTokens", "a/b/countTokens", "/v1beta/models/x%2Fy", ""},
		{"of a GET is none", http.MethodGet, "/v1/models/a:latest", "a:latest", "/v1/models/x%2Fy", ""},
		{"of a HEAD is none", http.MethodHead, "/v1/models/a%3Alatest", "a:latest", "/v1/models/x%2Fy", ""},
		{"of an OPTIONS is none", http.MethodOptions, "/v1/models/a:latest", "a:latest", "/v1/models/x%2Fy", ""},
		{"of a DELETE is none", http.MethodDelete, "/v1/models/ft:gpt-4o:org::id", "ft:gpt-4o:org::id", "/v1/models/x%2Fy", ""},
		{"an escaped colon is none before a digit", post, "/v1beta/models/llama3%3A8b", "llama3:8b", "/v1beta/models/x%2Fy", ""},
		{"behind an escaped colon", post, "/v1beta/models/a%2Fb%3AgenerateContent", "", "", CodeAmbiguousModel},
		{"behind an escaped colon in small letters", post, "/v1beta/models/a/b%3agenerateContent", "", "", CodeAmbiguousModel},
		{"with an escaped letter", post, "/v1beta/models/a:%67enerateContent", "", "", CodeAmbiguousModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := parseTarget(t, c.target)
			found, err := FindInURL(c.method, u)
			wantCode(t, err, c.code)
			if found.Name != c.want || (found.Where == InPath) != (c.want != "") {
				t.Errorf("found %+v, want %q", found, c.want)
			}
			if err != nil {
				return
			}
			if found.RenameURL(u, "x/y"); u.RequestURI() != c.renamed {
				t.Errorf("renamed to %s, want %s", u.RequestURI(), c.renamed)
			}
		})
	}
}

func TestAVerbWithoutAModelIsRefused(t *testing.T) {
	found, err := FindInURL(http.MethodPost, parseTarget(t, "/v1beta/models/:generateContent"))
	if err != nil || found.Where != InPath {
		t.Fatalf("found %+v, %v", found, err)
	}
	prefix, rest, _, err := found.Split()
	wantCode(t, err, CodeInvalidPath)
	if prefix != "" || rest != "" {
		t.Errorf("got %q and %q besides the error", prefix, rest)
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
		{"a deployment in plain segments", "/openai/deployments/corp/gpt/chat/completions", "gpt", "/openai/deployments/gpt/chat/completions"},
		{"a deployment in plain segments becomes one", "/openai/deployments/corp/gpt/chat/completions", "corp/gpt", "/openai/deployments/corp%2Fgpt/chat/completions"},
		{"a deployment keeps its escaped slashes", "/openai/deployments/corp%2fmeta%2fgpt/x", "meta/gpt", "/openai/deployments/meta%2fgpt/x"},
		{"models of Azure", "/openai/models/corp%2Fgpt?api-version=1", "gpt", "/openai/models/gpt?api-version=1"},
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
