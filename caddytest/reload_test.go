package caddytest

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A reload takes nothing from requests that wait for a token.
func TestAReloadFailsNoRequestThatWaitsForAToken(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	config := decorateWith(auth, llm, "client_a", "s")
	for name, second := range map[string]string{
		"with the same provider":       config,
		"with another provider":        strings.Replace(config, "client_secret s", "client_secret s\n\t\t\tscope llm.read", 1),
		"with another timeout":         strings.Replace(config, "client_secret s", "client_secret s\n\t\t\ttoken_request {\n\t\t\t\ttimeout 9s\n\t\t\t}", 1),
		"that takes the provider away": strings.Replace(strings.ReplaceAll(config, "provider corp {", "provider other {"), "oauth2_llm corp", "oauth2_llm other", 1),
	} {
		t.Run(name, func(t *testing.T) {
			before := auth.tokenRequests.Load()
			release := make(chan struct{})
			auth.setGate(release)
			g := startGateway(t, config)
			answers := make(chan answer, 50)
			for range cap(answers) {
				go func() { answers <- g.post("/v1/x", "{}", withKey...) }()
			}
			waitFor(t, 10*time.Second, func() bool { return auth.tokenRequests.Load() == before+1 })
			// All of them are in the handler.
			waitFor(t, 10*time.Second, func() bool { return g.waiting() >= cap(answers) })
			if err := g.load(second); err != nil {
				t.Fatal(err)
			}
			auth.setGate(nil)
			close(release)
			ok := 0
			for range cap(answers) {
				if (<-answers).status == http.StatusOK {
					ok++
				}
			}
			figure(t, "reload_with_waiters", "%d of %d ok %s", ok, cap(answers), name)
			if ok != cap(answers) {
				t.Errorf("%d of %d requests succeeded", ok, cap(answers))
			}
			llm.wantNoRefusals(t)
		})
	}
}

// waiting counts the requests that wait for a token.
func (g *gateway) waiting() int {
	stacks := make([]byte, 8<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "tokens.(*Manager).Token(")
}

// Unchanged reloads under load cost no token request and no answer, and
// lose no more connections than Caddy itself does.
func TestUnchangedReloadsUnderLoadFailNothing(t *testing.T) {
	reloads := 100
	if testing.Short() {
		reloads = 20
	}
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	plain := fmt.Sprintf("{\n{{global INFO}}\n}\n{{site}} {\n\treverse_proxy %s\n}", llm.address())
	config := strings.Replace(decorateWith(auth, llm, "client_a", "s"), "{{global}}", "{{global INFO}}", 1)

	// A token that the control can send by itself.
	g := startGateway(t, config)
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	token := llm.lastRequest().header.Get("Authorization")
	control := g.reloadUnderLoad(t, llm, plain, reloads, token)
	with := g.reloadUnderLoad(t, llm, config, reloads, withKey[1])
	tokenRequests := auth.tokenRequests.Load()
	figure(t, "reload_under_load", "%d reloads, %d answers, %d HTTP errors, %d token requests, %d connection errors (control: %d of %d), %d goroutines left (control: %d)",
		reloads, with.answers, with.httpErrors, tokenRequests, with.connectionErrors, control.connectionErrors, control.answers, with.goroutines, control.goroutines)
	// The configuration was unloaded for the control: one more token.
	if with.httpErrors != 0 || control.httpErrors != 0 || tokenRequests > 2 {
		t.Errorf("%d HTTP errors (control %d), %d token requests", with.httpErrors, control.httpErrors, tokenRequests)
	}
	if with.connectionErrors > 3*control.connectionErrors+10 {
		t.Errorf("%d connection errors, %d in the control", with.connectionErrors, control.connectionErrors)
	}
	if with.goroutines > control.goroutines+5 {
		t.Errorf("%d goroutines are left, %d in the control", with.goroutines, control.goroutines)
	}
	llm.wantNoRefusals(t)
}

type reloadResult struct {
	answers, httpErrors, connectionErrors int64
	goroutines                            int
}

// reloadUnderLoad loads a configuration again and again while clients send
// requests, and counts what happens.
func (g *gateway) reloadUnderLoad(t *testing.T, llm *llmStandIn, config string, reloads int, authorization string) reloadResult {
	t.Helper()
	if err := g.load(config); err != nil {
		t.Fatal(err)
	}
	var answers, httpErrors, connectionErrors atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, _ := http.NewRequest(http.MethodPost, g.url("/v1/x"), strings.NewReader("{}"))
				r.Header.Set("Authorization", authorization)
				response, err := client.Do(r)
				if err != nil {
					connectionErrors.Add(1)
					continue
				}
				answers.Add(1)
				if response.StatusCode != http.StatusOK {
					httpErrors.Add(1)
				}
				response.Body.Close()
			}
		})
	}
	for range reloads {
		if err := g.load(config); err != nil {
			t.Error(err)
		}
		served := answers.Load()
		waitFor(t, time.Minute, func() bool { return answers.Load() > served+50 })
	}
	close(stop)
	all.Wait()
	// Idle connections to the LLM outlive a configuration.
	llm.CloseClientConnections()
	return reloadResult{answers.Load(), httpErrors.Load(), connectionErrors.Load(), g.settledGoroutines()}
}

// settledGoroutines counts goroutines when they have stopped becoming fewer.
func (g *gateway) settledGoroutines() int {
	g.client.CloseIdleConnections()
	least := runtime.NumGoroutine()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		least = min(least, runtime.NumGoroutine())
	}
	return least
}

// A configuration that fails late leaves the old one as it was.
func TestAReloadThatFailsLateLeavesNothingBehind(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	good := decorateWith(auth, llm, "client_a", "s")
	g := startGateway(t, good)
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	before := g.settledGoroutines()
	for name, bad := range map[string]string{
		// The port is the LLM's: the http app cannot start.
		"at the start of another app":      good + "\nhttp://" + llm.address() + " {\n\toauth2_llm corp\n}",
		"when a handler is provisioned":    good + "\nhttp://127.0.0.1:1 {\n\toauth2_llm {\n\t\tclient_key agents {env.TEST_UNSET}\n\t}\n}",
		"when a handler is validated":      good + "\nhttp://127.0.0.1:1 {\n\toauth2_llm nobody\n}",
		"when a second provider is loaded": strings.Replace(good, "provider corp {", "provider zzz {\n\t\t\tclient_id i\n\t\t\tclient_secret {env.TEST_UNSET}\n\t\t\ttoken_url https://x.com/t\n\t\t}\n\t\tprovider corp {", 1),
	} {
		for range 25 {
			if err := g.load(bad); err == nil {
				t.Fatalf("a configuration that fails %s was accepted", name)
			}
		}
		g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	}
	after := g.settledGoroutines()
	figure(t, "reload_failed", "100 bad configurations, %d token requests, goroutines %d → %d", auth.tokenRequests.Load(), before, after)
	if auth.tokenRequests.Load() != 1 {
		t.Errorf("%d token requests, want 1", auth.tokenRequests.Load())
	}
	if after > before+5 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	// The pool still counts the running configuration: an unchanged reload
	// keeps the token.
	if err := g.load(good); err != nil {
		t.Fatal(err)
	}
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	if auth.tokenRequests.Load() != 1 {
		t.Error("the token was lost")
	}
}

// A changed config file is another configuration: its digest is in the JSON.
func TestAPlainReloadSeesAChangedConfigFile(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	file := func(id string) string {
		return fmt.Sprintf(`{"oauth2_providers":{"corp":{"client_id":%q,"client_secret":"s","token_url":%q}}}`, id, auth.tokenURL())
	}
	config := fmt.Sprintf("{\n{{global}}\n}\n{{site}} {\n\toauth2_llm {\n\t\tclient_key agents gateway-key\n\t}\n\treverse_proxy %s\n}", llm.address())
	g := startGatewayWith(t, config, map[string]string{"litellm_config.json": file("nobody")})
	g.post("/v1/x", chat("corp/m"), withKey...).wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_client")
	first, err := g.adapt(config)
	if err != nil {
		t.Fatal(err)
	}
	g.write("litellm_config.json", file("client_a"))
	second, err := g.adapt(config)
	if err != nil {
		t.Fatal(err)
	}
	if string(first) == string(second) {
		t.Error("the JSON is the same: a plain reload would do nothing")
	}
	if strings.Contains(string(second), "client_a") || strings.Contains(string(second), auth.address) {
		t.Error("the JSON holds what the file holds")
	}
	if err := g.load(config); err != nil {
		t.Fatal(err)
	}
	g.post("/v1/x", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
}
