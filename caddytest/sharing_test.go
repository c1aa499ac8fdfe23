package caddytest

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// An instance that is gone has left its token in the storage, and the next one, whose
// memory is empty, takes it.
func TestATokenIsSharedThroughTheStorage(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "canary-secret"})
	llm := newLLM(t, auth, "client_a")
	config := boundWith(auth, llm, "client_id client_a", "client_secret_file {{folder}}/secret")
	shared := strings.Replace(config, "provider corp {", "share_tokens\nprovider signed {\nsource file {{folder}}/token\nbase_url "+llm.URL+"\n}\nprovider corp {", 1)
	for name, test := range map[string]struct {
		config   string
		requests int64
	}{
		"with share_tokens":    {shared, 1},
		"without share_tokens": {config, 2},
	} {
		t.Run(name, func(t *testing.T) {
			before := auth.tokenRequests.Load()
			g := startGatewayWith(t, test.config, map[string]string{"secret": "canary-secret", "token": "x"})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			// The same secret elsewhere.
			if err := g.load(strings.Replace(test.config, "client_secret_file {{folder}}/secret", "client_secret canary-secret", 1)); err != nil {
				t.Fatal(err)
			}
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			if got := auth.tokenRequests.Load() - before; got != test.requests {
				t.Errorf("%d token requests, want %d", got, test.requests)
			}
			kept, err := filepath.Glob(filepath.Join(g.folder, "storage/oauth2_llm/tokens/*/*"))
			if err != nil || len(kept) != int(2-test.requests) {
				t.Errorf("the storage holds %v, %v", kept, err)
			}
			line := `"providers":["signed: with source file no token endpoint is asked"]`
			if got := strings.Count(g.log(), line); got != 2*int(2-test.requests) {
				t.Errorf("%d lines name what is not shared, want one for each load", got)
			}
			if strings.Contains(g.log(), "canary") {
				t.Error("the log shows a secret")
			}
		})
	}
	llm.wantNoRefusals(t)
}
