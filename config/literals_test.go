package config

import (
	"errors"
	"strings"
	"testing"
)

func TestLocatedFieldsAreNamedInErrors(t *testing.T) {
	p := &Provider{Scope: " ", AuthMethod: "CANARY", TokenURL: "ftp://x"}
	p.Locate("", "Caddyfile", 2)
	p.Locate("scope", "imported", 7)
	p.Locate("token_request", "Caddyfile", 9)
	p.TokenRequest.Method = "CANARY"
	err := p.ValidateLiterals("p")
	for _, want := range []string{
		"imported:7: provider p: scope: holds an empty value",
		"Caddyfile:2: provider p: auth_method: ",
		"Caddyfile:9: provider p: token_request.method: must be one of",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if invalid, ok := errors.AsType[*ValidationError](err); !ok || invalid.File != "Caddyfile" || invalid.Line != 2 || invalid.Column != 0 || invalid.Field != "token_url" {
		t.Errorf("got %+v", invalid)
	}
	wantNoCanary(t, err)
}

func TestValidateLiteralsFindsWhatNoEnvironmentCanMend(t *testing.T) {
	for name, test := range map[string]struct {
		provider string
		fields   string
		want     string
	}{
		"a name":                    {"a/b", validFields, "may only hold letters"},
		"a URL":                     {"p", `"token_url":"ftp://CANARY"`, "token_url: must begin with https://"},
		"a scope":                   {"p", `"scope":"CANARY "`, "scope: holds an empty value"},
		"a placeholder":             {"p", `"client_id":"{CANARY}"`, "client_id: a name in braces must be one of"},
		"a word":                    {"p", `"auth_method":"CANARY"`, "auth_method: must be one of"},
		"a file in a word":          {"p", `"auth_method":"{file./CANARY}"`, "auth_method: {file} cannot stand here"},
		"a grant without its token": {"p", `"grant_type":"refresh_token"`, ""},
		"a parameter":               {"p", `"token_request":{"params":{"scope":"CANARY"}}`, "token_request.params.scope: set the provider's field"},
		"a header":                  {"p", `"token_request":{"headers":{"Host":["CANARY"]}}`, "token_request.headers.Host: belongs to the connection"},
		"an encoding":               {"p", `"token_request":{"method":"GET","encoding":"form"}`, "token_request.encoding: a GET request has no body"},
		"a limit":                   {"p", `"token_request":{"retries":11}`, "token_request.retries: must be from 0 to 10"},
		"a place":                   {"p", `"place":{"header":"Host"}`, "place.header: Host belongs to the connection"},
		"header_up":                 {"p", `"header_up":{"set":{"Authorization":["CANARY"]}}`, "header_up.set.Authorization: is where the token goes"},
		"a limit beside a word":     {"p", `"auth_method":"{env.X}","token_request":{"retries":11}`, "token_request.retries: must be from 0 to 10"},
		"a header beside a word":    {"p", `"auth_method":"{env.X}","token_request":{"headers":{"Authorization":["x"]}}`, ""},
		"fields that are missing":   {"p", ``, ""},
		"an unknown preset":         {"p", `"preset":"azure_openia"`, "preset: unknown preset; did you mean azure_openai?"},
		"an unknown variable":       {"p", `"preset":"azure_openai","vars":{"tenat":"CANARY"}`, "vars.tenat: unknown variable; did you mean tenant?"},
		"a scope, no variable set":  {"p", `"preset":"azure_openai","scope":"CANARY "`, "scope: holds an empty value"},
		"a value of a variable":     {"p", `"preset":"azure_openai","vars":{"tenant":"CANARY x"}`, "token_url: holds white space"},
		"a default, none other set": {"p", `"preset":"sap_ai_core","header_up":{"set":{"Host":["CANARY"]}}`, "header_up.set.Host: belongs to the connection"},
		"a limit, a file elsewhere": {"p", `"preset":"sap_ai_core_x509","vars":{"certificate_file":"{env.UNSET}"},"token_request":{"retries":11}`, "token_request.retries: must be"},
		"a wrong JWT":               {"p", `"preset":"vertex_service_account","jwt":{"ttl":"25h"}`, "jwt.ttl: must be at least 1s and at most 24h"},
		"a wrong unit":              {"p", `"token_response":{"expiry":[{"path":"CANARY","unit":"CANARY"}]}`, "token_response.expiry: a unit must be one of"},
		"a wrong source":            {"p", `"source":"CANARY"`, "source: must be one of request"},
		"a wrong transport":         {"p", `"token_request":{"transport":{"CANARY":1}}`, "token_request.transport: names no transport module"},
		"a wrong body":              {"p", `"token_request":{"body":{"a":"CANARY"},"encoding":"form"}`, "token_request.body: is sent with"},
		"a preset alone":            {"p", `"preset":"github_app"`, ""},
		"a preset with a variable":  {"p", `"preset":"github_app","vars":{"app_id":"{env.UNSET}"}`, ""},
		"a preset of a transport":   {"p", `"preset":"sap_ai_core_x509","vars":{"certificate_file":"os.environ/UNSET"}`, ""},
		"a variable of elsewhere":   {"p", `"scope":"{var.x}","auth_method":"{var.x}","base_url":"https://{var.x}","header_up":{"set":{"A":["{var.x}"]}},"transport":{"protocol":"http","a":"{var.x}"},"source":"file {var.x}"`, ""},
		"a variable for elsewhere":  {"p", `"vars":{"x":"CANARY"}`, ""},
		"a key of elsewhere":        {"p", `"auth_method":"private_key_jwt","jwt":{"alg":"RS256"}`, ""},
		"a variable":                {"p", `"client_secret":"{env.UNSET}","token_url":"os.environ/UNSET","scope":" {env.UNSET}"`, ""},
		"a file":                    {"p", `"client_secret_file":"/missing","refresh_token":"{file./missing}"`, ""},
		"a token of elsewhere":      {"p", `"scope":"{token.elsewhere}"`, ""},
		"a right provider":          {"p", validFields, ""},
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, test.fields)
			if err != nil {
				t.Fatal(err)
			}
			err = providers["p"].ValidateLiterals(test.provider)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
			wantNoCanary(t, err)
		})
	}
}

func TestATemplateIsLiteralWithoutPlaceholders(t *testing.T) {
	for text, literal := range map[string]bool{
		"": true, "a": true, `a\{b}`: true, "a}": true, "x os.environ/A": true,
		"{env.A}": false, "a{uuid}": false, "os.environ/A": false, "{": false, "os.environ/": false,
	} {
		if got := Template(text).IsLiteral(); got != literal {
			t.Errorf("%q is literal: %t", text, got)
		}
	}
}

func TestATemplateHasAFileWhereOneIsRead(t *testing.T) {
	for text, has := range map[string]bool{
		"{file./a}": true, "x{file.{env.A}/b}y": true, "{json./a#b}": true,
		"": false, "/a": false, "{env.A}": false, `\{file./a}`: false, "{file.": false,
	} {
		if got := Template(text).HasFile(); got != has {
			t.Errorf("%q has a file: %t", text, got)
		}
	}
}

func TestATemplateIsOneFileIfNothingIsAroundIt(t *testing.T) {
	for text, one := range map[string]bool{
		"{file./a}": true, "{file.{env.A}/b}": true,
		"{file./a}x": false, "x{file./a}": false, "{file./a}{file./b}": false, "{file./a} ": false, "{json./a#b}": false,
		"{env.A}": false, "/a": false, "": false, `\{file./a}`: false, "{file.": false,
	} {
		if got := Template(text).IsOneFile(); got != one {
			t.Errorf("%q is one file: %t", text, got)
		}
	}
}
