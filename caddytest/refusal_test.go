package caddytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// canaryValue stands for a value that no error may show.
const canaryValue = "CANARY-Xy7"

// validateCaddyfile does what `caddy validate` does with a Caddyfile in folder.
func validateCaddyfile(folder, caddyfile string) error {
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": filepath.Join(folder, "Caddyfile")})
	if err != nil {
		return err
	}
	return validateJSON(adapted)
}

func validateJSON(adapted []byte) error {
	var cfg *caddy.Config
	if err := caddy.StrictUnmarshalJSON(adapted, &cfg); err != nil {
		return err
	}
	return caddy.Validate(cfg)
}

// wantRefusal fails the test unless an error says all of the words and shows
// no canary.
func wantRefusal(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("the configuration is accepted")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), canaryValue) {
		t.Errorf("the error shows a value: %v", err)
	}
}

// valid fields of a provider, but for those that a test sets.
func fieldsWith(field, value string) map[string]string {
	fields := map[string]string{"client_id": "id", "client_secret": "{env.TEST_SECRET}", "token_url": "https://idp.example.com/token"}
	if field != "" {
		fields[field] = value
	}
	return fields
}

func TestAWrongProviderIsRefusedInCaddyfileAndJSON(t *testing.T) {
	t.Setenv("TEST_SECRET", "s")
	t.Setenv("TEST_EMPTY", "")
	for _, test := range []struct {
		name, field, value string
		// inJSON is the value in JSON where it is no string.
		inJSON string
		says   string
	}{
		{"an unknown field", "client_secrets", canaryValue, "", "did you mean client_secret?"},
		{"a variable that is empty", "client_secret", "os.environ/TEST_EMPTY", "", "TEST_EMPTY is empty"},
		{"a variable that is not set", "client_secret", "{env.TEST_UNSET}", "", "TEST_UNSET is not set"},
		{"a file that is not there", "client_secret_file", "/no/such/file", "", "/no/such/file"},
		{"os.environ/ without a name", "client_secret", "os.environ/", "", "must be followed by the name of an environment variable"},
		{"a token URL with a fragment", "token_url", "https://idp.example.com/" + canaryValue + "#f", "", "fragment"},
		{"a relative token URL", "token_url", "/token/" + canaryValue, "", "https://"},
		{"a token URL of another scheme", "token_url", "ftp://idp/" + canaryValue, "", "https://"},
		{"a token URL that is a file", "token_url", "file:///" + canaryValue, "", "https://"},
		{"a token URL without a host", "token_url", "https:///" + canaryValue, "", "no host"},
		{"a token URL with a password", "token_url", "https://u:" + canaryValue + "@idp/", "", "user name or password"},
		{"a port out of range", "token_url", "https://idp:99999/" + canaryValue, "", "port"},
		{"a scope with a quote", "scope", `"` + "`" + canaryValue + "\\\"`" + `"`, `"` + canaryValue + `\""`, "RFC 6749"},
		{"a scope with two spaces", "scope", `"a  ` + canaryValue + `"`, `"a  ` + canaryValue + `"`, "one space"},
		{"a scope that ends with a space", "scope", `"` + canaryValue + ` "`, `"` + canaryValue + ` "`, "one space"},
		{"refresh_before is negative", "refresh_before", "-5s", "", "duration of at least 1ms"},
		{"refresh_before is a word", "refresh_before", canaryValue, "", "duration of at least 1ms"},
		{"refresh_before is zero", "refresh_before", "0s", "", "duration of at least 1ms"},
		{"refresh_before overflows", "refresh_before", "99999999999h", "", "duration of at least 1ms"},
		{"an auth_method that there is not", "auth_method", canaryValue, "", "client_secret_post"},
		{"a secret that is never sent", "auth_method", "none", "", "does not send it"},
		{"a placeholder that there is not", "client_id", "{" + canaryValue + "}", "", "literal brace"},
		{"a brace that is not closed", "client_id", `"{` + canaryValue + `"`, `"{` + canaryValue + `"`, "literal brace"},
		{"the token of an unknown provider", "scope", "{token.nobody}", "", "no provider of this name"},
		{"the token of itself", "scope", "{token.corp}", "", "corp → corp"},
		{"both a secret and its file", "client_secret_file", "/dev/null", "", "keep one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fields := fieldsWith(test.field, test.value)
			var lines []string
			for field, value := range fields {
				lines = append(lines, field+" "+value)
			}
			caddyfile := "{\n\tadmin off\n\toauth2_llm {\n\t\tprovider corp {\n" + strings.Join(lines, "\n") + "\n}\n}\n}\n:0 {\n\toauth2_llm corp\n}\n"
			wantRefusal(t, validateCaddyfile(t.TempDir(), caddyfile), "provider corp", fieldInError(test.field, test.value), test.says)

			encoded := map[string]json.RawMessage{}
			for field, value := range fields {
				quoted, _ := json.Marshal(value)
				if field == test.field && test.inJSON != "" {
					quoted = []byte(test.inJSON)
				}
				encoded[field] = quoted
			}
			provider, err := json.Marshal(encoded)
			if err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, validateJSON(fmt.Appendf(nil, `{"admin":{"disabled":true},"apps":{"oauth2_llm":{"providers":{"corp":%s}}}}`, provider)),
				"provider corp", fieldInError(test.field, test.value), test.says)
		})
	}
}

// fieldInError is the field that an error about a field names: that of the
// contradiction.
func fieldInError(field, value string) string {
	if value == "none" {
		return "client_secret"
	}
	return field
}

func TestAWrongNameOfAProviderIsRefused(t *testing.T) {
	for name, provider := range map[string]string{
		"a slash":             "a/b",
		"white space":         `"a b"`,
		"300 characters":      strings.Repeat("a", 300),
		"a control character": "\"a\tb\"",
		"nothing":             `""`,
		"two dots":            "..",
	} {
		t.Run(name, func(t *testing.T) {
			caddyfile := fmt.Sprintf("{\n\toauth2_llm {\n\t\tprovider %s {\n\t\t\tclient_id i\n\t\t\tclient_secret %s\n\t\t\ttoken_url https://x.com/t\n\t\t}\n\t}\n}\n:0 {\n\toauth2_llm\n}\n", provider, canaryValue)
			wantRefusal(t, validateCaddyfile(t.TempDir(), caddyfile), "name", "Caddyfile:3")
		})
	}
}

func TestAWrongCaddyfileIsRefusedWithItsLine(t *testing.T) {
	const good = "\t\t\tclient_id i\n\t\t\tclient_secret s\n\t\t\ttoken_url https://x.com/t\n"
	for _, test := range []struct{ name, global, directive, says, line string }{
		{"a field twice", "provider corp {\n" + good + "client_id " + canaryValue + "\n}", "", "client_id: is set twice", ":7"},
		{"a provider twice", "provider corp {\n" + good + "}\nprovider corp {\n" + good + "}", "", "declared twice", ":8"},
		{"a parameter twice", "provider corp {\n" + good + "token_request {\nparam a b\nparam a " + canaryValue + "\n}\n}", "", "token_request.params.a: is set twice", ":9"},
		{"a directive option twice", "provider corp {\n" + good + "}", "max_body 1MiB\nmax_body 2MiB", "max_body is already specified", ":13"},
		{"a client key twice", "provider corp {\n" + good + "}", "client_key a x\nclient_key a " + canaryValue, "client_key a is already specified", ":13"},
		{"a timeout that is a word", "provider corp {\n" + good + "token_request {\ntimeout " + canaryValue + "\n}\n}", "", "token_request.timeout: must be a duration", ":8"},
		{"a timeout that is too long", "provider corp {\n" + good + "token_request {\ntimeout 10m\n}\n}", "", "token_request.timeout: must be", ":8"},
		{"a negative number of retries", "provider corp {\n" + good + "token_request {\nretries -1\n}\n}", "", "token_request.retries: must be", ":8"},
		{"retries that are a word", "provider corp {\n" + good + "token_request {\nretries " + canaryValue + "\n}\n}", "", "token_request.retries: must be a whole number", ":8"},
		{"an invalid status", "provider corp {\n" + good + "token_request {\nretry_on 99\n}\n}", "", "token_request.retry_on: a status", ":8"},
		{"a token_wait of zero", "provider corp {\n" + good + "}", "token_wait 0s", "token_wait must be a duration", ":12"},
		{"a token_wait that is a word", "provider corp {\n" + good + "}", "token_wait " + canaryValue, "token_wait must be a duration", ":12"},
		{"a max_body without a size", "provider corp {\n" + good + "}", "max_body " + canaryValue, "max_body must be a size above 0", ":12"},
		{"two values for one", "provider corp {\n" + good + "grant_type a " + canaryValue + "\n}", "", "grant_type: takes one value, not 2", ":7"},
		{"a key without a name", "provider corp {\n" + good + "}", "client_key " + canaryValue, "client_key: takes a name and one value or more", ":12"},
		{"an unknown option of the global option", "providers corp", "", "unknown option providers; did you mean provider?", ":3"},
		{"an unknown option of the directive", "provider corp {\n" + good + "}", "max_bodies 1MiB", "unknown option max_bodies; known are config_file, provider, client_key", ":12"},
		{"an unknown option of token_request", "provider corp {\n" + good + "token_request {\ntimeouts 1s\n}\n}", "", "token_request.timeouts: unknown field; did you mean timeout?", ":8"},
		{"a brace that is missing", "provider corp {\n" + good, "", "Caddyfile", ""},
		{"a place without a header name", "provider corp {\n" + good + "place cookie x\n}", "", "place: is written as", ":7"},
		{"a place in a header of the connection", "provider corp {\n" + good + "place header Connection\n}", "", "place.header: Connection belongs", ":7"},
		{"a header_up without a value", "provider corp {\n" + good + "header_up X-A\n}", "", "header_up: takes a name and a value", ":7"},
		{"a header_up where the token goes", "provider corp {\n" + good + "header_up Authorization " + canaryValue + "\n}", "", "header_up.set.Authorization: is where the token goes", ":7"},
		{"a parameter that a field sets", "provider corp {\n" + good + "token_request {\nparam scope " + canaryValue + "\n}\n}", "", "token_request.params.scope: set the provider's field scope", ":8"},
		{"a model twice", "provider corp {\n" + good + "model a\nmodel a " + canaryValue + "\n}", "", "models.a: is set twice", ":8"},
		{"a model without a name", "provider corp {\n" + good + "model\n}", "", "model: takes a name", ":7"},
		{"a model with an unknown option", "provider corp {\n" + good + "model a {\nurl " + canaryValue + "\n}\n}", "", "models.a.url: unknown field", ":8"},
		{"paths without one", "provider corp {\n" + good + "paths\n}", "", "paths: takes one path", ":7"},
		{"a path without a slash", "provider corp {\n" + good + "paths v1\n}", "", "paths: a path must begin", ":7"},
		{"an alias twice", "provider corp {\n" + good + "}", "alias a corp/x\nalias a corp/y", "alias a is already specified", ":13"},
		{"a key with an unknown option", "provider corp {\n" + good + "}", "client_key a " + canaryValue + " {\nmodel corp/x\n}", "client_key a: unknown option; its block takes models only", ":13"},
		{"a key in the block of one", "provider corp {\n" + good + "}", "client_key a x {\n" + canaryValue + "\n}", "client_key a: unknown option", ":13"},
		{"a key with no models", "provider corp {\n" + good + "}", "client_key a " + canaryValue + " {\nmodels\n}", "client_key a: models takes", ":13"},
		{"unknown_model of another word", "provider corp {\n" + good + "}", "unknown_model maybe", "unknown_model must be one of reject, pass, default", ":12"},
		{"errors of another word", "provider corp {\n" + good + "}", "errors maybe", "errors must be one of respond, handle", ":12"},
	} {
		t.Run(test.name, func(t *testing.T) {
			caddyfile := "{\n\toauth2_llm {\n" + test.global + "\n}\n}\n:0 {\noauth2_llm {\n" + test.directive + "\n}\n}\n"
			words := []string{test.says}
			if test.line != "" {
				words = append(words, "Caddyfile"+test.line)
			}
			wantRefusal(t, validateCaddyfile(t.TempDir(), caddyfile), words...)
		})
	}
}

func TestAWrongDirectiveIsRefusedAtLoad(t *testing.T) {
	t.Setenv("TEST_EMPTY", "")
	const providers = "provider corp {\n\t\t\tclient_id i\n\t\t\tclient_secret s\n\t\t\ttoken_url https://x.com/t\n}"
	for _, test := range []struct{ name, directive, says string }{
		{"a provider that is not declared", "oauth2_llm nobody", "provider nobody: provider: no provider of this name"},
		{"a default provider that is not declared", "oauth2_llm {\ndefault_provider nobody\n}", "provider nobody: default_provider: no provider"},
		{"unknown_model default without one", "oauth2_llm {\nunknown_model default\n}", "needs a default_provider"},
		{"an empty client key", "oauth2_llm {\nclient_key agents \"\"\n}", "client_key agents: the value is empty"},
		{"a client key that is not set", "oauth2_llm {\nclient_key agents {env.TEST_UNSET}\n}", "client_key agents: unresolved reference: the environment variable TEST_UNSET is not set"},
		{"a client key that is empty", "oauth2_llm {\nclient_key agents {env.TEST_EMPTY}\n}", "TEST_EMPTY is empty"},
		{"two clients with one key", "oauth2_llm {\nclient_key a " + canaryValue + "\nclient_key b " + canaryValue + "\n}", "client_key b: has the value of client_key a"},
		{"two clients with one key among others", "oauth2_llm {\nclient_key a x " + canaryValue + "\nclient_key b " + canaryValue + " y\n}", "client_key a: has the value of client_key b"},
		{"a client key with a line break", "oauth2_llm {\nclient_key a \"" + canaryValue + "\nx\"\n}", "client_key a: the value holds a line break"},
		{"an empty value among others", "oauth2_llm {\nclient_key a " + canaryValue + " \"\"\n}", "client_key a value 2: the value is empty"},
		{"a key beside off", "oauth2_llm {\nclient_key a " + canaryValue + "\nclient_key off\n}", "contradicts"},
		{"an invalid header name", "oauth2_llm {\nkeep_header \"a b\"\n}", "keep_header"},
		{"a header that is never forwarded", "oauth2_llm {\nkeep_header Cookie x_original_url\n}", "keep_header: x_original_url is never forwarded"},
		{"a provider declared again with other fields", "oauth2_llm {\nprovider corp {\nclient_id other\nclient_secret " + canaryValue + "\ntoken_url https://x.com/t\n}\n}", "provider corp: is declared twice"},
		{"a config file that is missing", "oauth2_llm {\nconfig_file missing.json\n}", "missing.json: the file cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantRefusal(t, validateCaddyfile(t.TempDir(), "{\nadmin off\noauth2_llm {\n"+providers+"\n}\n}\n:0 {\n"+test.directive+"\n}\n"), test.says)
		})
	}
}

// The file's name, line and column are in the error.
func TestAWrongConfigFileIsRefusedWithItsPlace(t *testing.T) {
	for _, test := range []struct{ name, content, says string }{
		{"a comma too many", `{"oauth2_providers": {"p": {"client_id": "` + canaryValue + `",}}}`, "litellm_config.json:1:55: the file must be valid JSON: remove the comma"},
		{"a comment", "{\n  // " + canaryValue + "\n}", "litellm_config.json:2:3: the file must be valid JSON: JSON has no comments"},
		{"a byte order mark", "\ufeff{}", "byte order mark"},
		{"UTF-16", "{\x00}\x00", "UTF-16"},
		{"20 MB", `{"x":"` + strings.Repeat("x", 20<<20) + `"}`, "larger than 1 MiB"},
		{"nothing", "", "empty"},
		{"no oauth2_providers", `{"model_list": []}`, "no oauth2_providers"},
		{"an unknown field", "{\"oauth2_providers\": {\"p\": {\n\"audience\": \"" + canaryValue + "\"}}}", "litellm_config.json:2:1: provider p: audience: unknown field"},
		{"a provider_name", `{"oauth2_providers": {"p": {"provider_name": "` + canaryValue + `"}}}`, "provider p: provider_name"},
		{"a list of scopes", `{"oauth2_providers": {"p": {"scope": ["` + canaryValue + `"]}}}`, "provider p: scope: must be a string, not a list; write one string"},
		{"a number", `{"oauth2_providers": {"p": {"client_id": 17}}}`, "provider p: client_id: must be a string, not a number"},
		{"a provider that is a string", `{"oauth2_providers": {"p": "` + canaryValue + `"}}`, "provider p: must be an object"},
		{"missing fields, all at once", `{"oauth2_providers": {"p": {"client_id": "i"}}}`, "provider p: client_secret, token_url: required"},
		{"a wrong URL", `{"oauth2_providers": {"p": {"client_id": "i", "client_secret": "s", "token_url": "` + canaryValue + `"}}}`, "provider p: token_url: must begin with https://"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "litellm_config.json"), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, validateCaddyfile(folder, "{\nadmin off\n}\n:0 {\noauth2_llm\n}\n"), test.says, "litellm_config.json")
		})
	}
	t.Run("a folder", func(t *testing.T) {
		folder := t.TempDir()
		if err := os.Mkdir(filepath.Join(folder, "litellm_config.json"), 0o700); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, validateCaddyfile(folder, "{\nadmin off\n}\n:0 {\noauth2_llm\n}\n"), "litellm_config.json: the file is a folder")
	})
	t.Run("no file at all", func(t *testing.T) {
		wantRefusal(t, validateCaddyfile(t.TempDir(), "{\nadmin off\n}\n:0 {\noauth2_llm\n}\n"), "no litellm_config.json is beside the Caddyfile", "Caddyfile:5")
	})
}

func TestAfterARefusedReloadTheOldConfigurationServesOn(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	good := decorateWith(auth, llm, "client_a", "s")
	g := startGateway(t, good)
	for name, bad := range map[string]string{
		"one that cannot be adapted": strings.Replace(good, "client_id", "client_ids", 1),
		"one that cannot be loaded":  strings.Replace(good, "client_secret s", "client_secret {env.TEST_UNSET}", 1),
		"one whose other app fails":  strings.Replace(good, "reverse_proxy", "reverse_proxy {\nlb_policy cookie {\n}\nnonsense\n}\nreverse_proxy", 1),
	} {
		if err := g.load(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
		g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	}
	if n := auth.tokenRequests.Load(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}
