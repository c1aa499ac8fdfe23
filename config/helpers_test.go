package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// testEnvironment has three variables, a fixed time and a fixed UUID.
func testEnvironment() Environment {
	variables := map[string]string{"ID": "id-of-env", "SECRET": "secret-of-env", "EMPTY": ""}
	return Environment{
		LookupEnv: func(name string) (string, bool) {
			value, ok := variables[name]
			return value, ok
		},
		Token: func(_ context.Context, provider string) (tokens.Secret, error) {
			return tokens.NewSecret("token-of-" + provider), nil
		},
		Now:  func() time.Time { return time.UnixMilli(1_700_000_000_123) },
		UUID: func() string { return "00000000-0000-4000-8000-000000000000" },
	}
}

// native decodes one provider p from fields in native JSON, over a valid one.
func native(t *testing.T, fields string) (Providers, error) {
	t.Helper()
	var providers Providers
	err := json.Unmarshal([]byte(`{"p":{`+fields+`}}`), &providers)
	return providers, err
}

const validFields = `"client_id":"id","client_secret":"{env.SECRET}","token_url":"https://idp.example.com/token"`

// valid decodes a valid provider p with more fields.
func valid(t *testing.T, more string) *Provider {
	t.Helper()
	fields := validFields
	if more != "" {
		fields += "," + more
	}
	providers, err := native(t, fields)
	if err != nil {
		t.Fatal(err)
	}
	return providers["p"]
}

// fault decodes and validates fields and gives the error.
func fault(t *testing.T, fields string) error {
	t.Helper()
	providers, err := native(t, fields)
	if err != nil {
		return err
	}
	return providers.validate(testEnvironment())
}

// wantError checks that a fault is a ConfigurationError about provider p and a
// field, whose text holds some words.
func wantError(t *testing.T, err error, field string, words ...string) {
	t.Helper()
	var misconfigured *ConfigurationError
	if !errors.As(err, &misconfigured) {
		t.Fatalf("got %v, want a *ConfigurationError", err)
	}
	if misconfigured.Provider != "p" || misconfigured.Field != field {
		t.Errorf("got provider %q and field %q, want p and %q: %v", misconfigured.Provider, misconfigured.Field, field, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// canary stands for a value that no error may show.
const canary = "CANARY"

// wantNoCanary checks that neither an error nor any of its causes shows a value.
func wantNoCanary(t *testing.T, err error) {
	t.Helper()
	for _, cause := range chain(err) {
		for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
			if text := fmt.Sprintf(verb, cause); strings.Contains(text, canary) {
				t.Errorf("%T printed with %s shows a value: %s", cause, verb, text)
			}
		}
	}
}

// chain lists an error and all of its causes.
func chain(err error) []error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if one, ok := err.(interface{ Unwrap() error }); ok {
		all = append(all, chain(one.Unwrap())...)
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, cause := range many.Unwrap() {
			all = append(all, chain(cause)...)
		}
	}
	return all
}

// faultyFields lists the fields that an error is about, each with its provider.
func faultyFields(err error) []string {
	var fields []string
	for _, cause := range chain(err) {
		switch fault := any(cause).(type) {
		case *ConfigurationError:
			fields = append(fields, fault.Provider+": "+fault.Field)
		case *ValidationError:
			fields = append(fields, fault.Provider+": "+fault.Field)
		}
	}
	return fields
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	rewrite(t, path, content)
	return path
}

// rewrite replaces the content of a file.
func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, v tokens.Value) string {
	t.Helper()
	if v == nil {
		return ""
	}
	secret, err := v.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

func jsonString(text string) string {
	encoded, _ := json.Marshal(text)
	return string(encoded)
}

func fileWith(fields string) string {
	return fmt.Sprintf(`{"oauth2_providers":{"p":{%s}}}`, fields)
}
