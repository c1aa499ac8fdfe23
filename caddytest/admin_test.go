package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A reload over Caddy's admin API, and what that API shows.
func TestAReloadOverTheAdminAPITakesEffectAndShowsNoSecret(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"}, oauthClient{id: "client_b", secret: keyCanary})
	llm := newLLM(t, auth, "client_a")
	admin := freeAddress(t)
	t.Setenv("TEST_SECRET", "s")
	config := strings.Replace(decorateWith(auth, llm, "client_a", "{env.TEST_SECRET}"), "{{global}}", "{{global with admin}}\n\tadmin "+admin, 1)
	g := startGateway(t, config)
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)

	llm.setClient("client_b")
	g.write("secret", keyCanary+"\n")
	changed := strings.Replace(strings.Replace(config, "client_secret {env.TEST_SECRET}", "client_secret_file secret", 1), "client_id client_a", "client_id client_b", 1)
	adapted, err := g.adapt(changed)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := adminRequest(t, http.MethodPost, "http://"+admin+"/load", string(adapted)); status != http.StatusOK {
		t.Fatalf("the reload gives %d %s", status, body)
	}
	g.reloadedNow()
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	llm.wantNoRefusals(t)

	status, shown := adminRequest(t, http.MethodGet, "http://"+admin+"/config/", "")
	if status != http.StatusOK || !strings.Contains(shown, "client_secret_file") {
		t.Errorf("got %d %s", status, shown)
	}
	wantNoCanaries(t, "GET /config/", shown)

	// A wrong configuration is refused with provider and field, and serves nobody.
	status, body := adminRequest(t, http.MethodPost, "http://"+admin+"/load", strings.Replace(string(adapted), auth.tokenURL(), "ftp://nowhere/", 1))
	if status != http.StatusBadRequest || !strings.Contains(body, "provider corp: token_url: must begin with https://") {
		t.Errorf("a wrong configuration gives %d %s", status, body)
	}
	g.reloadedNow()
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
}

func adminRequest(t *testing.T, method, address, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// The configuration as native JSON, with the words of the design.
func TestNativeJSON(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	t.Setenv("TEST_ID", "client_a")
	t.Setenv("TEST_SECRET", "s")
	t.Setenv("TEST_KEY", "gateway-key")
	g := startGateway(t, "{\n{{global}}\n}\n{{site}} {\n\trespond 404\n}")
	if err := g.loadJSON(fmt.Sprintf(`{
		"admin": {"disabled": true, "config": {"persist": false}},
		"storage": {"module": "file_system", "root": %q},
		"apps": {
			"oauth2_llm": {"providers": {"corp": {
				"client_id": "{env.TEST_ID}", "client_secret": "{env.TEST_SECRET}", "token_url": %q, "scope": "llm.read",
				"auth_method": "client_secret_post", "grant_type": "client_credentials",
				"token_request": {"params": {"audience": "https://api"}, "headers": {"X-Tenant": ["t"]}, "timeout": "10s", "retries": 3, "retry_on": [423], "encoding": "form", "method": "POST"},
				"refresh_before": "auto",
				"place": {"header": "Authorization", "prefix": "Bearer "}, "header_up": {"set": {"AI-Resource-Group": ["default"]}}}}},
			"http": {"servers": {"srv0": {"listen": [%q], "automatic_https": {"disable": true}, "routes": [{"handle": [
				{"handler": "oauth2_llm", "client_keys": {"agents": {"key": "{env.TEST_KEY}"}},
				 "default_provider": "", "unknown_model": "reject", "keep_prefix": false,
				 "keep_headers": [], "max_body": 33554432, "token_wait": "15s", "errors": "respond"},
				{"handler": "reverse_proxy", "upstreams": [{"dial": %q}]}]}]}}}
		}}`, g.folder, auth.tokenURL(), g.address, llm.address())); err != nil {
		t.Fatal(err)
	}
	a := g.post("/v1/chat/completions", chat("corp/gpt-4o"), withKey...)
	a.wantStatus(t, http.StatusOK)
	if got := llm.lastRequest().header.Get("AI-Resource-Group"); !strings.Contains(a.body, `"model":"gpt-4o"`) || got != "default" {
		t.Errorf("got %s, AI-Resource-Group %q", a.body, got)
	}
	if form := auth.lastForm.Load(); form.Get("audience") != "https://api" || form.Get("scope") != "llm.read" {
		t.Errorf("the token request had %v", form)
	}
}
