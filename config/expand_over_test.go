package config

import "testing"

// Another way to come by a token needs none of the fields that the preset's way has.
func TestAnotherSourceOrMethodTakesThePresetsFieldsAway(t *testing.T) {
	token := writeFile(t, "token")
	for name, fields := range map[string]string{
		"a token file in place of a request":        azure + `,"source":"file ` + token + `"`,
		"a token of another provider's in its file": `"preset":"gigachat","source":"file ` + token + `"`,
		"a secret in place of a certificate": `"preset":"azure_openai_cert","vars":{"tenant":"t0"},"client_id":"i","client_secret":"{env.SECRET}",
			"auth_method":"client_secret_post"`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := (Providers{"p": expanded(t, fields, testEnvironment())}).validate(testEnvironment()); err != nil {
				t.Error(err)
			}
		})
	}
	for name, fields := range map[string]string{
		"the source that it has anyway":                  azure + `,"source":"request"`,
		"a signed JWT in place of one that is exchanged": `"preset":"vertex_service_account","vars":{"key_file":"/k"},"source":"self_signed"`,
	} {
		if p := expanded(t, fields, testEnvironment()); p.TokenURL == "" && p.JWT.Alg == "" {
			t.Errorf("%s: the preset's fields are gone", name)
		}
	}
	kept := expanded(t, `"preset":"sap_ai_core","vars":{"service_key_file":"/k"},"source":"file `+token+`"`, testEnvironment())
	if got := configured(t, kept, "header_up/set"); got != `{"AI-Resource-Group":["default"]}` {
		t.Errorf("the companion headers are %s", got)
	}
}

// What an adapter sees may be half of a provider.
func TestValidateLiteralsLeavesToOthersWhatTheyMayDeclare(t *testing.T) {
	for name, fields := range map[string]string{
		"a variable of a preset":                    `"vars":{"realm":"r"}`,
		"a preset without its variables":            `"preset":"keycloak"`,
		"{jwt} without what signs":                  `"token_request":{"params":{"assertion":"{jwt}"}}`,
		"what signs, without what is signed":        `"jwt":{"alg":"RS256"}`,
		"a variable in a URL, a word and a header":  `"base_url":"https://{var.host}/v1","auth_method":"{var.m}","header_up":{"set":{"A":["{var.a}"]}},"jwt":{"alg":"{var.b}"}`,
		"a grant_type in a body":                    `"token_request":{"body":{"grant_type":"x"}}`,
		"a refresh token grant without its token":   `"grant_type":"refresh_token"`,
		"a client certificate's method by its name": `"auth_method":"tls_client_auth"`,
		"a method without its encoding":             `"token_request":{"method":"GET"}`,
		"models of which one has its own address":   `"models":{"a":{"base_url":"https://a.example.com"},"b":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, fields)
			if err != nil {
				t.Fatal(err)
			}
			if err := providers["p"].ValidateLiterals("p"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A header that is made elsewhere proves who asks, so there need be no client_id.
func TestAClientThatAHeaderProvesNeedsNoID(t *testing.T) {
	const fields = `"auth_method":"none","token_url":"https://x.example.com/t","token_request":{"headers":`
	if err := fault(t, fields+`{"Authorization":["Basic {env.SECRET}"]}}`); err != nil {
		t.Error(err)
	}
	wantError(t, fault(t, fields+`{"X-Tenant":["t"]}}`), "client_id", "required, but missing")
}

func TestAnEmptyParameterTakesThePresetsAway(t *testing.T) {
	p := expanded(t, `"preset":"azure_openai_imds","token_request":{"params":{"resource":"","mine":"x"}}`, testEnvironment())
	if got := configured(t, p, "token_request/params"); got != `{"api-version":"2018-02-01","mine":"x"}` {
		t.Errorf("the parameters are %s", got)
	}
	wantError(t, fault(t, validFields+`,"token_request":{"params":{"resource":""}}`), "token_request.params.resource", "is empty")
}

func TestAVariableThatNobodySetsIsNamedInEveryText(t *testing.T) {
	for fields, field := range map[string]string{
		`"models":{"m":{"upstream":"{var.x}"}}`:                          "models.m.upstream",
		`"paths":["/v1/{var.x}"]`:                                        "paths",
		`"token_response":{"token":["{var.x}"]}`:                         "token_response.token",
		`"token_response":{"expiry":[{"path":"{var.x}","unit":"unix"}]}`: "token_response.expiry",
		`"place":{"header":"X-{var.x}"}`:                                 "place.header",
	} {
		wantError(t, fault(t, validFields+","+fields), field, "no variable x is set")
	}
}

func TestAPathThatAVariableBeginsIsRelativeToItsFile(t *testing.T) {
	for fields, want := range map[string]string{
		`"vars":{"dir":"secrets"},"client_secret":"{file.{var.dir}/s}"`: "/etc/caddy/secrets",
		`"vars":{"dir":"secrets"},"client_secret_file":"{var.dir}"`:     "/etc/caddy/secrets",
		`"vars":{"dir":"secrets"},"source":"file {var.dir}/s"`:          "/etc/caddy/secrets",
		`"vars":{"dir":"secrets"},"token_url":"https://{var.dir}/s"`:    "secrets",
		`"vars":{"dir":"/secrets"},"client_secret_file":"{var.dir}"`:    "/secrets",
	} {
		providers, err := native(t, fields)
		if err != nil {
			t.Fatal(err)
		}
		providers["p"].ResolvePaths("/etc/caddy")
		if got := string(providers["p"].Vars["dir"]); got != want {
			t.Errorf("%s: the variable is %s, want %s", fields, got, want)
		}
	}
	wantError(t, expansionFault(t, `"preset":"vertex_service_account","vars":{"key_file":"/a#b/key.json"}`), "vars.key_file", "holds a #")
}

// net/http repeats a GET request by itself where a kept-alive connection breaks.
func TestAGETRequestHoldsNothingThatMustNotBeSentTwice(t *testing.T) {
	get := `,"token_request":{"method":"GET","encoding":"query"}`
	key := `,"jwt":{"alg":"RS256","key_file":"/missing"}`
	for name, fields := range map[string]string{
		"a refresh token":   validFields + `,"refresh_token":"{env.SECRET}"` + get,
		"private_key_jwt":   `"client_id":"i","token_url":"https://x.example.com","auth_method":"private_key_jwt"` + key + get,
		"client_secret_jwt": validFields + `,"auth_method":"client_secret_jwt"` + get,
		"{jwt}":             noSecret + key + `,"token_request":{"method":"GET","encoding":"none","headers":{"X":["{jwt}"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			wantFaultIn(t, fault(t, fields), "token_request.method", "a GET request may be sent twice")
		})
	}
}

// Several clients in one file must not share a token.
func TestMembersOfOneFileAreDifferentClients(t *testing.T) {
	path := writeFile(t, `{"a":{"id":"1","token":"1"},"b":{"id":"2","token":"2"}}`)
	of := func(member string) Providers {
		return Providers{"p": valid(t, `"scope":"{json.`+path+`#`+member+`.id}","refresh_token":"{json.`+path+`#`+member+`.token}"`)}
	}
	a, b := of("a"), of("b")
	if fingerprintOf(t, a, testEnvironment()) == fingerprintOf(t, b, testEnvironment()) {
		t.Error("two clients share a token")
	}
	if identityOf(t, a) == identityOf(t, b) {
		t.Error("two clients share a stored token")
	}
}
