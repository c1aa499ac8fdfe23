package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fingerprintIn is the fingerprint of p where a variable X has a value.
func fingerprintIn(t *testing.T, fields, value string) string {
	t.Helper()
	providers, err := native(t, fields)
	if err != nil {
		t.Fatal(err)
	}
	return fingerprintOf(t, providers, with(testEnvironment(), map[string]string{"X": value}))
}

func TestAVariableAnywhereIsInTheFingerprint(t *testing.T) {
	const keyed = `"jwt":{"alg":"RS256","key_file":"/k",`
	for name, fields := range map[string]string{
		"in a claim":                        validFields + `,` + keyed + `"claims":{"a":{"b":["x{env.X}"]}}}`,
		"in a header of a JWT":              validFields + `,` + keyed + `"header":{"a":"{env.X}"}}`,
		"in a key's ID":                     validFields + `,` + keyed + `"key_id":"os.environ/X"}`,
		"in a key":                          validFields + `,"jwt":{"alg":"RS256","key":"{env.X}"}`,
		"in the path of a key":              validFields + `,"jwt":{"alg":"RS256","key_file":"/run/{env.X}"}`,
		"in the path of a certificate":      validFields + `,` + keyed + `"certificate_file":"{env.X}"}`,
		"in a body":                         validFields + `,"token_request":{"body":{"a":[{"b":"{env.X}"}]}}`,
		"in the path of a source":           `"source":"file /run/{env.X}"`,
		"in the path of a JSON file":        validFields + `,"scope":"{json./run/{env.X}#a}"`,
		"in a variable":                     `"preset":"azure_openai","vars":{"tenant":"{env.X}"},"client_id":"i","client_secret":"s"`,
		"in a variable of a transport":      `"preset":"sap_ai_core_x509","vars":{"service_key_file":"/s","certificate_file":"/{env.X}","key_file":"/k"}`,
		"in the client's secret that signs": `"client_id":"i","client_secret":"{env.X}","token_url":"https://x.com","auth_method":"client_secret_jwt"`,
	} {
		t.Run(name, func(t *testing.T) {
			one := fingerprintIn(t, fields, "one")
			if fingerprintIn(t, fields, "one") != one {
				t.Error("the same environment gives two fingerprints")
			}
			if fingerprintIn(t, fields, "two") == one {
				t.Error("another value has the same fingerprint")
			}
		})
	}
	// Words are what they stand for.
	for fields, values := range map[string][2]string{
		validFields + `,"jwt":{"alg":"{env.X}","key_file":"/k"}`:                                                      {"RS256", "PS256"},
		validFields + `,` + keyed + `"exp_unit":"{env.X}"}`:                                                           {"s", "ms"},
		validFields + `,` + keyed + `"certificate_file":"/c","thumbprint":"{env.X}"}`:                                 {"x5t", "x5t#S256"},
		`"client_id":"i","client_secret":"s","token_url":"https://x.com","auth_method":"{env.X}"`:                     {"client_secret_jwt", "client_secret_post"},
		`"client_id":"i","client_secret":"s","token_url":"https://x.com","token_request":{"encoding":"os.environ/X"}`: {"json", "query"},
	} {
		if fingerprintIn(t, fields, values[0]) == fingerprintIn(t, fields, values[1]) {
			t.Errorf("%s: %v have the same fingerprint", fields, values)
		}
	}
}

func TestWhatIsSaidByAPresetHasTheSameFingerprint(t *testing.T) {
	const same = `"client_id":"i","client_secret":"s","token_url":"https://login.microsoftonline.com/t/oauth2/v2.0/token","scope":"https://cognitiveservices.azure.com/.default"`
	preset := `"preset":"azure_openai","client_id":"i","client_secret":"s","vars":{"tenant":"t"}`
	if fingerprintIn(t, same, "") == fingerprintIn(t, strings.Replace(preset, `"t"`, `"u"`, 1), "") {
		t.Error("another tenant has the same fingerprint")
	}
	if fingerprintIn(t, preset, "") != fingerprintIn(t, preset+`,"header_up":{"set":{"A":["b"]}},"base_url":"https://x.com"`, "") {
		t.Error("what shapes LLM requests is in the fingerprint")
	}
}

func TestTheSameBodyInAnotherOrderHasTheSameFingerprint(t *testing.T) {
	one := fingerprintIn(t, validFields+`,"token_request":{"body":{"a":1,"b":{"c":"{env.ID}","d":2}}}`, "")
	if fingerprintIn(t, validFields+`,"token_request":{"body":{"b":{"d":2,"c":"{env.ID}"},  "a":1}}`, "") != one {
		t.Error("the order of members is in the fingerprint")
	}
	for _, other := range []string{`{"a":1,"b":{"c":"{env.ID}","d":"2"}}`, `{"a":1,"b":{"d":"{env.ID}","c":2}}`, `{"a":1,"b":{"c":"id-of-env","d":2}}`, `{"a":1,"b":["c","{env.ID}","d",2]}`} {
		if fingerprintIn(t, validFields+`,"token_request":{"body":`+other+`}`, "") == one {
			t.Errorf("%s has the same fingerprint", other)
		}
	}
}

// Keys, certificates, tokens and JSON files may be rotated while a token is good;
// after a failure, that is a reason to ask again.
func TestRotatedFilesAreInTheDigestAndNotInTheFingerprint(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	for _, name := range []string{"key", "certificate", "token", "json", "other"} {
		rewrite(t, file(name), `{"a":"`+name+`"}`)
	}
	fill := strings.NewReplacer("<key>", file("key"), "<certificate>", file("certificate"), "<token>", file("token"), "<json>", file("json"))
	for name, test := range map[string]struct{ fields, file string }{
		"a key":                     {signer + `"alg":"RS256","key_file":"<key>"}`, "key"},
		"a key in a value":          {signer + `"alg":"RS256","key":"{file.<key>}"}`, "key"},
		"a certificate":             {signer + `"alg":"RS256","key_file":"<key>","certificate_file":"<certificate>"}`, "certificate"},
		"a token":                   {`"source":"file <token>"`, "token"},
		"a JSON file":               {`"client_id":"{json.<json>#a}","client_secret":"s","token_url":"https://x.com"`, "json"},
		"a JSON file in a claim":    {signer + `"alg":"RS256","key_file":"<key>","claims":{"a":[{"b":"{json.<json>#a}"}]}}`, "json"},
		"a JSON file in a body":     {validFields + `,"token_request":{"body":{"a":["{json.<json>#a}"]}}`, "json"},
		"a JSON file of a variable": {`"preset":"sap_ai_core","vars":{"service_key_file":"<json>"},"token_url":"https://x.com","client_id":"{json.{var.service_key_file}#a}","client_secret":"s"`, "json"},
		"a secret that signs":       {`"client_id":"i","client_secret_file":"<key>","token_url":"https://x.com","auth_method":"client_secret_jwt"`, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, fill.Replace(test.fields))
			if err == nil {
				providers, err = providers.expand(testEnvironment())
			}
			if err != nil {
				t.Fatal(err)
			}
			identity, digest := fingerprintOf(t, providers, testEnvironment()), providers.secretsDigest("p", testEnvironment())
			before := digest()
			rewrite(t, file("other"), name)
			if digest() != before {
				t.Error("another file changes the digest")
			}
			rewrite(t, file(test.file), `{"a":"rotated"}`)
			rotated := digest()
			if rotated == before {
				t.Error("the digest is the same")
			}
			if fingerprintOf(t, providers, testEnvironment()) != identity {
				t.Error("the fingerprint has changed")
			}
			if err := os.Remove(file(test.file)); err != nil {
				t.Fatal(err)
			}
			if gone := digest(); gone == rotated || gone == before {
				t.Error("a file that is gone has the digest of one that is there")
			}
			if fingerprintOf(t, providers, testEnvironment()) != identity {
				t.Error("the fingerprint has changed")
			}
			rewrite(t, file(test.file), `{"a":"`+test.file+`"}`)
			if digest() != before {
				t.Error("the first content again has another digest")
			}
		})
	}
}

// A member that nobody asks for may change.
func TestOnlyTheMembersOfAJSONFileThatAreUsedAreInTheDigest(t *testing.T) {
	path := writeFile(t, `{"a":"1","b":"1"}`)
	providers := Providers{"p": valid(t, `"scope":"{json.`+path+`#a}"`)}
	digest := providers.secretsDigest("p", testEnvironment())
	before := digest()
	if rewrite(t, path, `{"b":"2","a":"1"}`); digest() != before {
		t.Error("a member that is not used changes the digest")
	}
	if rewrite(t, path, `{"a":"2","b":"1"}`); digest() == before {
		t.Error("the member that is used changes nothing")
	}
}

func TestATokenWithinAClaimOrABodyIsInTheFingerprint(t *testing.T) {
	for name, fields := range map[string]string{
		"a claim": validFields + `,"jwt":{"alg":"RS256","key_file":"/k","claims":{"a":["{token.q}"]}}`,
		"a body":  validFields + `,"token_request":{"body":{"a":{"b":"{token.q}"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			identity := func(scope string) string {
				providers, err := native(t, fields)
				if err != nil {
					t.Fatal(err)
				}
				providers["q"] = valid(t, `"scope":`+string(made(json.Marshal(scope))))
				return fingerprintOf(t, providers, testEnvironment())
			}
			if identity("a") == identity("b") {
				t.Error("a change of q does not change what needs its token")
			}
		})
	}
}
