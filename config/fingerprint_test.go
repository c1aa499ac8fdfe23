package config

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// fingerprintOf is the fingerprint of p, which must have one.
func fingerprintOf(t *testing.T, all Providers, environment Environment) string {
	t.Helper()
	expanded, err := all.expand(environment)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := expanded.fingerprint("p", environment)
	if err != nil {
		t.Fatal(err)
	}
	if len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
		t.Fatalf("%q is not a hash", sum)
	}
	return sum
}

// withField is a valid provider in which one field has another value.
func withField(t *testing.T, path, value string) Providers {
	t.Helper()
	var object any = json.RawMessage(value)
	names := strings.Split(path, ".")
	if len(names) == 2 {
		object = map[string]any{names[1]: object}
	}
	fields := map[string]any{"client_id": "id", "client_secret": "secret", "token_url": "https://idp.example.com/token"}
	fields[names[0]] = object
	encoded, err := json.Marshal(map[string]any{"p": fields})
	if err != nil {
		t.Fatal(err)
	}
	var providers Providers
	if err := json.Unmarshal(encoded, &providers); err != nil {
		t.Fatal(err)
	}
	return providers
}

// tokenFields says of each field whether it shapes the token, with a value that
// is not its default.
var tokenFields = map[string]struct {
	value  string
	shapes bool
}{
	"client_id":               {`"other"`, true},
	"client_secret":           {`"other"`, true},
	"token_url":               {`"https://idp.example.com/other"`, true},
	"scope":                   {`"read"`, true},
	"refresh_token":           {`"other"`, true},
	"client_id_file":          {`"/other"`, true},
	"client_secret_file":      {`"/other"`, true},
	"refresh_token_file":      {`"/other"`, true},
	"auth_method":             {`"client_secret_basic"`, true},
	"grant_type":              {`"password"`, true},
	"token_request.params":    {`{"audience":"a"}`, true},
	"token_request.headers":   {`{"X-Tenant":["a"]}`, true},
	"token_request.method":    {`"PUT"`, true},
	"token_request.encoding":  {`"json"`, true},
	"token_request.timeout":   {`"1s"`, false},
	"token_request.retries":   {`7`, false},
	"token_request.retry_on":  {`[404]`, false},
	"token_request.transport": {`{"protocol":"http","tls":{}}`, true},
	"base_url":                {`"https://llm.example.com/v1"`, false},
	"models":                  {`{"m":{"upstream":"u"}}`, false},
	"paths":                   {`["/v1/*"]`, false},
	"transport":               {`{"protocol":"http"}`, false},
	"refresh_before":          {`"1m"`, false},
	"place.header":            {`"X-Api-Key"`, false},
	"place.prefix":            {`"Token "`, false},
	"header_up.set":           {`{"A":["1"]}`, false},
	"header_up.add":           {`{"A":["1"]}`, false},
	"header_up.default":       {`{"A":["1"]}`, false},
	"header_up.delete":        {`["A"]`, false},

	"source":                     {`"file /run/token"`, true},
	"token_request.body":         {`{"a":{"b":"c"}}`, true},
	"token_response.token":       {`["token"]`, true},
	"token_response.expiry":      {`[{"path":"exp","unit":"unix"}]`, true},
	"token_response.default_ttl": {`"1m"`, true},
	"token_response.max_ttl":     {`"1h"`, true},
	"jwt.alg":                    {`"RS256"`, true},
	"jwt.key_file":               {`"/run/key.pem"`, true},
	"jwt.key":                    {`"{env.SECRET}"`, true},
	"jwt.key_id":                 {`"k"`, true},
	"jwt.certificate_file":       {`"/run/cert.pem"`, true},
	"jwt.thumbprint":             {`"x5t"`, true},
	"jwt.x5c":                    {`true`, true},
	"jwt.claims":                 {`{"n":[1,true]}`, true},
	"jwt.header":                 {`{"typ":"x"}`, true},
	"jwt.ttl":                    {`"1m"`, true},
	"jwt.exp_unit":               {`"ms"`, true},
	"jwt.iat_skew":               {`"0"`, true},
	"place.query":                {`"access_token"`, false},
	"preset":                     {`"vertex_metadata"`, true},
	// A variable shapes what holds it, and has to be held by something.
	"vars": {`{"x":"y"}`, false},
}

// allPaths lists the fields of a struct and of the structs within.
func allPaths(t reflect.Type, path string) []string {
	if t.Kind() != reflect.Struct {
		return []string{path}
	}
	var paths []string
	for _, field := range fieldsOf(t) {
		paths = append(paths, allPaths(field.of, join(path, field.name))...)
	}
	return paths
}

func TestEachFieldEitherShapesTheTokenOrDoesNot(t *testing.T) {
	same := fingerprintOf(t, withField(t, "client_id", `"id"`), testEnvironment())
	paths := allPaths(reflect.TypeFor[Provider](), "")
	if len(paths) != len(tokenFields) {
		t.Errorf("there are %d fields, and %d are tested", len(paths), len(tokenFields))
	}
	seen := map[string]string{same: "no field"}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			field, ok := tokenFields[path]
			if !ok {
				t.Fatal("nothing says whether this field shapes the token")
			}
			if path == "vars" {
				return
			}
			got := fingerprintOf(t, withField(t, path, field.value), testEnvironment())
			if field.shapes == (got == same) {
				t.Errorf("the field shapes the token: %t, but the fingerprint is the same: %t", field.shapes, got == same)
			}
			if other := seen[got]; field.shapes && other != "" {
				t.Errorf("the fingerprint is that of %s changed", other)
			}
			if field.shapes {
				seen[got] = path
			}
		})
	}
}

func TestWhatSaysTheSameHasTheSameFingerprint(t *testing.T) {
	environment := testEnvironment()
	environment.LookupEnv = func(name string) (string, bool) {
		value, ok := map[string]string{"A": "1", "DIR": "/run", "POST": "POST", "EMPTY": ""}[name]
		return value, ok
	}
	for name, test := range map[string]struct {
		path, value, otherPath, other string
		same                          bool
	}{
		"the default auth_method":                    {"auth_method", `"client_secret_post"`, "auth_method", `""`, true},
		"the default grant_type":                     {"grant_type", `"client_credentials"`, "grant_type", `""`, true},
		"the default method":                         {"token_request.method", `"POST"`, "token_request.method", `""`, true},
		"the default method in a variable":           {"token_request.method", `"{env.POST}"`, "token_request.method", `""`, true},
		"the default encoding":                       {"token_request.encoding", `"form"`, "token_request.encoding", `""`, true},
		"no scope":                                   {"scope", `""`, "refresh_token", `""`, true},
		"no parameters":                              {"token_request.params", `{}`, "token_request.headers", `{}`, true},
		"two ways to write a variable":               {"scope", `"{env.A}"`, "scope", `"os.environ/A"`, true},
		"two ways to name a file":                    {"refresh_token", `"{file./run/rt}"`, "refresh_token_file", `"/run/rt"`, true},
		"a folder in a variable":                     {"refresh_token_file", `"{env.DIR}/rt"`, "refresh_token_file", `"/run/rt"`, true},
		"a brace that needs no escape":               {"scope", `"a}b"`, "scope", `"a}b"`, true},
		"a header in another spelling":               {"token_request.headers", `{"x-a":["1"]}`, "token_request.headers", `{"X-A":["1"]}`, true},
		"a parameter in another spelling":            {"token_request.params", `{"x":"1"}`, "token_request.params", `{"X":"1"}`, false},
		"a value and a variable with that value":     {"scope", `"1"`, "scope", `"{env.A}"`, false},
		"a name and a file of that name":             {"refresh_token", `"/run/rt"`, "refresh_token_file", `"/run/rt"`, false},
		"a parameter and a header":                   {"token_request.params", `{"X-A":"1"}`, "token_request.headers", `{"X-A":["1"]}`, false},
		"a scope and a refresh token":                {"scope", `"1"`, "refresh_token", `"1"`, false},
		"a name's end that is a value's beginning":   {"token_request.params", `{"ab":"c"}`, "token_request.params", `{"a":"bc"}`, false},
		"two parameters and one that looks like two": {"token_request.params", `{"a":"1","b":"2"}`, "token_request.params", `{"a":"1parameterbvalueliteral2"}`, false},
		"two header values in another order":         {"token_request.headers", `{"A":["1","2"]}`, "token_request.headers", `{"A":["2","1"]}`, false},
		"one header value and two":                   {"token_request.headers", `{"A":["12"]}`, "token_request.headers", `{"A":["1","2"]}`, false},
		"the default place of a token":               {"token_response.token", `["access_token"]`, "scope", `""`, true},
		"the default rule for a token's end":         {"token_response.expiry", `[{"path":"expires_in","unit":"seconds"}]`, "scope", `""`, true},
		"the default life of a token":                {"token_response.default_ttl", `"5m"`, "token_response.max_ttl", `"24h"`, true},
		"two ways to write a variable in a body":     {"token_request.body", `{"b":"{env.A}","a":1}`, "token_request.body", `{"a":1,"b":"os.environ/A"}`, true},
		"an empty text in a body":                    {"token_request.body", `{"a":"","b":"x"}`, "token_request.body", `{"a":"x","b":""}`, false},
		"a body of another shape":                    {"token_request.body", `{"a":["x"]}`, "token_request.body", `{"a":"x"}`, false},
		"two places of a token in another order":     {"token_response.token", `["a","b"]`, "token_response.token", `["b","a"]`, false},
		"{uuid} and {now}":                           {"token_request.params", `{"a":"{uuid}"}`, "token_request.params", `{"a":"{now}"}`, false},
		"{now} and {now_ms}":                         {"token_request.params", `{"a":"{now}"}`, "token_request.params", `{"a":"{now_ms}"}`, false},
		"{now} and the text":                         {"token_request.params", `{"a":"{now}"}`, "token_request.params", `{"a":"now"}`, false},
		"{token_url} and its text":                   {"token_request.params", `{"a":"{token_url}"}`, "token_request.params", `{"a":"https://idp.example.com/token"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := fingerprintOf(t, withField(t, test.path, test.value), environment)
			b := fingerprintOf(t, withField(t, test.otherPath, test.other), environment)
			if (a == b) != test.same {
				t.Errorf("got the same fingerprint: %t", a == b)
			}
		})
	}
}

func TestTheFileAndNativeJSONHaveTheSameFingerprint(t *testing.T) {
	const fields = `"client_id":"a%sb}\\x","client_secret":"os.environ/SECRET","token_url":"https://idp.example.com/t","scope":"a b"`
	inFile, err := parse(fileWith(strings.Replace(fields, "%s", "{", 1)))
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := native(t, strings.Replace(fields, "%s", `\\{`, 1))
	if err != nil {
		t.Fatal(err)
	}
	if fingerprintOf(t, inFile, testEnvironment()) != fingerprintOf(t, inJSON, testEnvironment()) {
		t.Error("the fingerprints differ")
	}
}

func TestAFingerprintFollowsTheEnvironmentAndNotTheTime(t *testing.T) {
	providers := withField(t, "client_secret", `"{env.X}"`)
	providers["p"].TokenRequest.Params = map[string]Template{"a": "{uuid}{now}{now_ms}"}
	with := func(secret string) string {
		return fingerprintOf(t, providers, Environment{LookupEnv: func(string) (string, bool) { return secret, true }})
	}
	one := with("one")
	if with("one") != one {
		t.Error("the same environment gives two fingerprints")
	}
	if with("two") == one {
		t.Error("another secret has the same fingerprint")
	}
}

func TestAFingerprintIsThatOfAName(t *testing.T) {
	p := valid(t, "")
	all := Providers{"p": p, "q": p}
	a, errA := all.fingerprint("p", testEnvironment())
	b, errB := all.fingerprint("q", testEnvironment())
	if errA != nil || errB != nil || a == b {
		t.Errorf("got %s and %s, %v, %v", a, b, errA, errB)
	}
}

func TestAFilesContentIsNotInTheFingerprintButInTheDigest(t *testing.T) {
	one, two := writeFile(t, "one\n"), writeFile(t, "one\n")
	at := func(path string) Providers {
		providers := withField(t, "client_secret", `""`)
		providers["p"].ClientSecretFile = Path(path)
		providers["p"].TokenRequest.Headers = map[string][]Template{"X": {Template("{file." + path + "}")}}
		return providers
	}
	before, digest := fingerprintOf(t, at(one), testEnvironment()), at(one).secretsDigest("p", testEnvironment())
	unchanged := digest()
	if before == fingerprintOf(t, at(two), testEnvironment()) {
		t.Error("another path has the same fingerprint")
	}
	if unchanged != digest() || unchanged != at(two).secretsDigest("p", Environment{})() {
		t.Error("the same content has two digests")
	}
	seen := map[[32]byte]string{unchanged: "the first content"}
	for name, change := range map[string]func() error{
		"another content": func() error { return os.WriteFile(one, []byte("two\n"), 0o600) },
		"no content":      func() error { return os.WriteFile(one, nil, 0o600) },
		"no file":         func() error { return os.Remove(one) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if other := seen[digest()]; other != "" {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[digest()] = name
		if fingerprintOf(t, at(one), testEnvironment()) != before {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
	if err := os.WriteFile(one, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if digest() != unchanged {
		t.Error("the first content again has another digest")
	}
}

func TestADigestIsThatOfFilesAlone(t *testing.T) {
	p := valid(t, `"scope":"{env.ID}","token_request":{"params":{"a":"{uuid}"}}`)
	digest := Providers{"p": p}.secretsDigest("p", testEnvironment())
	if sum := digest(); sum != digest() || sum != (Providers{"p": valid(t, "")}).secretsDigest("p", testEnvironment())() {
		t.Error("a value outside of files changes the digest")
	}
}

func TestATokenInARequestIsInTheFingerprint(t *testing.T) {
	providers := func(scopeOfQ, scopeOfR string) Providers {
		p, q, r := valid(t, `"token_request":{"params":{"a":"{token.q}"}}`), valid(t, `"token_request":{"params":{"a":"{token.r}"}}`), valid(t, "")
		q.Scope, r.Scope = Template(scopeOfQ), Template(scopeOfR)
		return Providers{"p": p, "q": q, "r": r, "s": valid(t, "")}
	}
	before := fingerprintOf(t, providers("", ""), testEnvironment())
	if fingerprintOf(t, providers("x", ""), testEnvironment()) == before {
		t.Error("a change of q does not change what needs its token")
	}
	if fingerprintOf(t, providers("", "x"), testEnvironment()) == before {
		t.Error("a change of r does not change what needs the token of what needs its token")
	}
	other := providers("", "")
	other["s"].Scope = "x"
	other["r"].TokenRequest.Timeout = 1
	if fingerprintOf(t, other, testEnvironment()) != before {
		t.Error("what has nothing to do with the token changes it")
	}
}

func TestAFingerprintThatCannotBeMade(t *testing.T) {
	for name, test := range map[string]struct{ fields, field, want string }{
		"a variable that is not set":             {`"client_id":"i","client_secret":"{env.UNSET}","token_url":"https://CANARY"`, "client_secret", "UNSET is not set"},
		"a variable in token_url":                {`"client_id":"i","client_secret":"CANARY","token_url":"{env.UNSET}"`, "token_url", "UNSET is not set"},
		"a variable in a path":                   {`"client_id":"i","client_secret_file":"{env.UNSET}","token_url":"https://CANARY"`, "client_secret_file", "UNSET is not set"},
		"a template that is wrong":               {`"client_id":"{CANARY","client_secret":"s","token_url":"https://CANARY"`, "client_id", "has no"},
		"a word that is wrong":                   {validFields + `,"auth_method":"CANARY"`, "auth_method", "must be one of"},
		"a token of nobody":                      {validFields + `,"scope":"{token.q}"`, "scope", "no provider of this name is declared"},
		"a provider that needs its own token":    {validFields + `,"scope":"{token.p}"`, "scope", "p → p"},
		"another provider that cannot be hashed": {validFields + `,"scope":"{token.r}"`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, test.fields)
			if err != nil {
				t.Fatal(err)
			}
			providers["r"] = &Provider{ClientID: "{env.UNSET}"}
			_, err = providers.fingerprint("p", testEnvironment())
			wantNoCanary(t, err)
			if test.field == "" {
				if misconfigured, ok := errors.AsType[*ConfigurationError](err); !ok || misconfigured.Provider != "r" || !errors.Is(err, ErrUnresolvedReference) {
					t.Errorf("got %v", err)
				}
				return
			}
			wantError(t, err, test.field, test.want)
		})
	}
	if _, err := (Providers{}).fingerprint("p", Environment{}); err == nil || !strings.Contains(err.Error(), "provider p: no provider of this name is declared") {
		t.Errorf("got %v", err)
	}
}

// A rotated secret of the first provider ends the back-off of the second, which
// needs the first one's token.
func TestTheSecretsOfATokenAreThoseOfItsProviders(t *testing.T) {
	path := writeFile(t, "one")
	first := valid(t, "")
	first.ClientSecret, first.ClientSecretFile = "", Path(path)
	providers := Providers{"first": first, "second": valid(t, `"token_request":{"params":{"subject_token":"{token.first}"}}`)}
	digest := providers.secretsDigest("second", testEnvironment())
	before := digest()
	if err := os.WriteFile(path, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if digest() == before {
		t.Error("the digest is the same")
	}
	// A circle is refused elsewhere; here it ends.
	circle := Providers{"p": valid(t, `"scope":"{token.p}"`)}
	if digest := circle.secretsDigest("p", testEnvironment())(); digest == ([32]byte{}) {
		t.Error("a circle has no digest")
	}
}
