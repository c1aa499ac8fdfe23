package config

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// Reading such a value would never end, and takes the process with it.
func TestAValueThatLeadsBackToItselfIsRefused(t *testing.T) {
	key := `"jwt":{"alg":"RS256","key_file":"/missing"`
	for name, test := range map[string]struct{ fields, field string }{
		"{token_url} in token_url": {`"client_id":"i","client_secret":"{env.SECRET}","token_url":"https://x.example.com/{token_url}"`, "token_url"},
		"a secret that is the fingerprint of itself": {
			`"client_id":"i","client_secret":"{key_fingerprint}","token_url":"https://x.example.com/t","auth_method":"client_secret_jwt"`, "client_secret",
		},
		"a secret that it signs":  {`"client_id":"i","client_secret":"{jwt}","token_url":"https://x.example.com/t","auth_method":"client_secret_jwt"`, "client_secret"},
		"a client that is proved": {`"client_id":"{jwt}","token_url":"https://x.example.com/t","auth_method":"private_key_jwt",` + key + `}`, "client_id"},
		"a URL that is its audience": {
			`"client_id":"i","token_url":"https://x.example.com/{jwt}","auth_method":"private_key_jwt",` + key + `,"claims":{"aud":"{token_url}"}}`, "token_url",
		},
		"a claim": {`"client_id":"i","token_url":"https://x.example.com/t","auth_method":"private_key_jwt",` + key + `,"claims":{"a":["{jwt}"]}}`, "jwt.claims.a"},
		"a key that is at the URL of its fingerprint": {
			`"client_id":"i","client_secret":"{env.SECRET}","token_url":"https://x.example.com/{key_fingerprint}","jwt":{"alg":"RS256","key":"{token_url}"}`, "jwt.key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := fault(t, test.fields)
			wantFaultIn(t, err, test.field, "refers to itself through {token_url}, {jwt} or {key_fingerprint}")
			providers, err := native(t, test.fields)
			if err != nil {
				t.Fatal(err)
			}
			// Nothing else reads it, either.
			if _, err := providers["p"].client(testEnvironment()); err == nil {
				t.Error("there is a client")
			}
			_ = providers["p"].warnings(DefaultEnvironment())
			_ = providers["p"].ValidateLiterals("p")
		})
	}
}

// wantFaultIn checks that one of the faults is about a field.
func wantFaultIn(t *testing.T, err error, field, text string) {
	t.Helper()
	if err == nil || !slices.Contains(faultyFields(err), "p: "+field) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want a fault in %s", err, field)
	}
}

// A configuration is looked at without asking anybody for a token, however it is
// referred to.
func TestValidateAsksForNoTokenHoweverItIsReferredTo(t *testing.T) {
	environment := testEnvironment()
	environment.Token = func(context.Context, string) (tokens.Secret, error) {
		t.Error("a token was asked for")
		return tokens.Secret{}, nil
	}
	for name, fields := range map[string]string{
		"a key":                      `"source":"self_signed","jwt":{"alg":"HS256","key":"{token.q}"}`,
		"the ID of a key":            `"source":"self_signed","jwt":{"alg":"HS256","key":"{env.SECRET}-of-16-bytes","key_id":"{token.q}"}`,
		"a secret that signs":        `"client_id":"i","client_secret":"{token.q}","token_url":"https://x.example.com/t","auth_method":"client_secret_jwt"`,
		"the URL in a parameter":     `"client_id":"i","client_secret":"{env.SECRET}","token_url":"https://x.example.com/{token.q}","token_request":{"params":{"a":"{token_url}"}}`,
		"a parameter and a variable": validFields + `,"token_request":{"params":{"a":"{token.q}{env.ID}"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, fields)
			if err != nil {
				t.Fatal(err)
			}
			providers["q"] = valid(t, "")
			if err := providers.validate(environment); err != nil {
				t.Error(err)
			}
		})
	}
}
