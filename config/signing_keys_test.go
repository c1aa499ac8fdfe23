package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Keys that are made once: an RSA key takes a while.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return made(rsa.GenerateKey(rand.Reader, 2048)) })
	otherKey = sync.OnceValue(func() *rsa.PrivateKey { return made(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return made(key, err)
	})
)

func made[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Throw-away keys that are of no use: one of 512 bits, which Go makes no more, and
// two that are encrypted, with the password x.
const (
	shortKeyPEM = `-----BEGIN RSA PRIVATE KEY-----
MIIBOwIBAAJBAK9IjLDCVBDWQPth0TwVtsPBQ5WLsj7TUQOWchoJbiqp9SZAwmyP
dRBNlRk6/o7fqwGzj71EoqMn032ozrTItYECAwEAAQJBAI+543MExT3REROPj6u+
+k/lZu92zr9pMuLIN+NVnDnqKecEtCqL6ZIQKZOF10ueyzpGmPF0ldF+RJfue9q/
P8kCIQDm1UYOKtm8OxhPgHvDbCqt9FcuWcXDPeuoG1CxBIQY+wIhAMJk13l722m+
UuUtgYGw2ba5G7Dlqlds1nX04n9XeVqzAiBrfza4skvj1MFlhLgeMelOSVOwSi5G
1jdAejgBt9CssQIgOAHZ2xSGWOcO9xyvTXBoqa6XfdYNx/aBq6aMg2fufOUCIQDC
dOzA9Expvv34OqbLMbCn2QESm3t0frNF6L3bgO1hnw==
-----END RSA PRIVATE KEY-----
`
	encryptedKeyPEM = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjcb4oMjL4CtwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEELkait17hulaWU607CtpzRIEgZCY
7U2v+PZq5h+7kqoBPmZkVn7NAMMLKNyjPsZIlAGprAj6s1h1JNUJzQLdPCimXCa/
RVkmyK3O913oPaTqPY47gxkmFkUtMn/IktKYtG2/7921OKJPo1zHFEzyYRyQV0j1
69LEUThQhiCGpEdrgbQ5FFgaXKdb8iBTpFs2IGjaKmlE0WeQA5H0mdtWgyOyLgE=
-----END ENCRYPTED PRIVATE KEY-----
`
	oldEncryptedKeyPEM = `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,B8EBFD8BBAA9B3B79CE463A94FA2FB28

jkco22t6o/T3DORpcXmhYyoQDO48tOeQRtkBP/r/lhiWNSgwQhwHEwreWnnYNeqp
d2sp7fGdTuSZvinX0ycRnQgVLT6+i4KU+3FSpGEhoq5viqDVZqBi/bxU7zlP9t7H
V2YrfL1gbyxlwNeTQqsK2t8SFYs9lCa71sRrdP9FvMk=
-----END EC PRIVATE KEY-----
`
)

// longSecret is long enough for all algorithms.
const longSecret = hsKey + hsKey

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func privatePEM(key any) string {
	return pemOf("PRIVATE KEY", made(x509.MarshalPKCS8PrivateKey(key)))
}

func certificatePEM(key *rsa.PrivateKey) string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	return pemOf("CERTIFICATE", made(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
}

// signingFiles writes keys, certificates and secrets, and puts their paths in the
// place of <their name>.
func signingFiles(t *testing.T) *strings.Replacer {
	t.Helper()
	jwk := made(json.Marshal(jose.JSONWebKey{Key: rsaKey(), KeyID: "kid-of-jwk"}))
	publicJWK := made(json.Marshal(jose.JSONWebKey{Key: rsaKey().Public()}))
	account := made(json.Marshal(map[string]string{"private_key": privatePEM(rsaKey()), "id": "k1", "CANARY": "x"}))
	folder := t.TempDir()
	var pairs []string
	for name, content := range map[string]string{
		"rsa": privatePEM(rsaKey()), "pkcs1": pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())),
		"ec": privatePEM(ecKey()), "sec1": pemOf("EC PRIVATE KEY", made(x509.MarshalECPrivateKey(ecKey()))), "ed": privatePEM(edKey()),
		"jwk": string(jwk), "public-jwk": string(publicJWK), "public": pemOf("PUBLIC KEY", made(x509.MarshalPKIXPublicKey(rsaKey().Public()))),
		"short": shortKeyPEM, "encrypted": encryptedKeyPEM, "old-encrypted": oldEncryptedKeyPEM, "nothing": "CANARY is no key",
		"certificate": certificatePEM(rsaKey()), "other-certificate": certificatePEM(otherKey()),
		"secret": hsKey + "\n", "long-secret": longSecret + "\n", "account": string(account), "token": fileJWT + "\n",
	} {
		path := filepath.Join(folder, name)
		rewrite(t, path, content)
		pairs = append(pairs, "<"+name+">", path)
	}
	return strings.NewReplacer(pairs...)
}

// opened is a JWT whose signature is checked by another library than the one that
// signs.
func opened(t *testing.T, signed string, key any) *jwt.Token {
	t.Helper()
	parsed, err := jwt.NewParser(jwt.WithoutClaimsValidation()).Parse(signed, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		t.Fatalf("the JWT is not valid: %v", err)
	}
	return parsed
}
