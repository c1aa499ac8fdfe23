package caddytest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// How clients prove their identity to a real authorization server. Each token
// must be good for the LLM, too.

// boundWith is a gateway with one provider that is bound to the LLM: it replaces
// a token that the LLM refuses at once, up to three times.
func boundWith(auth *authServer, llm *llmStandIn, fields ...string) string {
	return boundFrom(auth.tokenURL(), llm, fields...)
}

// boundFrom does the same with any token endpoint.
func boundFrom(tokenURL string, llm *llmStandIn, fields ...string) string {
	return fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			token_url %s
			base_url %s
			%s
		}
	}
}
{{site}} {
	oauth2_llm corp {
		client_key agents gateway-key
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm
	}
}`, tokenURL, llm.URL, strings.Join(fields, "\n"))
}

// wantOneForm is what the server was sent in its one token request.
func (s *authServer) wantOneForm(t *testing.T) url.Values {
	t.Helper()
	forms := s.sent()
	if len(forms) != 1 {
		t.Fatalf("%d token requests, want 1", len(forms))
	}
	return forms[0]
}

// wantOneAssertion is the assertion in the server's one token request, which
// must prove the identity of client_a by nothing else.
func (s *authServer) wantOneAssertion(t *testing.T) string {
	t.Helper()
	form := s.wantOneForm(t)
	if form.Has("client_secret") || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		t.Errorf("the token request had the type %q, a secret: %v", form.Get("client_assertion_type"), form.Has("client_secret"))
	}
	return form.Get("client_assertion")
}

func TestTheRealServerTakesEachAuthMethod(t *testing.T) {
	for name, method := range map[string]goidc.AuthnMethod{
		"client_secret_post":      goidc.AuthnMethodSecretPost,
		"client_secret_basic":     goidc.AuthnMethodSecretBasic,
		"client_secret_basic_raw": goidc.AuthnMethodSecretBasic,
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s", method: method})
			llm := newLLM(t, auth, "client_a")
			g := startGateway(t, strings.Replace(decorateWith(auth, llm, "client_a", "s"), "client_secret s", "client_secret s\nauth_method "+name, 1))
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			llm.wantNoRefusals(t)
		})
	}
	// A method that the client is not registered for is the server's to refuse.
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s", method: goidc.AuthnMethodSecretBasic})
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, decorateWith(auth, llm, "client_a", "s"))
	g.post("/v1/x", "{}", withKey...).wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_client")
}

func TestTheRealServerTakesClientSecretJWT(t *testing.T) {
	const secret = "a-secret-that-is-as-long-as-HS512-wants-it-which-is-64-bytes-or-more"
	for name, test := range map[string]struct{ alg, block string }{
		"by default":       {"HS256", ""},
		"with another alg": {"HS512", "jwt {\nalg HS512\n}"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, oauthClient{id: "client_a", secret: secret, method: goidc.AuthnMethodSecretJWT})
			llm := newLLM(t, auth, "client_a")
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", "client_secret_file {{folder}}/secret", "auth_method client_secret_jwt", test.block),
				map[string]string{"secret": secret + "\n"})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			llm.wantNoRefusals(t)
			wantAssertion(t, auth.wantOneAssertion(t), test.alg, []byte(secret), "client_a", auth.tokenURL())
		})
	}
}

func TestTheRealServerTakesPrivateKeyJWT(t *testing.T) {
	for name, test := range map[string]struct {
		alg, format string
		// lines are those of the jwt block besides alg and key_file, keyID the kid
		// that they name.
		lines, keyID string
	}{
		"RS256, PKCS#1":                {alg: "RS256", format: "PKCS#1"},
		"RS256, PKCS#8, with a key_id": {alg: "RS256", format: "PKCS#8", lines: "key_id key-RS256", keyID: "key-RS256"},
		"PS256, PKCS#8":                {alg: "PS256", format: "PKCS#8"},
		"ES256, SEC 1":                 {alg: "ES256", format: "SEC 1"},
		"ES256, PKCS#8, with a key_id": {alg: "ES256", format: "PKCS#8", lines: "key_id key-ES256", keyID: "key-ES256"},
		"EdDSA, PKCS#8":                {alg: "EdDSA", format: "PKCS#8"},
	} {
		t.Run(name, func(t *testing.T) {
			key := newSigningKey(t, test.alg)
			auth := newAuthServer(t, oauthClient{id: "client_a", key: key, method: goidc.AuthnMethodPrivateKeyJWT})
			llm := newLLM(t, auth, "client_a")
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", "auth_method private_key_jwt",
				"jwt {", "alg "+test.alg, "key_file {{folder}}/key.pem", test.lines, "}"), map[string]string{"key.pem": key.file(test.format)})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			llm.wantNoRefusals(t)
			header, _ := wantAssertion(t, auth.wantOneAssertion(t), test.alg, key.private.Public(), "client_a", auth.tokenURL())
			if keyID, _ := header["kid"].(string); keyID != test.keyID {
				t.Errorf("kid is %v, want %q", header["kid"], test.keyID)
			}
		})
	}
}

func TestTheRealServerTakesAClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	fields := func(lines ...string) []string {
		return append([]string{"client_id client_a", "auth_method tls_client_auth", "token_request {", "transport http {", "tls_trust_pool file {{folder}}/ca.pem"}, append(lines, "}", "}")...)
	}
	with := fields("tls_client_auth {{folder}}/client.pem {{folder}}/client-key.pem")
	auth := newTLSAuthServer(t, ca.serverConfig(), oauthClient{id: "client_a", certificate: "gateway", method: goidc.AuthnMethodTLS})
	llm := newLLM(t, auth, "client_a")
	g := startGatewayWith(t, boundWith(auth, llm, with...), ca.files())
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	llm.wantNoRefusals(t)
	if form := auth.wantOneForm(t); form.Get("client_id") != "client_a" || form.Has("client_secret") || form.Has("client_assertion") {
		t.Errorf("the token request had %v", form)
	}
	if err := g.load(boundWith(auth, llm, fields()...)); err == nil || !strings.Contains(err.Error(), "provider corp: ") || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without a certificate the configuration is answered with: %v", err)
	}

	// A good certificate, but that of somebody else.
	auth = newTLSAuthServer(t, ca.serverConfig(), oauthClient{id: "client_a", certificate: "another", method: goidc.AuthnMethodTLS})
	g = startGatewayWith(t, boundWith(auth, newLLM(t, auth, "client_a"), with...), ca.files())
	g.post("/v1/x", "{}", withKey...).wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_client")
}

func TestWhatProvesAnotherIdentityIsRefused(t *testing.T) {
	registered, other := newSigningKey(t, "ES256"), newSigningKey(t, "ES256")
	const secret = "a-secret-that-HS256-takes-for-a-key"
	byKey := oauthClient{id: "client_a", key: registered, method: goidc.AuthnMethodPrivateKeyJWT}
	bySecret := oauthClient{id: "client_a", secret: secret, method: goidc.AuthnMethodSecretJWT}
	for name, test := range map[string]struct {
		client oauthClient
		fields string
	}{
		"a key that is not registered": {byKey, "auth_method private_key_jwt\njwt {\nalg ES256\nkey_file {{folder}}/other.pem\n}"},
		"another audience":             {byKey, "auth_method private_key_jwt\njwt {\nalg ES256\nkey_file {{folder}}/key.pem\nclaim aud https://elsewhere.example/token\n}"},
		"another issuer":               {byKey, "auth_method private_key_jwt\njwt {\nalg ES256\nkey_file {{folder}}/key.pem\nclaim iss client_b\n}"},
		"another secret":               {bySecret, "auth_method client_secret_jwt\nclient_secret another-" + secret},
		"another method":               {bySecret, "auth_method client_secret_post\nclient_secret " + secret},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, test.client)
			llm := newLLM(t, auth, "client_a")
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", test.fields),
				map[string]string{"key.pem": registered.file("PKCS#8"), "other.pem": other.file("PKCS#8")})
			a := g.post("/v1/x", "{}", withKey...)
			a.wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_client")
			if a.header.Get("X-Should-Retry") != "false" || llm.requests.Load() != 0 {
				t.Errorf("got %v, the LLM got %d requests", a.header, llm.requests.Load())
			}
			// A refusal does not heal by asking again.
			auth.wantOneForm(t)
		})
	}
}
