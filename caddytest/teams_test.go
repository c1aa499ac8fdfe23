package caddytest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
)

// The README's example of three providers and two teams, as it stands there: only
// its addresses, its files and one hash are replaced by those of stand-ins.
type teams struct {
	*gateway
	azure, apigee, sap *standIn
}

// A standIn is an authorization server and an LLM in one. It gives tokens only
// for the right credentials and answers only to its token.
type standIn struct {
	*httptest.Server
	name     string
	issue    func(r *http.Request) bool
	requests chan received
}

func newStandIn(t *testing.T, name string, issue func(r *http.Request) bool) *standIn {
	s := &standIn{name: name, issue: issue, requests: make(chan received, 100)}
	s.Server = httptest.NewUnstartedServer(s)
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/token") {
		_ = r.ParseForm()
		if !s.issue(r) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-of-%s","expires_in":3600}`, s.name)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.requests <- received{method: r.Method, uri: r.RequestURI, host: r.Host, header: r.Header.Clone(), body: body}
	if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer token-of-"+s.name {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var asked struct{ Model string }
	_ = json.Unmarshal(body, &asked)
	fmt.Fprintf(w, `{"provider":%q,"model":%q}`, s.name, asked.Model)
}

const (
	researchKey = "gw-research-key"
	supportKey  = "gw-support-key"
)

func readmeExample(t *testing.T) string {
	t.Helper()
	for _, block := range readmeBlocks(t, "caddyfile") {
		if strings.Contains(block, "provider azure_prod") {
			return block
		}
	}
	t.Fatal("the README has no example of three providers")
	return ""
}

func startTeams(t *testing.T) *teams {
	t.Helper()
	form := func(r *http.Request) string {
		return r.PostForm.Get("client_id") + " " + r.PostForm.Get("client_secret") + " " + r.PostForm.Get("scope")
	}
	s := &teams{
		azure: newStandIn(t, "azure_prod", func(r *http.Request) bool {
			return r.URL.Path == "/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token" && form(r) == "azure-id azure-secret https://cognitiveservices.azure.com/.default"
		}),
		apigee: newStandIn(t, "apigee", func(r *http.Request) bool {
			id, secret, ok := r.BasicAuth()
			return ok && id == "apigee-id" && secret == "apigee-secret" && !r.PostForm.Has("client_secret")
		}),
		sap: newStandIn(t, "sap", func(r *http.Request) bool { return form(r) == "sap-id sap-secret " }),
	}
	ca := newAuthority(t)
	s.azure.Start()
	s.sap.Start()
	s.apigee.TLS = ca.serverConfig()
	s.apigee.TLS.ClientAuth = 0
	s.apigee.StartTLS()
	for name, value := range map[string]string{"AZURE_CLIENT_ID": "azure-id", "APIGEE_CLIENT_ID": "apigee-id", "APIGEE_CLIENT_SECRET": "apigee-secret"} {
		t.Setenv(name, value)
	}
	files := map[string]string{
		"azure_client_secret": "azure-secret\n", "sap_client_id": "sap-id\n", "sap_client_secret": "sap-secret\n",
		"support_key": supportKey + "\n", "corp-ca.pem": ca.files()["ca.pem"],
	}
	config := strings.NewReplacer(
		"https://login.microsoftonline.com", s.azure.URL, "https://my-resource.openai.azure.com", s.azure.URL,
		"https://apigee.corp.internal", s.apigee.URL,
		"https://my-tenant.authentication.eu10.hana.ondemand.com", s.sap.URL, "https://api.ai.prod.eu-central-1.aws.ml.hana.ondemand.com", s.sap.URL,
		"/run/secrets/", "{{folder}}/", "/etc/ssl/", "{{folder}}/",
		"llm.example.com {", "{{site}} {\n\tlog {\n\t\toutput file {{log}}\n\t}",
		"{\n\toauth2_llm {\n\t\tprovider azure_prod", "{\n\t{{global}}\n\toauth2_llm {\n\t\tprovider azure_prod",
		"sha256:8d4b3b2f0c2a1e6f5d4c3b2a19087f6e5d4c3b2a19087f6e5d4c3b2a19087f6e", hashOf(researchKey),
	).Replace(readmeExample(t))
	s.gateway = startGatewayWith(t, config, files)
	return s
}

func TestTwoTeamsThreeProvidersAndEveryCellIsRight(t *testing.T) {
	s := startTeams(t)
	// What each model is for whom: where it arrives, or the code of the refusal.
	const azurePath, sapPath = "/openai/deployments/", "/v2/inference/deployments/"
	for _, test := range []struct{ model, research, support string }{
		{"azure_prod/gpt-4o", azurePath + "gpt-4o/chat/completions?api-version=2025-04-01-preview", "model_not_allowed"},
		{"azure_prod/small", azurePath + "gpt-4o-mini/chat/completions?api-version=2025-04-01-preview", azurePath + "gpt-4o-mini/chat/completions?api-version=2025-04-01-preview"},
		{"azure_prod/gpt-5", "model_not_found", "model_not_allowed"},
		{"apigee/claude-sonnet", "model_not_allowed", "/llm/v1/chat/completions"},
		{"apigee/claude-opus", "model_not_allowed", "model_not_found"},
		{"sap/gpt-4o", sapPath + "d1234567890/chat/completions", "model_not_allowed"},
		{"sap/mistral-large", sapPath + "d0987654321/chat/completions", "model_not_allowed"},
		{"fast", azurePath + "gpt-4o-mini/chat/completions?api-version=2025-04-01-preview", azurePath + "gpt-4o-mini/chat/completions?api-version=2025-04-01-preview"},
		{"mistral-large", sapPath + "d0987654321/chat/completions", "model_not_allowed"},
		{"claude-sonnet", "model_not_allowed", "/llm/v1/chat/completions"},
		{"gpt-4o", "ambiguous_model", "model_not_allowed"},
		{"nobody/gpt-4o", "model_not_found", "model_not_found"},
	} {
		for key, want := range map[string]string{researchKey: test.research, supportKey: test.support} {
			a := s.post("/v1/chat/completions", chat(test.model), "Authorization", "Bearer "+key)
			if !strings.HasPrefix(want, "/") {
				if !strings.Contains(a.body, `"code":"`+want+`"`) {
					t.Errorf("%s for %s: %d %s, want %s", key, test.model, a.status, a.body, want)
				}
				continue
			}
			a.wantStatus(t, http.StatusOK)
			if got := s.arrived(t); got.uri != want {
				t.Errorf("%s for %s arrived at %s, want %s", key, test.model, got.uri, want)
			}
		}
	}
	if n := len(s.azure.requests) + len(s.apigee.requests) + len(s.sap.requests); n != 0 {
		t.Errorf("%d refused requests arrived", n)
	}
}

// arrived is the one request that an LLM has got.
func (s *teams) arrived(t *testing.T) received {
	t.Helper()
	for _, standIn := range []*standIn{s.azure, s.apigee, s.sap} {
		select {
		case r := <-standIn.requests:
			if standIn == s.sap && r.header.Get("AI-Resource-Group") != "default" {
				t.Error("SAP got no resource group")
			}
			return r
		default:
		}
	}
	t.Error("nothing arrived")
	return received{}
}

func TestTheModelsOfEachTeamAreListed(t *testing.T) {
	s := startTeams(t)
	for key, want := range map[string][]string{
		researchKey: {"azure_prod/gpt-4o", "azure_prod/small", "fast", "sap/gpt-4o", "sap/mistral-large"},
		supportKey:  {"apigee/claude-sonnet", "azure_prod/small", "fast"},
	} {
		a := s.get("/v1/models", "Authorization", "Bearer "+key)
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, model := range list.Data {
			got = append(got, model.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", key, got, want)
		}
	}
	s.get("/v1/models/fast", "X-Api-Key", supportKey).wantStatus(t, http.StatusOK)
	s.get("/v1/models/sap%2Fgpt-4o", "X-Api-Key", supportKey).wantError(t, http.StatusForbidden, "permission_error", "model_not_allowed")
}

// Every client of the README's table, by the requests that its SDK sends.
func TestTheClientsOfTheREADMEsTable(t *testing.T) {
	s := startTeams(t)
	for name, test := range map[string]struct{ path, header, key, body, want string }{
		"the OpenAI SDK":                        {"/v1/chat/completions", "Authorization", "Bearer " + researchKey, chat("azure_prod/gpt-4o"), "/openai/deployments/gpt-4o/chat/completions?api-version=2025-04-01-preview"},
		"the OpenAI SDK's embeddings":           {"/v1/embeddings", "Authorization", "Bearer " + researchKey, `{"input":"x","model":"azure_prod/small"}`, "/openai/deployments/gpt-4o-mini/embeddings?api-version=2025-04-01-preview"},
		"the AzureOpenAI SDK, plain":            {"/openai/deployments/azure_prod/gpt-4o/chat/completions?api-version=2024-02-01", "Api-Key", researchKey, chat("azure_prod/gpt-4o"), "/openai/deployments/gpt-4o/chat/completions?api-version=2025-04-01-preview"},
		"the AzureOpenAI SDK, escaped":          {"/openai/deployments/azure_prod%2Fsmall/chat/completions?api-version=2024-02-01", "Api-Key", researchKey, chat("azure_prod/small"), "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2025-04-01-preview"},
		"the Anthropic SDK":                     {"/v1/messages", "Authorization", "Bearer " + supportKey, chat("apigee/claude-sonnet"), "/llm/v1/messages"},
		"the Anthropic SDK of old":              {"/v1/messages", "X-Api-Key", supportKey, chat("apigee/claude-sonnet"), "/llm/v1/messages"},
		"the Anthropic SDK counts tokens":       {"/v1/messages/count_tokens", "X-Api-Key", supportKey, chat("apigee/claude-sonnet"), "/llm/v1/messages/count_tokens"},
		"Claude Code":                           {"/v1/messages?beta=true", "Authorization", "Bearer " + supportKey, chat("apigee/claude-sonnet"), "/llm/v1/messages?beta=true"},
		"Open WebUI":                            {"/v1/chat/completions", "Authorization", "Bearer " + researchKey, chat("sap/mistral-large"), "/v2/inference/deployments/d0987654321/chat/completions"},
		"CrewAI, which has taken openai/ off":   {"/v1/chat/completions", "Authorization", "Bearer " + researchKey, chat("sap/gpt-4o"), "/v2/inference/deployments/d1234567890/chat/completions"},
		"a path that the provider is not there": {"/v1/embeddings", "Authorization", "Bearer " + supportKey, `{"input":"x","model":"apigee/claude-sonnet"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.post(test.path, test.body, test.header, test.key)
			if test.want == "" {
				a.wantError(t, http.StatusForbidden, "permission_error", "path_not_allowed")
				return
			}
			a.wantStatus(t, http.StatusOK)
			got := s.arrived(t)
			if got.uri != test.want {
				t.Errorf("it arrived at %s, want %s", got.uri, test.want)
			}
			if text := fmt.Sprint(got.header, got.uri); strings.Contains(text, researchKey) || strings.Contains(text, supportKey) {
				t.Errorf("the client's key arrived: %s", text)
			}
		})
	}
}

// The recorded requests of real clients, whose provider is called corp.
func TestRecordedClientsUseAliasesAndLists(t *testing.T) {
	auth, llm := newCorpAuth(t), newUpstream(t, nil)
	keys := ""
	for _, dummy := range dummies {
		keys += fmt.Sprintf("client_key %s %s\n", dummy, dummy)
	}
	g := corpSite{
		auth: auth, provider: "base_url " + llm.URL + "/base\nmodel gpt-4o upstream-gpt-4o\nmodel *",
		directive: keys + "alias m corp/gpt-4o\ndefault_provider corp", proxy: "dynamic oauth2_llm\ntransport oauth2_llm",
	}.start(t)
	files, err := filepath.Glob("testdata/clients/*/*.http")
	if err != nil || len(files) < 50 {
		t.Fatal(len(files), err)
	}
	local := 0
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/clients/"), func(t *testing.T) {
			if strings.Contains(file, "realtime") {
				return // an upgrade: the tests of bound clients have it
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			response, _, _ := g.exchange(t, http.MethodGet, raw)
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != http.StatusOK {
				t.Fatalf("status %d: %s", response.StatusCode, body)
			}
			got, forwarded := llm.take()
			if !forwarded {
				local++
				if !strings.Contains(string(body), `"corp/gpt-4o"`) || !strings.Contains(string(raw), " /v1/models") {
					t.Errorf("answered here with %s", body)
				}
				return
			}
			if strings.Contains(string(got.body), "corp/gpt-4o") || strings.Contains(got.uri, "corp") {
				t.Errorf("the prefix arrived at %s", got.uri)
			}
			if strings.Contains(string(raw), `"corp/gpt-4o"`) && !strings.Contains(string(got.body), `"upstream-gpt-4o"`) {
				t.Errorf("the model is not renamed: %s", got.body)
			}
		})
	}
	if local != 5 {
		t.Errorf("%d requests about models were answered here, want 5", local)
	}
}

// take returns the last request that arrived, and forgets it.
func (u *upstream) take() (received, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seen) == 0 {
		return received{}, false
	}
	last := u.seen[len(u.seen)-1]
	u.seen = nil
	return last, true
}

// A key in a file is revoked within two seconds, without a reload.
func TestARevokedKeyIsRefusedWithoutAReload(t *testing.T) {
	s := startTeams(t)
	header := []string{"Authorization", "Bearer " + supportKey}
	s.get("/v1/models", header...).wantStatus(t, http.StatusOK)
	s.write("support_key", "gw-another-key\n")
	start := time.Now()
	waitFor(t, 2*time.Second, func() bool { return s.get("/v1/models", header...).status == http.StatusUnauthorized })
	figure(t, "revoked_key", "refused after %v", time.Since(start).Round(10*time.Millisecond))
	s.get("/v1/models", "Authorization", "Bearer gw-another-key").wantStatus(t, http.StatusOK)
	if err := os.Remove(s.folder + "/support_key"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 2*time.Second, func() bool {
		return s.get("/v1/models", "Authorization", "Bearer gw-another-key").status == http.StatusUnauthorized
	})
	// The other team does not notice.
	s.get("/v1/models", "Authorization", "Bearer "+researchKey).wantStatus(t, http.StatusOK)
	log := s.log()
	if !strings.Contains(log, "a client is refused until its key can be used") || !strings.Contains(log, `"user_id":"research"`) {
		t.Error("the log names neither the refused client nor the other")
	}
	for _, key := range []string{supportKey, researchKey, "gw-another-key"} {
		if strings.Contains(log, key) {
			t.Errorf("the log shows %s", key)
		}
	}
}

// Another of Caddy's authentication handlers works in the place of client_key.
func TestBasicAuthTakesThePlaceOfKeys(t *testing.T) {
	s := newStandIn(t, "corp", func(*http.Request) bool { return true })
	s.Start()
	hash, err := caddyauth.BcryptHash{}.Hash([]byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id i
			client_secret s
			token_url %s/token
			base_url %s
		}
	}
}
{{site}} {
	basic_auth {
		alice %s
	}
	oauth2_llm {
		client_key off
	}
	log {
		output file {{log}}
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm
	}
}`, s.URL, s.URL, hash))
	g.post("/v1/x", chat("corp/m")).wantStatus(t, http.StatusUnauthorized)
	if n := len(s.requests); n != 0 {
		t.Errorf("%d requests arrived without a password", n)
	}
	credentials := base64.StdEncoding.EncodeToString([]byte("alice:password"))
	g.post("/v1/x", chat("corp/m"), "Authorization", "Basic "+credentials).wantStatus(t, http.StatusOK)
	if got := (<-s.requests).header.Get("Authorization"); got != "Bearer token-of-corp" {
		t.Errorf("the LLM got %s", got)
	}
	if !strings.Contains(g.log(), `"user_id":"alice"`) {
		t.Error("the access log does not name the user")
	}
	if strings.Contains(g.log(), "anyone who can reach this gateway") {
		t.Error("client_key off is warned about")
	}
}

// Metrics have the names of configured clients and nothing that a client chose.
func TestClientsAreCountedByConfiguredNames(t *testing.T) {
	s := startTeams(t)
	for i := range 20 {
		s.post("/v1/chat/completions", chat(fmt.Sprintf("made-up-%d/x", i)), "Authorization", "Bearer "+researchKey)
		s.post("/v1/chat/completions", chat("fast"), "Authorization", fmt.Sprintf("Bearer made-up-key-%d", i))
		s.post("/v1/chat/completions", chat("fast"), "Authorization", "Bearer "+supportKey).wantStatus(t, http.StatusOK)
	}
	counts := clientRequestCounts(t)
	for labels, least := range map[string]float64{"research rejected": 20, " rejected": 20, "support ok": 20} {
		if counts[labels] < least {
			t.Errorf("%q is counted %v times, want at least %v", labels, counts[labels], least)
		}
	}
	for labels := range maps.Keys(counts) {
		if strings.Contains(labels, "made-up") {
			t.Errorf("a client has made the series %q", labels)
		}
	}
}
