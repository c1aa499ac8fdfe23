package config

import (
	"slices"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func TestAWrongSourceIsRefused(t *testing.T) {
	files := signingFiles(t)
	const own = `"source":"self_signed","jwt":{"alg":"RS256","key_file":"<rsa>"}`
	for name, test := range map[string]struct{ fields, field, want string }{
		"an unknown source":                   {validFields + `,"source":"CANARY"`, "source", "must be one of request, self_signed, file PATH"},
		"a file without a path":               {`"source":"file"`, "source", "must be one of request"},
		"a file with a path of spaces":        {`"source":"file  "`, "source", "must be one of request"},
		"a word behind request":               {validFields + `,"source":"request CANARY"`, "source", "must be one of request"},
		"a word behind self_signed":           {`"source":"self_signed CANARY"`, "source", "must be one of request"},
		"a source in capitals":                {validFields + `,"source":"Request"`, "source", "must be one of request"},
		"a variable as source":                {validFields + `,"source":"os.environ/ID"`, "source", "must be one of request"},
		"a file that is missing":              {`"source":"file /missing"`, "source", "the file /missing cannot be read"},
		"a path with another placeholder":     {`"source":"file /CANARY{uuid}"`, "source", "a path may hold {env.NAME}"},
		"a path with the token of a provider": {`"source":"file /CANARY{token.p}"`, "source", "a path may hold {env.NAME}"},
		"a path with a variable":              {`"source":"file {env.UNSET}/CANARY"`, "source", "UNSET is not set"},
		"a client_id of our own token":        {own + `,"client_id":"CANARY"`, "client_id", "is not used: with source self_signed no token endpoint is asked"},
		"a client_id_file":                    {own + `,"client_id_file":"<secret>"`, "client_id_file", "is not used"},
		"a client_secret":                     {own + `,"client_secret":"CANARY"`, "client_secret", "is not used"},
		"a token_url":                         {own + `,"token_url":"https://CANARY.com"`, "token_url", "is not used"},
		"a scope":                             {own + `,"scope":"CANARY"`, "scope", "is not used"},
		"a refresh token":                     {own + `,"refresh_token":"CANARY"`, "refresh_token", "is not used"},
		"an auth_method":                      {own + `,"auth_method":"none"`, "auth_method", "is not used"},
		"a grant_type":                        {own + `,"grant_type":"CANARY"`, "grant_type", "is not used"},
		"a token request":                     {own + `,"token_request":{"timeout":"1s"}`, "token_request", "is not used"},
		"a place in an answer":                {own + `,"token_response":{"token":["CANARY"]}`, "token_response.token", "is not used"},
		"a rule for an answer":                {own + `,"token_response":{"expiry":[{"path":"CANARY","unit":"unix"}]}`, "token_response.expiry", "is not used"},
		"a client_id beside a file":           {`"source":"file <token>","client_id":"CANARY"`, "client_id", "is not used: with source file no token endpoint is asked"},
		"a place in an answer beside a file":  {`"source":"file <token>","token_response":{"token":["CANARY"]}`, "token_response.token", "is not used"},
		"its own token in a claim":            {own + `,"base_url":"https://{token.p}.CANARY"`, "base_url", "{token} cannot stand here"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fault(t, files.Replace(test.fields))
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
		})
	}
}

func TestARightSourceIsAccepted(t *testing.T) {
	files := signingFiles(t)
	for name, fields := range map[string]string{
		"the default in words":           validFields + `,"source":"request"`,
		"no word":                        validFields + `,"source":""`,
		"a file":                         `"source":"file <token>"`,
		"a file with spaces before it":   `"source":"file   <token> "`,
		"a file and bounds of its life":  `"source":"file <token>","token_response":{"default_ttl":"1m","max_ttl":"2m"}`,
		"a file and what LLMs get of it": `"source":"file <token>","refresh_before":"1m","base_url":"https://x.com","place":{"header":"X-A"},"header_up":{"set":{"B":["c"]}}`,
		"self_signed and bounds":         `"source":"self_signed","token_response":{"max_ttl":"2m"},"jwt":{"alg":"RS256","key_file":"<rsa>"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := fault(t, files.Replace(fields)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPathWithSpacesIsOnePath(t *testing.T) {
	path := writeFile(t, "T") + " of\tmine"
	rewrite(t, path, "T2")
	token, err := fetcherOf(t, `"source":`+jsonString("file "+path), testEnvironment(), nil).Fetch(t.Context(), tokens.Want{})
	if err != nil || token.Value.Reveal() != "T2" {
		t.Errorf("got %v", err)
	}
}

func TestAPathMayHoldVariables(t *testing.T) {
	path := writeFile(t, "T")
	environment := with(testEnvironment(), map[string]string{"FOLDER": path[:len(path)-2], "E": "e"})
	for _, source := range []string{"{env.FOLDER}u{env.E}", "{env.FOLDER}ue"} {
		token, err := fetcherOf(t, `"source":"file `+source+`"`, environment, nil).Fetch(t.Context(), tokens.Want{})
		if err != nil || token.Value.Reveal() != "T" {
			t.Errorf("%s: got %v", source, err)
		}
	}
}

func TestHowLongATokenOfAFileLives(t *testing.T) {
	for name, test := range map[string]struct {
		content, response string
		want              time.Duration
	}{
		"a token that says nothing":   {"T", ``, 5 * time.Minute},
		"a default":                   {"T", `"default_ttl":"1m"`, time.Minute},
		"a JWT":                       {fileJWT, `"default_ttl":"1m"`, 10 * time.Minute},
		"a JWT that lives too long":   {fileJWT, `"max_ttl":"2m"`, 2 * time.Minute},
		"a default that is too long":  {"T", `"default_ttl":"1h","max_ttl":"2m"`, 2 * time.Minute},
		"a bound that is not reached": {fileJWT, `"max_ttl":"2h"`, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, test.content)
			atGoldenTime(t, func(t *testing.T) {
				token, err := fetcherOf(t, `"source":"file `+path+`","token_response":{`+test.response+`}`, testEnvironment(), nil).Fetch(t.Context(), tokens.Want{})
				if err != nil || token.Lifetime != test.want {
					t.Errorf("it lives for %v, want %v, %v", token.Lifetime, test.want, err)
				}
			})
		})
	}
}

func TestTheFetcherIsThatOfTheSource(t *testing.T) {
	files := signingFiles(t)
	completed := 0
	for fields, want := range map[string]string{
		validFields:               "client",
		`"source":"file <token>"`: "file",
		`"source":"self_signed","jwt":{"alg":"RS256","key_file":"<rsa>"}`: "self_signed",
		`"source":"CANARY"`:                              "source",
		`"jwt":{"alg":"CANARY"}`:                         "jwt.alg",
		`"source":"file {CANARY}","client_id":"{CANARY"`: "source",
	} {
		providers, err := native(t, files.Replace(fields))
		if err != nil {
			t.Fatal(err)
		}
		p := providers["p"]
		fetcher, err := providers.fetcher("p", testEnvironment(), nil, func(*tokens.Client) { completed++ })
		got := ""
		switch fetcher.(type) {
		case *tokens.Client:
			got = "client"
		case *tokens.TokenFile:
			got = "file"
		case *tokens.SelfSigned:
			got = "self_signed"
		}
		if err != nil {
			wantNoCanary(t, err)
			if got = "nothing"; slices.Contains(faultyFields(err), "p: "+want) {
				got = want
			}
		}
		if got != want {
			t.Errorf("%s gives %s, %v", fields, got, err)
		}
		retries := 0
		if want == "client" || want == "source" && fields == `"source":"CANARY"` || want == "jwt.alg" {
			retries = 3
		}
		if p.effectiveRetries() != retries {
			t.Errorf("%s is retried %d times", fields, p.effectiveRetries())
		}
	}
	if completed != 1 {
		t.Errorf("%d clients were completed", completed)
	}
	if _, err := (Providers{"p": valid(t, "")}).fetcher("p", testEnvironment(), nil, nil); err != nil {
		t.Error(err)
	}
}
