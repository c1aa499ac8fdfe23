package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testFile = "litellm_config.json"

// parse reads a litellm_config.json.
func parse(content string) (Providers, error) { return parseFile(testFile, []byte(content)) }

func TestCrewAIsFilesLoadUnchanged(t *testing.T) {
	t.Setenv("MY_CLIENT_ID", "id-of-the-environment")
	t.Setenv("MY_CLIENT_SECRET", "secret-of-the-environment")
	type values struct{ id, secret, tokenURL, scope string }
	for file, want := range map[string]map[string]values{
		"litellm_config.json": {
			"my_custom_provider": {"your_client_id", "your_client_secret", "https://your-provider.com/oauth/token", "llm.read llm.write"},
			"another_provider":   {"another_client_id", "another_client_secret", "https://another-provider.com/token", ""},
		},
		"environment.json": {
			"my_provider": {"id-of-the-environment", "secret-of-the-environment", "https://my-provider.com/token", ""},
		},
		"config.json": {
			"provider_a": {"client_a", "secret_a", "https://provider-a.com/token", ""},
			"provider_b": {"client_b", "secret_b", "https://provider-b.com/oauth/token", "read write"},
		},
	} {
		t.Run(file, func(t *testing.T) {
			providers, err := LoadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			if err := providers.validate(Environment{}); err != nil {
				t.Error(err)
			}
			if len(providers) != len(want) {
				t.Errorf("got the providers %v", sorted(providers))
			}
			for name, want := range want {
				if providers[name] == nil {
					t.Fatalf("%s is missing", name)
				}
				client, err := providers[name].client(Environment{})
				if err != nil {
					t.Fatal(err)
				}
				got := values{read(t, client.ClientID), read(t, client.ClientSecret), read(t, client.TokenURL), read(t, client.Scope)}
				if got != want {
					t.Errorf("%s: got %v, want %v", name, got, want)
				}
				if warnings := providers[name].warnings(DefaultEnvironment()); len(warnings) > 0 {
					t.Errorf("%s: CrewAI's own example is warned about: %v", name, warnings)
				}
			}
		})
	}
}

func TestCrewAIsFileWithVariablesNeedsThem(t *testing.T) {
	path := filepath.Join("testdata", "environment.json")
	providers, err := LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	err = providers.validate(testEnvironment())
	misconfigured, ok := errors.AsType[*ConfigurationError](err)
	if !ok || !errors.Is(err, ErrUnresolvedReference) {
		t.Fatalf("got %v", err)
	}
	if misconfigured.File != path || misconfigured.Line != 4 || misconfigured.Column != 7 || misconfigured.Provider != "my_provider" || misconfigured.Field != "client_id" {
		t.Errorf("got %+v", misconfigured)
	}
	for _, name := range []string{"MY_CLIENT_ID is not set", "MY_CLIENT_SECRET is not set"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not say %q", err, name)
		}
	}
}

func TestAFileOfAWrongShapeIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		content, provider, field string
		line, column             int
		want                     string
	}{
		"a list":                           {"\n [\"CANARY\"]", "", "", 2, 2, "an object with oauth2_providers, not a list"},
		"a string":                         {`"CANARY"`, "", "", 1, 1, "not a string"},
		"a number":                         {`4`, "", "", 1, 1, "not a number"},
		"null":                             {`null`, "", "", 1, 1, "not null"},
		"a boolean":                        {`true`, "", "", 1, 1, "not true or false"},
		"no oauth2_providers":              {`{"model_list":["CANARY"]}`, "", "", 1, 1, `has no oauth2_providers; it holds {"oauth2_providers"`},
		"a misspelt oauth2_providers":      {`{"x":1,"oauth_providers":"CANARY","y":2}`, "", "", 1, 1, "but a similar name; correct it"},
		"oauth2-providers with a dash":     {`{"oauth2-providers":{}}`, "", "", 1, 1, "but a similar name; correct it"},
		"OAuth2_Providers in capitals":     {`{"OAuth2_Providers":{}}`, "", "", 1, 1, "but a similar name; correct it"},
		"oauth2_providers is there twice":  {"{\"oauth2_providers\":{},\n\"oauth2_providers\":{}}", "", "oauth2_providers", 2, 1, "is set twice"},
		"oauth2_providers is a list":       {`{"oauth2_providers":["CANARY"]}`, "", "oauth2_providers", 1, 21, "must be an object of providers by name, not a list"},
		"oauth2_providers is null":         {`{"oauth2_providers":null}`, "", "oauth2_providers", 1, 21, "not null"},
		"oauth2_providers is text":         {`{"oauth2_providers":"CANARY"}`, "", "oauth2_providers", 1, 21, "not a string"},
		"a provider is text":               {`{"oauth2_providers":{"p":"CANARY"}}`, "p", "", 1, 26, "must be an object, not a string; a provider is an object of fields such as client_id"},
		"a provider is a list":             {`{"oauth2_providers":{"p":["CANARY"]}}`, "p", "", 1, 26, "not a list"},
		"a provider is null":               {`{"oauth2_providers":{"p":null}}`, "p", "", 1, 26, "not null"},
		"a provider without a name":        {`{"oauth2_providers":{"":{"client_id":"CANARY"}}}`, "", "oauth2_providers", 1, 22, "a provider has no name"},
		"a provider that is there twice":   {"{\"oauth2_providers\":{\"p\":{},\n \"p\":{}}}", "p", "", 2, 2, "is declared twice"},
		"a field of another type":          {fileWith("\n\t\"scope\": [\"CANARY\"]"), "p", "scope", 2, 11, "must be a string, not a list"},
		"an unknown field":                 {fileWith("\n\"audience\":\"CANARY\""), "p", "audience", 2, 1, "unknown field"},
		"a field of another type, umlauts": {fileWith(`"client_id":"äöü","scope":4`), "p", "scope", 1, 53, "not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(test.content)
			misconfigured, ok := errors.AsType[*ConfigurationError](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if misconfigured.Provider != test.provider || misconfigured.Field != test.field {
				t.Errorf("got provider %q and field %q: %v", misconfigured.Provider, misconfigured.Field, err)
			}
			if misconfigured.File != testFile || misconfigured.Line != test.line || misconfigured.Column != test.column {
				t.Errorf("got %s:%d:%d, want %d:%d", misconfigured.File, misconfigured.Line, misconfigured.Column, test.line, test.column)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q does not say %q", err, test.want)
			}
			wantNoCanary(t, err)
		})
	}
}

func TestAFileMayHoldMoreThanProviders(t *testing.T) {
	for name, content := range map[string]string{
		"no provider":                    `{"oauth2_providers":{}}`,
		"LiteLLM's own members":          `{"model_list":[{"model_name":"x"}],"oauth2_providers":{},"litellm_settings":{"drop_params":true}}`,
		"a similar name beside the true": `{"oauth2_provider":1,"oauth2_providers":{}}`,
		"another member twice":           `{"x":1,"x":2,"oauth2_providers":{}}`,
		"white space around it":          "\r\n\t {\"oauth2_providers\":{}} \n\n",
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := parse(content)
			if err != nil || len(providers) != 0 || providers == nil {
				t.Errorf("got %v, %v", providers, err)
			}
		})
	}
}

func TestCrewAIsFieldsAreLiteralInAFile(t *testing.T) {
	t.Setenv("TEST_PARAM", "of-env")
	providers, err := parse(fileWith(`"client_id":"a{env.ID}","client_secret":"a{b}\\{c}","token_url":"https://idp.example.com/{tenant}","refresh_token":"{",
		"scope":"{file./x} {","token_request":{"params":{"a":"{env.TEST_PARAM}","b":"os.environ/TEST_PARAM","client":"os.environ/"}}`))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, providers.validate(Environment{}), "token_request.params.client", "must be followed by the name of an environment variable")
	delete(providers["p"].TokenRequest.Params, "client")
	client, err := providers["p"].client(Environment{})
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		read(t, client.ClientID): "a{env.ID}", read(t, client.ClientSecret): `a{b}\{c}`, read(t, client.TokenURL): "https://idp.example.com/{tenant}",
		read(t, client.RefreshToken): "{", read(t, client.Scope): "{file./x} {",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, parameter := range client.Parameters {
		if got := read(t, parameter.Value); got != "of-env" {
			t.Errorf("%s is %q", parameter.Name, got)
		}
	}
}

// Somebody who writes a placeholder there would get an error of the authorization server,
// which does not know why either.
func TestAPlaceholderInALiteralFieldIsRefused(t *testing.T) {
	const literal = "must not be a placeholder: this field is literal in the file; "
	for name, test := range map[string]struct{ field, value, want string }{
		"an environment variable of Caddy":     {"client_id", "{env.CANARY}", "write os.environ/NAME"},
		"an environment variable of a shell":   {"client_secret", "${CANARY}", "write os.environ/NAME"},
		"a variable in a field without a file": {"token_url", "{env.CANARY}", "write os.environ/NAME"},
		"a file for the client_id":             {"client_id", "{file./CANARY}", "set client_id_file"},
		"a file for the client_secret":         {"client_secret", "{file.CANARY}", "set client_secret_file"},
		"a file for the refresh_token":         {"refresh_token", "{file./CANARY}", "set refresh_token_file"},
		"a file for the scope":                 {"scope", "{file./CANARY}", "set the field in a provider block"},
		"a file for the token_url":             {"token_url", "{file./CANARY}", "set the field in a provider block"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(fileWith("\n" + jsonString(test.field) + ": " + jsonString(test.value)))
			wantError(t, err, test.field, ":2:", literal+test.want)
			wantNoCanary(t, err)
		})
	}
}

func TestALiteralFieldMayLookLikeAPlaceholder(t *testing.T) {
	for _, value := range []string{"{env.X", "env.X}", "{env.}", "{env}", "{ENV.X}", "a{env.X}", "{env.X}b", "{env.X}{env.Y}", "$X", "${X", "${}", "${1}", "$${X}", "{token.x}", "{uuid}"} {
		providers, err := parse(fileWith(`"client_secret":` + jsonString(value)))
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if got, err := providers["p"].ClientSecret.Resolve(testEnvironment()); err != nil || got.Reveal() != value {
			t.Errorf("%s: got %q, %v", value, got.Reveal(), err)
		}
	}
}

func TestAnyStringOfAFileMayBeAVariable(t *testing.T) {
	for _, name := range literalFields {
		providers, err := parse(fileWith(jsonString(name) + `:"os.environ/UNSET"`))
		if err != nil {
			t.Fatal(err)
		}
		err = providers.validate(testEnvironment())
		if !strings.Contains(err.Error(), "p: "+name+": unresolved reference: the environment variable UNSET is not set") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestPathsInAFileAreRelativeToItsFolder(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"secret": "of-secret\n",
		"param":  "of-param",
		testFile: fileWith(`"client_id":"id","client_secret_file":"secret","token_url":"https://idp.example.com/token","token_request":{"params":{"a":"{file.param}"}}`),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	providers, err := LoadFile(filepath.Join(folder, testFile))
	if err != nil {
		t.Fatal(err)
	}
	client, err := providers["p"].client(Environment{})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, client.ClientSecret) + read(t, client.Parameters[0].Value); got != "of-secretof-param" {
		t.Errorf("got %q", got)
	}
}

func TestAFaultOfAFieldSaysWhereItStands(t *testing.T) {
	providers, err := parse(`{"oauth2_providers": {
	"a": {"client_id": "i", "client_secret": "s", "token_url": "https://idp.example.com/t",
		"scope": " CANARY"},
	"b": {"client_id": "i", "client_secret": "s",
		"token_url": "ftp://CANARY",
		"token_request": {"params": {"x": "{CANARY"},
			"retries": 99}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	err = providers.validate(testEnvironment())
	wantNoCanary(t, err)
	for _, want := range []string{
		testFile + ":3:3: provider a: scope: holds an empty value",
		testFile + ":5:3: provider b: token_url: must begin with https://",
		testFile + ":6:32: provider b: token_request.params.x: a \"{\" has no \"}\"",
		testFile + ":7:4: provider b: token_request.retries: must be from 0 to 10",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	invalid, ok := errors.AsType[*ValidationError](err)
	if !ok || invalid.File != testFile || invalid.Line != 3 || invalid.Column != 3 || invalid.Provider != "a" || invalid.Field != "scope" {
		t.Errorf("got %+v", invalid)
	}
}

func TestTheCauseOfAFileThatIsNoJSONIsKept(t *testing.T) {
	_, err := parse(`{,}`)
	if _, ok := errors.AsType[*json.SyntaxError](err); !ok {
		t.Errorf("got %v", err)
	}
}
