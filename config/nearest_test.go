package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := fieldNames(reflect.TypeFor[Provider]())
	for name, want := range map[string]string{
		"client_id": "client_id", "clientid": "client_id", "CLIENT-ID": "client_id", "clientId": "client_id", "client_ids": "client_id",
		"cilent_id": "client_id", "clint_secret": "client_secret", "clientsecret": "client_secret", "scopes": "scope", "scop": "scope",
		"token_uri": "token_url", "tokenurl": "token_url", "auth_metod": "auth_method", "headers_up": "header_up", "token-request": "token_request",
		"refresh_tokn": "refresh_token", "client_secretfile": "client_secret_file", "plcae": "",
		"": "", "x": "", "audience": "", "url": "", "secret": "", "id": "", "api_key": "", "base_url": "base_url", "base-uri": "base_url", "model": "models",
		strings.Repeat("client_id", 9): "", "_-_": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("got %q of nothing", got)
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "ab", 1},
		{"abc", "xabc", 1},
		{"ab", "ba", 2},
		{"kitten", "sitting", 3},
		{"abc", "xyz", 3},
	} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q and %q: got %d, want %d", test.a, test.b, got, test.want)
		}
		if got := editDistance(test.b, test.a); got != test.want {
			t.Errorf("%q and %q: got %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

func TestAnUnknownFieldNamesProviderAndPath(t *testing.T) {
	for name, test := range map[string]struct{ within, field, name, want string }{
		"of a provider":             {"", "scopes", "scopes", "provider p: scopes: unknown field; did you mean scope?"},
		"within another":            {"token_request", "token_request.x", "x", "provider p: token_request.x: unknown field; known are scope, params"},
		"that may hide something":   {"", "(a name of 8 bytes)", "CANARY x", "provider p: (a name of 8 bytes): unknown field; known are scope, params"},
		"that has capitals, dashed": {"", "PARAM-S", "PARAM-S", "did you mean params?"},
	} {
		t.Run(name, func(t *testing.T) {
			err := UnknownField("p", test.within, test.name, []string{"scope", "params"})
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
		})
	}
}
