package tokens

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// verified reads a JWT with another library than the one that signed it. It takes
// one algorithm only, and checks no claim.
func verified(t *testing.T, text, algorithm string, key any) (header map[string]any, claims gojwt.MapClaims) {
	t.Helper()
	if private, ok := key.(crypto.Signer); ok {
		key = private.Public()
	}
	parser := gojwt.NewParser(gojwt.WithValidMethods([]string{algorithm}), gojwt.WithJSONNumber(), gojwt.WithoutClaimsValidation())
	token, err := parser.Parse(text, func(*gojwt.Token) (any, error) { return key, nil })
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return token.Header, token.Claims.(gojwt.MapClaims)
}

func mustRead(t *testing.T, value Value) string {
	t.Helper()
	secret, err := value.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

func newAssertion(t *testing.T, algorithm string) *Assertion {
	t.Helper()
	if secret, ok := keyFor(algorithm).([]byte); ok {
		return &Assertion{Algorithm: algorithm, Key: Literal(secret)}
	}
	return &Assertion{Algorithm: algorithm, Key: Literal(pkcs8(t, keyFor(algorithm)))}
}

func TestAnotherLibraryVerifiesEveryAlgorithm(t *testing.T) {
	for _, algorithm := range Algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			a := newAssertion(t, algorithm)
			a.Claims = []Parameter{{"iss", Literal(`"me"`)}}
			if err := a.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			header, claims := verified(t, mustRead(t, a), algorithm, keyFor(algorithm))
			if want := map[string]any{"alg": algorithm, "typ": "JWT"}; !maps.Equal(header, want) || claims["iss"] != "me" {
				t.Errorf("header %v, claims %v", header, claims)
			}
		})
	}
}

// go-jose alone refuses a secret that is shorter than the hash.
func TestASecretShorterThanTheHashSigns(t *testing.T) {
	for _, secret := range []string{"sixteen bytes at", "a secret with 31 bytes.........", strings.Repeat("63 bytes", 8)[1:], strings.Repeat("64 bytes", 8), strings.Repeat("more than a block", 9)} {
		for _, algorithm := range []string{"HS256", "HS384", "HS512"} {
			verified(t, mustRead(t, &Assertion{Algorithm: algorithm, Key: Literal(secret)}), algorithm, []byte(secret))
		}
	}
}

func TestTheKeyIsNamedByItsIDOrByTheOneInTheJWK(t *testing.T) {
	for _, test := range []struct {
		name, jwkID string
		keyID       Value
		want        any
	}{
		{"neither", "", nil, nil},
		{"the configured one", "", Literal("configured"), "configured"},
		{"the one in the JWK", "in the JWK", nil, "in the JWK"},
		{"an empty one counts as none", "in the JWK", Literal(""), "in the JWK"},
		{"the configured one wins", "in the JWK", Literal("configured"), "configured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &Assertion{Algorithm: "ES256", Key: Literal(asJWK(t, keyFor("ES256"), test.jwkID)), KeyID: test.keyID}
			if header, _ := verified(t, mustRead(t, a), "ES256", keyFor("ES256")); header["kid"] != test.want {
				t.Errorf("kid %v, want %v", header["kid"], test.want)
			}
		})
	}
}

func TestMembersOfTheHeaderAreAddedOrReplaceOurs(t *testing.T) {
	a := newAssertion(t, "HS256")
	a.KeyID = Literal("k1")
	a.Header = []Parameter{{"sign_type", Literal("SIGN")}, {"typ", Literal("client-authentication+jwt")}, {"kid", Literal("k2")}}
	header, _ := verified(t, mustRead(t, a), "HS256", []byte(hmacSecret))
	if want := map[string]any{"alg": "HS256", "typ": "client-authentication+jwt", "kid": "k2", "sign_type": "SIGN"}; !maps.Equal(header, want) {
		t.Errorf("header %v, want %v", header, want)
	}
}

// certificateChain is a certificate of a key and that of its issuer.
func certificateChain(t *testing.T, key crypto.Signer) (text string, leaf, issuer []byte) {
	t.Helper()
	authority := signerFor("ES384")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	issuer, err := x509.CreateCertificate(rand.Reader, template, template, authority.Public(), authority)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2)}, template, key.Public(), authority)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("CERTIFICATE", leaf) + inPEM("CERTIFICATE", issuer), leaf, issuer
}

func TestTheCertificateIsNamedInTheWaysThatAreWanted(t *testing.T) {
	chain, leaf, issuer := certificateChain(t, signerFor("RS256"))
	short, long := sha1.Sum(leaf), sha256.Sum256(leaf)
	x5t, x5t256 := base64.RawURLEncoding.EncodeToString(short[:]), base64.RawURLEncoding.EncodeToString(long[:])
	x5c := []any{base64.StdEncoding.EncodeToString(leaf), base64.StdEncoding.EncodeToString(issuer)}
	for _, test := range []struct {
		name       string
		text       string
		thumbprint Thumbprint
		chain      bool
		want       map[string]any
	}{
		{"x5t", chain, ThumbprintSHA1, false, map[string]any{"x5t": x5t}},
		{"x5t#S256", chain, ThumbprintSHA256, false, map[string]any{"x5t#S256": x5t256}},
		{"x5c with the whole chain", chain, ThumbprintNone, true, map[string]any{"x5c": x5c}},
		{"x5c beside a thumbprint", chain, ThumbprintSHA256, true, map[string]any{"x5t#S256": x5t256, "x5c": x5c}},
		{"x5c with one certificate", inPEM("CERTIFICATE", leaf), ThumbprintNone, true, map[string]any{"x5c": x5c[:1]}},
		{"none", chain, ThumbprintNone, false, map[string]any{}},
		{"one file for key and chain", pkcs8(t, keyFor("RS256")) + chain, ThumbprintSHA256, true, map[string]any{"x5t#S256": x5t256, "x5c": x5c}},
		{`\n for a line break`, strings.ReplaceAll(chain, "\n", `\n`) + "\n", ThumbprintNone, true, map[string]any{"x5c": x5c}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAssertion(t, "RS256")
			a.Certificate, a.Thumbprint, a.Chain = Literal(test.text), test.thumbprint, test.chain
			header, _ := verified(t, mustRead(t, a), "RS256", keyFor("RS256"))
			delete(header, "alg")
			delete(header, "typ")
			if !reflect.DeepEqual(header, test.want) {
				t.Errorf("header %v, want %v", header, test.want)
			}
		})
	}
}

func TestACertificateThatIsNotTheKeysIsRefused(t *testing.T) {
	chain, leaf, issuer := certificateChain(t, signerFor("RS256"))
	for _, test := range []struct{ name, algorithm, text, says string }{
		{"of another key", "ES256", chain, "is the certificate of another key"},
		{"a chain in the wrong order", "RS256", inPEM("CERTIFICATE", issuer) + inPEM("CERTIFICATE", leaf), "is the certificate of another key"},
		{"for a secret", "HS256", chain, "a secret has no certificate"},
		{"nothing", "RS256", "", "holds no certificate"},
		{"no PEM", "RS256", base64.StdEncoding.EncodeToString(leaf), "holds no certificate"},
		{"the key in its place", "RS256", pkcs8(t, keyFor("RS256")), "holds no certificate"},
		{"PEM of something else", "RS256", inPEM("CERTIFICATE", leaf[:100]), "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAssertion(t, test.algorithm)
			a.Certificate, a.Thumbprint = Literal(test.text), ThumbprintSHA256
			wantAssertionError(t, a, "certificate", test.says)
			wantNoPiece(t, a.Check(t.Context()).Error(), test.text)
		})
	}
}

func wantAssertionError(t *testing.T, a *Assertion, part, says string) {
	t.Helper()
	_, err := a.Read(t.Context())
	if wrong, ok := errors.AsType[*AssertionError](err); !ok || wrong.Part != part || !contains(err.Error(), part+" ") || !contains(err.Error(), says) {
		t.Errorf("got %v, want %s and %q in it", err, part, says)
	}
}

func TestAnAssertionThatCannotBeSignedSaysWhy(t *testing.T) {
	const secret = `"cAnary-claim`
	for _, test := range []struct {
		name, part, says string
		change           func(*Assertion)
	}{
		{"no key", "key", "shorter than 16 bytes", func(a *Assertion) { a.Key = nil }},
		{"a key of another algorithm", "key", "is a secret, but RS256 needs an RSA key", func(a *Assertion) {
			a.Algorithm, a.Key = "RS256", Literal(`{"kty":"oct","k":"Y0FuYXJ5LWNsYWltLWxvbmc"}`)
		}},
		{"an algorithm that there is not", "alg", "must be one of the supported ones", func(a *Assertion) { a.Algorithm = "HS1" }},
		{"a claim that is no JSON", "claims", "must be JSON", func(a *Assertion) { a.Claims = []Parameter{{"a", Literal(secret)}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAssertion(t, "HS256")
			test.change(a)
			wantAssertionError(t, a, test.part, test.says)
			if _, err := a.Read(t.Context()); contains(err.Error(), "cAnary") {
				t.Errorf("the error shows %v", err)
			}
		})
	}
}

func TestAValueOfAnAssertionThatCannotBeReadIsTheError(t *testing.T) {
	broken := errors.New("file gone")
	for name, change := range map[string]func(*Assertion, Value){
		"key":         func(a *Assertion, v Value) { a.Key = v },
		"key_id":      func(a *Assertion, v Value) { a.KeyID = v },
		"certificate": func(a *Assertion, v Value) { a.Certificate = v },
		"claims":      func(a *Assertion, v Value) { a.Claims = []Parameter{{"a", v}} },
		"header":      func(a *Assertion, v Value) { a.Header = []Parameter{{"a", v}} },
	} {
		a := newAssertion(t, "HS256")
		change(a, valueFunc(func(context.Context) (Secret, error) { return Secret{}, broken }))
		if _, err := a.Read(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTheClaimsOfAnAssertion(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Assertion)
		claims []Parameter
		want   string
	}{
		{"iat and exp are there by themselves", nil, nil, `{"iat":946684800,"exp":946685100}`},
		{"ttl", func(a *Assertion) { a.TTL = 10 * time.Minute }, nil, `{"iat":946684800,"exp":946685400}`},
		{"exp counts from an iat in the past", func(a *Assertion) { a.Skew = time.Minute }, nil, `{"iat":946684740,"exp":946685040}`},
		{"exp in milliseconds", func(a *Assertion) { a.Milliseconds = true }, nil, `{"iat":946684800,"exp":946685100000}`},
		{"claims take the place of iat and exp", nil, []Parameter{{"iat", Literal("1")}, {"exp", Literal(`"never"`)}}, `{"iat":1,"exp":"never"}`},
		{"an empty string removes a claim", nil, []Parameter{{"iat", Literal(`""`)}}, `{"exp":946685100}`},
		{"null removes a claim", nil, []Parameter{{"exp", Literal("null")}}, `{"iat":946684800}`},
		{"no text removes a claim", nil, []Parameter{{"exp", Literal("")}, {"iat", Literal("")}}, `{}`},
		{"one without a value that is not there", nil, []Parameter{{"nbf", Literal("")}}, `{"iat":946684800,"exp":946685100}`},
		{"the last of a name wins", nil, []Parameter{{"iss", Literal(`"a"`)}, {"iss", Literal(`"b"`)}, {"exp", Literal("")}, {"iat", Literal("")}}, `{"iss":"b"}`},
		{"one that was removed comes back", nil, []Parameter{{"exp", Literal("")}, {"exp", Literal("2")}, {"iat", Literal("")}}, `{"exp":2}`},
		{
			"JSON nests, and numbers keep their digits", nil,
			[]Parameter{{"aud", Literal(`["a","b"]`)}, {"x", Literal(`{"y":[{"z":null},true],"n":12345678901234567890.10}`)}, {"zero", Literal("0")}, {"no", Literal("false")}},
			`{"iat":946684800,"exp":946685100,"aud":["a","b"],"x":{"y":[{"z":null},true],"n":12345678901234567890.10},"zero":0,"no":false}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAssertion(t, "HS256")
				a.Claims = test.claims
				if test.change != nil {
					test.change(a)
				}
				_, claims := verified(t, mustRead(t, a), "HS256", []byte(hmacSecret))
				var want gojwt.MapClaims
				decoder := json.NewDecoder(strings.NewReader(test.want))
				decoder.UseNumber()
				if err := decoder.Decode(&want); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(claims, want) {
					t.Errorf("claims %v\nwant   %v", claims, want)
				}
			})
		})
	}
}

func TestEachReadSignsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, reads := []byte(hmacSecret), 0
		a := &Assertion{
			Algorithm: "HS256",
			Key:       valueFunc(func(context.Context) (Secret, error) { return NewSecret(string(key)), nil }),
			Claims: []Parameter{{"jti", valueFunc(func(context.Context) (Secret, error) {
				reads++
				return NewSecret(`"id ` + strings.Repeat("i", reads) + `"`), nil
			})}},
		}
		_, first := verified(t, mustRead(t, a), "HS256", key)
		time.Sleep(time.Minute)
		key = []byte("another secret, rotated in")
		_, second := verified(t, mustRead(t, a), "HS256", key)
		if first["jti"] != "id i" || second["jti"] != "id ii" || first["iat"] == second["iat"] {
			t.Errorf("claims %v, then %v", first, second)
		}
	})
}

func TestTheFingerprintOfAKey(t *testing.T) {
	for _, algorithm := range []string{"RS256", "ES512", "EdDSA"} {
		spki, _ := x509.MarshalPKIXPublicKey(signerFor(algorithm).Public())
		digest := sha256.Sum256(spki)
		for name, text := range keyTexts(t, keyFor(algorithm)) {
			got, err := (&Assertion{Algorithm: algorithm, Key: Literal(text)}).KeyFingerprint(t.Context())
			if want := "SHA256:" + base64.StdEncoding.EncodeToString(digest[:]); err != nil || got != want {
				t.Errorf("%s as %s: got %s, %v; want %s", algorithm, name, got, err, want)
			}
		}
	}
	if _, err := newAssertion(t, "HS256").KeyFingerprint(t.Context()); err == nil || !contains(err.Error(), "key is a secret, which has no public key") {
		t.Errorf("a secret: got %v", err)
	}
}

// The text is what openssl pkey -pubout, openssl dgst -sha256 and base64 make of the key.
func TestTheFingerprintIsThatOfOpenSSL(t *testing.T) {
	// The key of RFC 8037, appendix A.1.
	const text = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	got, err := (&Assertion{Algorithm: "EdDSA", Key: Literal(text)}).KeyFingerprint(t.Context())
	if err != nil || got != "SHA256:BuP9j9opu2CrWVV95h7bCuzbIxE0vjDnW0Vfjht5L6k=" {
		t.Errorf("got %s, %v", got, err)
	}
}
