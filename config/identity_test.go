package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// identityOf is the name of p's token request in a storage, as its values read now.
func identityOf(t *testing.T, all Providers) string {
	t.Helper()
	expanded, err := all.expand(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	read, err := expanded.identity("p", testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	identity, err := read(t.Context())
	if err != nil || len(identity.ID()) != 32 {
		t.Fatalf("got %q, %v", identity.ID(), err)
	}
	return identity.ID()
}

// A folderOfFiles fills <name> in fields with the path of a file.
type folderOfFiles struct{ folder string }

func (f folderOfFiles) write(t *testing.T, name, content string) {
	t.Helper()
	rewrite(t, filepath.Join(f.folder, name), content)
}

func (f folderOfFiles) provider(t *testing.T, fields string) Providers {
	t.Helper()
	fields = strings.NewReplacer("<", f.folder+"/", ">", "").Replace(fields)
	providers, err := native(t, fields)
	if err != nil {
		t.Fatal(err)
	}
	return providers
}

const (
	clientOfFile = `"client_id":"i","token_url":"https://idp.example.com/t","client_secret_file":"<secret>"`
	clientOfText = `"client_id":"i","token_url":"https://idp.example.com/t","client_secret":"s3cret"`
	keyOfFile    = signer + `"alg":"RS256","key_file":"<key>"}`
)

func TestTheSameCredentialsHaveTheSameIdentityWhereverTheyStand(t *testing.T) {
	files := folderOfFiles{t.TempDir()}
	files.write(t, "secret", "s3cret\n")
	files.write(t, "copy", "s3cret")
	files.write(t, "json", `{"secret":"s3cret","key":`+jsonString(privatePEM(rsaKey()))+`}`)
	files.write(t, "key", privatePEM(rsaKey()))
	for name, fields := range map[string][2]string{
		"a file and the text":              {clientOfFile, clientOfText},
		"a file and one of another path":   {clientOfFile, strings.Replace(clientOfFile, "<secret>", "<copy>", 1)},
		"a field and one with a file":      {clientOfFile, strings.Replace(clientOfFile, `_file":"<secret>"`, `":"{file.<copy>}"`, 1)},
		"a member of a JSON file":          {clientOfText, strings.Replace(clientOfText, "s3cret", "{json.<json>#secret}", 1)},
		"a text and one in two parts":      {clientOfText + `,"scope":"id-of-env/x"`, clientOfText + `,"scope":"{env.ID}/x"`},
		"a default that is written":        {clientOfText, clientOfText + `,"auth_method":"client_secret_post","grant_type":"client_credentials"`},
		"what shapes LLM requests":         {clientOfText, clientOfText + `,"base_url":"https://llm.example.com","refresh_before":"1m"`},
		"a key and one in a variable file": {signer + `"alg":"RS256","key":"{json.<json>#key}"}`, signer + `"alg":"RS256","key":"{json.<json>#key}"}`},
		"what is another each time":        {clientOfText + `,"token_request":{"params":{"a":"{uuid}{now}{now_ms}"}}`, clientOfText + `,"token_request":{"params":{"a":"{uuid}{now}{now_ms}"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if identityOf(t, files.provider(t, fields[0])) != identityOf(t, files.provider(t, fields[1])) {
				t.Error("there are two identities")
			}
		})
	}
}

func TestAnIdentityIsThatOfAllThatShapesTheToken(t *testing.T) {
	files := folderOfFiles{t.TempDir()}
	files.write(t, "secret", "s3cret")
	files.write(t, "key", privatePEM(rsaKey()))
	seen := make(map[string]string)
	for name, fields := range map[string]string{
		"the client":                clientOfFile,
		"another secret":            strings.Replace(clientOfText, "s3cret", "other", 1),
		"another client":            strings.Replace(clientOfText, `"i"`, `"j"`, 1),
		"another endpoint":          strings.Replace(clientOfText, "/t", "/u", 1),
		"a scope":                   clientOfText + `,"scope":"a"`,
		"a parameter":               clientOfText + `,"token_request":{"params":{"a":"b"}}`,
		"a parameter and more text": clientOfText + `,"token_request":{"params":{"a":"b{uuid}"}}`,
		"{uuid}":                    clientOfText + `,"token_request":{"params":{"a":"{uuid}"}}`,
		"{now}":                     clientOfText + `,"token_request":{"params":{"a":"{now}"}}`,
		"the name of {uuid}":        clientOfText + `,"token_request":{"params":{"a":"uuid"}}`,
		"a password":                clientOfText + `,"token_request":{"params":{"password":"b"}}`,
		"a header":                  clientOfText + `,"token_request":{"headers":{"A":["b"]}}`,
		"a body":                    clientOfText + `,"token_request":{"body":{"a":["b"]}}`,
		"an encoding":               clientOfText + `,"token_request":{"encoding":"json"}`,
		"a transport":               clientOfText + `,"token_request":{"transport":{"protocol":"http"}}`,
		"another auth_method":       clientOfText + `,"auth_method":"client_secret_basic"`,
		"a place of the token":      clientOfText + `,"token_response":{"token":["t"]}`,
		"a refresh token":           clientOfText + `,"refresh_token":"r"`,
		"another refresh token":     clientOfText + `,"refresh_token":"s"`,
		"a secret that signs":       strings.Replace(clientOfText, "s3cret", hsKey, 1) + `,"auth_method":"client_secret_jwt"`,
		"a key":                     keyOfFile,
		"a claim":                   strings.Replace(keyOfFile, `{"alg"`, `{"claims":{"a":"b"},"alg"`, 1),
	} {
		id := identityOf(t, files.provider(t, fields))
		if other := seen[id]; other != "" {
			t.Errorf("%s has the identity of %s", name, other)
		}
		seen[id] = name
	}
	p := files.provider(t, clientOfText)["p"]
	named, err := Providers{"q": p}.identity("q", testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	if identity, err := named(t.Context()); err != nil || seen[identity.ID()] != "" {
		t.Errorf("a provider of another name has the identity of %s, %v", seen[identity.ID()], err)
	}
}

func TestARotatedFileGivesAnotherIdentityAndTheFirstContentTheFirst(t *testing.T) {
	files := folderOfFiles{t.TempDir()}
	for name, test := range map[string]struct{ fields, before, after string }{
		"a secret":        {strings.ReplaceAll(clientOfFile, "<secret>", "<x>"), "one", "two"},
		"a refresh token": {clientOfText + `,"refresh_token_file":"<x>"`, "one", "two"},
		"a key":           {signer + `"alg":"RS256","key_file":"<x>"}`, privatePEM(rsaKey()), privatePEM(otherKey())},
		"a key of HS256":  {`"client_id":"i","client_secret_file":"<x>","token_url":"https://x.com","auth_method":"client_secret_jwt"`, hsKey, hsKey + "x"},
		"a scope":         {clientOfText + `,"scope":"{file.<x>}"`, "one", "two"},
	} {
		t.Run(name, func(t *testing.T) {
			files.write(t, "x", test.before)
			providers := files.provider(t, test.fields)
			read, err := providers.identity("p", testEnvironment())
			if err != nil {
				t.Fatal(err)
			}
			id := func() string {
				identity, err := read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return identity.ID()
			}
			before := id()
			files.write(t, "x", test.after)
			if id() == before {
				t.Error("the identity is the same")
			}
			files.write(t, "x", test.before)
			if id() != before {
				t.Error("the first content again has another identity")
			}
			if err := os.Remove(filepath.Join(files.folder, "x")); err != nil {
				t.Fatal(err)
			}
			if _, err := read(t.Context()); !errors.Is(err, ErrUnresolvedReference) {
				t.Errorf("without the file: got %v", err)
			}
		})
	}
}

// The token of another provider is another one each hour, the request for it is not.
func TestTheTokenOfAnotherProviderCountsByItsRequest(t *testing.T) {
	files := folderOfFiles{t.TempDir()}
	files.write(t, "token", "one")
	chain := func(of Providers) Providers {
		all := files.provider(t, clientOfText+`,"token_request":{"params":{"subject_token":"{token.q}"}}`)
		all["q"] = of["p"]
		return all
	}
	q := files.provider(t, clientOfText)
	before := identityOf(t, chain(q))
	q["p"].Scope = "other"
	if identityOf(t, chain(q)) == before {
		t.Error("another scope of the other provider is not seen")
	}
	q = files.provider(t, `"source":"file <token>"`)
	before = identityOf(t, chain(q))
	files.write(t, "token", "two")
	if identityOf(t, chain(q)) == before {
		t.Error("another token file of the other provider is not seen")
	}
}

func TestWhatHasNoSecretOfItsOwnIsNotShareable(t *testing.T) {
	files := folderOfFiles{t.TempDir()}
	const none = "the token request holds no client_secret, signing key or refresh token"
	for name, test := range map[string]struct{ fields, reason string }{
		"a metadata server":                     {`"preset":"vertex_metadata"`, none},
		"a federated identity":                  {`"client_id":"i","token_url":"https://x.com","auth_method":"none","grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","token_request":{"params":{"assertion":"{file.<token>}"}}`, none},
		"a password":                            {`"token_url":"https://x.com","auth_method":"none","grant_type":"password","token_request":{"params":{"password":"{env.SECRET}"}}`, none},
		"tls_client_auth":                       {`"client_id":"i","token_url":"https://x.com","auth_method":"tls_client_auth"`, none},
		"a secret that is the token of another": {`"client_id":"i","token_url":"https://x.com","client_secret":"x{token.shared}"`, none},
		"a token that differs by instance":      {clientOfText + `,"scope":"{token.metadata}"`, "it needs the token of provider metadata, which may differ by instance"},
		"a token that needs one that differs":   {clientOfText + `,"scope":"{token.signed}"`, "it needs the token of provider signed, which may differ by instance"},
		"a JWT that is the token":               {selfSigned + `"alg":"RS256","key_file":"<key>"}`, "with source self_signed no token endpoint is asked"},
		"a file":                                {`"source":"file <token>"`, "with source file no token endpoint is asked"},
	} {
		t.Run(name, func(t *testing.T) {
			all := files.provider(t, test.fields)
			all["shared"] = valid(t, "")
			all["metadata"] = files.provider(t, `"preset":"vertex_metadata"`)["p"]
			all["signed"] = files.provider(t, selfSigned+`"alg":"RS256","key_file":"<key>","claims":{"a":"{token.metadata}"}}`)["p"]
			all, err := all.expand(testEnvironment())
			if err != nil {
				t.Fatal(err)
			}
			_, err = all.identity("p", testEnvironment())
			own, ok := errors.AsType[*notShareableError](err)
			if !ok || own.reason != test.reason {
				t.Fatalf("got %v", err)
			}
			fetcher, err := all.fetcher("p", testEnvironment(), nil, nil)
			if client, ok := fetcher.(*tokens.Client); err != nil || ok && client.Identity != nil {
				t.Errorf("it has an identity nevertheless, or %v", err)
			}
		})
	}
}

func TestAClientKnowsItsIdentity(t *testing.T) {
	all := Providers{"p": valid(t, "")}
	fetcher, err := all.fetcher("p", testEnvironment(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := fetcher.(*tokens.Client).Identity(t.Context())
	if err != nil || identity.ID() != identityOf(t, all) {
		t.Errorf("got %s, %v", identity.ID(), err)
	}
}

func TestAnIdentityThatCannotBeDerived(t *testing.T) {
	for name, test := range map[string]struct{ fields, field, want string }{
		"a template that is wrong":            {`"client_id":"{CANARY","client_secret":"s","token_url":"https://x.com"`, "client_id", "has no"},
		"a token of nobody":                   {validFields + `,"scope":"{token.q}"`, "scope", "no provider of this name is declared"},
		"a provider that needs its own token": {validFields + `,"scope":"{token.p}"`, "scope", "p → p"},
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, test.fields)
			if err != nil {
				t.Fatal(err)
			}
			_, err = providers.identity("p", testEnvironment())
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
		})
	}
	read, err := Providers{"p": valid(t, `"scope":"{env.UNSET}"`)}.identity("p", testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	_, err = read(t.Context())
	wantError(t, err, "scope", "UNSET is not set")
	if _, err := (Providers{}).identity("p", testEnvironment()); err == nil {
		t.Error("a provider that is not declared has an identity")
	}
}
