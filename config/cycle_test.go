package config

import (
	"fmt"
	"strings"
	"testing"
)

// needing makes a provider whose token request needs the tokens of others.
func needing(t *testing.T, others ...string) *Provider {
	t.Helper()
	p := valid(t, "")
	for i, other := range others {
		if p.TokenRequest.Params == nil {
			p.TokenRequest.Params = make(map[string]Template)
		}
		p.TokenRequest.Params[fmt.Sprintf("x%d", i)] = Template("{token." + other + "}")
	}
	return p
}

func TestProvidersThatNeedEachOthersTokensAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		needs map[string][]string
		want  []string
	}{
		"no tokens":                       {map[string][]string{"a": nil, "b": nil}, nil},
		"a chain":                         {map[string][]string{"a": {"b"}, "b": {"c"}, "c": nil}, nil},
		"a rhombus is not a circle":       {map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": nil}, nil},
		"the same token twice":            {map[string][]string{"a": {"b", "b"}, "b": nil}, nil},
		"itself":                          {map[string][]string{"a": {"a"}}, []string{"provider a: token_request.params.x0: the providers need each other's tokens: a → a"}},
		"two":                             {map[string][]string{"a": {"b"}, "b": {"a"}}, []string{"provider b: token_request.params.x0: the providers need each other's tokens: a → b → a"}},
		"three, behind one that is none":  {map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}, []string{"provider d: token_request.params.x0: the providers need each other's tokens: b → c → d → b"}},
		"two circles":                     {map[string][]string{"a": {"a"}, "b": {"b"}}, []string{"a → a", "b → b"}},
		"two circles through one":         {map[string][]string{"a": {"b", "c"}, "b": {"a"}, "c": {"a"}}, []string{"a → b → a", "a → c → a"}},
		"nobody's":                        {map[string][]string{"a": {"z"}}, []string{"provider a: token_request.params.x0: {token.z}: no provider of this name is declared"}},
		"nobody's, with a similar name":   {map[string][]string{"a": {"gatway"}, "gateway": nil}, []string{"{token.gatway}: no provider of this name is declared; did you mean gateway?"}},
		"nobody's, found on two ways":     {map[string][]string{"a": {"c"}, "b": {"c"}, "c": {"z"}}, []string{"provider c: token_request.params.x0: {token.z}"}},
		"nobody's, with a name to hide":   {map[string][]string{"a": {"z z"}}, []string{"{token.(a name of 3 bytes)}: no provider"}},
		"a circle and nobody's, together": {map[string][]string{"a": {"a", "z"}}, []string{"a → a", "{token.z}"}},
	} {
		t.Run(name, func(t *testing.T) {
			providers := make(Providers)
			for name, others := range test.needs {
				providers[name] = needing(t, others...)
			}
			err := providers.validate(testEnvironment())
			if len(test.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it is accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("got %v", err)
			}
			for i, want := range test.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("got %q, want %q", lines[i], want)
				}
			}
		})
	}
}

func TestATokenMayBeNeededInAnyValue(t *testing.T) {
	for _, fields := range []string{
		`"client_id":"{token.p}","client_secret":"s","token_url":"https://x.com"`,
		`"client_id":"i","client_secret":"{token.p}","token_url":"https://x.com"`,
		`"client_id":"i","client_secret":"s","token_url":"https://x.com/{token.p}"`,
		validFields + `,"scope":"{token.p}"`,
		validFields + `,"refresh_token":"{token.p}"`,
		validFields + `,"token_request":{"params":{"x":"a{token.p}"}}`,
		validFields + `,"token_request":{"headers":{"X":["y","a{token.p}"]}}`,
	} {
		if err := fault(t, fields); err == nil || !strings.Contains(err.Error(), "p → p") {
			t.Errorf("%s: got %v", fields, err)
		}
	}
}

func TestProvidersThatAreNotThereNeedNoTokens(t *testing.T) {
	err := (Providers{"a": nil, "b": needing(t, "a")}).validate(testEnvironment())
	if err == nil || !strings.Contains(err.Error(), "{token.a}: no provider of this name is declared") {
		t.Errorf("got %v", err)
	}
}

// A token may be held in many places, and each may close a circle.
func TestACircleIsFoundInEveryPlace(t *testing.T) {
	const signing = validFields + `,"token_request":{"params":{"x":"{jwt}"}},"jwt":{"alg":"HS256",`
	for field, fields := range map[string]string{
		"token_request.body":      validFields + `,"token_request":{"body":{"a":[{"b":"{token.q}"}]}}`,
		"jwt.claims.a":            signing + `"key":"` + hsKey + `","claims":{"a":["x",{"b":"{token.q}"}]}}`,
		"jwt.header.a":            signing + `"key":"` + hsKey + `","header":{"a":"{token.q}"}}`,
		"jwt.key":                 signing + `"key":"{token.q}"}`,
		"token_request.params.a":  `"client_id":"i","token_url":"https://x.com","vars":{"other":"q"},"auth_method":"none","token_request":{"params":{"a":"{token.{var.other}}"}}`,
		"token_request.headers.A": validFields + `,"token_request":{"headers":{"A":["b","{token.q}"]}}`,
		"client_secret":           `"client_id":"i","client_secret":"{token.q}","token_url":"https://x.com"`,
	} {
		t.Run(field, func(t *testing.T) {
			providers, err := native(t, fields)
			if err != nil {
				t.Fatal(err)
			}
			providers["q"] = valid(t, `"token_request":{"body":{"a":"{token.p}"}}`)
			if providers, err = providers.expand(testEnvironment()); err != nil {
				t.Fatal(err)
			}
			want := "provider q: token_request.body: the providers need each other's tokens: p → q → p"
			if err := providers.validate(testEnvironment()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			if _, err := providers.fingerprint("p", testEnvironment()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("its fingerprint: %v", err)
			}
			delete(providers, "q")
			wantError(t, providers.validate(testEnvironment()), field, "{token.q}: no provider of this name is declared")
		})
	}
}
