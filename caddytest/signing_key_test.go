package caddytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// A signingKey is a client's key for one algorithm. The gateway signs with
// go-jose, which the authorization server checks with, too: tests check once more,
// with golang-jwt.
type signingKey struct {
	t       *testing.T
	alg, id string
	private crypto.Signer
}

func newSigningKey(t *testing.T, alg string) *signingKey {
	t.Helper()
	k := &signingKey{t: t, alg: alg, id: "key-" + alg}
	var err error
	switch alg {
	case "RS256", "PS256":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("there is no key for %s", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// jwk is the public key, as it is registered at the authorization server.
func (k *signingKey) jwk() goidc.JSONWebKey {
	return goidc.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Use: "sig", Algorithm: k.alg}
}

// file is the private key in one of the formats of key files.
func (k *signingKey) file(format string) string {
	k.t.Helper()
	kind, der, err := "PRIVATE KEY", []byte(nil), error(nil)
	switch format {
	case "PKCS#1":
		kind, der = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.private.(*rsa.PrivateKey))
	case "PKCS#8":
		der, err = x509.MarshalPKCS8PrivateKey(k.private)
	case "SEC 1":
		kind = "EC PRIVATE KEY"
		der, err = x509.MarshalECPrivateKey(k.private.(*ecdsa.PrivateKey))
	case "JWK":
		encoded, err := json.Marshal(goidc.JSONWebKey{Key: k.private, KeyID: k.id, Use: "sig", Algorithm: k.alg})
		if err != nil {
			k.t.Fatal(err)
		}
		return string(encoded)
	default:
		k.t.Fatalf("there is no format %s", format)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// parse checks a JWT that the key must have signed.
func (k *signingKey) parse(token, issuer, audience string) (header map[string]any, claims jwt.MapClaims, err error) {
	return parseJWT(token, k.alg, k.private.Public(), issuer, audience)
}

// parseJWT checks a JWT: its signature, its times, whom it is from, and whom it
// is for, unless that is empty.
func parseJWT(token, alg string, key any, issuer, audience string) (header map[string]any, claims jwt.MapClaims, err error) {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{alg}), jwt.WithStrictDecoding(), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithIssuer(issuer),
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	claims = jwt.MapClaims{}
	parsed, err := jwt.NewParser(options...).ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		return nil, nil, err
	}
	return parsed.Header, claims, nil
}

// wantAssertion fails the test unless a JWT proves the identity of a client as
// RFC 7523 §3 wants it.
func wantAssertion(t *testing.T, token, alg string, key any, client, audience string) (header map[string]any, claims jwt.MapClaims) {
	t.Helper()
	header, claims, err := parseJWT(token, alg, key, client, audience)
	if err != nil {
		t.Fatalf("the assertion is refused: %v", err)
	}
	if claims["sub"] != client {
		t.Errorf("the assertion speaks for %v", claims["sub"])
	}
	if id, _ := claims["jti"].(string); len(id) != len("00000000-0000-0000-0000-000000000000") {
		t.Errorf("jti is %v, want a UUID", claims["jti"])
	}
	// Some servers take no assertion that is good for long.
	issued, _ := claims.GetIssuedAt()
	ends, _ := claims.GetExpirationTime()
	if issued == nil {
		t.Fatal("the assertion has no iat")
	}
	if life := ends.Sub(issued.Time); life <= 0 || life > 10*time.Minute {
		t.Errorf("the assertion is good for %v", life)
	}
	return header, claims
}
