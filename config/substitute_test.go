package config

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func TestAVariableStandsInAnyText(t *testing.T) {
	for name, test := range map[string]struct{ fields, path, want string }{
		"a value":                         {`"scope":"a{var.x}b{var.x}"`, "scope", `"aXbX"`},
		"a file":                          {`"client_id_file":"/run/{var.x}"`, "client_id_file", `"/run/X"`},
		"a file in a value":               {`"client_id":"{file./run/{var.x}/id}"`, "client_id", `"{file./run/X/id}"`},
		"a JSON file and its member":      {`"client_id":"{json.{var.x}#{var.x}.id}"`, "client_id", `"{json.X#X.id}"`},
		"the name of a provider":          {`"scope":"{token.{var.x}}"`, "scope", `"{token.X}"`},
		"the name of a variable":          {`"scope":"{env.{var.x}}"`, "scope", `"{env.X}"`},
		"a word":                          {`"auth_method":"client_secret_{var.x}"`, "auth_method", `"client_secret_X"`},
		"a grant":                         {`"grant_type":"urn:{var.x}"`, "grant_type", `"urn:X"`},
		"a source":                        {`"source":"file /run/{var.x}"`, "source", `"file /run/X"`},
		"a parameter":                     {`"token_request":{"params":{"a":"{var.x}"}}`, "token_request/params", `{"a":"X"}`},
		"a header":                        {`"token_request":{"headers":{"A":["b","{var.x}"]}}`, "token_request/headers", `{"A":["b","X"]}`},
		"a body":                          {`"token_request":{"body":{"a":[{"b":"{var.x}"}],"{var.x}":1}}`, "token_request/body", `{"a":[{"b":"X"}],"{var.x}":1}`},
		"a transport of token requests":   {`"token_request":{"transport":{"protocol":"http","tls":{"a":["{var.x}"]}}}`, "token_request/transport", `{"protocol":"http","tls":{"a":["X"]}}`},
		"a transport of LLM requests":     {`"transport":{"protocol":"{var.x}","n":12345678901234567890}`, "transport", `{"n":12345678901234567890,"protocol":"X"}`},
		"a base URL":                      {`"base_url":"https://{var.x}/{model}"`, "base_url", `"https://X/{model}"`},
		"a model":                         {`"models":{"m":{"upstream":"u-{var.x}","base_url":"https://{var.x}"},"n":{}}`, "models", `{"m":{"upstream":"u-X","base_url":"https://X"},"n":{}}`},
		"the paths of requests":           {`"paths":["/v1/{var.x}/*","/v2"]`, "paths", `["/v1/X/*","/v2"]`},
		"a header's name as place":        {`"place":{"header":"{var.x}-Key"}`, "place", `{"header":"X-Key"}`},
		"a query as place":                {`"place":{"query":"{var.x}"}`, "place", `{"query":"X"}`},
		"a companion header":              {`"header_up":{"set":{"A":["{var.x}"]},"add":{"B":["{var.x}","c"]}}`, "header_up", `{"set":{"A":["X"]},"add":{"B":["X","c"]}}`},
		"a companion header to delete":    {`"header_up":{"delete":["{var.x}-*"]}`, "header_up", `{"delete":["X-*"]}`},
		"a place in an answer":            {`"token_response":{"token":["{var.x}.t"],"expiry":[{"path":"{var.x}.e","unit":"{var.x}"}]}`, "token_response", `{"token":["X.t"],"expiry":[{"path":"X.e","unit":"X"}]}`},
		"a key":                           {`"jwt":{"key":"{json./{var.x}#k}"}`, "jwt/key", `"{json./X#k}"`},
		"a key file":                      {`"jwt":{"key_file":"/{var.x}"}`, "jwt/key_file", `"/X"`},
		"a claim":                         {`"jwt":{"claims":{"a":"{var.x}","b":["{var.x}",1]}}`, "jwt/claims", `{"a":"X","b":["X",1]}`},
		"a header of a JWT":               {`"jwt":{"header":{"a":"{var.x}"}}`, "jwt/header", `{"a":"X"}`},
		"an algorithm":                    {`"jwt":{"alg":"{var.x}"}`, "jwt/alg", `"X"`},
		"an escaped brace is no variable": {`"scope":"{var.x} \\{var.x}"`, "scope", `"X \\{var.x}"`},
	} {
		t.Run(name, func(t *testing.T) {
			p := expanded(t, `"vars":{"x":"X"},`+test.fields, testEnvironment())
			if got := configured(t, p, test.path); got != test.want {
				t.Errorf("%s is\n%s, want\n%s", test.path, got, test.want)
			}
			if p.Vars != nil || p.Preset != "" {
				t.Error("the variables are still there")
			}
		})
	}
}

func TestTheValueOfAVariableIsPutInAsItIs(t *testing.T) {
	environment := with(testEnvironment(), map[string]string{"ODD": `a"b\c{d}`})
	for name, test := range map[string]struct{ value, fields, path, want string }{
		"an environment variable":                  {`{env.ID}`, `"scope":"{var.x}"`, "scope", `"{env.ID}"`},
		"os.environ/":                              {`os.environ/ID`, `"scope":"a {var.x}"`, "scope", `"a {env.ID}"`},
		"os.environ/ alone":                        {`os.environ/ID`, `"client_id":"{var.x}"`, "client_id", `"{env.ID}"`},
		"os.environ/ in a path":                    {`os.environ/ID`, `"client_id":"{file.{var.x}/id}"`, "client_id", `"{file.{env.ID}/id}"`},
		"a file":                                   {`{file./x}`, `"scope":"{var.x}"`, "scope", `"{file./x}"`},
		"a dollar sign":                            {`$1$0`, `"scope":"{var.x}"`, "scope", `"$1$0"`},
		"quotes and backslashes":                   {`"a\b"`, `"scope":"{var.x}"`, "scope", `"\"a\\b\""`},
		"quotes and backslashes in a body":         {`"a\b"`, `"token_request":{"body":{"a":"{var.x}"}}`, "token_request/body", `{"a":"\"a\\b\""}`},
		"quotes and backslashes in a claim":        {`"a\b"`, `"jwt":{"claims":{"a":["{var.x}"]}}`, "jwt/claims", `{"a":["\"a\\b\""]}`},
		"quotes and backslashes in a transport":    {`"a\b"`, `"transport":{"protocol":"{var.x}"}`, "transport", `{"protocol":"\"a\\b\""}`},
		"an environment variable in a transport":   {`/x/{env.ID}`, `"transport":{"protocol":"{var.x}"}`, "transport", `{"protocol":"/x/id-of-env"}`},
		"os.environ/ in a transport":               {`os.environ/ID`, `"transport":{"protocol":"{var.x}"}`, "transport", `{"protocol":"id-of-env"}`},
		"a value with everything in a transport":   {`{env.ODD}`, `"transport":{"protocol":"{var.x}"}`, "transport", `{"protocol":"a\"b\\c{d}"}`},
		"Caddy's placeholders in a transport":      {`v`, `"transport":{"protocol":"{var.x}","a":"{http.request.host}","b":"{env.ID}"}`, "transport", `{"a":"{http.request.host}","b":"{env.ID}","protocol":"v"}`},
		"an escaped brace in a transport is a one": {`\{a}`, `"transport":{"protocol":"{var.x}"}`, "transport", `{"protocol":"{a}"}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := expanded(t, `"vars":{"x":`+jsonString(test.value)+`},`+test.fields, environment)
			if got := configured(t, p, test.path); got != test.want {
				t.Errorf("%s is\n%s, want\n%s", test.path, got, test.want)
			}
		})
	}
}

// What holds an optional variable that is not set is left out.
func TestAnOptionalVariableLeavesOutWhatHoldsIt(t *testing.T) {
	const unset = `"vars":{"x":"","y":"Y"},"client_id":"{var.y}",`
	for name, test := range map[string]struct{ fields, path, want string }{
		"a field":                         {`"scope":"{var.x}"`, "scope", ``},
		"a field with more text":          {`"scope":"a {var.x}"`, "scope", ``},
		"a parameter":                     {`"token_request":{"params":{"a":"{var.x}","b":"{var.y}"}}`, "token_request/params", `{"b":"Y"}`},
		"the last parameter":              {`"token_request":{"params":{"a":"{var.x}"}}`, "token_request/params", ``},
		"a value of a header":             {`"token_request":{"headers":{"A":["a","{var.x}","","b"]}}`, "token_request/headers", `{"A":["a","","b"]}`},
		"a header":                        {`"token_request":{"headers":{"A":["{var.x}"],"B":["b"]}}`, "token_request/headers", `{"B":["b"]}`},
		"a companion header":              {`"header_up":{"set":{"A":["{var.x}"],"B":["{var.y}"]}}`, "header_up/set", `{"B":["Y"]}`},
		"a header to delete":              {`"header_up":{"delete":["{var.x}","{var.y}"]}`, "header_up/delete", `["Y"]`},
		"a member of a body":              {`"token_request":{"body":{"a":{"b":"{var.x}","c":"","d":1},"e":"{var.y}"}}`, "token_request/body", `{"a":{"c":"","d":1},"e":"Y"}`},
		"an element of a body":            {`"token_request":{"body":{"a":["1","{var.x}","",null,"{var.y}"]}}`, "token_request/body", `{"a":["1","",null,"Y"]}`},
		"a member of a transport":         {`"transport":{"protocol":"{var.y}","a":"{var.x}","b":["{var.x}"]}`, "transport", `{"b":[],"protocol":"Y"}`},
		"a claim":                         {`"jwt":{"claims":{"a":"{var.x}","b":["{var.y}","{var.x}"]}}`, "jwt/claims", `{"b":["Y"]}`},
		"a claim that is empty by itself": {`"scope":"{var.x}","jwt":{"claims":{"a":"","b":"{var.y}"}}`, "jwt/claims", `{"a":"","b":"Y"}`},
		"a header of a JWT":               {`"jwt":{"header":{"a":"{var.x}","b":"{var.y}"}}`, "jwt/header", `{"b":"Y"}`},
		"a model's other name":            {`"models":{"m":{"upstream":"{var.x}"},"n":{"base_url":"{var.y}"}}`, "models", `{"m":{},"n":{"base_url":"Y"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := configured(t, expanded(t, unset+test.fields, testEnvironment()), test.path); got != test.want {
				t.Errorf("%s is\n%s, want\n%s", test.path, got, test.want)
			}
		})
	}
	p := expanded(t, `"preset":"auth0","vars":{"domain":"d","audience":"a"}`, testEnvironment())
	if got := configured(t, p, "token_request/params"); got != `{"audience":"a"}` {
		t.Errorf("got %s", got)
	}
	p = expanded(t, `"preset":"auth0","vars":{"domain":"d","audience":"a","organization":"o"}`, testEnvironment())
	if got := configured(t, p, "token_request/params"); got != `{"audience":"a","organization":"o"}` {
		t.Errorf("got %s", got)
	}
}

func TestAVariableThatIsNotSetIsNamed(t *testing.T) {
	for name, test := range map[string]struct{ fields, field string }{
		"a value":                {validFields + `,"scope":"{var.x}"`, "scope"},
		"a file in a value":      {validFields + `,"scope":"{file.{var.x}}"`, "scope"},
		"a file":                 {`"source":"file {var.x}"`, "source"},
		"a word":                 {`"client_id":"i","client_secret":"s","token_url":"https://x.com","auth_method":"{var.x}"`, "auth_method"},
		"a body":                 {validFields + `,"token_request":{"body":{"a":["{var.x}"]}}`, "token_request.body"},
		"a base URL":             {validFields + `,"base_url":"https://{var.x}"`, "base_url"},
		"a companion header":     {validFields + `,"header_up":{"set":{"A":["{var.x}"]}}`, "header_up.set.A"},
		"a transport":            {validFields + `,"transport":{"protocol":"http","a":[{"b":"{var.x}"}]}`, "transport"},
		"another transport":      {validFields + `,"token_request":{"transport":{"protocol":"http","a":"{var.x}"}}`, "token_request.transport"},
		"beside one that is set": {validFields + `,"vars":{"y":"Y"},"scope":"{var.y}{var.x}"`, "scope"},
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, test.fields)
			if err == nil {
				providers, err = providers.expand(testEnvironment())
			}
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, providers.validate(testEnvironment()), test.field, "no variable x is set: add var x VALUE")
		})
	}
}

func TestADefaultIsTheValueOfAVariable(t *testing.T) {
	for fields, want := range map[string]string{
		azure: "https://login.microsoftonline.com/t0/oauth2/v2.0/token",
		azureWith(`"authority":"https://login.chinacloudapi.cn"`): "https://login.chinacloudapi.cn/t/oauth2/v2.0/token",
		azureWith(`"authority":""`):                               "https://login.microsoftonline.com/t/oauth2/v2.0/token",
		`"preset":"azure_openai_federated"`:                       "https://login.microsoftonline.com/{env.AZURE_TENANT_ID}/oauth2/v2.0/token",
	} {
		if got := string(expanded(t, fields, testEnvironment()).TokenURL); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPathsOfVariablesAreRelativeToTheirFile(t *testing.T) {
	folder := t.TempDir()
	vars := map[string]string{"token_file": "sub/token", "tenant": "t", "authority": "sub"}
	for value, want := range map[string]string{
		"sub/token":          filepath.Join(folder, "sub/token"),
		"/abs":               "/abs",
		"{env.DIR}/token":    "{env.DIR}/token",
		"os.environ/FILE":    "{env.FILE}",
		"sub/{env.ID}/token": folder + "/sub/{env.ID}/token",
	} {
		vars["token_file"] = value
		given := maps.Clone(vars)
		encoded, err := json.Marshal(map[string]any{"oauth2_providers": map[string]any{"p": map[string]any{"preset": "azure_openai_federated", "vars": given}}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, "config.json")
		rewrite(t, path, string(encoded))
		providers, err := LoadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if providers, err = providers.expand(testEnvironment()); err != nil {
			t.Fatal(err)
		}
		p := providers["p"]
		if got := string(p.TokenRequest.Params["client_assertion"]); got != "{file."+want+"}" {
			t.Errorf("%s is %s, want %s", value, got, want)
		}
		if p.TokenURL != "sub/t/oauth2/v2.0/token" {
			t.Errorf("a variable that is no path has become %s", string(p.TokenURL))
		}
	}
}

// CrewAI's fields are literal in its file, a variable in them too.
func TestAVariableIsLiteralInCrewAIsFields(t *testing.T) {
	providers, err := parse(fileWith(`"client_id":"{var.x}","client_secret":"a\\{var.x}","token_url":"https://{var.x}","scope":"os.environ/ID","vars":{"x":"X"},"grant_type":"{var.x}"`))
	if err != nil {
		t.Fatal(err)
	}
	if providers, err = providers.expand(testEnvironment()); err != nil {
		t.Fatal(err)
	}
	client, err := providers["p"].client(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, client.ClientID) + " " + read(t, client.ClientSecret) + " " + client.GrantType; got != `{var.x} a\{var.x} X` {
		t.Errorf("got %s", got)
	}
}

func TestAPresetReadsItsFilesAnew(t *testing.T) {
	path := writeFile(t, `{"clientid":"one","clientsecret":"s","url":"https://sub.x.com"}`)
	endpoint := answering()
	fetcher := fetcherOf(t, `"preset":"sap_ai_core","vars":{"service_key_file":"{env.KEY_FILE}"}`, with(testEnvironment(), map[string]string{"KEY_FILE": path}), endpoint)
	for _, id := range []string{"one", "two"} {
		rewrite(t, path, `{"clientid":"`+id+`","clientsecret":"s","url":"https://`+id+`.x.com"}`)
		if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
			t.Fatal(err)
		}
		if endpoint.form(t).Get("client_id") != id || endpoint.request.URL.String() != "https://"+id+".x.com/oauth/token" {
			t.Errorf("%s was sent %s", endpoint.request.URL, endpoint.body)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := fetcher.Fetch(t.Context(), tokens.Want{})
	if err == nil || !strings.Contains(err.Error(), "the file "+path+" cannot be read") {
		t.Errorf("got %v", err)
	}
}
