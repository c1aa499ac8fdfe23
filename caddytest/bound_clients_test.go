package caddytest

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// corpBoundTo is a gateway whose provider corp is bound to a base URL.
func corpBoundTo(auth *authServer, base, provider, directive string) corpSite {
	return corpSite{
		auth: auth, provider: "base_url " + base + "\n" + provider, directive: directive,
		proxy: "dynamic oauth2_llm\ntransport oauth2_llm",
	}
}

// newHTTP2Server starts an HTTPS server that speaks HTTP/2 and asks for a client
// certificate. The transport is a provider's that trusts it.
func newHTTP2Server(t *testing.T, answer http.HandlerFunc) (server *httptest.Server, transport string) {
	t.Helper()
	ca, folder := newAuthority(t), t.TempDir()
	server = httptest.NewUnstartedServer(answer)
	server.TLS, server.EnableHTTP2 = ca.serverConfig(), true
	server.StartTLS()
	t.Cleanup(server.Close)
	files := gateway{t: t, folder: folder}
	for name, content := range ca.files() {
		files.write(name, content)
	}
	return server, strings.ReplaceAll(`transport http {
		tls_trust_pool file FOLDER/ca.pem
		tls_client_auth FOLDER/client.pem FOLDER/client-key.pem
	}`, "FOLDER", folder)
}

// newHTTP2Upstream starts an upstream behind newHTTP2Server.
func newHTTP2Upstream(t *testing.T, answer http.HandlerFunc) (up *upstream, base, transport string) {
	t.Helper()
	up = newUpstream(t, answer)
	server, transport := newHTTP2Server(t, up.Config.Handler.ServeHTTP)
	return up, server.URL, transport
}

func TestRecordedRequestsOfRealClientsReachTheirProvidersBaseURL(t *testing.T) {
	for name, test := range map[string]struct {
		http2   bool
		path    string
		options string
	}{
		"over HTTP/1.1 with a base path":            {path: "/base/api"},
		"over HTTPS and HTTP/2 with a base path":    {path: "/base/api", http2: true},
		"over HTTP/1.1 without a base path":         {},
		"over HTTPS and HTTP/2 without a base path": {http2: true},
		"with keep_prefix and a base path":          {path: "/base/api", options: "keep_prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newCorpAuth(t)
			llm := &llmStandIn{auth: auth, client: "corp-client"}
			var server *httptest.Server
			provider := ""
			if test.http2 {
				server, provider = newHTTP2Server(t, withWebSockets(llm))
			} else {
				server = httptest.NewServer(withWebSockets(llm))
				defer server.Close()
			}
			directive := "default_provider corp\n" + test.options
			for _, dummy := range dummies {
				directive += fmt.Sprintf("\nclient_key %s %s", dummy, dummy)
			}
			g := corpBoundTo(auth, server.URL+test.path, provider, directive).start(t)
			for _, r := range readRecordings(t) {
				t.Run(r.name, func(t *testing.T) {
					if isModelList(r) {
						wantModelList(t, g, r)
						return
					}
					got := replay(t, g, llm, r)
					wantOnlyOurCredential(t, auth, got)
					wantOtherHeaders(t, r, got)
					wantNothingOfTheGateway(t, r, got)
					webSocket := r.Header.Get("Upgrade") != ""
					if want := test.http2 && !webSocket; want != (got.proto == "HTTP/2.0") {
						t.Errorf("%s arrived", got.proto)
					}
					if want := server.Listener.Addr().String(); got.host != want {
						t.Errorf("the host is %s, want %s", got.host, want)
					}
					if got.contentLength != int64(len(got.body)) {
						t.Errorf("the length is %d, of %d bytes", got.contentLength, len(got.body))
					}
					uri := r.RequestURI
					if test.options == "" {
						uri = strings.Replace(uri, "corp%2F", "", 1)
					}
					if test.path != "" {
						uri = test.path + strings.TrimPrefix(uri, "/v1")
					}
					if got.method != r.Method || got.uri != uri {
						t.Errorf("%s %s arrived, want %s %s", got.method, got.uri, r.Method, uri)
					}
					wantOnlyTheModelChanged(t, r, got, test.options != "")
				})
			}
			llm.wantNoRefusals(t)
			if n := auth.tokenRequests.Load(); n != 1 {
				t.Errorf("%d token requests, want 1", n)
			}
		})
	}
}

func wantOnlyTheModelChanged(t *testing.T, r recording, got received, kept bool) {
	t.Helper()
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case !kept && mediaType == "multipart/form-data":
		wantOnlyTheFieldChanged(t, r, got)
	case !kept && bytes.Contains(r.body, []byte(`"model":"corp/`)):
		wantOnlyTheMemberChanged(t, r.body, got.body)
	case !bytes.Equal(got.body, r.body):
		t.Errorf("%q arrived, want %q", got.body, r.body)
	}
}

// wantNothingOfTheGateway fails the test if a request has a header that neither
// its client sent nor HTTP needs: nothing tells the provider where it comes from.
// Accept-Encoding is for the transport, which decodes.
func wantNothingOfTheGateway(t *testing.T, r recording, got received) {
	t.Helper()
	for name, values := range got.header {
		if _, sent := r.Header[name]; !sent && !slices.Contains([]string{"Authorization", "Content-Length", "Accept-Encoding"}, name) {
			t.Errorf("%s arrived, with %q, which the client has not sent", name, values)
		}
	}
}

// formWithAFileOf is a form whose model comes after a file of so many bytes.
func formWithAFileOf(bytes int, model string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + strings.Repeat("\xffx", bytes/2) +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n--b--\r\n"
}

func TestEveryEndpointReachesTheBaseURL(t *testing.T) {
	const json, form = "application/json", "multipart/form-data; boundary=b"
	body := chat("corp/gpt-4o")
	for name, test := range map[string]struct {
		method, uri, contentType, body string
		want, wantBody                 string
	}{
		"Azure's deployments":                     {"POST", "/openai/deployments/corp%2Fgpt-4o/chat/completions?api-version=1", json, `{"messages":[]}`, "/base/api/chat/completions", `{"model":"gpt-4o","messages":[]}`},
		"Azure's deployments and a model in JSON": {"POST", "/openai/deployments/corp%2Fgpt-4o/chat/completions?api-version=1", json, body, "/base/api/chat/completions", withoutPrefix(body)},
		"Azure's images, with a form":             {"POST", "/openai/deployments/corp%2Fgpt-4o/images/edits", form, formWithAFileOf(1000, "corp/gpt-4o"), "/base/api/images/edits", formWithAFileOf(1000, "gpt-4o")},
		"rerank under /v1":                        {"POST", "/v1/rerank", json, body, "/base/api/rerank", withoutPrefix(body)},
		"rerank under /v2":                        {"POST", "/v2/rerank", json, body, "/base/api/v2/rerank", withoutPrefix(body)},
		"rerank without a version":                {"POST", "/rerank", json, body, "/base/api/rerank", withoutPrefix(body)},
		"a path that begins with the base's":      {"POST", "/base/api/rerank", json, body, "/base/api/rerank", withoutPrefix(body)},
		"count_tokens":                            {"POST", "/v1/messages/count_tokens?beta=true", json, body, "/base/api/messages/count_tokens?beta=true", withoutPrefix(body)},
		"embeddings":                              {"POST", "/v1/embeddings", json, body, "/base/api/embeddings", withoutPrefix(body)},
		"an image of 3 MB before the model":       {"POST", "/v1/images/edits", form, formWithAFileOf(3_000_000, "corp/gpt-4o"), "/base/api/images/edits", formWithAFileOf(3_000_000, "gpt-4o")},
		"a recording before the model":            {"POST", "/v1/audio/transcriptions", form, formWithAFileOf(300_000, "corp/gpt-4o"), "/base/api/audio/transcriptions", formWithAFileOf(300_000, "gpt-4o")},
		"a model in the query":                    {"GET", "/v1/realtime?a=%20&model=corp%2Fgpt-4o&b", "", "", "/base/api/realtime?a=%20&model=gpt-4o&b", ""},
		"a model with slashes in the path":        {"GET", "/v1/models/corp%2Fmeta%2Fllama", "", "", "/base/api/models/meta%2Fllama", ""},
		"a model with plain slashes in the path":  {"GET", "/v1/models/corp/meta/llama", "", "", "/base/api/models/meta/llama", ""},
		"a fine-tuned model that is deleted":      {"DELETE", "/v1/models/corp%2Fft:gpt-4o:a::b", "", "", "/base/api/models/ft:gpt-4o:a::b", ""},
		"a list of files":                         {"GET", "/v1/files?purpose=batch", "", "", "/base/api/files?purpose=batch", ""},
		"a file's content":                        {"GET", "/v1/files/file-1/content", "", "", "/base/api/files/file-1/content", ""},
		"a file that is deleted":                  {"DELETE", "/v1/files/file-1", "", "", "/base/api/files/file-1", ""},
		"a batch":                                 {"POST", "/v1/batches", json, `{"input_file_id":"file-1"}`, "/base/api/batches", `{"input_file_id":"file-1"}`},
		"an upload whose body looks like a model": {"POST", "/v1/uploads", json, `{"model":"corp/x"}`, "/base/api/uploads", `{"model":"corp/x"}`},
		"HEAD":                {"HEAD", "/v1/models/corp%2Fgpt-4o", "", "", "/base/api/models/gpt-4o", ""},
		"POST without a body": {"POST", "/v1/batches/b/cancel", "", "", "/base/api/batches/b/cancel", ""},
		"GET with a body":     {"GET", "/v1/search", json, body, "/base/api/search", withoutPrefix(body)},
	} {
		t.Run(name, func(t *testing.T) {
			auth, up := newCorpAuth(t), newUpstream(t, nil)
			g := corpBoundTo(auth, up.URL+"/base/api", "", gatewayKey+"default_provider corp").start(t)
			r, err := http.NewRequestWithContext(t.Context(), test.method, g.url(test.uri), strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.contentType != "" {
				r.Header.Set("Content-Type", test.contentType)
			}
			g.send(r, withKey...).wantStatus(t, http.StatusOK)
			got := up.last(t)
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
			if got.method != test.method || got.uri != test.want || got.host != up.address() {
				t.Errorf("%s %s for %s arrived, want %s %s", got.method, got.uri, got.host, test.method, test.want)
			}
			if string(got.body) != test.wantBody || got.contentLength != int64(len(test.wantBody)) {
				t.Errorf("%d bytes with length %d arrived: %.200q", len(got.body), got.contentLength, got.body)
			}
		})
	}
}
