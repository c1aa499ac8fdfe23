package config

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
)

// expanded fills in the preset of a provider p, which must work.
func expanded(t *testing.T, fields string, environment Environment) *Provider {
	t.Helper()
	providers, err := native(t, fields)
	if err != nil {
		t.Fatal(err)
	}
	providers, err = providers.expand(environment)
	if err != nil {
		t.Fatal(err)
	}
	return providers["p"]
}

// expansionFault is the error of filling in the preset of a provider p.
func expansionFault(t *testing.T, fields string) error {
	t.Helper()
	providers, err := native(t, fields)
	if err != nil {
		t.Fatal(err)
	}
	_, err = providers.expand(testEnvironment())
	return err
}

// configured is the JSON of a field of a provider.
func configured(t *testing.T, p *Provider, path string) string {
	t.Helper()
	encoded, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(path, "/") {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(encoded, &members); err != nil {
			t.Fatal(err)
		}
		encoded = members[name]
	}
	return string(encoded)
}

func TestAProvidersFieldTakesThePlaceOfThePresets(t *testing.T) {
	for name, test := range map[string]struct{ fields, path, want string }{
		"a field that is not set":             {azure, "token_url", `"https://login.microsoftonline.com/t0/oauth2/v2.0/token"`},
		"a text":                              {azure + `,"scope":"mine"`, "scope", `"mine"`},
		"a word":                              {azure + `,"auth_method":"client_secret_basic"`, "auth_method", `"client_secret_basic"`},
		"a URL, and its variable is needless": {`"preset":"azure_openai","token_url":"https://x.com"`, "token_url", `"https://x.com"`},
		"a duration":                          {`"preset":"vertex_metadata","refresh_before":"1m"`, "refresh_before", `"1m0s"`},
		"a parameter":                         {`"preset":"vertex_metadata","token_request":{"params":{"scopes":"mine"}}`, "token_request/params", `{"scopes":"mine"}`},
		"a parameter beside the preset's":     {`"preset":"vertex_metadata","token_request":{"params":{"x":"y"}}`, "token_request/params", `{"scopes":"https://www.googleapis.com/auth/cloud-platform","x":"y"}`},
		"a method":                            {`"preset":"vertex_metadata","token_request":{"method":"POST"}`, "token_request/method", `"POST"`},
		"a header":                            {`"preset":"vertex_metadata","token_request":{"headers":{"Metadata-Flavor":["mine"]}}`, "token_request/headers", `{"Metadata-Flavor":["mine"]}`},
		"a header in other capitals":          {`"preset":"vertex_metadata","token_request":{"headers":{"METADATA-flavor":["mine"]}}`, "token_request/headers", `{"METADATA-flavor":["mine"]}`},
		"a header beside the preset's":        {`"preset":"vertex_metadata","token_request":{"headers":{"X":["y"]}}`, "token_request/headers", `{"Metadata-Flavor":["Google"],"X":["y"]}`},
		"a header with all its values":        {githubApp + `,"token_request":{"headers":{"accept":["a","b"]}}`, "token_request/headers", `{"Authorization":["Bearer {jwt}"],"accept":["a","b"]}`},
		"a list of statuses":                  {`"preset":"azure_openai_imds","token_request":{"retry_on":[418]}`, "token_request/retry_on", `[418]`},
		"a body in whole":                     {githubApp + `,"token_request":{"body":{"a":1}}`, "token_request/body", `{"a":1}`},
		"places of a token in whole":          {gigachat + `,"token_response":{"token":["t"]}`, "token_response", `{"token":["t"],"expiry":[{"path":"expires_at","unit":"auto"},{"path":"exp","unit":"auto"}]}`},
		"rules for its end in whole":          {gigachat + `,"token_response":{"expiry":[{"path":"e","unit":"unix"}]}`, "token_response", `{"token":["access_token","tok"],"expiry":[{"path":"e","unit":"unix"}]}`},
		"a bound beside the preset's rules":   {gigachat + `,"token_response":{"max_ttl":"1h"}`, "token_response/max_ttl", `"1h0m0s"`},
		"a place in a header":                 {`"preset":"cisco_circuit","place":{"header":"X-Key"}`, "place", `{"header":"X-Key"}`},
		"a prefix alone is another place":     {`"preset":"cisco_circuit","place":{"prefix":"Key "}`, "place", `{"prefix":"Key "}`},
		"a header in place of a query":        {`"preset":"baidu_qianfan_v1","place":{"header":"X-Key"}`, "place", `{"header":"X-Key"}`},
		"a query in place of a header":        {`"preset":"cisco_circuit","place":{"query":"q"}`, "place", `{"query":"q"}`},
		"a file in place of a value":          {authorizedUser + `,"client_secret_file":"/s"`, "client_secret_file", `"/s"`},
		"the value is left out then":          {authorizedUser + `,"client_secret_file":"/s"`, "client_secret", ``},
		"the client's ID of a file":           {authorizedUser + `,"client_id_file":"/s"`, "client_id", ``},
		"the refresh token of a file":         {authorizedUser + `,"refresh_token_file":"/s"`, "refresh_token", ``},
		"a key file in place of a key":        {serviceAccount + `,"jwt":{"key_file":"/k"}`, "jwt/key_file", `"/k"`},
		"the key is left out then":            {serviceAccount + `,"jwt":{"key_file":"/k"}`, "jwt/key", ``},
		"a key in place of a key":             {serviceAccount + `,"jwt":{"key":"{env.K}"}`, "jwt/key", `"{env.K}"`},
		"the key's ID stays then":             {serviceAccount + `,"jwt":{"key":"{env.K}"}`, "jwt/key_id", `"{json./sa.json#private_key_id}"`},
		"a claim":                             {serviceAccount + `,"jwt":{"claims":{"iss":["me"],"x":1}}`, "jwt/claims", `{"aud":"{token_url}","iss":["me"],"scope":"https://www.googleapis.com/auth/cloud-platform","x":1}`},
		"a header of the JWT":                 {`"preset":"zhipu_self_signed","vars":{"key_id":"k"},"jwt":{"header":{"a":"b"}}`, "jwt/header", `{"a":"b","sign_type":"SIGN"}`},
		"a ttl":                               {serviceAccount + `,"jwt":{"ttl":"1m"}`, "jwt/ttl", `"1m0s"`},
		"a companion header":                  {sap + `,"header_up":{"set":{"AI-Resource-Group":["g"]}}`, "header_up", `{"set":{"AI-Resource-Group":["g"]}}`},
		"one in other capitals":               {sap + `,"header_up":{"set":{"ai-resource-GROUP":["g"]}}`, "header_up", `{"set":{"ai-resource-GROUP":["g"]}}`},
		"one that is added":                   {sap + `,"header_up":{"add":{"ai-resource-group":["g"]}}`, "header_up", `{"add":{"ai-resource-group":["g"]}}`},
		"one that is a default":               {sap + `,"header_up":{"default":{"AI-Resource-Group":["g"]}}`, "header_up", `{"default":{"AI-Resource-Group":["g"]}}`},
		"one that is deleted":                 {sap + `,"header_up":{"delete":["ai-resource-group"]}`, "header_up", `{"delete":["ai-resource-group"]}`},
		"one that is set where it was added":  {anthropic + `,"header_up":{"set":{"anthropic-beta":["x"]}}`, "header_up", `{"set":{"anthropic-beta":["x"]}}`},
		"one beside the preset's":             {anthropic + `,"header_up":{"add":{"x":["y"]}}`, "header_up", `{"add":{"anthropic-beta":["oauth-2025-04-20"],"x":["y"]}}`},
		"a transport in whole":                {openaiX509 + `,"token_request":{"transport":{"protocol":"http","tls":{}}}`, "token_request/transport", `{"protocol":"http","tls":{}}`},
		"the transport of LLM requests":       {openaiX509 + `,"transport":{"protocol":"other"}`, "transport", `{"protocol":"other"}`},
		"the other transport stays":           {openaiX509 + `,"transport":{"protocol":"other"}`, "token_request/transport", `{"protocol":"http","tls":{"client_certificate_file":"/c","client_certificate_key_file":"/k"}}`},
		"a field that the preset has not":     {azure + `,"base_url":"https://x.com","models":{"m":{}}`, "models", `{"m":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := configured(t, expanded(t, test.fields, testEnvironment()), test.path); got != test.want {
				t.Errorf("%s is\n%s, want\n%s", test.path, got, test.want)
			}
		})
	}
}

// Providers with presets.
const (
	azure          = `"preset":"azure_openai","vars":{"tenant":"t0"}`
	githubApp      = `"preset":"github_app","vars":{"app_id":"a","installation_id":"7"}`
	gigachat       = `"preset":"gigachat","vars":{"credentials":"c"}`
	authorizedUser = `"preset":"vertex_authorized_user","vars":{"credentials_file":"/adc.json"}`
	serviceAccount = `"preset":"vertex_service_account","vars":{"key_file":"/sa.json"}`
	sap            = `"preset":"sap_ai_core","vars":{"service_key_file":"/sap.json"}`
	anthropic      = `"preset":"anthropic_wif","vars":{"federation_rule_id":"f","organization_id":"o","token_file":"/t"}`
	openaiX509     = `"preset":"openai_wif_x509","vars":{"identity_provider_id":"i","service_account_id":"s","certificate_file":"/c","key_file":"/k"}`
)

func TestAWrongPresetIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		fields, field string
		want          []string
	}{
		"an unknown preset":          {`"preset":"azure_openai_"`, "preset", []string{"unknown preset; did you mean azure_openai?"}},
		"one that is far from all":   {`"preset":"CANARY_CANARY"`, "preset", []string{"unknown preset; caddy oauth2-llm presets lists them all"}},
		"an unknown variable":        {azureWith(`"tenannt":"CANARY"`), "vars.tenannt", []string{"unknown variable; did you mean tenant?"}},
		"one that is far from all ":  {azureWith(`"CANARY x":"CANARY"`), "vars.(a name of 8 bytes)", []string{"unknown variable; known are authority, tenant"}},
		"no variable":                {`"preset":"azure_openai"`, "vars", []string{"variables are missing: tenant; preset azure_openai needs var tenant (the directory (tenant) ID), client_id, client_secret"}},
		"an empty variable":          {`"preset":"azure_openai","vars":{"tenant":""}`, "vars", []string{"variables are missing: tenant; "}},
		"some variables":             {`"preset":"github_app","vars":{"app_id":"CANARY"}`, "vars", []string{"variables are missing: installation_id; preset github_app needs var app_id (the app's ID or client ID), var installation_id (the ID of the installation), jwt.key_file"}},
		"two variables":              {`"preset":"github_app"`, "vars", []string{"variables are missing: app_id, installation_id; "}},
		"a variable of no preset":    {validFields + `,"vars":{"x":"CANARY"}`, "vars.x", []string{"is not used: nothing holds {var.NAME} with this name"}},
		"one of a preset of none":    {`"preset":"yandex_metadata","vars":{"x":"CANARY"}`, "vars.x", []string{"is not used"}},
		"half of what a text needs":  {validFields + `,"vars":{"a":"CANARY","b":""},"scope":"{var.a}.{var.b}"`, "vars", []string{"a is set, but b is not, and scope needs both"}},
		"a variable that is not set": {x509Transport(`{env.UNSET}`), "token_request.transport", []string{"the environment variable UNSET is not set"}},
		"a file in a transport":      {x509Transport(`{file./CANARY}`), "token_request.transport", []string{"may only hold {env.NAME}"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := expansionFault(t, test.fields)
			wantError(t, err, test.field, test.want...)
			wantNoCanary(t, err)
		})
	}
}

func azureWith(vars string) string {
	return `"preset":"azure_openai","vars":{"tenant":"t",` + vars + `}`
}

func x509Transport(file string) string {
	return `"preset":"sap_ai_core_x509","vars":{"service_key_file":"/s","certificate_file":` + jsonString(file) + `,"key_file":"/k"}`
}

func TestAVariableIsNeededWhileAFieldHoldsIt(t *testing.T) {
	for name, fields := range map[string]string{
		"a field of the user's":         `"preset":"azure_openai","token_url":"https://x.com"`,
		"a parameter":                   `"preset":"databricks_federation","vars":{"host":"h"},"token_request":{"params":{"subject_token":"{env.X}"}}`,
		"a claim":                       `"preset":"vertex_service_account","jwt":{"key_file":"/k","key_id":"k","claims":{"iss":"i"}}`,
		"a body":                        `"preset":"huawei_iam","vars":{"region":"r"},"token_request":{"body":{"a":1}}`,
		"a transport, in both places":   `"preset":"sap_ai_core_x509","vars":{"service_key_file":"/s"},"token_request":{"transport":{"protocol":"other"}}`,
		"a companion header of the set": `"preset":"yandex_jwt","vars":{"service_account_id":"s"},"header_up":{"delete":["X-FOLDER-ID"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := expansionFault(t, fields); err != nil {
				t.Error(err)
			}
		})
	}
	// The other way round, a variable of the preset may stand in a field of the user's.
	p := expanded(t, azureWith(`"authority":"https://a.com"`)+`,"token_url":"https://x.com","scope":"api://{var.tenant}"`, testEnvironment())
	if p.Scope != "api://t" {
		t.Errorf("got %s", string(p.Scope))
	}
}

func TestExpandLeavesOtherProvidersAsTheyAre(t *testing.T) {
	providers := Providers{"p": valid(t, ""), "none": nil}
	all, err := providers.expand(testEnvironment())
	if err != nil || all["p"] != providers["p"] || all["none"] != nil || len(all) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
	if !strings.Contains(all.validate(testEnvironment()).Error(), "provider none: the provider has no fields") {
		t.Error("a provider without fields is accepted")
	}
}

func TestAllFaultsOfExpansionAreReportedAtOnce(t *testing.T) {
	var providers Providers
	if err := json.Unmarshal([]byte(`{"a":{"preset":"nope_nope"},"b":{"preset":"azure_openai","vars":{"x":"y"}},"c":{`+validFields+`}}`), &providers); err != nil {
		t.Fatal(err)
	}
	_, err := providers.expand(testEnvironment())
	if got, want := faultyFields(err), []string{"a: preset", "b: vars.x", "b: vars"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAFieldOfAPresetIsBlamedOnItsUser(t *testing.T) {
	p := inFile(t, "a.json", `"preset":"azure_openai","vars":{"tenant":"CANARY x"},"client_id":"i","client_secret":"s"`)
	all, err := p.expand(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	err = all.validate(testEnvironment())
	if err == nil || !strings.Contains(err.Error(), "a.json:1:22: provider p: token_url: holds white space") {
		t.Errorf("got %v", err)
	}
	wantNoCanary(t, err)
}

// The presets are shared by all configurations: filling one in changes none.
func TestExpandChangesNeitherPresetNorProvider(t *testing.T) {
	before := asJSON(t, Presets())
	all := make(Providers)
	for name, preset := range Presets() {
		all[name] = &Provider{
			Preset: name, Vars: make(map[string]Template),
			TokenRequest: TokenRequest{Params: map[string]Template{"mine": "{now}"}, Headers: map[string][]Template{"X-Mine": {"a", "b"}}},
			HeaderUp:     HeaderUp{Set: map[string][]Template{"X-Mine": {"a", "b"}}, Delete: []string{"X-Other"}},
			JWT:          JWT{Claims: map[string]JSONTemplate{"mine": JSONList("a")}},
		}
		for variable := range preset.Vars {
			all[name].Vars[variable] = Template("of-" + variable)
		}
	}
	given := asJSON(t, all)
	results := make([][]byte, 8)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			expanded, err := all.expand(testEnvironment())
			if err != nil {
				t.Error(err)
			}
			// What a configuration does with its providers is its own affair.
			expanded["google_impersonate"].ResolvePaths("/f")
			_ = expanded.validate(testEnvironment())
			results[i] = asJSON(t, expanded)
		})
	}
	group.Wait()
	for _, result := range results {
		if !bytes.Equal(result, results[0]) {
			t.Error("two expansions differ")
		}
	}
	if !bytes.Equal(before, asJSON(t, Presets())) {
		t.Error("a preset has changed")
	}
	if !bytes.Equal(given, asJSON(t, all)) {
		t.Error("a provider has changed")
	}
}

func asJSON(t *testing.T, value any) []byte {
	t.Helper()
	presets, ok := value.(map[string]*Preset)
	if ok {
		providers := make(Providers)
		for name, preset := range presets {
			providers[name] = preset.Provider
		}
		value = providers
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Error(err)
	}
	return encoded
}
