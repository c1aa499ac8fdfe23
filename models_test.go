package oauth2llm

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// threeProviders are a, which lists models, b, which lists some and any other,
// and c, which lists none.
func threeProviders(tokenURL string) string {
	provider := `"client_id":"i","client_secret":"s","token_url":"` + tokenURL + `"`
	return `{"providers":{
		"a":{` + provider + `,"models":{"gpt-4o":{},"small":{"upstream":"gpt-4o-mini"},"shared":{}}},
		"b":{` + provider + `,"models":{"shared":{},"only-b":{},"meta/llama":{},"*":{}}},
		"c":{` + provider + `}}}`
}

const withTeams = `{"client_keys":{
	"all":{"key":"key-all"},
	"a_only":{"key":"key-a","models":["a/*"]},
	"mini":{"key":"key-mini","models":["a/small","b/meta/*"]}},
	"aliases":{"fast":"a/small","other":"c/anything"}}`

func TestAModelGoesWhereItsNameSays(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), withTeams)
	for _, test := range []struct {
		name, key, model string
		status           int
		provider, sent   string
	}{
		{"a listed model", "key-all", "a/gpt-4o", 200, "a", "gpt-4o"},
		{"a renamed model", "key-all", "a/small", 200, "a", "gpt-4o-mini"},
		{"a model that is not listed", "key-all", "a/gpt-5", 404, "", ""},
		{"the upstream's name of a renamed model", "key-all", "a/gpt-4o-mini", 404, "", ""},
		{"a model of a provider with *", "key-all", "b/whatever", 200, "b", "whatever"},
		{"a star that is asked for by name", "key-all", "a/*", 404, "", ""},
		{"a model of a provider without a list", "key-all", "c/whatever", 200, "c", "whatever"},
		{"a name with slashes", "key-all", "b/meta/llama", 200, "b", "meta/llama"},
		{"a bare model that one provider lists", "key-all", "only-b", 200, "b", "only-b"},
		{"a bare model that is renamed", "key-all", "small", 200, "a", "gpt-4o-mini"},
		{"a bare model that two providers list", "key-all", "shared", 400, "", ""},
		{"a bare model that nobody lists", "key-all", "gpt-5", 404, "", ""},
		{"an alias", "key-all", "fast", 200, "a", "gpt-4o-mini"},
		{"an alias of a model that is not listed", "key-all", "other", 200, "c", "anything"},
		{"a provider that there is not", "key-all", "z/gpt-4o", 404, "", ""},
		{"allowed by a wildcard", "key-a", "a/gpt-4o", 200, "a", "gpt-4o"},
		{"not allowed by a wildcard", "key-a", "b/only-b", 403, "", ""},
		{"a bare model that is not allowed", "key-a", "only-b", 403, "", ""},
		{"not allowed before it is not found", "key-mini", "a/gpt-5", 403, "", ""},
		{"allowed by name", "key-mini", "a/small", 200, "a", "gpt-4o-mini"},
		{"an alias of what is allowed", "key-mini", "fast", 200, "a", "gpt-4o-mini"},
		{"an alias of what is not", "key-mini", "other", 403, "", ""},
		{"allowed by a wildcard behind a slash", "key-mini", "b/meta/llama", 200, "b", "meta/llama"},
		{"not allowed beside it", "key-mini", "b/metal", 403, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"`+test.model+`"}`))
			r.Header.Set("Authorization", "Bearer "+test.key)
			forwarded, w := serve(t, h, r)
			if w.Code != test.status {
				t.Fatalf("status %d: %s; want %d", w.Code, w.Body, test.status)
			}
			if test.status != http.StatusOK {
				wantCode := map[int]string{400: "ambiguous_model", 403: "model_not_allowed", 404: "model_not_found"}[test.status]
				if forwarded != nil || !strings.Contains(w.Body.String(), `"code":"`+wantCode+`"`) {
					t.Errorf("got %s", w.Body)
				}
				if test.status == http.StatusBadRequest && !strings.Contains(w.Body.String(), "a/shared, b/shared") {
					t.Errorf("the answer does not name both: %s", w.Body)
				}
				return
			}
			if got := leaseOf(forwarded.Context()).provider().name; got != test.provider {
				t.Errorf("it went to %s, want %s", got, test.provider)
			}
			var body struct{ Model string }
			if err := json.NewDecoder(forwarded.Body).Decode(&body); err != nil || body.Model != test.sent {
				t.Errorf("the model is sent as %q, %v; want %q", body.Model, err, test.sent)
			}
		})
	}
}

func TestTheListOfModelsIsWhatAKeyMayUse(t *testing.T) {
	h := mustHandler(t, threeProviders("http://127.0.0.1:1"), withTeams)
	for key, want := range map[string]string{
		"key-all":  "a/gpt-4o a/shared a/small b/meta/llama b/only-b b/shared fast other",
		"key-a":    "a/gpt-4o a/shared a/small fast",
		"key-mini": "a/small b/meta/llama fast",
	} {
		for _, path := range []string{"/v1/models", "/models", "/v1/models/", "/v1/models?limit=1000"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("X-Api-Key", key)
			forwarded, w := serve(t, h, r)
			var list struct {
				Object string
				Data   []struct {
					ID, Object, Type, DisplayName, OwnedBy string
					Created                                int64
				}
				HasMore bool `json:"has_more"`
				FirstID string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || forwarded != nil || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%s: %v, %s", path, err, w.Body)
			}
			var ids []string
			for _, model := range list.Data {
				ids = append(ids, model.ID)
				if model.Object != "model" || model.Type != "model" || model.Created == 0 {
					t.Errorf("got %+v", model)
				}
			}
			if got := strings.Join(ids, " "); got != want || list.Object != "list" {
				t.Errorf("%s may use %s, want %s", key, got, want)
			}
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
	if _, w := serve(t, h, r); w.Code != http.StatusUnauthorized {
		t.Errorf("without a key the list is a %d", w.Code)
	}
}

func TestOneModelIsRetrievedByEscapedOrPlainName(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), withTeams)
	for _, test := range []struct {
		path, key string
		status    int
		local     bool
	}{
		{"/v1/models/a%2Fgpt-4o", "key-all", 200, true},
		{"/v1/models/a/gpt-4o", "key-all", 200, true},
		{"/v1/models/b/meta%2Fllama", "key-all", 200, true},
		{"/v1/models/fast", "key-all", 200, true},
		{"/v1/models/only-b", "key-all", 200, true},
		{"/v1/models/shared", "key-a", 200, true},
		{"/v1/models/a/gpt-4o", "key-mini", 403, false},
		{"/v1/models/a/gpt-5", "key-all", 404, false},
		{"/v1/models/b/unlisted", "key-all", 200, false},
		{"/v1/models/c/whatever", "key-all", 200, false},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := httptest.NewRequest(method, test.path, nil)
			r.Header.Set("X-Api-Key", test.key)
			forwarded, w := serve(t, h, r)
			if w.Code != test.status || (forwarded == nil) != (test.local || test.status != 200) {
				t.Errorf("%s %s: status %d, forwarded %t", method, test.path, w.Code, forwarded != nil)
			}
			if test.local && (method == http.MethodHead) != (w.Body.Len() == 0) {
				t.Errorf("%s %s has %d bytes", method, test.path, w.Body.Len())
			}
			if test.local && method == http.MethodGet && !strings.Contains(w.Body.String(), `"object":"model"`) {
				t.Errorf("got %s", w.Body)
			}
		}
	}
	// OPTIONS and POST are nobody's question for models.
	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		r := httptest.NewRequest(method, "/v1/models", nil)
		r.Header.Set("X-Api-Key", "key-all")
		if _, w := serve(t, h, r); w.Code == http.StatusOK {
			t.Errorf("%s gets %s", method, w.Body)
		}
	}
}

func TestRequestsWithoutAModelNeedTheWholeProvider(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), strings.Replace(withTeams, `"aliases"`, `"default_provider":"a","aliases"`, 1))
	for key, status := range map[string]int{"key-all": 200, "key-a": 200, "key-mini": 403} {
		r := httptest.NewRequest(http.MethodGet, "/v1/responses/resp_1", nil)
		r.Header.Set("X-Api-Key", key)
		if _, w := serve(t, h, r); w.Code != status {
			t.Errorf("%s gets %d, want %d", key, w.Code, status)
		}
	}
}

func TestPathsBoundWhatATokenIsUsedFor(t *testing.T) {
	h := mustHandler(t, corp(newTokenEndpoint(t).URL, `,"paths":["/v1/chat/completions","/v1/models/*"]`), `{"client_keys_off":true,"default_provider":"corp"}`)
	for path, status := range map[string]int{
		"/v1/chat/completions": 200, "/v1/models/corp/m": 200, "/v1/embeddings": 403, "/v1/files": 403, "/v1/chat%2Fcompletions": 403, "/v1/chat/completions/": 403, "/v1/organization/admin_api_keys": 403, "/V1/Chat/Completions": 403, "//v1/chat/completions": 403,
	} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			r := httptest.NewRequest(method, path, strings.NewReader(`{"model":"corp/m"}`))
			forwarded, w := serve(t, h, r)
			if w.Code != status || (forwarded != nil) != (status == http.StatusOK) {
				t.Errorf("%s %s gets %d: %s, want %d", method, path, w.Code, w.Body, status)
			}
		}
	}
}

func TestAListedModelIsRetrievedWhateverThePaths(t *testing.T) {
	h := mustHandler(t, corp("http://127.0.0.1:1", `,"models":{"m":{"base_url":"http://127.0.0.1:1/m"}},"paths":["/v1/chat/*"]`), `{"client_keys_off":true}`)
	for _, path := range []string{"/v1/models", "/v1/models/corp/m", "/v1/models/corp%2Fm"} {
		forwarded, w := serve(t, h, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || forwarded != nil || !strings.Contains(w.Body.String(), `"id":"corp/m"`) {
			t.Errorf("%s gets %d %s", path, w.Code, w.Body)
		}
	}
}

func TestKeepPrefixKeepsTheProvidersName(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), `{"client_keys_off":true,"keep_prefix":true,"aliases":{"fast":"a/small"}}`)
	for model, sent := range map[string]string{"a/gpt-4o": "a/gpt-4o", "a/small": "a/gpt-4o-mini", "fast": "a/gpt-4o-mini", "only-b": "only-b", "small": "gpt-4o-mini"} {
		r := httptest.NewRequest(http.MethodPost, "/v1/x", strings.NewReader(`{"model":"`+model+`"}`))
		forwarded, _ := serve(t, h, r)
		var body struct{ Model string }
		if err := json.NewDecoder(forwarded.Body).Decode(&body); err != nil || body.Model != sent {
			t.Errorf("%s is sent as %q, want %q", model, body.Model, sent)
		}
	}
}

func TestWrongAliasesAndModelsOfKeysAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ handler, says string }{
		"an alias with a slash":                  {`{"aliases":{"a/b":"a/small"}}`, "must not contain a slash"},
		"an alias of no provider":                {`{"aliases":{"x":"z/small"}}`, "alias x: provider z is not declared"},
		"an alias of a model that is not listed": {`{"aliases":{"x":"a/gpt-5"}}`, "alias x: provider a does not offer this model"},
		"an alias without a model":               {`{"aliases":{"x":"a/"}}`, "alias x: must be written as PROVIDER/MODEL"},
		"a key for no provider":                  {`{"client_keys":{"k":{"key":"v","models":["z/*"]}}}`, "provider z: client_key k models: no provider"},
		"a provider that is misspelt":            {`{"provider":"aa"}`, "provider aa: provider: no provider of this name is declared"},
		"a size in place of bytes":               {`{"max_body":"32MiB"}`, "max_body: must be a whole number, not a string"},
		"a field that is misspelt":               {`{"keep_header":["Cookie"]}`, `"keep_header": unknown field; did you mean keep_headers?`},
		"a key for a bare model":                 {`{"client_keys":{"k":{"key":"v","models":["gpt-4o"]}}}`, "client_key k: models must be written as PROVIDER/MODEL"},
		"a hash that is none":                    {`{"client_keys":{"k":{"key":"sha256:abc"}}}`, "client_key k: sha256: must be followed by"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newHandler(t, threeProviders("http://127.0.0.1:1"), test.handler)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %s", err, test.says)
			}
		})
	}
	_, err := newHandler(t, corp("http://127.0.0.1:1", `,"base_url":"https://x.com/{model}"`), `{"provider":"corp"}`)
	if err == nil || !strings.Contains(err.Error(), "depends on the model") {
		t.Errorf("a fixed provider whose address needs the model: %v", err)
	}
	if _, err := newCatalog(nil, map[string]string{"": "a/b"}, time.Time{}); !errors.As(err, new(*config.ConfigurationError)) {
		t.Errorf("got %v", err)
	}
}
