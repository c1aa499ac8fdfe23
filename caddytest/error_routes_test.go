package caddytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// breaking is an upstream that reads a request and breaks the connection.
func breaking(t *testing.T) *upstream {
	t.Helper()
	return newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			connection.Close()
		}
	})
}

func TestAnErrorRouteSeesTheRequestWithoutTheToken(t *testing.T) {
	for name, test := range map[string]struct {
		fixed    bool
		provider string
		field    string
	}{
		"with a fixed provider":       {fixed: true, field: "Authorization"},
		"routed by model":             {field: "Authorization"},
		"with a place of its own":     {provider: "place header X-Token\nheader_up X-Group secret", field: "X-Token"},
		"in a header of the client's": {provider: `place header X-Api-Key ""`, field: "X-Api-Key"},
	} {
		t.Run(name, func(t *testing.T) {
			auth, first, second := newCorpAuth(t), breaking(t), newUpstream(t, nil)
			g := corpSite{
				auth: auth, upstream: first.address(), fixed: test.fixed, provider: test.provider,
				directive: gatewayKey + "default_provider corp\nerrors handle",
				site:      "handle_errors {\n reverse_proxy " + second.address() + "\n}",
			}.start(t)
			for _, request := range []string{
				"GET /v1/responses/r?key=own HTTP/1.1\nHost: gateway.test\nAuthorization: Bearer gateway-key\nX-Api-Key: own\n\n",
				"GET /v1/models/corp%2Fgpt-4o HTTP/1.1\nHost: gateway.test\nAuthorization: Bearer gateway-key\nX-Api-Key: own\n\n",
			} {
				g.wire(t, request).wantStatus(t, http.StatusOK)
				sent, got := first.last(t), second.last(t)
				token := strings.TrimPrefix(sent.header.Get(test.field), "Bearer ")
				if _, problem := auth.check(token); problem != "" {
					t.Fatalf("the token for the first upstream is %s", problem)
				}
				for field, values := range got.header {
					if strings.Contains(strings.Join(values, " "), token) {
						t.Errorf("the token arrived at the second upstream in %s", field)
					}
				}
				if got.header["X-Group"] != nil {
					t.Error("header_up arrived at the second upstream")
				}
				if want := strings.Fields(request)[1]; got.uri != want {
					t.Errorf("%s arrived at the second upstream, want %s", got.uri, want)
				}
			}
		})
	}
}

// A reverse_proxy in an error route is how one LLM stands in for another.
func TestAnErrorRouteSeesTheBodyAsItCame(t *testing.T) {
	unreachable := httptest.NewServer(nil)
	unreachable.Close()
	auth, second := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{
		auth: auth, upstream: strings.TrimPrefix(unreachable.URL, "http://"),
		directive: gatewayKey + "default_provider corp\nerrors handle",
		site:      "handle_errors {\n reverse_proxy " + second.address() + "\n}",
	}.start(t)
	for name, test := range map[string]struct {
		body, contentType, encoding string
		chunked                     bool
	}{
		"JSON":                    {body: chat("corp/gpt-4o"), contentType: "application/json"},
		"JSON in chunks":          {body: chat("corp/gpt-4o"), contentType: "application/json", chunked: true},
		"JSON that is compressed": {body: gzipped(t, chat("corp/gpt-4o")), contentType: "application/json", encoding: "gzip"},
		"a form":                  {body: "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ncorp/x\r\n--b--\r\n", contentType: "multipart/form-data; boundary=b"},
		"a body that streams":     {body: strings.Repeat("RIFF", 10_000), contentType: "audio/wav"},
		"one in chunks":           {body: strings.Repeat("RIFF", 10_000), contentType: "audio/wav", chunked: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url("/v1/chat/completions"), strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			if test.encoding != "" {
				r.Header.Set("Content-Encoding", test.encoding)
			}
			if test.chunked {
				r.ContentLength = -1
			}
			g.send(r, withKey...).wantStatus(t, http.StatusOK)
			if got := second.last(t); string(got.body) != test.body || got.header.Get("Content-Encoding") != test.encoding {
				t.Errorf("%d bytes arrived, encoded as %q, want %d as they came", len(got.body), got.header.Get("Content-Encoding"), len(test.body))
			}
		})
	}
}

func TestErrorsHandleLeavesTheAnswerToErrorRoutes(t *testing.T) {
	refusing := newCorpAuth(t)
	refusing.setFault(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"evil words"}`))
	})
	unreachable := httptest.NewServer(nil)
	unreachable.Close()
	for name, test := range map[string]struct {
		auth   *authServer
		model  string
		header []string
		status int
		// want is what the error route makes of the placeholders; Caddy shows
		// one that is not set as it is.
		want string
	}{
		"no key":                    {newCorpAuth(t), "corp/m", nil, 401, "authentication_error invalid_api_key [{http.oauth2_llm.provider}] [{http.oauth2_llm.model}]"},
		"an unknown provider":       {newCorpAuth(t), "zzz/m", withKey, 404, "invalid_request_error model_not_found [{http.oauth2_llm.provider}] [{http.oauth2_llm.model}]"},
		"a refused client":          {refusing, "corp/m", withKey, 502, "oauth2_authentication_error invalid_client [corp] [m]"},
		"an upstream that is down":  {newCorpAuth(t), "corp/m", withKey, 502, "upstream_error upstream_unreachable [corp] [m]"},
		"a model with placeholders": {newCorpAuth(t), "corp/{env.HOME}", withKey, 502, "upstream_error upstream_unreachable [corp] [{env.HOME}]"},
	} {
		t.Run(name, func(t *testing.T) {
			g := corpSite{
				auth: test.auth, upstream: strings.TrimPrefix(unreachable.URL, "http://"), directive: gatewayKey + "errors handle",
				site: "handle_errors {\n header X-Message {err.message}\n respond `{http.oauth2_llm.error.type} {http.oauth2_llm.error.code} [{http.oauth2_llm.provider}] [{http.oauth2_llm.model}]` {err.status_code}\n}",
			}.start(t)
			a := g.post("/v1/chat/completions", chat(test.model), test.header...)
			if a.status != test.status || a.body != test.want {
				t.Errorf("status %d, %q, want %d, %q", a.status, a.body, test.status, test.want)
			}
			if message := a.header.Get("X-Message"); message == "" || strings.Contains(message, "evil") || strings.Contains(message, test.auth.address) {
				t.Errorf("the message is %q", message)
			}
		})
	}
}

// accessEntries waits for the access log to have as many entries, and returns them.
func accessEntries(t *testing.T, g *gateway, entries int) []map[string]any {
	t.Helper()
	var found []map[string]any
	waitFor(t, 5*time.Second, func() bool {
		found = nil
		for line := range strings.Lines(g.log()) {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entryName(entry), "http.log.access") {
				found = append(found, entry)
			}
		}
		return len(found) >= entries
	})
	return found
}

func entryName(entry map[string]any) string {
	name, _ := entry["logger"].(string)
	return name
}

func TestTheAccessLogSaysWhichProviderAndModelAndHowLongItWaited(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	t.Setenv("TEST_GATEWAY_KEY", "gateway-key")
	g := corpSite{auth: auth, upstream: up.address(), directive: "client_key agents {env.TEST_GATEWAY_KEY}\nunknown_model pass", site: "log\nheader >X-Model {http.oauth2_llm.model}"}.start(t)
	a := g.post("/v1/chat/completions", chat("corp/meta/m"), withKey...)
	if a.header.Get("X-Model") != "meta/m" {
		t.Errorf("the placeholder of the model is %q", a.header.Get("X-Model"))
	}
	g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
	g.post("/v1/chat/completions", chat("corp/m"))
	g.post("/v1/chat/completions", `{"model":"corp/a","model":"corp/b"}`, withKey...)
	g.post("/v1/chat/completions", chat("zzz/m"), withKey...).wantStatus(t, http.StatusOK)
	for i, want := range []map[string]any{
		{"status": 200.0, "llm_provider": "corp", "llm_model": "meta/m", "llm_token_wait": true, "user_id": "agents"},
		{"status": 200.0, "llm_provider": "corp", "llm_model": "m", "user_id": "agents"},
		{"status": 401.0, "llm_error_code": "invalid_api_key", "user_id": ""},
		{"status": 400.0, "llm_error_code": "ambiguous_model", "user_id": "agents"},
		{"status": 200.0, "llm_model": "zzz/m", "user_id": "agents"},
	} {
		entry := accessEntries(t, g, 5)[i]
		if wait, waited := entry["llm_token_wait"].(float64); waited && wait > 0 {
			entry["llm_token_wait"] = true
		}
		for _, field := range []string{"status", "llm_provider", "llm_model", "llm_token_wait", "llm_error_code", "user_id"} {
			if entry[field] != want[field] {
				t.Errorf("entry %d has %s %v, want %v", i, field, entry[field], want[field])
			}
		}
	}
	if log := g.log(); strings.Contains(log, "gateway-key") || strings.Contains(log, "eyJ") {
		t.Error("a key or a token is in the log")
	}
}
