package config

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func TestAClientHasTheProvidersValues(t *testing.T) {
	p := valid(t, `"scope":"a b","refresh_token":"rt","auth_method":"client_secret_basic","grant_type":"urn:x",
		"token_request":{"params":{"resource":"r","audience":"a"},"headers":{"X-B":["1","2"],"X-A":["{uuid}"]},
		"method":"PUT","encoding":"json","timeout":"3s","retries":0,"retry_on":[404]}`)
	client, err := p.client(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		read(t, client.ClientID): "id", read(t, client.ClientSecret): "secret-of-env", read(t, client.Scope): "a b",
		read(t, client.RefreshToken): "rt", read(t, client.TokenURL): "https://idp.example.com/token",
		client.GrantType: "urn:x", client.Method: "PUT", string(client.Encoding): "json",
		string(client.AuthMethod): "client_secret_basic", client.Provider: "p",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var names []string
	for _, parameter := range append(client.Parameters, client.Header...) {
		names = append(names, parameter.Name+"="+read(t, parameter.Value))
	}
	want := []string{"audience=a", "resource=r", "X-A=00000000-0000-4000-8000-000000000000", "X-B=1", "X-B=2"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if client.Timeout != 3*time.Second || !slices.Equal(client.RetryOn, []int{404}) || p.effectiveRetries() != 0 {
		t.Error("limits are not those of the provider")
	}
}

func TestAClientHasDefaults(t *testing.T) {
	p := valid(t, "")
	client, err := p.client(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	if client.AuthMethod != tokens.ClientSecretPost || client.GrantType != tokens.GrantClientCredentials ||
		client.Method != http.MethodPost || client.Encoding != tokens.EncodingForm || client.Timeout != 10*time.Second || p.effectiveRetries() != 3 {
		t.Errorf("got %+v", client)
	}
	if client.Scope != nil || client.RefreshToken != nil || client.Parameters != nil || client.Header != nil {
		t.Error("what is not configured is not nil")
	}
}

func TestWordsMayBeVariables(t *testing.T) {
	environment := testEnvironment()
	environment.LookupEnv = func(name string) (string, bool) {
		value, ok := map[string]string{"METHOD": "client_secret_basic", "GRANT": "password", "ENC": "query", "SECRET": "s"}[name]
		return value, ok
	}
	p := valid(t, `"auth_method":"os.environ/METHOD","grant_type":"{env.GRANT}","token_request":{"encoding":"os.environ/ENC"}`)
	if err := (Providers{"p": p}).validate(environment); err != nil {
		t.Fatal(err)
	}
	client, err := p.client(environment)
	if err != nil || client.AuthMethod != tokens.ClientSecretBasic || client.GrantType != "password" || client.Encoding != tokens.EncodingQuery {
		t.Errorf("got %+v, %v", client, err)
	}
	wantError(t, fault(t, validFields+`,"grant_type":"{file./x}"`), "grant_type", "may only hold {env.NAME}")
	wantError(t, fault(t, validFields+`,"auth_method":"os.environ/UNSET"`), "auth_method", "UNSET is not set")
}

func TestFilesAreReadAnewAndOneNewlineIsRemoved(t *testing.T) {
	for content, want := range map[string]string{"a\n": "a", "a\r\n": "a", "a\n\n": "a\n", "a\r": "a\r", " a ": " a ", "a": "a"} {
		path := writeFile(t, content)
		p := valid(t, "")
		p.ClientSecret, p.ClientSecretFile = "", Path(path)
		client, err := p.client(testEnvironment())
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, client.ClientSecret); got != want {
			t.Errorf("%q reads as %q, want %q", content, got, want)
		}
		if err := os.WriteFile(path, []byte("rotated\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(t, client.ClientSecret); got != "rotated" {
			t.Errorf("after the rotation it reads as %q", got)
		}
	}
}

func TestAReferenceThatFailsLaterIsAnUnresolvedReference(t *testing.T) {
	path := writeFile(t, "s")
	p := valid(t, "")
	p.ClientSecret, p.ClientSecretFile = "", Path(path)
	if err := (Providers{"p": p}).validate(testEnvironment()); err != nil {
		t.Fatal(err)
	}
	client, err := p.client(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"an empty file":   func() error { return os.WriteFile(path, []byte("\n"), 0o600) },
		"a missing file":  func() error { return os.Remove(path) },
		"a folder":        func() error { return os.MkdirAll(path, 0o700) },
		"a file too long": func() error { _ = os.Remove(path); return os.WriteFile(path, make([]byte, 1<<20+1), 0o600) },
	} {
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte("s"), 0o600); err != nil {
			t.Fatal(name, err)
		}
		if name == "a folder" {
			_ = os.Remove(path)
		}
		if err := change(); err != nil {
			t.Fatal(name, err)
		}
		_, err := client.ClientSecret.Read(t.Context())
		if !errors.Is(err, ErrUnresolvedReference) {
			t.Errorf("%s: got %v", name, err)
		}
		wantError(t, err, "client_secret_file", path)
	}
}

func TestARuleHoldsAtEveryRead(t *testing.T) {
	path := writeFile(t, "https://idp.example.com/token")
	p := valid(t, `"token_request":{"headers":{"X":["{file.`+path+`}"]}}`)
	p.TokenURL = Template("{file." + path + "}")
	client, err := p.client(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, client.TokenURL); got != "https://idp.example.com/token" {
		t.Errorf("got %s", got)
	}
	if err := os.WriteFile(path, []byte("ftp://idp\r\nX: y"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = client.TokenURL.Read(t.Context())
	var invalid *ValidationError
	if !errors.As(err, &invalid) || invalid.Provider != "p" || invalid.Field != "token_url" {
		t.Errorf("got %v", err)
	}
	_, err = client.Header[0].Value.Read(t.Context())
	wantError(t, err, "token_request.headers.X", "line break")
}

func TestTheFailureOfAnotherProvidersTokenStaysWhatItIs(t *testing.T) {
	cause := &tokens.AuthenticationError{Provider: "q", Code: tokens.CodeInvalidClient, Status: 401, Description: "wrong secret"}
	environment := testEnvironment()
	environment.Token = func(context.Context, string) (tokens.Secret, error) { return tokens.Secret{}, cause }
	client, err := valid(t, `"token_request":{"params":{"assertion":"{token.q}"}}`).client(environment)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Parameters[0].Value.Read(t.Context())
	var failed *tokens.AuthenticationError
	if !errors.As(err, &failed) || failed.Code != tokens.CodeInvalidClient || failed.Status != 0 || failed.Description != "" || !errors.Is(err, cause) || errors.Is(err, ErrUnresolvedReference) {
		t.Errorf("got %v", err)
	}
	environment.Token = func(context.Context, string) (tokens.Secret, error) { return tokens.Secret{}, context.Canceled }
	client, _ = valid(t, `"token_request":{"params":{"assertion":"{token.q}"}}`).client(environment)
	if _, err = client.Parameters[0].Value.Read(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	client, _ = valid(t, `"token_request":{"params":{"assertion":"{token.q}"}}`).client(Environment{})
	if _, err = client.Parameters[0].Value.Read(t.Context()); err == nil {
		t.Error("a token came from nowhere")
	}
}

func TestAClientNeedsATokenURLAndAnID(t *testing.T) {
	if err := (&Provider{}).only().validate(Environment{}); err == nil {
		t.Error("got no error")
	}
	if _, err := (&Provider{ClientID: "{"}).client(Environment{}); err == nil {
		t.Error("got no error")
	}
}

func TestTheDefaultEnvironmentIsTheProcess(t *testing.T) {
	t.Setenv("TEST_VARIABLE", "value")
	environment := DefaultEnvironment()
	if value, ok := environment.LookupEnv("TEST_VARIABLE"); !ok || value != "value" {
		t.Error("variables are not those of the process")
	}
	if a, b := environment.UUID(), environment.UUID(); a == b || len(a) != 36 {
		t.Errorf("got the UUIDs %s and %s", a, b)
	}
	if time.Since(environment.Now()) > time.Minute {
		t.Error("the time is not now")
	}
}
