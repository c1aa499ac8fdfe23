package config

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// certified are the fields of a client that its certificate proves, signedWithKey
// those of one that signs with a key that is not read.
const (
	certified     = `"client_id":"i","token_url":"https://idp.example.com/t","auth_method":"tls_client_auth"`
	signedWithKey = `"client_id":"i","token_url":"https://idp.example.com/t","auth_method":"private_key_jwt","jwt":{"alg":"RS256","key":"{env.SECRET}"}`
)

// noSecret are the fields of a provider without client authentication.
const noSecret = `"client_id":"i","token_url":"https://idp.example.com/t","auth_method":"none"`

func TestAWrongProviderIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ fields, field, want string }{
		"nothing":                       {``, "client_id, client_secret, token_url", "required, but missing or empty"},
		"no client_id":                  {`"client_secret":"CANARY","token_url":"https://CANARY"`, "client_id", "required, but missing"},
		"an empty client_secret":        {`"client_id":"CANARY","client_secret":"","token_url":"https://CANARY"`, "client_secret", "missing or empty"},
		"no token_url":                  {`"client_id":"CANARY","client_secret":"CANARY"`, "token_url", "required, but missing"},
		"no client_id without a secret": {`"token_url":"https://CANARY","auth_method":"none"`, "client_id", "required, but missing"},
		"client_id twice":               {validFields + `,"client_id_file":"/missing"`, "client_id_file", "is set beside client_id; keep one"},
		"client_secret twice":           {validFields + `,"client_secret_file":"{env.SECRET}"`, "client_secret_file", "is set beside client_secret; keep one"},
		"refresh_token twice":           {validFields + `,"refresh_token":"CANARY","refresh_token_file":"/missing"`, "refresh_token_file", "is set beside refresh_token"},
		"a secret that is not sent":     {noSecret + `,"client_secret":"CANARY"`, "client_secret", "auth_method none does not send it"},
		"a file that is not sent":       {noSecret + `,"client_secret_file":"{env.ID}"`, "client_secret_file", "auth_method none does not send it"},
		"private_key_jwt and a secret":  {validFields + `,"auth_method":"private_key_jwt"`, "client_secret", "auth_method private_key_jwt does not send it"},
		"a variable that is empty":      {`"client_id":"i","client_secret":"os.environ/EMPTY","token_url":"https://idp.example.com/t"`, "client_secret", "the environment variable EMPTY is empty"},
		"a variable that is not set":    {`"client_id":"i","client_secret":"{env.UNSET}","token_url":"https://idp.example.com/t"`, "client_secret", "the environment variable UNSET is not set"},
		"a secret as variable's name":   {`"client_id":"i","client_secret":"os.environ/CANARY $","token_url":"https://idp.example.com/t"`, "client_secret", "(a name of 8 bytes) is not set"},
		"a variable without a name":     {`"client_id":"os.environ/","client_secret":"s","token_url":"https://idp.example.com/t"`, "client_id", "must be followed by the name of an environment variable"},
		"a variable in a scope":         {validFields + `,"scope":"CANARY {env.UNSET}"`, "scope", "UNSET is not set"},
		"another placeholder in a path": {`"client_id_file":"/CANARY/{now}","client_secret":"s","token_url":"https://idp.example.com/t"`, "client_id_file", "a path may hold {env.NAME}"},
		"a brace in a path":             {`"client_id_file":"/CANARY{","client_secret":"s","token_url":"https://idp.example.com/t"`, "client_id_file", `write a literal brace as \{`},
		"grant_type refresh_token":      {validFields + `,"grant_type":"refresh_token"`, "grant_type", "needs the field refresh_token"},
		"an unknown auth_method":        {validFields + `,"auth_method":"CANARY"`, "auth_method", "must be one of client_secret_post"},
		"an unknown method":             {validFields + `,"token_request":{"method":"CANARY"}`, "token_request.method", "must be one of POST, GET, PUT, PATCH"},
		"a method in small letters":     {validFields + `,"token_request":{"method":"post"}`, "token_request.method", "must be one of POST"},
		"an unknown encoding":           {validFields + `,"token_request":{"encoding":"CANARY"}`, "token_request.encoding", "must be one of form, json, query, none"},

		"the parameter client_id":           {validFields + `,"token_request":{"params":{"client_id":"CANARY"}}`, "token_request.params.client_id", "set the provider's field client_id instead"},
		"the parameter scope":               {validFields + `,"token_request":{"params":{"scope":"CANARY"}}`, "token_request.params.scope", "field scope instead"},
		"the parameter grant_type":          {validFields + `,"token_request":{"params":{"grant_type":"CANARY"}}`, "token_request.params.grant_type", "field grant_type instead"},
		"a parameter without a name":        {validFields + `,"token_request":{"params":{"":"CANARY"}}`, "token_request.params", "a name is empty"},
		"a parameter with a space":          {validFields + `,"token_request":{"params":{"CANARY x":"CANARY"}}`, "token_request.params", "holds white space"},
		"a parameter with a brace":          {validFields + `,"token_request":{"params":{"{env.CANARY}":"CANARY"}}`, "token_request.params", "braces"},
		"an empty parameter":                {validFields + `,"token_request":{"params":{"x":""}}`, "token_request.params.x", "is empty; a parameter without a value counts as omitted"},
		"an empty parameter that hides":     {validFields + `,"token_request":{"params":{"x=CANARY&":""}}`, "token_request.params.(a name of 9 bytes)", "is empty"},
		"a brace in a parameter that hides": {validFields + `,"token_request":{"params":{"x=CANARY&":"{"}}`, "token_request.params.(a name of 9 bytes)", `write a literal brace as \{`},
		"two proofs of identity":            {validFields + `,"token_request":{"params":{"client_assertion":"CANARY"}}`, "token_request.params.client_assertion", "a second time; set auth_method none"},

		"an invalid header name":                {validFields + `,"token_request":{"headers":{"X: CANARY":["x"]}}`, "token_request.headers", "invalid header name"},
		"a header of the connection":            {validFields + `,"token_request":{"headers":{"host":["CANARY"]}}`, "token_request.headers.host", "belongs to the connection"},
		"a header in two spellings":             {validFields + `,"token_request":{"headers":{"X-A":["CANARY"],"x-a":["CANARY"]}}`, "token_request.headers.x-a", "is set twice, in different spellings"},
		"a header without a value":              {validFields + `,"token_request":{"headers":{"X-A":[]}}`, "token_request.headers.X-A", "has no value"},
		"a line break in a header":              {validFields + `,"token_request":{"headers":{"X-A":["CANARY\r\nX: y"]}}`, "token_request.headers.X-A", "line break"},
		"Authorization twice":                   {validFields + `,"auth_method":"client_secret_basic","token_request":{"headers":{"authorization":["CANARY"]}}`, "token_request.headers", "choose another auth_method"},
		"Authorization twice, raw":              {validFields + `,"auth_method":"client_secret_basic_raw","token_request":{"headers":{"Authorization":["CANARY"]}}`, "token_request.headers", "choose another auth_method"},
		"a GET with a form":                     {validFields + `,"token_request":{"method":"GET"}`, "token_request.encoding", "a GET request has no body; choose query or none"},
		"a GET with JSON":                       {validFields + `,"token_request":{"method":"GET","encoding":"json"}`, "token_request.encoding", "a GET request has no body"},
		"parameters that are not sent":          {validFields + `,"token_request":{"encoding":"none","params":{"x":"CANARY"}}`, "token_request.params", "would not be sent"},
		"a scope that is not sent":              {validFields + `,"scope":"CANARY","token_request":{"encoding":"none"}`, "scope", "would not be sent"},
		"a refresh token that is not sent":      {validFields + `,"refresh_token":"CANARY","token_request":{"encoding":"none"}`, "refresh_token", "would not be sent"},
		"a refresh token of a file, too":        {validFields + `,"refresh_token_file":"/missing","token_request":{"encoding":"none"}`, "refresh_token_file", "would not be sent"},
		"a timeout over 5 min":                  {validFields + `,"token_request":{"timeout":"301s"}`, "token_request.timeout", "at most 5m"},
		"negative retries":                      {validFields + `,"token_request":{"retries":-1}`, "token_request.retries", "must be from 0 to 10"},
		"too many retries":                      {validFields + `,"token_request":{"retries":11}`, "token_request.retries", "must be from 0 to 10"},
		"a status that is a success":            {validFields + `,"token_request":{"retry_on":[404,200,201]}`, "token_request.retry_on", "from 400 to 599"},
		"a status beyond all":                   {validFields + `,"token_request":{"retry_on":[600]}`, "token_request.retry_on", "from 400 to 599"},
		"a place without a header name":         {validFields + `,"place":{"header":"CANARY: x"}`, "place.header", "must be a header name"},
		"a place that is a placeholder":         {validFields + `,"place":{"header":"os.environ/CANARY"}`, "place.header", "must be a header name"},
		"a place that is not forwarded":         {validFields + `,"place":{"header":"proxy-authorization"}`, "place.header", "Proxy-Authorization belongs to the connection"},
		"a placeholder in the prefix":           {validFields + `,"place":{"prefix":"{env.CANARY} "}`, "place.prefix", "is taken literally"},
		"a variable as prefix":                  {validFields + `,"place":{"prefix":"os.environ/CANARY"}`, "place.prefix", "is taken literally"},
		"a line break in the prefix":            {validFields + `,"place":{"prefix":"CANARY\n"}`, "place.prefix", "line break"},
		"proof of a key that is not sent":       {signedWithKey + `,"token_request":{"encoding":"none"}`, "auth_method", "would not be sent, because token_request.encoding is none"},
		"proof of a secret that is not sent":    {validFields + `,"auth_method":"client_secret_jwt","token_request":{"encoding":"none"}`, "auth_method", "would not be sent"},
		"no certificate":                        {certified, "token_request.transport", "has no client certificate, which auth_method tls_client_auth needs"},
		"no certificate, but a transport":       {certified + `,"token_request":{"transport":{"protocol":"http","tls":{"ca":{"CANARY":1}}}}`, "token_request.transport", "has no client certificate"},
		"a certificate's key alone":             {certified + `,"token_request":{"transport":{"protocol":"http","tls":{"client_certificate_key_file":"CANARY"}}}`, "token_request.transport", "has no client certificate"},
		"a certificate and a secret":            {certified + `,"client_secret":"CANARY"`, "client_secret", "auth_method tls_client_auth does not send it"},
		"a certificate for another transport":   {certified + `,"transport":{"protocol":"http","tls":{"client_certificate_file":"CANARY"}}`, "token_request.transport", "has no client certificate"},
		"no client_id with a certificate":       {`"token_url":"https://x.com","auth_method":"tls_client_auth"`, "client_id", "required, but missing"},
		"two places":                            {validFields + `,"place":{"query":"CANARY","header":"CANARY"}`, "place.query", "is set beside place.header; keep one of them"},
		"a query and a prefix":                  {validFields + `,"place":{"query":"CANARY","prefix":""}`, "place.query", "is set beside place.header"},
		"a query with a space":                  {validFields + `,"place":{"query":"CANARY x"}`, "place.query", "must be the plain name of a query parameter"},
		"a query with more than a name":         {validFields + `,"place":{"query":"a=CANARY&b"}`, "place.query", "must be the plain name"},
		"a query with a variable":               {validFields + `,"place":{"query":"{env.CANARY}"}`, "place.query", "must be the plain name"},
		"a query with a letter that no URL has": {validFields + `,"place":{"query":"CANARY\u00e4"}`, "place.query", "must be the plain name"},
		"a refresh token for nothing else":      {`"client_id":"i","token_url":"https://x.com","auth_method":"none","grant_type":"refresh_token"`, "grant_type", "refresh_token needs the field refresh_token"},
		"a token of nobody":                     {validFields + `,"token_request":{"params":{"x":"{token.q}"}}`, "token_request.params.x", "{token.q}: no provider of this name is declared"},
		"{token_url} without a token_url":       {`"client_id":"i","client_secret":"s","token_url":"{CANARY}","token_request":{"params":{"x":"{token_url}"}}`, "token_url", "{token_url} needs a token_url that is valid"},
		"a file that is missing":                {validFields + `,"token_request":{"params":{"x":"CANARY{file./missing}"}}`, "token_request.params.x", "the file /missing cannot be read"},
		"a file that is missing with a token":   {validFields + `,"token_request":{"params":{"x":"{token.p}{file./missing}"}}`, "token_request.params.x", "the file /missing cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fault(t, test.fields)
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
		})
	}
}

func TestARightProviderIsAccepted(t *testing.T) {
	for name, fields := range map[string]string{
		"the required fields":              validFields,
		"all values of variables":          `"client_id":"os.environ/ID","client_secret":"{env.SECRET}","token_url":"https://{env.ID}/t"`,
		"no secret without authentication": noSecret,
		"an assertion instead of a secret": noSecret + `,"grant_type":"none","token_request":{"params":{"client_assertion":"{env.SECRET}","client_assertion_type":"urn:x"}}`,
		"a grant of any name":              validFields + `,"grant_type":"urn:ietf:params:oauth:grant-type:token-exchange"`,
		"an empty word is the default":     validFields + `,"auth_method":"","grant_type":"","token_request":{"method":"","encoding":""}`,
		"Authorization in a header alone":  validFields + `,"token_request":{"headers":{"Authorization":["Apikey {env.SECRET}"]}}`,
		"Authorization without a client":   noSecret + `,"token_request":{"headers":{"Authorization":["Apikey {env.SECRET}"]}}`,
		"a GET with a query":               validFields + `,"token_request":{"method":"GET","encoding":"query","params":{"x":"y"}}`,
		"a GET with nothing":               noSecret + `,"token_request":{"method":"GET","encoding":"none"}`,
		"a PUT with JSON":                  validFields + `,"token_request":{"method":"PUT","encoding":"json"}`,
		"the greatest limits":              validFields + `,"token_request":{"timeout":"5m","retries":10,"retry_on":[400,599]},"refresh_before":"24h"`,
		"the least limits":                 validFields + `,"token_request":{"timeout":"1ms","retries":0},"refresh_before":"1s"`,
		"refresh_before by itself":         validFields + `,"refresh_before":"auto"`,
		"another place":                    validFields + `,"place":{"header":"x-api-key","prefix":""}`,
		"an empty prefix":                  validFields + `,"place":{"prefix":""}`,
		"the provider's own token URL":     validFields + `,"token_request":{"params":{"audience":"{token_url}"}}`,
		"a certificate":                    certified + `,"token_request":{"transport":{"protocol":"http","tls":{"client_certificate_file":"/c","client_certificate_key_file":"/k"}}}`,
		"a certificate that Caddy obtains": certified + `,"token_request":{"transport":{"protocol":"http","tls":{"client_certificate_automate":"x.com"}}}`,
		"a transport that is not known":    certified + `,"token_request":{"transport":{"protocol":"other"}}`,
		"a query as place":                 validFields + `,"place":{"query":"access_token"}`,
		"a refresh token and its grant":    validFields + `,"grant_type":"refresh_token","refresh_token":"{env.SECRET}"`,
		"a refresh token without a client": `"token_url":"https://idp.example.com/t","auth_method":"none","grant_type":"refresh_token","refresh_token":"{env.SECRET}"`,
		"an empty header":                  validFields + `,"token_request":{"headers":{"X":[""]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := fault(t, fields); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAllFaultsOfAllProvidersAreReportedAtOnce(t *testing.T) {
	a, b := valid(t, `"scope":" CANARY","grant_type":"refresh_token","place":{"prefix":"{CANARY"},"client_id_file":"/missing",
		"token_request":{"params":{"x":"{CANARY","scope":"CANARY"},"headers":{"X":["CANARY\n"],"Y":[]},"method":"CANARY","retries":99,"timeout":"10m"},
		"header_up":{"set":{"A":["{env.UNSET}"],"B":["{now}"]},"delete":["a"]}`), valid(t, "")
	a.ClientSecret, a.TokenURL, a.RefreshBefore = "", "ftp://CANARY", -1
	b.TokenRequest.Params = map[string]Template{"x": "{token.nobody}"}
	err := Providers{"a": a, "b": b, "c": nil}.validate(testEnvironment())
	want := []string{
		"a: client_id_file", "a: client_id_file", "a: client_secret", "a: grant_type", "a: header_up.delete", "a: header_up.set.A", "a: header_up.set.B", "a: place.prefix",
		"a: refresh_before", "a: scope", "a: token_request.headers.X", "a: token_request.headers.Y", "a: token_request.method",
		"a: token_request.params.scope", "a: token_request.params.x", "a: token_request.retries", "a: token_request.timeout", "a: token_url",
		"b: token_request.params.x", "c: ",
	}
	got := faultyFields(err)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(want) {
		t.Errorf("got %d lines for %d faults: %v", len(lines), len(want), err)
	}
	if !errors.Is(err, ErrUnresolvedReference) {
		t.Error("the variable that is not set is no unresolved reference")
	}
	wantNoCanary(t, err)
}

func TestLimitsThatWereNotReadFromJSONAreChecked(t *testing.T) {
	for field, change := range map[string]func(*Provider){
		"token_request.timeout": func(p *Provider) { p.TokenRequest.Timeout = Duration(-time.Second) },
		"refresh_before":        func(p *Provider) { p.RefreshBefore = RefreshBefore(-time.Second) },
	} {
		p := valid(t, "")
		change(p)
		wantError(t, Providers{"p": p}.validate(testEnvironment()), field, "must be above 0")
	}
}

func TestValidateAsksForNoToken(t *testing.T) {
	environment := testEnvironment()
	environment.Token = func(context.Context, string) (tokens.Secret, error) {
		t.Error("a token was asked for")
		return tokens.Secret{}, nil
	}
	providers := Providers{"p": valid(t, `"scope":"{token.q}","token_request":{"headers":{"X":["{token.q}{env.ID}"]}}`), "q": valid(t, "")}
	providers["p"].TokenURL = "https://{token.q}/"
	if err := providers.validate(environment); err != nil {
		t.Error(err)
	}
	// Nothing is signed with one, either.
	for name, fields := range map[string]string{
		"a key's ID":            `"key":"` + hsKey + `","key_id":"{token.q}"`,
		"a header":              `"key":"` + hsKey + `","header":{"a":"{token.q}"}`,
		"a claim":               `"key":"` + hsKey + `","claims":{"a":["{token.q}"]}`,
		"a key":                 `"key":"{token.q}"`,
		"a key's fingerprint":   `"key":"{token.q}","claims":{"a":"{key_fingerprint}"}`,
		"the token URL, thrice": `"key":"` + hsKey + `","claims":{"a":"{token_url}","b":["{token_url}"]},"header":{"a":"{token_url}"}`,
	} {
		providers["p"] = valid(t, `"token_request":{"params":{"x":"{jwt}"}},"jwt":{"alg":"HS256",`+fields+`}`)
		if strings.HasPrefix(name, "the token URL") {
			providers["p"].TokenURL = "https://{token.q}/"
		}
		if err := providers.validate(environment); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoProvidersAreRight(t *testing.T) {
	if err := (Providers{}).validate(Environment{}); err != nil {
		t.Error(err)
	}
}
