package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// testKeys has a key for each family of algorithms. They are made once: an RSA key
// takes its time.
var testKeys = sync.OnceValue(func() map[string]any {
	pair, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	keys := map[string]any{"RS": pair, "PS": pair, "Ed": ed, "HS": []byte(hmacSecret)}
	for family, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521(), "P-224": elliptic.P224()} {
		keys[family], _ = ecdsa.GenerateKey(curve, rand.Reader)
	}
	return keys
})

const hmacSecret = "an HMAC secret that is long enough, " + canary

func keyFor(algorithm string) any {
	if key, ok := testKeys()[algorithm]; ok {
		return key
	}
	return testKeys()[algorithm[:2]]
}

func signerFor(algorithm string) crypto.Signer { return keyFor(algorithm).(crypto.Signer) }

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("PRIVATE KEY", der)
}

func asJWK(t testing.TB, key any, id string) string {
	t.Helper()
	text, err := (&jose.JSONWebKey{Key: key, KeyID: id}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func certificateOf(t testing.TB, key crypto.Signer) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("CERTIFICATE", der)
}

// keyTexts are all ways to write a key.
func keyTexts(t testing.TB, key any) map[string]string {
	t.Helper()
	texts := map[string]string{"a JWK": asJWK(t, key, "k1"), "a JWK between white space": "\n " + asJWK(t, key, "k1") + "\r\n"}
	if secret, ok := key.([]byte); ok {
		texts["the secret itself"] = string(secret)
		return texts
	}
	text := pkcs8(t, key)
	texts["PKCS #8"] = text
	texts["PKCS #8 without a line end"] = strings.TrimSpace(text)
	texts["PKCS #8 with the line ends of Windows"] = strings.ReplaceAll(text, "\n", "\r\n")
	texts[`PKCS #8 with \n for a line break`] = strings.ReplaceAll(text, "\n", `\n`)
	texts[`PKCS #8 with \n for a line break, and a line end`] = strings.ReplaceAll(text, "\n", `\n`) + "\n"
	texts[`PKCS #8 with \r\n for a line break`] = strings.ReplaceAll(text, "\n", `\r\n`)
	texts["PKCS #8 behind its certificate"] = certificateOf(t, key.(crypto.Signer)) + text
	texts["PKCS #8 in front of its certificate"] = text + certificateOf(t, key.(crypto.Signer))
	texts["PKCS #8 behind the words of openssl pkcs12"] = "Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n" + text
	switch k := key.(type) {
	case *rsa.PrivateKey:
		texts["PKCS #1"] = inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k))
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		texts["SEC 1"] = inPEM("EC PRIVATE KEY", der)
		texts["SEC 1 behind its parameters, as openssl ecparam writes it"] = inPEM("EC PARAMETERS", []byte{6, 0}) + texts["SEC 1"]
	}
	return texts
}

func TestKeysAreReadInEveryForm(t *testing.T) {
	for _, algorithm := range Algorithms() {
		want := keyFor(algorithm)
		for name, text := range keyTexts(t, want) {
			t.Run(algorithm+" with "+name, func(t *testing.T) {
				got, err := readKey(text, algorithm)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(name, "JWK") != (got.id == "k1") {
					t.Errorf("the key's identifier is %q", got.id)
				}
				if secret, ok := want.([]byte); ok {
					if !bytes.Equal(got.key.([]byte), secret) {
						t.Error("the secret is another one")
					}
					return
				}
				if equal := want.(interface{ Equal(crypto.PrivateKey) bool }).Equal; !equal(got.key) {
					t.Error("the key is another one")
				}
			})
		}
	}
}

func TestASecretIsTakenAsItIs(t *testing.T) {
	for _, secret := range []string{" sixteen bytes \n", `sixteen bytes \n`, "{braces are letters, too}"} {
		if key, err := readKey(secret, "HS256"); err != nil || string(key.key.([]byte)) != secret {
			t.Errorf("%q was read as another secret, or not: %v", secret, err)
		}
	}
}

// weakRSA is a PKCS #1 key that crypto/rsa does not make.
func weakRSA(t testing.TB, bits int) []byte {
	t.Helper()
	one, e := big.NewInt(1), big.NewInt(65537)
	for {
		p, _ := rand.Prime(rand.Reader, bits/2)
		q, _ := rand.Prime(rand.Reader, bits/2)
		p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
		d := new(big.Int).ModInverse(e, new(big.Int).Mul(p1, q1))
		if d == nil || p.Cmp(q) == 0 {
			continue
		}
		der, err := asn1.Marshal(struct {
			Version                  int
			N                        *big.Int
			E                        int
			D, P, Q, DP, DQ, Inverse *big.Int
		}{
			0, new(big.Int).Mul(p, q), 65537, d, p, q,
			new(big.Int).Mod(d, p1), new(big.Int).Mod(d, q1), new(big.Int).ModInverse(q, p),
		})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
}

func changedJWK(t testing.TB, key any, change func(members map[string]any)) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(asJWK(t, key, "k1")), &members); err != nil {
		t.Fatal(err)
	}
	change(members)
	text, _ := json.Marshal(members)
	return string(text)
}

func TestAKeyThatCannotSignIsRefusedWithoutShowingIt(t *testing.T) {
	pair, p384 := keyFor("RS256").(*rsa.PrivateKey), keyFor("ES384")
	spki, _ := x509.MarshalPKIXPublicKey(pair.Public())
	exchangeKey, _ := ecdh.X25519().GenerateKey(rand.Reader)
	noise := make([]byte, 300)
	_, _ = rand.Read(noise)
	legacy := string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: noise,
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00112233445566778899AABBCCDDEEFF"},
	}))
	for _, test := range []struct{ name, algorithm, text, says string }{
		{"an encrypted PKCS #8 key", "RS256", inPEM("ENCRYPTED PRIVATE KEY", noise), "is encrypted: decrypt it first"},
		{"an encrypted PKCS #1 key", "RS256", legacy, "is encrypted: decrypt it first"},
		{`an encrypted PKCS #1 key with \n for a line break`, "RS256", strings.ReplaceAll(legacy, "\n", `\n`), "is encrypted: decrypt it first"},
		{"an RSA key of 512 bits", "RS256", inPEM("RSA PRIVATE KEY", weakRSA(t, 512)), "has 512 bits; an RSA key needs at least 2048"},
		{"an RSA key of 1024 bits", "PS256", inPEM("RSA PRIVATE KEY", weakRSA(t, 1024)), "has 1024 bits; an RSA key needs at least 2048"},
		{"a public key", "RS256", inPEM("PUBLIC KEY", spki), "is a public key"},
		{"a public key of PKCS #1", "RS256", inPEM("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&pair.PublicKey)), "is a public key"},
		{"a certificate alone", "RS256", certificateOf(t, pair), "must be a private key"},
		{"PEM that holds no key", "RS256", inPEM("PRIVATE KEY", noise), "must be a private key"},
		{"PEM that is cut", "RS256", pkcs8(t, pair)[:800], "must be a private key"},
		{"a key of OpenSSH", "EdDSA", inPEM("OPENSSH PRIVATE KEY", noise), "is in OpenSSH's format"},
		{"no PEM", "RS256", canary + " and other words", "must be a private key"},
		{"base64 without its lines", "RS256", base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(pair)), "must be a private key"},
		{"nothing", "RS256", "", "must be a private key"},
		{"a P-384 key for ES256", "ES256", pkcs8(t, p384), "is a P-384 key, but ES256 needs a P-256 key"},
		{"a P-256 key for ES512", "ES512", pkcs8(t, keyFor("ES256")), "is a P-256 key, but ES512 needs a P-521 key"},
		{"a P-224 key", "ES256", pkcs8(t, testKeys()["P-224"]), "is a key of another kind, but ES256 needs a P-256 key"},
		{"an X25519 key", "EdDSA", pkcs8(t, exchangeKey), "is a key of another kind, but EdDSA needs an Ed25519 key"},
		{"an RSA key for ES256", "ES256", pkcs8(t, pair), "is an RSA key, but ES256 needs a P-256 key"},
		{"an RSA key for EdDSA", "EdDSA", pkcs8(t, pair), "is an RSA key, but EdDSA needs an Ed25519 key"},
		{"an Ed25519 key for RS256", "RS256", pkcs8(t, keyFor("EdDSA")), "is an Ed25519 key, but RS256 needs an RSA key"},
		{"a P-384 JWK for ES256", "ES256", asJWK(t, p384, ""), "is a P-384 key, but ES256 needs a P-256 key"},
		{"a JWK of a secret for RS256", "RS256", asJWK(t, []byte(hmacSecret), ""), "is a secret, but RS256 needs an RSA key"},
		{"a JWK of RSA for HS256", "HS256", asJWK(t, pair, ""), "is an RSA key, but HS256 needs a secret"},
		{"a private key for HS256", "HS256", inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(pair)), "is PEM, not a secret"},
		{"a short secret", "HS256", "fifteen-bytes-x", "is shorter than 16 bytes"},
		{"a short secret in a JWK", "HS256", asJWK(t, []byte("fifteen-bytes-x"), ""), "is shorter than 16 bytes"},
		{"no secret", "HS256", "", "is shorter than 16 bytes"},
		{"a public JWK of RSA", "RS256", asJWK(t, pair.Public(), ""), "is a public key"},
		{"a public JWK of EC", "ES384", asJWK(t, signerFor("ES384").Public(), ""), "is a public key"},
		{"a public JWK of Ed25519", "EdDSA", asJWK(t, signerFor("EdDSA").Public(), ""), "is a public key"},
		{"a JWK that is cut", "RS256", asJWK(t, pair, "")[:500], "not a JSON Web Key"},
		{"a JWK without primes", "RS256", changedJWK(t, pair, func(m map[string]any) { delete(m, "p") }), "not a JSON Web Key"},
		{"a JWK with another modulus", "RS256", changedJWK(t, pair, func(m map[string]any) { m["n"] = m["d"] }), "not a JSON Web Key"},
		{"a JWK of a point that is on no curve", "ES384", changedJWK(t, p384, func(m map[string]any) { m["x"] = m["y"] }), "not a JSON Web Key"},
		{"a JWK of Ed25519 with another public key", "EdDSA", changedJWK(t, keyFor("EdDSA"), func(m map[string]any) { m["x"] = m["d"] }), "not a JSON Web Key"},
		{"a JWK whose member is of another type", "HS256", `{"kty":"oct","k":["` + "cAnary-in-a-list" + `"]}`, "not a JSON Web Key"},
		{"a JWK of a kind that nobody knows", "RS256", `{"kty":"cAnary-kind","k":"cAnary-value"}`, "not a JSON Web Key"},
		{"a set of JWKs", "RS256", `{"keys":[` + asJWK(t, pair, "") + `]}`, "not a JSON Web Key"},
		{"JSON that is not a key", "HS256", `{"client_secret":"cAnary-value-that-is-long"}`, "not a JSON Web Key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readKey(test.text, test.algorithm)
			if err == nil || !contains(err.Error(), test.says) {
				t.Fatalf("got %v, want %q in it", err, test.says)
			}
			wantNoPiece(t, err.Error(), test.text)
		})
	}
}

// keySentences are the errors about keys, less what the key decides.
var keySentences = sync.OnceValue(func() string {
	sentences := []string{
		errPublicKey.Error(), errEncryptedKey.Error(), errNoKey.Error(), "is JSON, but not a JSON Web Key (RFC 7517)",
		"has 512 bits; an RSA key needs at least 2048", checkKey([]byte("x"), "HS256").Error(),
	}
	for _, key := range append([]any{""}, keyFor("RS256"), keyFor("ES256"), keyFor("ES384"), keyFor("ES512"), keyFor("EdDSA"), keyFor("HS256")) {
		for _, algorithm := range Algorithms() {
			if err := checkKey(key, algorithm); err != nil {
				sentences = append(sentences, err.Error())
			}
		}
	}
	return strings.Join(sentences, "\n")
})

// wantNoPiece fails if eight bytes of a key show in an error, other than by being
// our own words.
func wantNoPiece(t *testing.T, shown, key string) {
	t.Helper()
	for i := 0; i+8 <= len(key); i++ {
		if piece := key[i : i+8]; contains(shown, piece) && !contains(keySentences(), piece) {
			t.Fatalf("%q shows %q of the key", shown, piece)
		}
	}
}

// FuzzReadKey: whatever stands where a key should, it is a key for the algorithm,
// or an error that shows none of it.
func FuzzReadKey(f *testing.F) {
	for _, algorithm := range Algorithms() {
		for _, text := range keyTexts(f, keyFor(algorithm)) {
			f.Add(text, algorithm)
		}
	}
	f.Add(`{"kty":"oct","k":"AA"}`, "HS256")
	f.Add(inPEM("ENCRYPTED PRIVATE KEY", []byte("x")), "RS256")
	f.Fuzz(func(t *testing.T, text, algorithm string) {
		if !strings.Contains(strings.Join(Algorithms(), " "), algorithm) || len(algorithm) < 5 {
			algorithm = "RS256"
		}
		key, err := readKey(text, algorithm)
		if err != nil {
			wantNoPiece(t, err.Error(), text)
			return
		}
		if kind := keyKind(key.key); kind != kindFor(algorithm) {
			t.Errorf("%s for %s", kind, algorithm)
		}
		if _, err := key.fingerprint(); (err != nil) != strings.HasPrefix(algorithm, "HS") {
			t.Errorf("the fingerprint fails: %v", err)
		}
	})
}
