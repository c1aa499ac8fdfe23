package caddytest

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// What is in assertions besides a signature that is right.

// A variable holds a PEM in one line, with \n for its line ends.
func TestAPrivateKeyCanBeAJWKOrAVariable(t *testing.T) {
	key := newSigningKey(t, "ES256")
	t.Setenv("TEST_JWK", key.file("JWK"))
	t.Setenv("TEST_PEM", strings.ReplaceAll(key.file("PKCS#8"), "\n", `\n`))
	for name, line := range map[string]string{
		"a JWK in a file":           "key_file {{folder}}/key.jwk",
		"a JWK in a variable":       "key {env.TEST_JWK}",
		"a PEM in a variable":       "key {env.TEST_PEM}",
		"a PEM in a file, by value": "key {file.{{folder}}/key.pem}",
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, oauthClient{id: "client_a", key: key, method: goidc.AuthnMethodPrivateKeyJWT})
			llm := newLLM(t, auth, "client_a")
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", "auth_method private_key_jwt", "jwt {", "alg ES256", line, "}"),
				map[string]string{"key.jwk": key.file("JWK"), "key.pem": key.file("SEC 1")})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			llm.wantNoRefusals(t)
			wantAssertion(t, auth.wantOneAssertion(t), "ES256", key.private.Public(), "client_a", auth.tokenURL())
		})
	}
}

// Servers that know a client by its certificate find the key by what the header
// says of it (RFC 7515 §4.1.6 to §4.1.8).
func TestAnAssertionNamesItsCertificate(t *testing.T) {
	certificate := newAuthority(t).issue("gateway")
	key := &signingKey{t: t, alg: "ES256", private: certificate.PrivateKey.(crypto.Signer)}
	der := certificate.Certificate[0]
	sum1, sum256 := sha1.Sum(der), sha256.Sum256(der)
	x5t, x5tS256 := base64.RawURLEncoding.EncodeToString(sum1[:]), base64.RawURLEncoding.EncodeToString(sum256[:])
	chain := []any{base64.StdEncoding.EncodeToString(der)}
	for name, test := range map[string]struct {
		lines string
		want  map[string]any
	}{
		"by default":                     {"", map[string]any{"x5t#S256": x5tS256}},
		"by SHA-1":                       {"thumbprint x5t", map[string]any{"x5t": x5t}},
		"by SHA-256, and holds it":       {"thumbprint x5t#S256\nx5c", map[string]any{"x5t#S256": x5tS256, "x5c": chain}},
		"by no thumbprint, and holds it": {"thumbprint none\nx5c", map[string]any{"x5c": chain}},
		"by a key_id as well":            {"key_id k", map[string]any{"x5t#S256": x5tS256, "kid": "k"}},
	} {
		t.Run(name, func(t *testing.T) {
			// The server finds the key by its kid, if there is one.
			key.id = "k"
			auth := newAuthServer(t, oauthClient{id: "client_a", key: key, method: goidc.AuthnMethodPrivateKeyJWT})
			llm := newLLM(t, auth, "client_a")
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", "auth_method private_key_jwt",
				"jwt {", "alg ES256", "key_file {{folder}}/key.pem", "certificate_file {{folder}}/certificate.pem", test.lines, "}"),
				map[string]string{"key.pem": key.file("PKCS#8"), "certificate.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			llm.wantNoRefusals(t)
			header, _ := wantAssertion(t, auth.wantOneAssertion(t), "ES256", key.private.Public(), "client_a", auth.tokenURL())
			delete(header, "alg")
			delete(header, "typ")
			if fmt.Sprint(header) != fmt.Sprint(test.want) {
				t.Errorf("the header has %v, want %v", header, test.want)
			}
		})
	}
}

// A server that has seen an assertion may refuse it, even if it could not answer
// then (RFC 7523 §3).
func TestARetriedAssertionIsSignedAnew(t *testing.T) {
	const secret = "a-secret-that-HS256-takes-for-a-key"
	key := newSigningKey(t, "ES256")
	block := "jwt {\nalg ES256\nkey_file {{folder}}/key.pem\n%s}"
	for name, test := range map[string]struct {
		client oauthClient
		fields string
		// parameter holds the assertion.
		parameter, alg string
		verify         any
	}{
		"private_key_jwt":   {oauthClient{id: "client_a", key: key, method: goidc.AuthnMethodPrivateKeyJWT}, "auth_method private_key_jwt\n" + fmt.Sprintf(block, ""), "client_assertion", "ES256", key.private.Public()},
		"client_secret_jwt": {oauthClient{id: "client_a", secret: secret, method: goidc.AuthnMethodSecretJWT}, "auth_method client_secret_jwt\nclient_secret " + secret, "client_assertion", "HS256", []byte(secret)},
		"a JWT bearer grant": {oauthClient{id: "client_a", secret: "s", key: key}, "client_secret s\ngrant_type urn:ietf:params:oauth:grant-type:jwt-bearer\ntoken_request {\nparam assertion {jwt}\n}\n" +
			fmt.Sprintf(block, "claim iss client_a\nclaim sub client_a\nclaim aud {token_url}\nclaim jti {uuid}\n"), "assertion", "ES256", key.private.Public()},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, test.client)
			llm := newLLM(t, auth, "client_a")
			var failed atomic.Int64
			auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
				if failed.Add(1) == 2 {
					auth.setFault(nil)
				}
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", test.fields), map[string]string{"key.pem": key.file("PKCS#8")})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			llm.wantNoRefusals(t)
			ids := map[any]bool{}
			for _, form := range auth.sent() {
				_, claims := wantAssertion(t, form.Get(test.parameter), test.alg, test.verify, "client_a", auth.tokenURL())
				ids[claims["jti"]] = true
			}
			if len(auth.sent()) != 3 || len(ids) != 3 {
				t.Errorf("%d token requests with %d different jti, want 3", len(auth.sent()), len(ids))
			}
		})
	}
}

// net/http repeats what it takes for harmless on a new connection when a kept one
// breaks before there is an answer. The server may have seen the assertion.
func TestAnAssertionIsNotRepeatedWhenAConnectionBreaks(t *testing.T) {
	key := newSigningKey(t, "RS256")
	for name, test := range map[string]struct {
		client            oauthClient
		fields, parameter string
	}{
		"private_key_jwt": {
			oauthClient{id: "client_a", key: key, method: goidc.AuthnMethodPrivateKeyJWT},
			"auth_method private_key_jwt\njwt {\nalg RS256\nkey_file {{folder}}/key.pem\n}", "client_assertion",
		},
		"a JWT bearer grant": {oauthClient{id: "client_a", secret: "s", key: key}, "client_secret s\n" + jwtBearer(aboutAUser...), "assertion"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, test.client)
			llm := newLLM(t, auth, "client_a")
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", test.fields), map[string]string{"key.pem": key.file("PKCS#8")})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			auth.revoke(llm.lastRequest().header.Get("Authorization"))
			auth.setFault(func(http.ResponseWriter, *http.Request) {
				auth.setFault(nil)
				panic(http.ErrAbortHandler)
			})
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			ids := map[any]bool{}
			for _, form := range auth.sent() {
				_, claims, err := key.parse(form.Get(test.parameter), "client_a", auth.tokenURL())
				if err != nil {
					t.Fatal(err)
				}
				ids[claims["jti"]] = true
			}
			if n := len(auth.sent()); n != 3 || len(ids) != n {
				t.Errorf("%d token requests had %d different assertions, want 3", n, len(ids))
			}
		})
	}
}
