package caddytest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// jwtBearer are the fields of a provider that asks with an assertion about a
// user (RFC 7523 §2.1), whatever the claims of the jwt block are.
func jwtBearer(claims ...string) string {
	return "grant_type " + jwtBearerGrant + "\ntoken_request {\nparam assertion {jwt}\n}\n" +
		"jwt {\nalg RS256\nkey_file {{folder}}/key.pem\nkey_id key-RS256\n" + strings.Join(claims, "\n") + "\n}"
}

// aboutAUser are the claims of such an assertion. nbf must be a number.
var aboutAUser = []string{
	"claim iss client_a", "claim sub user@example.com", "claim aud {token_url}", "claim jti {uuid}", "claim nbf {now}", `claim scope "llm.read llm.write"`,
}

func TestTheRealServerTakesAnAssertionForAGrant(t *testing.T) {
	for name, test := range map[string]struct {
		method goidc.AuthnMethod
		fields string
		// client is whom the token is issued to.
		client string
	}{
		"from a client with a secret": {"", "client_id client_a\nclient_secret s", "client_a"},
		"from a public client":        {goidc.AuthnMethodNone, "client_id client_a\nauth_method none", "client_a"},
		// The assertion alone says who asks, as with a service account of Google's.
		"from no client": {"", "auth_method none", ""},
	} {
		t.Run(name, func(t *testing.T) {
			key := newSigningKey(t, "RS256")
			auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s", key: key, method: test.method})
			llm := newLLM(t, auth, test.client)
			g := startGatewayWith(t, boundWith(auth, llm, test.fields, jwtBearer(aboutAUser...)), map[string]string{"key.pem": key.file("PKCS#8")})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			llm.wantNoRefusals(t)

			form := auth.wantOneForm(t)
			if form.Get("grant_type") != jwtBearerGrant || form.Has("client_assertion") || form.Get("client_id") != test.client {
				t.Errorf("the token request had %v", form)
			}
			header, claims, err := key.parse(form.Get("assertion"), "client_a", auth.tokenURL())
			if err != nil {
				t.Fatalf("the assertion is refused: %v", err)
			}
			if header["kid"] != "key-RS256" || claims["sub"] != "user@example.com" || claims["scope"] != "llm.read llm.write" || claims["nbf"] == nil {
				t.Errorf("the assertion has %v and %v", header, claims)
			}
			// The token speaks for whom the assertion names.
			token := strings.TrimPrefix(llm.lastRequest().header.Get("Authorization"), "Bearer ")
			if _, claims, err := parseJWT(token, "ES256", auth.key.Public(), auth.issuer(), ""); err != nil || claims["sub"] != "user@example.com" {
				t.Errorf("the token speaks for %v, %v", claims["sub"], err)
			}
		})
	}
}

func TestARefusedAssertionIsAnInvalidGrant(t *testing.T) {
	key, other := newSigningKey(t, "RS256"), newSigningKey(t, "RS256")
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s", key: key})
	llm := newLLM(t, auth, "client_a")
	for name, fields := range map[string]string{
		"of another key":            strings.Replace(jwtBearer(aboutAUser...), "key.pem", "other.pem", 1),
		"for another server":        jwtBearer(strings.Split(strings.Replace(strings.Join(aboutAUser, "\n"), "{token_url}", "https://elsewhere.example/token", 1), "\n")...),
		"of an issuer it knows not": jwtBearer(strings.Split(strings.Replace(strings.Join(aboutAUser, "\n"), "iss client_a", "iss somebody", 1), "\n")...),
	} {
		t.Run(name, func(t *testing.T) {
			before := auth.tokenRequests.Load()
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a\nclient_secret s", fields),
				map[string]string{"key.pem": key.file("PKCS#1"), "other.pem": other.file("PKCS#1")})
			a := g.post("/v1/x", "{}", withKey...)
			a.wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_grant")
			if n := auth.tokenRequests.Load() - before; n != 1 || a.header.Get("X-Should-Retry") != "false" {
				t.Errorf("%d token requests, %v", n, a.header)
			}
		})
	}
	if llm.requests.Load() != 0 {
		t.Error("the LLM was asked")
	}
}
