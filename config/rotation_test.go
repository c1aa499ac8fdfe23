package config

import (
	"crypto"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// What is rotated is used without a reload, and what is broken is named.
func TestRotatedFilesAreUsedAtOnce(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) { rewrite(t, filepath.Join(folder, name), content) }
	account := func(key crypto.PrivateKey) string {
		return string(made(json.Marshal(map[string]string{"private_key": privatePEM(key)})))
	}
	const secretJWT = `"client_id":"i","client_secret_file":"<x>","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt"`
	other := strings.Repeat("y", 40)
	for name, test := range map[string]struct {
		fields        string
		before, after string
		key, rotated  any
		broken, field string
		wanted        string
	}{
		"a key": {
			signer + `"alg":"RS256","key_file":"<x>"}`, privatePEM(rsaKey()), privatePEM(otherKey()), rsaKey().Public(), otherKey().Public(),
			"CANARY", "jwt.key_file", "the file <x> must be a private key",
		},
		"a key that becomes one of another kind": {
			signer + `"alg":"RS256","key_file":"<x>"}`, privatePEM(rsaKey()), privatePEM(otherKey()), rsaKey().Public(), otherKey().Public(),
			privatePEM(ecKey()), "jwt.key_file", "the file <x> is a P-256 key",
		},
		"a key in a JSON file": {
			signer + `"alg":"RS256","key":"{json.<x>#private_key}"}`, account(rsaKey()), account(otherKey()), rsaKey().Public(), otherKey().Public(),
			`{"private_key":"CANARY"}`, "jwt.key", "the file <x> must be a private key",
		},
		"a JSON file that becomes none": {
			signer + `"alg":"RS256","key":"{json.<x>#private_key}"}`, account(rsaKey()), account(otherKey()), rsaKey().Public(), otherKey().Public(),
			`CANARY`, "jwt.key", "the file <x> must be JSON",
		},
		"a secret": {
			secretJWT, hsKey, other, []byte(hsKey), []byte(other), "CANARY", "client_secret_file", "the file <x> is shorter than 16 bytes",
		},
		"a secret that is gone": {
			secretJWT, hsKey, other, []byte(hsKey), []byte(other), "\n", "client_secret_file", "the file <x> is empty",
		},
		"a token of our own": {
			selfSigned + `"alg":"RS256","key_file":"<x>"}`, privatePEM(rsaKey()), privatePEM(otherKey()), rsaKey().Public(), otherKey().Public(),
			encryptedKeyPEM, "jwt.key_file", "the file <x> is encrypted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fill := strings.NewReplacer("<x>", filepath.Join(folder, "x"))
			endpoint := answering()
			write("x", test.before)
			fetcher := fetcherOf(t, fill.Replace(test.fields), testEnvironment(), endpoint)
			signed := func() string {
				t.Helper()
				token, err := fetcher.Fetch(t.Context(), tokens.Want{})
				if err != nil {
					t.Fatal(err)
				}
				if endpoint.request == nil {
					return token.Value.Reveal()
				}
				return endpoint.form(t).Get("client_assertion")
			}
			opened(t, signed(), test.key)
			write("x", test.after)
			opened(t, signed(), test.rotated)
			write("x", test.broken)
			endpoint.request = nil
			_, err := fetcher.Fetch(t.Context(), tokens.Want{})
			wantError(t, err, test.field, fill.Replace(test.wanted))
			wantNoCanary(t, err)
			if endpoint.request != nil {
				t.Error("the endpoint was asked nevertheless")
			}
			write("x", test.before)
			opened(t, signed(), test.key)
		})
	}
}

func TestARotatedCertificateMustBeThatOfTheKey(t *testing.T) {
	key, certificate := writeFile(t, privatePEM(rsaKey())), writeFile(t, certificatePEM(rsaKey()))
	fetcher := fetcherOf(t, signer+`"alg":"RS256","key_file":"`+key+`","certificate_file":"`+certificate+`"}`, testEnvironment(), answering())
	for _, file := range []struct{ path, content string }{{key, privatePEM(otherKey())}, {certificate, certificatePEM(otherKey())}} {
		if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
			t.Fatal(err)
		}
		rewrite(t, file.path, file.content)
		if file.path == key {
			_, err := fetcher.Fetch(t.Context(), tokens.Want{})
			wantError(t, err, "jwt.certificate_file", "the file "+certificate+" is the certificate of another key")
			rewrite(t, certificate, certificatePEM(otherKey()))
		}
	}
	if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
		t.Error(err)
	}
}

func TestAnIdentityOfAFileIsThatOfTheFile(t *testing.T) {
	files := signingFiles(t)
	address, id := writeFile(t, "https://one.example.com/t"), writeFile(t, "one")
	endpoint := answering()
	fetcher := fetcherOf(t, files.Replace(`"client_id_file":"`+id+`","token_url":"{file.`+address+`}","auth_method":"private_key_jwt","jwt":{"alg":"RS256","key_file":"<rsa>"}`), testEnvironment(), endpoint)
	for _, name := range []string{"one", "two"} {
		rewrite(t, id, name)
		rewrite(t, address, "https://"+name+".example.com/t")
		if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
			t.Fatal(err)
		}
		claims := opened(t, endpoint.form(t).Get("client_assertion"), rsaKey().Public()).Claims.(jwt.MapClaims)
		if claims["iss"] != name || claims["sub"] != name || claims["aud"] != "https://"+name+".example.com/t" {
			t.Errorf("got %v", claims)
		}
	}
	rewrite(t, address, "ftp://CANARY")
	_, err := fetcher.Fetch(t.Context(), tokens.Want{})
	if invalid, ok := errors.AsType[*ValidationError](err); !ok || invalid.Field != "token_url" {
		t.Errorf("got %v", err)
	}
	wantNoCanary(t, err)
	rewrite(t, id, "")
	_, err = fetcher.Fetch(t.Context(), tokens.Want{})
	wantError(t, err, "client_id_file", "the file "+id+" is empty")
}

func TestARotatedTokenFileIsUsedAtOnce(t *testing.T) {
	path := writeFile(t, "one\n")
	fetcher := fetcherOf(t, `"source":"file `+path+`"`, testEnvironment(), nil)
	for _, content := range []string{"one\n", " two\r\n\n", "three"} {
		rewrite(t, path, content)
		token, err := fetcher.Fetch(t.Context(), tokens.Want{})
		if err != nil || token.Value.Reveal() != strings.TrimSpace(content) || token.Lifetime != 5*time.Minute {
			t.Errorf("%q: got a token for %v, %v", content, token.Lifetime, err)
		}
	}
	for name, content := range map[string]string{"white space": "CANARY CANARY", "nothing but spaces": "  \n", "an expired token": expiredJWT} {
		rewrite(t, path, content)
		_, err := fetcher.Fetch(t.Context(), tokens.Want{})
		if failed, ok := errors.AsType[*tokens.AuthenticationError](err); !ok || failed.Provider != "p" || failed.Code != tokens.CodeInvalidResponse || !failed.Temporary() {
			t.Fatalf("%s: got %v", name, err)
		}
		if !strings.Contains(err.Error(), "the token file "+path+" holds no usable token") {
			t.Errorf("%s: %v does not name the file", name, err)
		}
		wantNoCanary(t, err)
	}
	for name, change := range map[string]func() error{
		"is empty":       func() error { return os.WriteFile(path, []byte("\n"), 0o600) },
		"cannot be read": func() error { return os.Remove(path) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		_, err := fetcher.Fetch(t.Context(), tokens.Want{})
		wantError(t, err, "source", "the file "+path+" "+name)
		rewrite(t, path, "x")
	}
}

// expiredJWT ended in 1970.
const expiredJWT = "e30.eyJleHAiOjF9.c2ln"

func TestValuesOfAJSONFileAreReadAnew(t *testing.T) {
	path := writeFile(t, `{"a":{"id":"one","secret":"s"},"n":[1,{"x":true}]}`)
	endpoint := answering()
	fetcher := fetcherOf(t, `"client_id":"{json.`+path+`#a.id}","client_secret":"x{json.`+path+`#n}","token_url":"https://idp.example.com/t"`, testEnvironment(), endpoint)
	for _, test := range []struct{ content, id, secret string }{
		{`{"a":{"id":"one"},"n":[1,{"x":true}]}`, "one", `x[1,{"x":true}]`},
		{` {"n": false, "a":{"id":"two"}} `, "two", `xfalse`},
	} {
		rewrite(t, path, test.content)
		if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
			t.Fatal(err)
		}
		if form := endpoint.form(t); form.Get("client_id") != test.id || form.Get("client_secret") != test.secret {
			t.Errorf("the endpoint was sent %v", form)
		}
	}
	for name, test := range map[string]struct{ content, want string }{
		"no JSON":             {`CANARY`, "the file " + path + " must be JSON"},
		"half of it":          {`{"a":{"id":"CANARY"`, "must be JSON"},
		"no such member":      {`{"n":"CANARY"}`, "has no member a.id"},
		"an empty member":     {`{"a":{"id":""},"n":"CANARY"}`, "has no member a.id"},
		"a member of nothing": {`{"a":{"id":null}}`, "has no member a.id"},
	} {
		rewrite(t, path, test.content)
		_, err := fetcher.Fetch(t.Context(), tokens.Want{})
		if !errors.Is(err, ErrUnresolvedReference) {
			t.Errorf("%s: got %v", name, err)
		}
		wantError(t, err, "client_id", test.want, path)
		wantNoCanary(t, err)
	}
}
