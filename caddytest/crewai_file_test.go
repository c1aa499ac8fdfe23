package caddytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// twoProviders is a gateway in front of two providers, each with an
// authorization server and an LLM of its own, read from a litellm_config.json.
type twoProviders struct {
	*gateway
	authA, authB *authServer
	llmA, llmB   *llmStandIn
}

const routeByModel = `
{
	{{global}}
	oauth2_llm {
		config_file litellm_config.json
	}
}
{{site}} {
	oauth2_llm {
		client_key agents gateway-key
	}
	@a vars {http.oauth2_llm.provider} provider_a
	reverse_proxy @a %s
	@b vars {http.oauth2_llm.provider} provider_b
	reverse_proxy @b %s
}`

func startTwoProviders(t *testing.T) *twoProviders {
	t.Helper()
	p := &twoProviders{
		authA: newAuthServer(t, oauthClient{id: "client_a", secret: "secret_a"}),
		authB: newAuthServer(t, oauthClient{id: "client_b", secret: "secret_b"}),
	}
	p.llmA, p.llmB = newLLM(t, p.authA, "client_a"), newLLM(t, p.authB, "client_b")
	t.Setenv("TEST_CLIENT_B", "client_b")
	t.Setenv("TEST_SECRET_B", "secret_b")
	p.gateway = startGatewayWith(t, fmt.Sprintf(routeByModel, p.llmA.address(), p.llmB.address()), map[string]string{
		"litellm_config.json": fmt.Sprintf(`{
			"model_list": [{"model_name": "x"}],
			"oauth2_providers": {
				"provider_a": {"client_id": "client_a", "client_secret": "secret_a", "token_url": %q, "scope": "llm.read llm.write"},
				"provider_b": {"client_id": "os.environ/TEST_CLIENT_B", "client_secret": "os.environ/TEST_SECRET_B", "token_url": %q}
			}
		}`, p.authA.tokenURL(), p.authB.tokenURL()),
	})
	return p
}

var withKey = []string{"Authorization", "Bearer gateway-key"}

func TestTheModelsPrefixChoosesProviderTokenAndUpstream(t *testing.T) {
	p := startTwoProviders(t)
	for range 3 {
		a := p.post("/v1/chat/completions", chat("provider_a/model-1"), withKey...)
		a.wantStatus(t, http.StatusOK)
		if !strings.Contains(a.body, `"model":"model-1","client":"client_a"`) {
			t.Errorf("provider_a answered %s", a.body)
		}
		b := p.post("/v1/chat/completions", chat("provider_b/meta/model-2"), withKey...)
		b.wantStatus(t, http.StatusOK)
		if !strings.Contains(b.body, `"model":"meta/model-2","client":"client_b"`) {
			t.Errorf("provider_b answered %s", b.body)
		}
	}
	p.llmA.wantNoRefusals(t)
	p.llmB.wantNoRefusals(t)
	if p.authA.tokenRequests.Load() != 1 || p.authB.tokenRequests.Load() != 1 {
		t.Errorf("%d and %d token requests for 3 requests each, want 1 and 1", p.authA.tokenRequests.Load(), p.authB.tokenRequests.Load())
	}
	if form := p.authA.lastForm.Load(); form.Get("scope") != "llm.read llm.write" || form.Get("grant_type") != "client_credentials" {
		t.Errorf("the token request had %v", form)
	}
	if form := p.authB.lastForm.Load(); form.Has("scope") {
		t.Error("a scope was sent that nobody configured")
	}
}

func TestOnlyTheModelsBytesOfTheBodyChange(t *testing.T) {
	p := startTwoProviders(t)
	body := `{ "messages":[{"role":"user","content":"\u00e4 \"model\": é"}], "model" : "provider_a/model-1", "tools":[{"model":"provider_a/x"}] }`
	p.post("/v1/chat/completions", body, withKey...).wantStatus(t, http.StatusOK)
	got := string(p.llmA.lastRequest().body)
	want := strings.Replace(body, `"provider_a/model-1"`, `"model-1"`, 1)
	if compact(got) != compact(want) || len(got) != len(body) {
		t.Errorf("the LLM got\n%s\nwant, but for white space,\n%s", got, want)
	}
	if p.llmA.lastRequest().contentLength != int64(len(body)) {
		t.Errorf("Content-Length %d, want %d", p.llmA.lastRequest().contentLength, len(body))
	}
}

// compact takes spaces in front of the model's name out.
func compact(body string) string { return strings.Join(strings.Fields(body), " ") }

func TestAStreamPassesAsItComes(t *testing.T) {
	p := startTwoProviders(t)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url("/v1/chat/completions"), strings.NewReader(`{"model":"provider_a/m","stream":true}`))
	r.Header.Set("Authorization", "Bearer gateway-key")
	response, err := p.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	start := time.Now()
	first := make([]byte, 16)
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	untilFirst := time.Since(start)
	rest, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the stream ended with %v: %s", err, rest)
	}
	if total := time.Since(start); untilFirst > total/2 {
		t.Errorf("the first event came after %v of %v: the stream was held back", untilFirst, total)
	}
}

func TestAClientWithoutAKeyIsRefusedBeforeATokenIsFetched(t *testing.T) {
	p := startTwoProviders(t)
	for name, header := range map[string][]string{
		"no key":           nil,
		"a wrong key":      {"Authorization", "Bearer wrong"},
		"a prefix of it":   {"Authorization", "Bearer gateway-ke"},
		"another scheme":   {"Authorization", "Basic gateway-key"},
		"an empty key":     {"X-Api-Key", ""},
		"no scheme at all": {"Authorization", "gateway-key"},
	} {
		t.Run(name, func(t *testing.T) {
			p.post("/v1/chat/completions", chat("provider_a/m"), header...).wantError(t, 401, "authentication_error", "invalid_api_key")
		})
	}
	for _, header := range [][]string{withKey, {"X-Api-Key", "gateway-key"}, {"Api-Key", "gateway-key"}, {"Authorization", "bearer gateway-key"}} {
		p.post("/v1/chat/completions", chat("provider_b/m"), header...).wantStatus(t, http.StatusOK)
	}
	if p.authA.tokenRequests.Load() != 0 {
		t.Error("a token was fetched for a client without a key")
	}
}

func TestAnUnknownProviderIsNotFound(t *testing.T) {
	p := startTwoProviders(t)
	p.post("/v1/chat/completions", chat("provider_c/m"), withKey...).wantError(t, 404, "invalid_request_error", "model_not_found")
	p.post("/v1/chat/completions", chat("m"), withKey...).wantError(t, 404, "invalid_request_error", "model_not_found")
	p.post("/v1/chat/completions", `{"messages":[]}`, withKey...).wantError(t, 400, "invalid_request_error", "model_required")
	p.get("/v1/responses/resp_1", withKey...).wantError(t, 404, "invalid_request_error", "model_not_found")
	if n := p.llmA.requests.Load() + p.llmB.requests.Load(); n != 0 {
		t.Errorf("%d requests were forwarded", n)
	}
}

func TestErrorsHaveTheBodyThatSDKsRead(t *testing.T) {
	p := startTwoProviders(t)
	a := p.post("/v1/chat/completions", chat("nobody/m"), withKey...)
	var body struct {
		Type  string `json:"type"`
		Error struct {
			Message, Type, Code string
			Param               *string
		} `json:"error"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "error" || body.Error.Message == "" || body.Error.Param != nil ||
		body.RequestID == "" || body.RequestID != a.header.Get("X-Request-Id") || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s with %v", a.body, a.header)
	}
}

func TestInvalidCredentialsAreA502ThatSDKsDoNotRepeat(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "right"})
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, decorateWith(auth, llm, "client_a", "wrong-secret"))
	for range 20 {
		a := g.post("/v1/chat/completions", chat("m"), withKey...)
		a.wantError(t, 502, "oauth2_authentication_error", "invalid_client")
		if a.header.Get("X-Should-Retry") != "false" || strings.Contains(a.body, auth.address) {
			t.Errorf("got %v %s", a.header, a.body)
		}
	}
	if n := auth.tokenRequests.Load(); n != 1 {
		t.Errorf("%d token requests for a refusal, want 1", n)
	}
	if llm.requests.Load() != 0 {
		t.Error("a request was forwarded without a token")
	}
	if log := g.log(); !strings.Contains(log, "invalid_client") || !strings.Contains(log, "check client_id, client_secret") {
		t.Error("the log does not say what to do")
	}
}

// decorateWith is a gateway with one fixed provider.
func decorateWith(auth *authServer, llm *llmStandIn, id, secret string, options ...string) string {
	return fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id %s
			client_secret %s
			token_url %s
		}
	}
}
{{site}} {
	oauth2_llm corp {
		client_key agents gateway-key
		%s
	}
	reverse_proxy %s {
		transport http {
			keepalive_idle_conns_per_host 1024
		}
	}
}`, id, secret, auth.tokenURL(), strings.Join(options, "\n"), llm.address())
}

func TestADecoratedRequestIsNotReadOrChanged(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	for _, body := range []string{`{"model":"anything/at all"`, "no JSON", ""} {
		g.post("/any/path?a=1", body, withKey...).wantStatus(t, http.StatusOK)
		if got := llm.lastRequest(); string(got.body) != body || got.uri != "/any/path?a=1" {
			t.Errorf("%q arrived as %q at %s", body, got.body, got.uri)
		}
	}
}

func TestTheRequestAfterAnUpstreams401GetsANewToken(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	auth.revoke(llm.lastRequest().header.Get("Authorization"))
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusUnauthorized)
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	if n := auth.tokenRequests.Load(); n != 2 {
		t.Errorf("%d token requests, want 2", n)
	}
}

func TestAnUnreachableLLMIsSaidInTheLLMErrorShape(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	llm.Close()
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	g.post("/v1/x", "{}", withKey...).wantError(t, 502, "upstream_error", "upstream_unreachable")
}

func TestAReloadKeepsTheTokenOfAnUnchangedProvider(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"}, oauthClient{id: "client_b", secret: "s2"})
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	for range 5 {
		g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
		if err := g.load(decorateWith(auth, llm, "client_a", "s")); err != nil {
			t.Fatal(err)
		}
	}
	if n := auth.tokenRequests.Load(); n != 1 {
		t.Errorf("%d token requests over 5 reloads, want 1", n)
	}
	// A changed client never meets the old token.
	llm.setClient("client_b")
	if err := g.load(decorateWith(auth, llm, "client_b", "s2")); err != nil {
		t.Fatal(err)
	}
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	llm.wantNoRefusals(t)
}

func TestARotatedSecretFileNeedsNoReload(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "new-secret"})
	auth.lifetime.Store(3)
	llm := newLLM(t, auth, "client_a")
	config := strings.Replace(decorateWith(auth, llm, "client_a", "x"), "client_secret x", "client_secret_file secret", 1)
	g := startGatewayWith(t, config, map[string]string{"secret": "old-secret\n"})
	g.post("/v1/x", "{}", withKey...).wantError(t, 502, "oauth2_authentication_error", "invalid_client")
	g.write("secret", "new-secret\n")
	waitFor(t, 5*time.Second, func() bool { return g.post("/v1/x", "{}", withKey...).status == http.StatusOK })
	if err := os.Remove(g.folder + "/secret"); err != nil {
		t.Fatal(err)
	}
	// The token in hand serves to its end.
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	waitFor(t, 10*time.Second, func() bool { return g.post("/v1/x", "{}", withKey...).status != http.StatusOK })
	g.post("/v1/x", "{}", withKey...).wantError(t, 500, "oauth2_configuration_error", "unresolved_reference")
}
