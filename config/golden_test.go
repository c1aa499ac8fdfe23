package config

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// The golden catalogue: 52 real token endpoints, what each must be asked, and what
// a sample answer means. testdata/providers holds it: catalog.json the endpoints,
// requests.http the requests, configurations.json what a user writes.

const (
	goldenTime = 1900000000
	goldenUUID = "6f0b1291-c7f3-43c6-bb2e-9f3efb2dc98e"
	// fileJWT is what token files hold.
	fileJWT = "eyJhbGciOiJub25lIn0.eyJpYXQiOjE5MDAwMDAwMDAsImV4cCI6MTkwMDAwMDYwMH0.c2ln"
	hsKey   = "0123456789abcdef0123456789abcdef"
)

// A goldenEntry is an entry of catalog.json, as far as it is no configuration.
type goldenEntry struct {
	Name      string            `json:"name"`
	Flow      string            `json:"flow"`
	Status    int               `json:"status"`
	Headers   map[string]string `json:"resp_headers"`
	Answer    string            `json:"resp"`
	FileBody  string            `json:"file_body"`
	Want      []any             `json:"want"`
	UpHeaders map[string]string `json:"up_headers"`
	Encoding  string            `json:"encoding"`
	// Seconds, 0 if unset.
	DefaultTTL int `json:"default_ttl"`
	MaxTTL     int `json:"max_ttl"`
	// TLS says that the client shows a certificate.
	TLS   bool `json:"tls"`
	Place *struct {
		Header, Query string
		Prefix        *string
	} `json:"place"`
}

type goldenKeys struct {
	rsa         *rsa.PrivateKey
	certificate []byte // DER
}

func readGolden(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile("testdata/providers/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

// writeGoldenFiles makes the files that configurations.json refers to.
func writeGoldenFiles(t *testing.T, dir string) goldenKeys {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	account := func(members map[string]string) string {
		members["private_key"] = private
		encoded, _ := json.Marshal(members)
		return string(encoded)
	}
	for name, content := range map[string]string{
		"token":        fileJWT + "\n",
		"key.pem":      private,
		"cert.pem":     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
		"hs256":        hsKey + "\n",
		"google.json":  account(map[string]string{"client_email": "sa@p.iam.gserviceaccount.com", "private_key_id": "k1"}),
		"iap.json":     account(map[string]string{"client_email": "sa@p", "private_key_id": "k"}),
		"yandex.json":  account(map[string]string{"id": "k", "service_account_id": "aje"}),
		"adc.json":     `{"client_id":"cid","client_secret":"s3+cr/et","refresh_token":"1//r"}`,
		"sap.json":     `{"clientid":"sb-1!b2|aicore!b3","clientsecret":"s3+cr/et","url":"https://sub.authentication.eu10.hana.ondemand.com"}`,
		"sapx509.json": `{"clientid":"sb-1","certurl":"https://sub.authentication.cert.eu10.hana.ondemand.com"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return goldenKeys{key, certificate}
}

// goldenProviders decodes the configuration of all entries.
func goldenProviders(t *testing.T, dir string) Providers {
	t.Helper()
	var raw json.RawMessage
	readGolden(t, "configurations.json", &raw)
	encoded, _ := json.Marshal(dir)
	var all Providers
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(raw), "{DIR}", string(encoded[1:len(encoded)-1]))), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func goldenEnvironment() Environment {
	variables := map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:41741/msi/token", "IDENTITY_HEADER": "853b9a84"}
	return Environment{
		LookupEnv: func(name string) (string, bool) { value, ok := variables[name]; return value, ok },
		UUID:      func() string { return goldenUUID },
		Token: func(_ context.Context, provider string) (tokens.Secret, error) {
			return tokens.NewSecret("T-" + provider), nil
		},
	}
}

// A stubEndpoint is a token endpoint that gives a fixed answer.
type stubEndpoint struct {
	status  int
	header  http.Header
	answer  string
	request *http.Request
	body    string
	// asked counts the requests.
	asked int
}

func (s *stubEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	s.request, s.body = r, string(body)
	s.asked++
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(strings.NewReader(s.answer)), Request: r}, nil
}

// jwtExpiring fills {JWT_EXP_n} in: a token that ends in n seconds.
func jwtExpiring(text string) string {
	return regexp.MustCompile(`\{JWT_EXP_(\d+)\}`).ReplaceAllStringFunc(text, func(match string) string {
		seconds, _ := time.ParseDuration(match[len("{JWT_EXP_"):len(match)-1] + "s")
		claims, _ := json.Marshal(map[string]int64{"exp": goldenTime + int64(seconds.Seconds())})
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"none"}`)) + "." + encode(claims) + ".c2ln"
	})
}

func (e *goldenEntry) endpoint() *stubEndpoint {
	s := &stubEndpoint{status: e.Status, answer: jwtExpiring(e.Answer), header: http.Header{"Content-Type": {"application/json"}}}
	if s.status == 0 {
		s.status = http.StatusOK
	}
	for name, value := range e.Headers {
		s.header.Set(name, value)
	}
	return s
}

// atGoldenTime runs a test at the catalogue's time.
func atGoldenTime(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(goldenTime, 0)))
		test(t)
	})
}

func TestEveryEntryOfTheCatalogue(t *testing.T) {
	dir := t.TempDir()
	keys := writeGoldenFiles(t, dir)
	var catalogue []goldenEntry
	readGolden(t, "catalog.json", &catalogue)
	requests := readGoldenRequests(t)
	if len(catalogue) != 52 || len(requests) != 49 {
		t.Fatalf("there are %d entries and %d requests", len(catalogue), len(requests))
	}
	all, err := goldenProviders(t, dir).expand(goldenEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range catalogue {
		t.Run(entry.Name, func(t *testing.T) {
			if entry.FileBody != "" {
				if err := os.WriteFile(filepath.Join(dir, "token"), []byte(jwtExpiring(entry.FileBody)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			atGoldenTime(t, func(t *testing.T) {
				checkEntry(t, &entry, all, keys, requests[entry.Name])
			})
		})
	}
}

// fetch asks an endpoint for a token once.
func (e *goldenEntry) fetch(t *testing.T, all Providers, endpoint *stubEndpoint) (tokens.Token, error) {
	t.Helper()
	fetcher, err := all.fetcher(e.Name, goldenEnvironment(), nil, func(c *tokens.Client) { c.Transport = endpoint })
	if err != nil {
		t.Fatal(err)
	}
	return fetcher.Fetch(t.Context(), tokens.Want{})
}

func checkEntry(t *testing.T, entry *goldenEntry, all Providers, keys goldenKeys, want *goldenRequest) {
	provider, environment := all[entry.Name], goldenEnvironment()
	// A provider whose token it needs comes with it.
	if err := (Providers{entry.Name: provider, "google_sts_wif": all["google_sts_wif"]}).validate(environment); err != nil {
		t.Fatal(err)
	}
	endpoint := entry.endpoint()
	token, err := entry.fetch(t, all, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	lifetime := time.Duration(entry.Want[1].(float64) * float64(time.Second))
	if entry.Flow == "self_signed" {
		// The catalogue counts from now, as if iat_skew were 0.
		lifetime -= tokens.DefaultAssertionSkew
	}
	if token.Lifetime != lifetime {
		t.Errorf("the token lives for %v, want %v", token.Lifetime, lifetime)
	}
	value := token.Value.Reveal()
	if wanted := entry.Want[0]; wanted != "~jwt" && value != wanted || wanted == "~jwt" && strings.Count(value, ".") != 2 {
		t.Errorf("the token is %q, want %q", value, wanted)
	}
	assertion := value
	if want == nil {
		if endpoint.request != nil {
			t.Errorf("a token endpoint was asked: %s", endpoint.request.URL)
		}
	} else {
		assertion = want.compare(t, entry.Encoding, endpoint)
	}
	if wanted, ok := goldenJWTs(keys)[entry.Name]; ok {
		wanted.verify(t, assertion, keys)
	}
	checkDecoration(t, entry, provider, environment)
	checkKnobs(t, entry, provider)
}

// checkDecoration looks at what an LLM request gets besides the token, and where
// the token goes.
func checkDecoration(t *testing.T, entry *goldenEntry, provider *Provider, environment Environment) {
	t.Helper()
	want := EffectivePlace{Header: "Authorization", Prefix: "Bearer "}
	if entry.Place != nil {
		want = EffectivePlace{Query: entry.Place.Query}
		if entry.Place.Header != "" {
			want.Header = http.CanonicalHeaderKey(entry.Place.Header)
		}
	}
	if got := provider.effectivePlace(); got != want {
		t.Errorf("the token goes to %+v, want %+v", got, want)
	}
	up, err := provider.headerUp(environment)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Anthropic-Beta": {"of-the-client"}, "X-Client": {"1"}}
	up.Apply(header)
	for name, value := range entry.UpHeaders {
		if appended, ok := strings.CutPrefix(value, "+"); ok {
			value = "of-the-client," + appended
		}
		if got := strings.Join(header.Values(name), ","); got != value {
			t.Errorf("the companion header %s is %q, want %q", name, got, value)
		}
	}
	names := 2 + len(entry.UpHeaders)
	if entry.UpHeaders["anthropic-beta"] != "" {
		names--
	}
	if len(header) != names {
		t.Errorf("the companion headers are %v", header)
	}
}

// A goldenJWT is what a JWT must hold, besides typ.
type goldenJWT struct{ header, claims map[string]any }

func goldenJWTs(keys goldenKeys) map[string]goldenJWT {
	thumbprint := sha256.Sum256(keys.certificate)
	spki, _ := x509.MarshalPKIXPublicKey(keys.rsa.Public())
	fingerprint := sha256.Sum256(spki)
	const at = float64(goldenTime)
	// A JWT is of 10 s ago, unless a preset says otherwise.
	const issued = at - 10
	return map[string]goldenJWT{
		"azure_openai_cert": {
			map[string]any{"alg": "PS256", "x5t#S256": base64.RawURLEncoding.EncodeToString(thumbprint[:])},
			map[string]any{"aud": "https://login.microsoftonline.com/t0/oauth2/v2.0/token", "iss": "cid", "sub": "cid", "iat": issued, "nbf": issued, "exp": issued + 600, "jti": goldenUUID},
		},
		"okta_private_key_jwt": {
			map[string]any{"alg": "RS256", "kid": "k"},
			map[string]any{"aud": "https://acme.okta.com/oauth2/v1/token", "iss": "cid", "sub": "cid", "iat": issued, "exp": issued + 300, "jti": goldenUUID},
		},
		"vertex_service_account": {
			map[string]any{"alg": "RS256", "kid": "k1"},
			map[string]any{
				"iss": "sa@p.iam.gserviceaccount.com", "scope": "https://www.googleapis.com/auth/cloud-platform",
				"aud": "https://oauth2.googleapis.com/token", "iat": issued, "exp": issued + 3600,
			},
		},
		"google_iap_id_token": {
			map[string]any{"alg": "RS256", "kid": "k"},
			map[string]any{"iss": "sa@p", "aud": "https://oauth2.googleapis.com/token", "target_audience": "https://llm.internal", "iat": issued, "exp": issued + 3600},
		},
		"yandex_jwt": {
			map[string]any{"alg": "PS256", "kid": "k"},
			map[string]any{"iss": "aje", "aud": "https://iam.api.cloud.yandex.net/iam/v1/tokens", "iat": issued, "exp": issued + 3600},
		},
		"github_app": {map[string]any{"alg": "RS256"}, map[string]any{"iss": "Iv1", "iat": at - 60, "exp": at + 540}},
		"snowflake_keypair": {
			map[string]any{"alg": "RS256"},
			map[string]any{
				"iss": "MYORG-ACCT.SVC.SHA256:" + base64.StdEncoding.EncodeToString(fingerprint[:]), "sub": "MYORG-ACCT.SVC", "iat": issued, "exp": issued + 3540,
			},
		},
		"zhipu_self_signed": {
			map[string]any{"alg": "HS256", "sign_type": "SIGN"},
			map[string]any{"api_key": "kid", "exp": (issued + 3600) * 1000, "timestamp": at * 1000},
		},
	}
}

// verify checks a JWT with another library than the one that signs.
func (want goldenJWT) verify(t *testing.T, text string, keys goldenKeys) {
	t.Helper()
	// The claims are compared one by one; some are in milliseconds.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{want.header["alg"].(string)}), jwt.WithoutClaimsValidation())
	parsed, err := parser.Parse(text, func(parsed *jwt.Token) (any, error) {
		if _, symmetric := parsed.Method.(*jwt.SigningMethodHMAC); symmetric {
			return []byte(hsKey), nil
		}
		return keys.rsa.Public(), nil
	})
	if err != nil {
		t.Fatalf("the JWT is not valid: %v", err)
	}
	want.header["typ"] = "JWT"
	compareJSON(t, "the JWT's header", parsed.Header, want.header)
	compareJSON(t, "the JWT's claims", parsed.Claims, want.claims)
}

func compareJSON(t *testing.T, what string, got, want any) {
	t.Helper()
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(want)
	if string(gotText) != string(wantText) {
		t.Errorf("%s is\n%s, want\n%s", what, gotText, wantText)
	}
}
