package caddytest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// twoBound is a gateway with one reverse_proxy in front of two providers that
// are bound to their upstreams: provider_a over HTTPS and HTTP/2 with a private
// CA, a client certificate and a base path, provider_b over plain HTTP.
type twoBound struct {
	*gateway
	authA, authB *authServer
	llmA, llmB   *llmStandIn
}

const boundProviders = `
{
	{{global INFO}}
	oauth2_llm {
		provider provider_a {
			client_id client_a
			client_secret secret_a
			token_url %s
			base_url %s/base/api?api-version=1
			transport http {
				tls_trust_pool file ca.pem
				tls_client_auth client.pem client-key.pem
			}
		}
		provider provider_b {
			client_id client_b
			client_secret secret_b
			token_url %s
			base_url %s
		}
	}
}
{{site}} {
	oauth2_llm {
		client_key agents gateway-key
		%s
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm
	}
}`

func startTwoBound(t *testing.T, options ...string) *twoBound {
	t.Helper()
	ca := newAuthority(t)
	b := &twoBound{
		authA: newAuthServer(t, oauthClient{id: "client_a", secret: "secret_a"}),
		authB: newAuthServer(t, oauthClient{id: "client_b", secret: "secret_b"}),
	}
	b.llmA, b.llmB = newTLSLLM(t, b.authA, "client_a", ca.serverConfig()), newLLM(t, b.authB, "client_b")
	caddyfile := fmt.Sprintf(boundProviders, b.authA.tokenURL(), b.llmA.URL, b.authB.tokenURL(), b.llmB.URL, strings.Join(options, "\n"))
	files := ca.files()
	b.gateway = startGatewayWith(t, strings.NewReplacer("file ca.pem", "file {{folder}}/ca.pem", "client_auth client.pem client-key.pem", "client_auth {{folder}}/client.pem {{folder}}/client-key.pem").Replace(caddyfile), files)
	return b
}

func TestEachProviderHasItsOwnUpstreamBehindOneReverseProxy(t *testing.T) {
	b := startTwoBound(t)
	total := 10_000
	if testing.Short() {
		total = 1000
	}
	var wrong atomic.Int64
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := worker; i < total; i += 16 {
				provider, client := "provider_a", "client_a"
				if i%2 == 1 {
					provider, client = "provider_b", "client_b"
				}
				model := fmt.Sprintf("m-%d", i)
				a := b.post("/v1/chat/completions", chat(provider+"/"+model), withKey...)
				if a.status != http.StatusOK || !strings.Contains(a.body, fmt.Sprintf(`"model":%q,"client":%q`, model, client)) {
					wrong.Add(1)
				}
			}
		})
	}
	all.Wait()
	figure(t, "interleaved", "%d requests to two providers, %d wrong, %d and %d refused by the LLMs, %d and %d token requests",
		total, wrong.Load(), b.llmA.refused.Load(), b.llmB.refused.Load(), b.authA.tokenRequests.Load(), b.authB.tokenRequests.Load())
	if wrong.Load() != 0 || b.llmA.requests.Load() != int64(total/2) || b.llmB.requests.Load() != int64(total/2) {
		t.Errorf("%d answers are wrong; the LLMs got %d and %d requests", wrong.Load(), b.llmA.requests.Load(), b.llmB.requests.Load())
	}
	b.llmA.wantNoRefusals(t)
	b.llmB.wantNoRefusals(t)
	if n := b.authA.tokenRequests.Load() + b.authB.tokenRequests.Load(); n != 2 {
		t.Errorf("%d token requests, want one for each provider", n)
	}
	a := b.llmA.lastRequest()
	if a.proto != "HTTP/2.0" || a.uri != "/base/api/chat/completions?api-version=1" || a.host != strings.TrimPrefix(b.llmA.URL, "https://") {
		t.Errorf("provider_a got %s %s for %s", a.proto, a.uri, a.host)
	}
	if got := b.llmB.lastRequest(); got.uri != "/v1/chat/completions" || got.host != b.llmB.address() {
		t.Errorf("provider_b got %s for %s", got.uri, got.host)
	}
	for name := range a.header {
		if strings.HasPrefix(name, "X-Forwarded") || name == "Via" || name == "Forwarded" {
			t.Errorf("provider_a learned %s", name)
		}
	}
}
