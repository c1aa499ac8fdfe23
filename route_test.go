package oauth2llm

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
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

// The path decides which model is meant, but only a body that the gateway reads can
// be made to say the same. Others may be read by an LLM that is more lenient.
func TestAKeyForSomeModelsSendsOnlyBodiesThatAreRead(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), `{"client_keys":{
		"mini":{"key":"key-mini","models":["a/small"]},
		"team":{"key":"key-team","models":["a/*"]}}}`)
	const deployment, gemini = "/openai/deployments/a%2Fsmall/chat/completions", "/v1beta/models/a/small:generateContent"
	for name, test := range map[string]struct {
		target, contentType, body string
		mini                      int
	}{
		"an object":                               {deployment, "application/json", `{"model":"gpt-4o"}`, 200},
		"no body":                                 {deployment, "application/json", "", 200},
		"an object behind a comment":              {deployment, "application/json", `/**/{"model":"gpt-4o"}`, 400},
		"an object behind a line of comment":      {deployment, "application/json", "//\n{\"model\":\"gpt-4o\"}", 400},
		"an object behind a vertical tab":         {deployment, "application/json", "\v{\"model\":\"gpt-4o\"}", 400},
		"an object in a list":                     {deployment, "application/json", `[{"model":"gpt-4o"}]`, 400},
		"a web form without a content type":       {deployment, "", "model=gpt-4o", 400},
		"plain text":                              {deployment, "text/plain", "model: gpt-4o", 400},
		"an object behind a comment for a verb":   {gemini, "application/json", `/**/{"generateContentRequest":{"model":"models/gpt-4o"}}`, 400},
		"an object for a verb":                    {gemini, "application/json", `{"contents":[]}`, 200},
		"text with a question for a single model": {"/v1/models/a/small", "text/plain", "model=gpt-4o", 400},
	} {
		t.Run(name, func(t *testing.T) {
			for key, want := range map[string]int{"key-mini": test.mini, "key-team": 200} {
				method := http.MethodPost
				if strings.HasPrefix(test.target, "/v1/models/") {
					method = http.MethodGet
				}
				r := httptest.NewRequest(method, test.target, strings.NewReader(test.body))
				r.Header.Set("Authorization", "Bearer "+key)
				if test.contentType != "" {
					r.Header.Set("Content-Type", test.contentType)
				}
				_, w := serve(t, h, r)
				if w.Code != want || want == 400 && !strings.Contains(w.Body.String(), `"invalid_body"`) {
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

// fiveProviders are those of threeProviders, d, whose base URL names the model, and
// e, which is for chats only.
func fiveProviders() string {
	provider := `"client_id":"i","client_secret":"s","token_url":"http://127.0.0.1:1"`
	return strings.TrimSuffix(threeProviders("http://127.0.0.1:1"), "}}") + `,
		"d":{` + provider + `,"base_url":"https://d.example.com/openai/deployments/{model}?api-version=1"},
		"e":{` + provider + `,"base_url":"https://e.example.com:8443/api","paths":["/v1/chat/completions"]}}}`
}

// queryOf is what the handler reads in a request.
func queryOf(t *testing.T, h *Handler, r *http.Request) (query, error) {
	t.Helper()
	r = withCaddyContext(r)
	l := h.newLease(httptest.NewRecorder(), r)
	if _, err := h.authenticate(r, l); err != nil {
		t.Fatal(err)
	}
	return h.read(r, l)
}

// form is a multipart body that names a model.
func form(model string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n--b--\r\n"
}

func TestWhatBecomesOfARequestIsDecidedByWhatItAsksFor(t *testing.T) {
	const (
		chats     = "POST /v1/chat/completions"
		multipart = "multipart/form-data; boundary=b"
		plain     = `{"client_keys_off":true}`
		toA       = `{"client_keys_off":true,"default_provider":"a"}`
		toC       = `{"client_keys_off":true,"default_provider":"c"}`
		passing   = `{"client_keys_off":true,"unknown_model":"pass"}`
		defaults  = `{"client_keys_off":true,"unknown_model":"default","default_provider":"c"}`
		fixed     = `{"client_keys_off":true,"provider":"c"}`
		aliased   = `{"client_keys_off":true,"aliases":{"fast":"a/small"}}`
		keeping   = `{"client_keys_off":true,"keep_prefix":true,"aliases":{"fast":"a/small"}}`
		keys      = `{"client_keys":{"all":{"key":"key-all"},"mini":{"key":"key-mini","models":["a/small","b/meta/*"]},"named":{"key":"key-named","models":["b/any-name","c/other"]},"nothing":{"key":"key-none","models":["c/*"]}}}`
	)
	for name, test := range map[string]struct {
		handler, request, key, contentType, body string
		webSocket                                bool
		// provider is empty for what is passed on.
		provider, model, upstream, base string
		// reply is a part of an answer, status and code are an error, says is a part of
		// its message.
		reply  string
		status int
		code   string
		says   string
	}{
		"a fixed provider has whatever comes":             {handler: fixed, request: "POST /v1/anything", body: "RIFF", contentType: "text/plain; charset=utf-16", provider: "c"},
		"a fixed provider has lists of models, too":       {handler: fixed, request: "GET /v1/models", provider: "c"},
		"a fixed provider has dot segments of no use":     {handler: fixed, request: "POST /v1/../x", status: 400, code: "invalid_path"},
		"a body names its model":                          {handler: plain, request: chats, body: `{"model":"a/small"}`, provider: "a", model: "small", upstream: "gpt-4o-mini"},
		"a form names its model":                          {handler: plain, request: "POST /v1/audio/transcriptions", contentType: multipart, body: form("c/whisper"), provider: "c", model: "whisper", upstream: "whisper"},
		"a query names its model":                         {handler: plain, request: "GET /v1/realtime?model=c%2Fgpt", provider: "c", model: "gpt", upstream: "gpt"},
		"a path names its model":                          {handler: plain, request: "POST /v1beta/models/c/gemini:generateContent", body: `{}`, provider: "c", model: "gemini", upstream: "gemini"},
		"a deployment's path names its model":             {handler: plain, request: "POST /openai/deployments/c%2Fgpt/chat/completions", body: `{"model":"x/y"}`, provider: "c", model: "gpt", upstream: "gpt"},
		"a base URL that names the model has it":          {handler: plain, request: chats, body: `{"model":"d/gpt"}`, provider: "d", model: "gpt", upstream: "gpt", base: "https://d.example.com/openai/deployments/gpt?api-version=1"},
		"a base URL that names the model needs one":       {handler: `{"client_keys_off":true,"default_provider":"d"}`, request: chats, body: `{}`, status: 400, code: "model_required", says: "an address for each model"},
		"a body and a query agree":                        {handler: plain, request: chats + "?model=c/m", body: `{"model":"c/m"}`, provider: "c", model: "m", upstream: "m"},
		"a body and a query differ":                       {handler: plain, request: chats + "?model=c/m", body: `{"model":"c/n"}`, status: 400, code: "ambiguous_model"},
		"a default provider has what names no model":      {handler: toC, request: "GET /v1/files", provider: "c"},
		"a default provider has names of its own":         {handler: toC, request: chats, body: `{"model":"own"}`, provider: "c", model: "own", upstream: "own"},
		"a default provider offers no other":              {handler: toA, request: chats, body: `{"model":"own"}`, status: 404, code: "model_not_found", says: "provider a does not offer this model; GET /v1/models"},
		"without a default a POST needs a model":          {handler: plain, request: chats, body: `{}`, status: 400, code: "model_required"},
		"without a default a GET is of nothing":           {handler: plain, request: "GET /v1/files", status: 404, code: "model_not_found"},
		"an alias is what it stands for":                  {handler: aliased, request: chats, body: `{"model":"fast"}`, provider: "a", model: "small", upstream: "gpt-4o-mini"},
		"a bare model is that of who lists it":            {handler: plain, request: chats, body: `{"model":"only-b"}`, provider: "b", model: "only-b", upstream: "only-b"},
		"a bare model of two is ambiguous":                {handler: plain, request: chats, body: `{"model":"shared"}`, status: 400, code: "ambiguous_model", says: "a/shared, b/shared"},
		"a bare model of nobody is not found":             {handler: plain, request: chats, body: `{"model":"nobodys"}`, status: 404, code: "model_not_found"},
		"an unknown provider is not found":                {handler: plain, request: chats, body: `{"model":"zzz/m"}`, status: 404, code: "model_not_found"},
		"an unknown provider may be near another":         {handler: `{"client_keys_off":true,"default_provider":"a"}`, request: chats, body: `{"model":"zzz/m"}`, status: 404, code: "model_not_found", says: "GET /v1/models"},
		"an unknown provider is passed on":                {handler: passing, request: chats, body: `{"model":"zzz/m"}`, upstream: "zzz/m"},
		"a bare model is passed on":                       {handler: passing, request: chats, body: `{"model":"nobodys"}`, upstream: "nobodys"},
		"what names no model is passed on":                {handler: passing, request: chats, body: `{}`},
		"an unknown provider is the default's":            {handler: defaults, request: chats, body: `{"model":"zzz/m"}`, provider: "c", model: "zzz/m", upstream: "zzz/m"},
		"a prefix is kept":                                {handler: keeping, request: chats, body: `{"model":"a/small"}`, provider: "a", model: "small", upstream: "a/gpt-4o-mini"},
		"an alias's prefix is kept":                       {handler: keeping, request: chats, body: `{"model":"fast"}`, provider: "a", model: "small", upstream: "a/gpt-4o-mini"},
		"a prefix that was not named is not added":        {handler: keeping, request: chats, body: `{"model":"only-b"}`, provider: "b", model: "only-b", upstream: "only-b"},
		"a key has its model":                             {handler: keys, key: "key-mini", request: chats, body: `{"model":"a/small"}`, provider: "a", model: "small", upstream: "gpt-4o-mini"},
		"a key has what its pattern says":                 {handler: keys, key: "key-mini", request: chats, body: `{"model":"b/meta/x"}`, provider: "b", model: "meta/x", upstream: "meta/x"},
		"a key has no other model":                        {handler: keys, key: "key-mini", request: chats, body: `{"model":"a/gpt-4o"}`, status: 403, code: "model_not_allowed", says: "GET /v1/models"},
		"a key learns of no other provider":               {handler: keys, key: "key-mini", request: chats, body: `{"model":"c/x"}`, status: 403, code: "model_not_allowed"},
		"a key with an empty list is pointed nowhere":     {handler: keys, key: "key-none", request: chats, body: `{"model":"a/small"}`, status: 403, code: "model_not_allowed"},
		"a key for one model calls it only":               {handler: keys, key: "key-mini", request: "POST /v1/files?model=a/small", body: `{}`, status: 403, code: "model_not_allowed", says: "a/*"},
		"a key for one model chooses no other":            {handler: keys, key: "key-mini", request: chats, body: `{"model":"a/small","fallbacks":["gpt-4o"]}`, status: 403, code: "model_not_allowed", says: "fallbacks"},
		"a key for all may choose":                        {handler: keys, key: "key-all", request: chats, body: `{"model":"a/small","fallbacks":["gpt-4o"]}`, provider: "a", model: "small", upstream: "gpt-4o-mini"},
		"a path is allowed":                               {handler: plain, request: chats, body: `{"model":"e/m"}`, provider: "e", model: "m", upstream: "m", base: "https://e.example.com:8443/api"},
		"a path is not allowed":                           {handler: plain, request: "POST /v1/embeddings", body: `{"model":"e/m"}`, status: 403, code: "path_not_allowed"},
		"a path is not allowed as it is escaped":          {handler: plain, request: "POST /v1/chat%2Fcompletions", body: `{"model":"e/m"}`, status: 403, code: "path_not_allowed"},
		"a listed model is retrieved":                     {handler: plain, request: "GET /v1/models/a/small", reply: `{"id":"a/small","object":"model"`},
		"a model that is not listed is asked for":         {handler: plain, request: "GET /v1/models/c/any", provider: "c", model: "any", upstream: "any"},
		"a listed model is retrieved by its key":          {handler: keys, key: "key-mini", request: "GET /v1/models/a%2Fsmall", reply: `{"id":"a/small"`},
		"a model of a key's own name is retrieved":        {handler: keys, key: "key-named", request: "GET /v1/models/b/any-name", reply: `{"id":"b/any-name"`},
		"a model of no right is not retrieved":            {handler: keys, key: "key-mini", request: "GET /v1/models/a/gpt-4o", status: 403, code: "model_not_allowed"},
		"all models are listed":                           {handler: plain, request: "GET /v1/models", reply: `{"object":"list","data":[{"id":"a/gpt-4o"`},
		"the models of a key are listed":                  {handler: keys, key: "key-named", request: "GET /v1/models", reply: `"first_id":"b/any-name","last_id":"c/other"`},
		"no models are listed where there are none":       {handler: keys, key: "key-none", request: "GET /v1/models", reply: `{"object":"list","data":[],`},
		"a WebSocket without a model is told to use HTTP": {handler: plain, request: "GET /v1/responses", webSocket: true, status: 426, code: "upgrade_refused"},
		"a WebSocket without a model has a default":       {handler: toC, request: "GET /v1/responses", webSocket: true, provider: "c"},
		"a WebSocket without a model is passed on":        {handler: passing, request: "GET /v1/responses", webSocket: true},
		"a WebSocket with a model is opened":              {handler: plain, request: "GET /v1/realtime?model=c/m", webSocket: true, provider: "c", model: "m", upstream: "m"},
		"a urlencoded body cannot be read":                {handler: plain, request: chats, contentType: "application/x-www-form-urlencoded", body: `{"model":"c/m"}`, status: 415, code: "unsupported_content_type", says: "-H 'Content-Type: application/json'"},
		"a urlencoded body is refused with a default":     {handler: toC, request: chats, contentType: "application/x-www-form-urlencoded", body: `{"x":1}`, status: 415, code: "unsupported_content_type"},
		"a urlencoded body is passed on":                  {handler: passing, request: chats, contentType: "application/x-www-form-urlencoded", body: `{"model":"zzz/m"}`, upstream: "zzz/m"},
		"a charset that others read differently":          {handler: plain, request: chats, contentType: "application/json; charset=utf-16", body: `{"model":"c/m"}`, status: 415, code: "unsupported_content_type"},
		"a charset that all read alike":                   {handler: plain, request: chats, contentType: `application/json; charset="UTF-8"`, body: `{"model":"c/m"}`, provider: "c", model: "m", upstream: "m"},
		"an encoding that is unknown":                     {handler: plain, request: chats + "?encoding=br", body: `{"model":"c/m"}`, status: 415, code: "unsupported_encoding"},
		"a body that is no JSON, and says so":             {handler: plain, request: chats, contentType: "text/plain", body: "hello", status: 400, code: "model_required"},
		"a body that is no JSON, and says it is":          {handler: plain, request: chats, contentType: "application/json", body: "[]", status: 400, code: "invalid_body", says: "must be a JSON object"},
		"a body that is broken JSON":                      {handler: plain, request: chats, body: `{"model":"c/m"`, status: 400, code: "invalid_body"},
		"a body with two models":                          {handler: plain, request: chats, body: `{"model":"c/m","model":"c/n"}`, status: 400, code: "ambiguous_model"},
		"a body whose model is no string":                 {handler: plain, request: chats, body: `{"model":1}`, status: 400, code: "invalid_body"},
		"nothing behind the slash":                        {handler: plain, request: chats, body: `{"model":"c/"}`, status: 400, code: "invalid_body"},
		"a method that is not for LLMs":                   {handler: plain, request: "TRACE /v1/x", status: 405, code: "method_not_allowed"},
		"a CONNECT that is no WebSocket":                  {handler: fixed, request: "CONNECT /v1/x", status: 405, code: "method_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := mustHandler(t, fiveProviders(), test.handler)
			method, target, _ := strings.Cut(test.request, " ")
			target, encoding, _ := strings.Cut(target, "?encoding=")
			r := httptest.NewRequest(method, target, strings.NewReader(test.body))
			if test.contentType != "" {
				r.Header.Set("Content-Type", test.contentType)
			}
			if encoding != "" {
				r.Header.Set("Content-Encoding", encoding)
			}
			if test.key != "" {
				r.Header.Set("X-Api-Key", test.key)
			}
			if test.webSocket {
				r.Header.Set("Upgrade", "websocket")
			}
			q, err := queryOf(t, h, r)
			var to route
			if err == nil {
				before := q
				if to, err = h.decide(&q); !reflect.DeepEqual(q, before) {
					t.Errorf("deciding changed the query from %+v to %+v", before, q)
				}
			}
			if test.status != 0 {
				p, ok := errors.AsType[*problem](err)
				if !ok || p.status != test.status || p.code != test.code || !strings.Contains(p.message, test.says) {
					t.Errorf("got %v, %+v", err, p)
				}
				if test.says == "" && ok && strings.Contains(p.message, "GET /v1/models") && test.key == "key-none" {
					t.Errorf("a list of nothing is pointed to: %s", p.message)
				}
				if !reflect.DeepEqual(to, route{}) {
					t.Errorf("the route is %+v", to)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (to.reply != nil) != (test.reply != "") || !strings.Contains(string(to.reply), test.reply) {
				t.Fatalf("the reply is %s", to.reply)
			}
			provider, base := "", ""
			if to.target.provider != nil {
				provider = to.target.provider.name
			}
			if to.target.base != nil {
				base = to.target.base.String()
			}
			if provider != test.provider || to.target.model != test.model || to.target.upstream != test.upstream || base != test.base {
				t.Errorf("it goes to %q, %q as %q at %q", provider, to.target.model, to.target.upstream, base)
			}
			if (to.target.dial != "") != (base != "") {
				t.Errorf("the address is %q for %q", to.target.dial, base)
			}
		})
	}
}

// A guess names no provider that a key is not for.
func TestOnlyAProviderThatAKeyMayUseIsGuessed(t *testing.T) {
	provider := `{"client_id":"i","client_secret":"s","token_url":"http://127.0.0.1:1"}`
	h := mustHandler(t, `{"providers":{"azure_prod":`+provider+`,"azure_proof":`+provider+`}}`, `{"client_keys":{
		"all":{"key":"key-all"},
		"prod":{"key":"key-prod","models":["azure_prod/*"]},
		"proof":{"key":"key-proof","models":["azure_proof/m"]},
		"other":{"key":"key-other","models":["azure_proof/other"]}}}`)
	for name, test := range map[string]struct{ key, model, want string }{
		"a key for all":                  {"key-all", "azure_prd/m", "did you mean azure_prod/…?"},
		"a key for it":                   {"key-prod", "azure_prd/m", "did you mean azure_prod/…?"},
		"a key for another that is near": {"key-proof", "azure_proo/m", "did you mean azure_proof/…?"},
		"a key for another model":        {"key-other", "azure_proo/m", "does not begin with the name of a provider"},
		"nothing is near":                {"key-all", "zzzzzzzzz/m", "does not begin with the name of a provider"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"`+test.model+`"}`))
			r.Header.Set("X-Api-Key", test.key)
			_, w := serve(t, h, r)
			if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("got %d %s, want %s", w.Code, w.Body, test.want)
			}
			if !strings.Contains(test.want, "did you mean") && strings.Contains(w.Body.String(), "azure_") {
				t.Errorf("a provider is named: %s", w.Body)
			}
		})
	}
}

// The hint is of use only where the list has something.
func TestTheListIsPointedToOnlyWhereItListsSomething(t *testing.T) {
	h := mustHandler(t, threeProviders("http://127.0.0.1:1"), `{"client_keys":{
		"listed":{"key":"key-a","models":["a/*"]},
		"spelt":{"key":"key-spelt","models":["c/named"]},
		"unlisted":{"key":"key-c","models":["c/*"]}}}`)
	for key, want := range map[string]bool{"key-a": true, "key-spelt": true, "key-c": false} {
		for model, status := range map[string]int{"b/only-b": 403, "zzz/m": 404, "bare": 404} {
			r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"`+model+`"}`))
			r.Header.Set("X-Api-Key", key)
			_, w := serve(t, h, r)
			if w.Code != status || strings.Contains(w.Body.String(), "GET /v1/models") != want {
				t.Errorf("%s asks for %s: %d %s, want %d with the hint: %v", key, model, w.Code, w.Body, status, want)
			}
		}
	}
}
