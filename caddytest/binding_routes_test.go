package caddytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestAProviderWithoutAnyUpstreamIsAConfigurationError(t *testing.T) {
	auth := newCorpAuth(t)
	for name, directive := range map[string]string{
		"routed by model":          gatewayKey,
		"the default provider":     gatewayKey + "default_provider corp",
		"no provider's, passed on": gatewayKey + "unknown_model pass",
		"left to error routes":     gatewayKey + "errors handle",
	} {
		t.Run(name, func(t *testing.T) {
			g := corpSite{
				auth: auth, directive: directive, proxy: "dynamic oauth2_llm\ntransport oauth2_llm",
				site: "handle_errors {\n respond `\"type\":\"{http.oauth2_llm.error.type}\" \"code\":\"{http.oauth2_llm.error.code}\"` {err.status_code}\n}",
			}.start(t)
			model := "corp/m"
			if strings.Contains(directive, "pass") {
				model = "zzz/m"
			}
			for range 3 {
				a := g.post("/v1/chat/completions", chat(model), withKey...)
				a.wantError(t, http.StatusInternalServerError, "oauth2_configuration_error", "no_upstream")
				if a.header.Get("X-Should-Retry") != "false" {
					t.Errorf("the header is %v", a.header)
				}
			}
		})
	}
}

func TestTheTransportRefusesARequestThatNoDirectiveHasHandled(t *testing.T) {
	auth, tap := newCorpAuth(t), newWiretap(t)
	for name, routes := range map[string]string{
		"a host of its own":      "reverse_proxy " + tap.address() + " {\n transport oauth2_llm\n}",
		"a provider's":           "reverse_proxy {\n dynamic oauth2_llm\n transport oauth2_llm\n}",
		"both":                   "reverse_proxy " + tap.address() + " {\n dynamic oauth2_llm\n transport oauth2_llm\n}",
		"for other requests":     "@llm path /llm\noauth2_llm @llm corp {\n" + gatewayKey + "}\nreverse_proxy " + tap.address() + " {\n transport oauth2_llm\n}",
		"after it, and too late": "route {\n reverse_proxy " + tap.address() + " {\n  transport oauth2_llm\n }\n oauth2_llm corp {\n" + gatewayKey + "}\n}",
	} {
		t.Run(name, func(t *testing.T) {
			g := boundSite(t, auth, "http://"+tap.address(), routes)
			for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodHead} {
				r, _ := http.NewRequestWithContext(t.Context(), method, g.url("/v1/chat/completions"), strings.NewReader(chat("corp/m")))
				a := g.send(r, withKey...)
				if method == http.MethodHead {
					a.wantStatus(t, http.StatusInternalServerError)
				} else {
					a.wantError(t, http.StatusInternalServerError, "oauth2_configuration_error", "transport_required")
				}
				if a.header.Get("X-Should-Retry") != "false" || a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Request-Id") == "" {
					t.Errorf("the header is %v", a.header)
				}
			}
			if n := strings.Count(g.log(), "write oauth2_llm before this reverse_proxy"); n != 1 {
				t.Errorf("the log says %d times what to do, want once", n)
			}
			if strings.Contains(g.log(), "aborting with incomplete response") {
				t.Error("an answer was broken off")
			}
		})
	}
	if got := tap.text(); got != "" || auth.tokenRequests.Load() != 0 {
		t.Errorf("%d token requests, and the host got %q", auth.tokenRequests.Load(), got)
	}
}

func TestUnknownModelPassGoesToTheStaticUpstreamWithTheClientsOwnCredentials(t *testing.T) {
	for name, dynamic := range map[string]string{"with the upstream source": "dynamic oauth2_llm", "without it": ""} {
		t.Run(name, func(t *testing.T) {
			auth, llm := newCorpAuth(t), newUpstream(t, nil)
			own := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="theirs"`)
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, "your key is wrong")
			})
			g := boundSite(t, auth, llm.URL, "oauth2_llm {\n client_key agents gateway-key\n unknown_model pass\n}\nreverse_proxy "+own.address()+" {\n "+dynamic+"\n transport oauth2_llm\n}")
			for i := range 3 {
				a := g.post("/v1/chat/completions", chat("zzz/m"), "X-Api-Key", "gateway-key", "Authorization", "Bearer own-key", "Cookie", "a=b")
				if a.status != http.StatusUnauthorized || a.body != "your key is wrong" || a.header.Get("Www-Authenticate") != `Bearer realm="theirs"` {
					t.Errorf("status %d, %s with %v, want the upstream's own 401", a.status, a.body, a.header)
				}
				got := own.last(t)
				if got.header.Get("Authorization") != "Bearer own-key" || got.header.Get("X-Api-Key") != "" || got.header.Get("Cookie") != "a=b" || string(got.body) != chat("zzz/m") {
					t.Errorf("%s arrived with %v", got.body, got.header)
				}
				if own.count() != i+1 {
					t.Errorf("%d requests arrived, want %d", own.count(), i+1)
				}
			}
			if auth.tokenRequests.Load() != 0 || llm.count() != 0 {
				t.Error("the provider was involved")
			}
			if dynamic != "" {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
				wantToken(t, auth, llm.last(t).header, "Authorization", "Bearer ")
			}
		})
	}
}

// What an error route gets is the client's request as it came, whatever was read
// of it before.
func TestAnErrorRouteBehindABoundProviderSeesTheRequestAsItCame(t *testing.T) {
	unreachable := httptest.NewServer(nil)
	unreachable.Close()
	for name, test := range map[string]struct {
		fixed   bool
		body    string
		chunked bool
	}{
		"a fixed provider":                           {fixed: true, body: chat("corp/m")},
		"a fixed provider, in chunks":                {fixed: true, body: chat("corp/m"), chunked: true},
		"a fixed provider, over max_body":            {fixed: true, body: jsonOf(100_000)},
		"a fixed provider, over max_body, in chunks": {fixed: true, body: jsonOf(100_000), chunked: true},
		"routed by model":                            {body: chat("corp/m")},
		"routed by model, in chunks":                 {body: chat("corp/m"), chunked: true},
		"without a model":                            {body: strings.Repeat("RIFF", 1000)},
		"without a model, in chunks":                 {body: strings.Repeat("RIFF", 1000), chunked: true},
		"without a model, over max_body, in chunks":  {body: strings.Repeat("RIFF", 30_000), chunked: true},
	} {
		for _, bound := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, bound: %v", name, bound), func(t *testing.T) {
				auth, second := newCorpAuth(t), newUpstream(t, nil)
				site := corpSite{
					auth: auth, fixed: test.fixed, directive: gatewayKey + "default_provider corp\nerrors handle\nmax_body 64KiB",
					upstream: strings.TrimPrefix(unreachable.URL, "http://"), proxy: "transport oauth2_llm",
					provider: "header_up X-Group canary-11-group",
					site:     "handle_errors {\n reverse_proxy " + second.address() + "\n}",
				}
				if bound {
					site.upstream, site.proxy, site.provider = "", site.proxy+"\ndynamic oauth2_llm", site.provider+"\nbase_url "+unreachable.URL
				}
				g := site.start(t)
				request := replayedRequest{body: test.body, chunked: test.chunked}
				request.send(t, g).wantStatus(t, http.StatusOK)
				got := second.last(t)
				if string(got.body) != test.body {
					t.Errorf("%d bytes arrived, want %d as they came", len(got.body), len(test.body))
				}
				if got.header.Get("Authorization") != "" || got.header.Get("X-Group") != "" || got.header.Get("Api-Key") != "gateway-key" {
					t.Errorf("the header is %v, want the client's own", got.header)
				}
			})
		}
	}
}

func TestSitesAndRoutesWithTheSameProviderShareItsToken(t *testing.T) {
	auth, llm, other := newCorpAuth(t), newUpstream(t, nil), newUpstream(t, nil)
	_, port, _ := net.SplitHostPort(freeAddress(t))
	proxy := "reverse_proxy {\n dynamic oauth2_llm\n transport oauth2_llm\n}\n"
	g := boundSite(t, auth, llm.URL, "route /one/* {\n oauth2_llm corp {\n"+gatewayKey+"}\n"+proxy+"}\nroute /two/* {\n oauth2_llm {\n default_provider corp\n "+gatewayKey+"}\n"+proxy+"}\nreverse_proxy "+other.address()+
		"\n}\nhttp://:"+port+" {\n bind 127.0.0.1\n oauth2_llm corp {\n"+gatewayKey+"}\n"+proxy)
	for range 3 {
		g.post("/one/x", "{}", withKey...).wantStatus(t, http.StatusOK)
		g.post("/two/x", `{"model":"corp/m"}`, withKey...).wantStatus(t, http.StatusOK)
		another := &gateway{t: t, client: g.client, address: "127.0.0.1:" + port}
		another.post("/three", "{}", withKey...).wantStatus(t, http.StatusOK)
	}
	var paths, tokens []string
	for _, got := range llm.all() {
		paths = append(paths, got.uri)
		tokens = append(tokens, got.header.Get("Authorization"))
	}
	slices.Sort(paths)
	slices.Sort(tokens)
	if auth.tokenRequests.Load() != 1 || len(slices.Compact(tokens)) != 1 || len(paths) != 9 || other.count() != 0 {
		t.Errorf("%d token requests for %v", auth.tokenRequests.Load(), paths)
	}
}

func TestTheProvidersNameChoosesAmongSeveralReverseProxies(t *testing.T) {
	ca := newAuthority(t)
	authA := newAuthServer(t, oauthClient{id: "client_a", secret: "secret_a"})
	authB := newAuthServer(t, oauthClient{id: "client_b", secret: "secret_b"})
	bound, static := newTLSLLM(t, authA, "client_a", ca.serverConfig()), newLLM(t, authB, "client_b")
	g := startGatewayWith(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider provider_a {
			client_id client_a
			client_secret secret_a
			token_url %s
			base_url %s
			transport http {
				tls_trust_pool file {{folder}}/ca.pem
				tls_client_auth {{folder}}/client.pem {{folder}}/client-key.pem
			}
		}
		provider provider_b {
			client_id client_b
			client_secret secret_b
			token_url %s
		}
	}
}
{{site}} {
	oauth2_llm {
		client_key agents gateway-key
	}
	@a vars {http.oauth2_llm.provider} provider_a
	reverse_proxy @a {
		dynamic oauth2_llm
		transport oauth2_llm
	}
	@b vars {http.oauth2_llm.provider} provider_b
	reverse_proxy @b %s {
		transport oauth2_llm
	}
}`, authA.tokenURL(), bound.URL, authB.tokenURL(), static.address()), ca.files())
	for range 3 {
		for provider, client := range map[string]string{"provider_a": "client_a", "provider_b": "client_b"} {
			a := g.post("/v1/chat/completions", chat(provider+"/m"), withKey...)
			if a.status != http.StatusOK || !strings.Contains(a.body, fmt.Sprintf(`"client":%q`, client)) {
				t.Errorf("%s: status %d, body %s", provider, a.status, a.body)
			}
		}
	}
	bound.wantNoRefusals(t)
	static.wantNoRefusals(t)
	if bound.requests.Load() != 3 || static.requests.Load() != 3 {
		t.Errorf("%d and %d requests arrived, want 3 and 3", bound.requests.Load(), static.requests.Load())
	}
}

// The names that proxies use among themselves are not sent to a base_url, unless
// the token itself goes there.
func TestATokenCanBePlacedWhereProxiesPutOne(t *testing.T) {
	for _, field := range []string{"X-Forwarded-Access-Token", "X-Real-Ip", "Via"} {
		t.Run(field, func(t *testing.T) {
			auth, llm := newCorpAuth(t), newUpstream(t, nil)
			g := corpSite{
				auth: auth, directive: gatewayKey, provider: "base_url " + llm.URL + "\nplace header " + field + ` ""`,
				proxy: "dynamic oauth2_llm\ntransport oauth2_llm",
			}.start(t)
			g.post("/v1/chat/completions", chat("corp/m"), append(withKey, field, "evil")...).wantStatus(t, http.StatusOK)
			wantToken(t, auth, llm.last(t).header, field, "")
		})
	}
}
