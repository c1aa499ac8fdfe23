package oauth2llm

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Cases of a key that may use some models of a provider only, and tries to reach
// more than that through places where a server may read a model.
func TestAKeyForSomeModelsReachesNoOthers(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), `{"client_keys":{
		"mini":{"key":"key-mini","models":["a/small"]},
		"team":{"key":"key-team","models":["a/*"]}},"default_provider":"a"}`)
	const json = `{"model":"a/small"}`
	for name, test := range map[string]struct {
		method, target, body string
		mini, team           int
	}{
		"its model":                                    {"POST", "/v1/chat/completions", json, 200, 200},
		"its model at a deployment's path":             {"POST", "/openai/deployments/a%2Fsmall/chat/completions", `{}`, 200, 200},
		"another model at a deployment's path":         {"POST", "/openai/deployments/gpt-4o/chat/completions", json, 403, 200},
		"another model where a base URL goes on":       {"POST", "/deployments/gpt-4o/chat/completions", json, 403, 200},
		"another model below a version":                {"POST", "/v1/deployments/gpt-4o/chat/completions", json, 403, 200},
		"another model in capitals":                    {"POST", "/v1/Deployments/gpt-4o/chat/completions", json, 403, 200},
		"another model in nothing but the path":        {"POST", "/openai/deployments/gpt-4o/chat/completions", `{}`, 403, 200},
		"its model in the query of what reads a body":  {"POST", "/v1/chat/completions?model=a/small", `not JSON`, 403, 200},
		"its model in the query of a realtime session": {"GET", "/v1/realtime?model=a/small", "", 200, 200},
		"all files":                             {"GET", "/v1/files?model=a/small", "", 403, 200},
		"a file, whose body names its model":    {"POST", "/v1/files", json, 403, 200},
		"a batch":                               {"POST", "/v1/batches", json, 403, 200},
		"a list of requests":                    {"POST", "/v1/messages/batches", json, 403, 200},
		"files below the path of a base URL":    {"POST", "/openai/v1/files", json, 403, 200},
		"another model in a path that few know": {"POST", "/v1/gpt-4o/invocations", json, 403, 200},
		"a key for a realtime session":          {"POST", "/v1/realtime/client_secrets?model=a/small", `{}`, 403, 200},
		"another deployment in a query":         {"GET", "/openai/realtime?model=a/small&deployment=gpt-4o", "", 403, 200},
		"stored completions":                    {"GET", "/v1/chat/completions", json, 403, 200},
		"an end to its model":                   {"DELETE", "/v1/models/a/small", "", 403, 200},
		"a question for its model":              {"GET", "/v1/models/a/small", "", 200, 200},
		"an answer that was kept":               {"GET", "/v1/responses/resp_1", "", 403, 200},
	} {
		t.Run(name, func(t *testing.T) {
			for key, want := range map[string]int{"key-mini": test.mini, "key-team": test.team} {
				r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
				r.Header.Set("Authorization", "Bearer "+key)
				r.Header.Set("Content-Type", "application/json")
				if test.body == `not JSON` {
					r.Header.Set("Content-Type", "text/plain")
				}
				if _, w := serve(t, h, r); w.Code != want {
					t.Errorf("%s gets %d %s, want %d", key, w.Code, w.Body, want)
				}
			}
		})
	}
}

func TestAModelThatTwoProvidersListIsThatOfTheKey(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), withTeams)
	for key, want := range map[string]int{"key-all": 400, "key-a": 200, "key-mini": 403} {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"shared"}`))
		r.Header.Set("X-Api-Key", key)
		if _, w := serve(t, h, r); w.Code != want {
			t.Errorf("%s gets %d %s, want %d", key, w.Code, w.Body, want)
		}
	}
}

func TestAKeyForEverythingMayUseWhatIsPassedOn(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), `{"unknown_model":"pass","client_keys":{
		"all":{"key":"key-all"},
		"star":{"key":"key-star","models":["*"]},
		"a_only":{"key":"key-a","models":["a/*"]}}}`)
	for key, want := range map[string]int{"key-all": 200, "key-star": 200, "key-a": 403} {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"nobodys"}`))
		r.Header.Set("X-Api-Key", key)
		if _, w := serve(t, h, r); w.Code != want {
			t.Errorf("%s gets %d %s, want %d", key, w.Code, w.Body, want)
		}
	}
}

// A provider of which each model has an address sends its token nowhere else,
// whatever a request names or leaves out.
func TestAProviderWithAddressesOfModelsOnlyIsBound(t *testing.T) {
	app := corp(newTokenEndpoint(t).URL, `,"models":{"m":{"base_url":"http://127.0.0.1:1/m"}}`)
	h := mustHandler(t, app, `{"client_keys_off":true,"default_provider":"corp"}`)
	for name, test := range map[string]struct {
		target, body string
		status       int
		code         string
	}{
		"its model":        {"/v1/chat/completions", `{"model":"corp/m"}`, 200, ""},
		"another model":    {"/v1/chat/completions", `{"model":"corp/n"}`, 404, "model_not_found"},
		"no model":         {"/v1/batches", `{}`, 400, "model_required"},
		"no model, no end": {"/v1/responses/resp_1", ``, 400, "model_required"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, test.target, strings.NewReader(test.body))
			forwarded, w := serve(t, h, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.code) {
				t.Fatalf("got %d %s, want %d %s", w.Code, w.Body, test.status, test.code)
			}
			if forwarded == nil {
				return
			}
			if forwarded.Header.Get("Authorization") != "" || !leaseOf(forwarded.Context()).bound() {
				t.Errorf("the token leaves the handler: %v", forwarded.Header)
			}
		})
	}
	if _, err := newHandler(t, app, `{"provider":"corp","client_keys_off":true}`); err == nil || !strings.Contains(err.Error(), "depends on the model") {
		t.Errorf("a fixed provider without one address: %v", err)
	}
}
