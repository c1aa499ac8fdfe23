package config

import (
	"slices"
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	t.Setenv("TEST_SECRET", "CANARY")
	t.Setenv("TEST_LINE", "CANARY\n")
	t.Setenv("TEST_URL", "http://idp.example.com/CANARY")
	const id, url = `"client_id":"i",`, `"token_url":"https://idp.example.com/t"`
	const right = id + `"client_secret":"{env.TEST_SECRET}",` + url
	file := writeFile(t, "http://idp.example.com/CANARY\n")
	for name, test := range map[string]struct {
		fields string
		want   []string
	}{
		"nothing to warn about":                  {right, nil},
		"an http URL":                            {id + `"client_secret":"{env.TEST_SECRET}","token_url":"http://idp.example.com/CANARY"`, []string{"token_url"}},
		"an http URL in a variable":              {id + `"client_secret":"{env.TEST_SECRET}","token_url":"{env.TEST_URL}"`, []string{"token_url"}},
		"an http URL in a file":                  {id + `"client_secret":"{env.TEST_SECRET}","token_url":"{file.` + file + `}"`, []string{"token_url"}},
		"an http URL on loopback":                {id + `"client_secret":"{env.TEST_SECRET}","token_url":"http://127.0.0.1/t"`, nil},
		"a URL of another token is not asked":    {id + `"client_secret":"{env.TEST_SECRET}","token_url":"http://{token.q}/t"`, nil},
		"a literal client_secret":                {id + `"client_secret":"CANARY",` + url, []string{"client_secret"}},
		"a literal client_secret, escaped":       {id + `"client_secret":"\\{CANARY",` + url, []string{"client_secret"}},
		"a literal refresh_token":                {right + `,"refresh_token":"CANARY"`, []string{"refresh_token"}},
		"a literal password":                     {right + `,"token_request":{"params":{"password":"CANARY"}}`, []string{"token_request.params.password"}},
		"a literal assertion":                    {right + `,"token_request":{"params":{"assertion":"CANARY"}}`, []string{"token_request.params.assertion"}},
		"a literal header":                       {right + `,"token_request":{"headers":{"authorization":["CANARY"]}}`, []string{"token_request.headers.authorization"}},
		"a literal parameter that is no secret":  {right + `,"token_request":{"params":{"audience":"CANARY"},"headers":{"X-Tenant":["CANARY"]}}`, nil},
		"a secret that is partly a variable":     {id + `"client_secret":"CANARY{env.TEST_SECRET}",` + url, nil},
		"a secret in a file":                     {id + `"client_secret_file":"/CANARY",` + url, nil},
		"a variable with a newline":              {id + `"client_secret":"os.environ/TEST_LINE",` + url, []string{"client_secret"}},
		"a path in a variable with a newline":    {right + `,"refresh_token_file":"/x/{env.TEST_LINE}"`, nil},
		"credentials that are not sent":          {right + `,"token_request":{"encoding":"none"}`, []string{"auth_method"}},
		"no body, and credentials in a header":   {right + `,"auth_method":"client_secret_basic","token_request":{"encoding":"none"}`, nil},
		"no body, and no credentials":            {id + `"auth_method":"none",` + url + `,"token_request":{"encoding":"none"}`, nil},
		"a literal key":                          {id + url + `,"auth_method":"private_key_jwt","jwt":{"alg":"RS256","key":"CANARY"}`, []string{"jwt.key"}},
		"a literal secret of our own token":      {`"source":"self_signed","jwt":{"alg":"HS256","key":"CANARY"}`, []string{"jwt.key"}},
		"a key of a variable":                    {id + url + `,"auth_method":"private_key_jwt","jwt":{"alg":"RS256","key":"{env.TEST_SECRET}"}`, nil},
		"a key in a file":                        {id + url + `,"auth_method":"private_key_jwt","jwt":{"alg":"RS256","key_file":"/CANARY"}`, nil},
		"a key of a variable with a newline":     {id + url + `,"auth_method":"private_key_jwt","jwt":{"alg":"RS256","key":"{env.TEST_LINE}"}`, []string{"jwt.key"}},
		"a claim with a newline":                 {id + url + `,"auth_method":"private_key_jwt","jwt":{"alg":"RS256","key_file":"/k","claims":{"a":["{env.TEST_LINE}"]}}`, []string{"jwt.claims.a"}},
		"a metadata server":                      {`"token_url":"http://169.254.169.254/t","auth_method":"none","grant_type":"none","token_request":{"headers":{"Metadata":["true"]}}`, nil},
		"an http URL without credentials":        {`"token_url":"http://idp.example.com/t","auth_method":"none","grant_type":"none"`, []string{"token_url"}},
		"a metadata server by its name":          {`"token_url":"http://metadata.google.internal/t","auth_method":"none","grant_type":"none"`, nil},
		"an http URL for a JWT":                  {`"token_url":"http://idp.example.com/t","auth_method":"none","grant_type":"x","token_request":{"params":{"a":"{jwt}"}},"jwt":{"alg":"RS256","key_file":"/k"}`, []string{"token_url"}},
		"an http URL for a body":                 {`"token_url":"http://idp.example.com/t","auth_method":"none","grant_type":"none","token_request":{"body":{"a":"CANARY"}}`, []string{"token_url"}},
		"an http URL for a refresh token":        {`"token_url":"http://idp.example.com/t","auth_method":"none","grant_type":"refresh_token","refresh_token":"{env.TEST_SECRET}"`, []string{"token_url"}},
		"a literal secret in a variable":         {`"preset":"watsonx","vars":{"api_key":"CANARY"}`, []string{"vars.api_key"}},
		"a variable in a variable":               {`"preset":"watsonx","vars":{"api_key":"os.environ/TEST_SECRET"}`, nil},
		"a provider that is wrong, but not this": {`"client_id":"{","token_url":"{env.TEST_UNSET}"`, nil},
		"several at once": {
			id + `"client_secret":"CANARY","refresh_token":"CANARY","token_url":"http://idp.example.com"`,
			[]string{"token_url", "client_secret", "refresh_token"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, test.fields)
			if err != nil {
				t.Fatal(err)
			}
			if providers, err = providers.expand(DefaultEnvironment()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, warning := range providers["p"].warnings(DefaultEnvironment()) {
				got = append(got, warning.Field)
				if strings.Contains(warning.Message, canary) || warning.Message == "" {
					t.Errorf("got %q", warning.Message)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestALiteralSecretInAFileIsNotWarnedAbout(t *testing.T) {
	providers, err := parse(fileWith(`"client_id":"i","client_secret":"s","refresh_token":"r","token_url":"http://idp.example.com/t"`))
	if err != nil {
		t.Fatal(err)
	}
	if warnings := providers["p"].warnings(DefaultEnvironment()); len(warnings) != 1 || warnings[0].Field != "token_url" {
		t.Errorf("got %v", warnings)
	}
	// One that stands beside the file is warned about, though.
	if err := providers.Complement(Providers{"p": {TokenRequest: TokenRequest{Params: map[string]Template{"password": "x"}}}}); err != nil {
		t.Fatal(err)
	}
	if warnings := providers["p"].warnings(DefaultEnvironment()); len(warnings) != 2 || warnings[1].Field != "token_request.params.password" {
		t.Errorf("got %v", warnings)
	}
}
