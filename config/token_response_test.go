package config

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func TestAWrongTokenResponseIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ response, field, want string }{
		"an unknown unit":          {`"expiry":[{"path":"CANARY","unit":"CANARY"}]`, "token_response.expiry", "a unit must be one of seconds, unix, unix_ms, rfc3339, auto"},
		"no unit":                  {`"expiry":[{"path":"CANARY"}]`, "token_response.expiry", "a unit must be one of"},
		"a unit in capitals":       {`"expiry":[{"path":"CANARY","unit":"Seconds"}]`, "token_response.expiry", "a unit must be one of"},
		"the second rule":          {`"expiry":[{"path":"a","unit":"auto"},{"path":"CANARY","unit":"minutes"}]`, "token_response.expiry", "a unit must be one of"},
		"an empty path":            {`"token":["a",""]`, "token_response.token", "a path is empty, or has no header name"},
		"a rule without a path":    {`"expiry":[{"unit":"unix"}]`, "token_response.expiry", "a path is empty, or has no header name"},
		"a header without a name":  {`"token":["header:"]`, "token_response.token", "has no header name"},
		"a name of no header":      {`"token":["header:X CANARY"]`, "token_response.token", "has no header name"},
		"a header with a colon":    {`"expiry":[{"path":"header:CANARY: x","unit":"unix"}]`, "token_response.expiry", "has no header name"},
		"a default of nothing":     {`"default_ttl":"0s"`, "token_response.default_ttl", "must be a duration of at least 1ms"},
		"a default without a unit": {`"default_ttl":"300"`, "token_response.default_ttl", "must be a duration of at least 1ms"},
		"a default as number":      {`"default_ttl":300`, "token_response.default_ttl", `write a duration such as "10s"`},
		"a bound below 0":          {`"max_ttl":"-1h"`, "token_response.max_ttl", "must be a duration of at least 1ms"},
		"a bound as number":        {`"max_ttl":300`, "token_response.max_ttl", `write a duration such as "10s"`},
		"a path as text":           {`"token":"CANARY"`, "token_response.token", "must be a list, not a string"},
		"a rule as text":           {`"expiry":["CANARY"]`, "token_response.expiry", "must be an object, not a string"},
		"an unknown field":         {`"expires":"CANARY"`, "token_response.expires", "unknown field"},
		"an unknown field within":  {`"expiry":[{"path":"a","units":"unix"}]`, "token_response.expiry.units", "did you mean unit?"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fault(t, validFields+`,"token_response":{`+test.response+`}`)
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
		})
	}
}

func TestBoundsThatWereNotReadFromJSONAreChecked(t *testing.T) {
	p := valid(t, "")
	p.TokenResponse.DefaultTTL, p.TokenResponse.MaxTTL, p.JWT.TTL, p.JWT.IatSkew = -1, -1, -1, new(Skew(-1))
	fields := faultyFields(Providers{"p": p}.validate(testEnvironment()))
	for _, want := range []string{"token_response.default_ttl", "token_response.max_ttl", "jwt.ttl", "jwt.iat_skew"} {
		if !strings.Contains(strings.Join(fields, " "), want) {
			t.Errorf("%s is missing among %v", want, fields)
		}
	}
}

func TestAnAnswerIsReadByTheRules(t *testing.T) {
	for name, test := range map[string]struct {
		response, answer string
		want             time.Duration
	}{
		"by itself":                          {``, `{"access_token":"T","expires_in":60}`, time.Minute},
		"nothing that says the end":          {``, `{"access_token":"T"}`, 5 * time.Minute},
		"a default":                          {`"default_ttl":"7m"`, `{"access_token":"T"}`, 7 * time.Minute},
		"a bound":                            {`"max_ttl":"7m"`, `{"access_token":"T","expires_in":3600}`, 7 * time.Minute},
		"a greater bound":                    {`"max_ttl":"720h"`, `{"access_token":"T","expires_in":2592000}`, 720 * time.Hour},
		"a token further in":                 {`"token":["data.0.t\\.x"]`, `{"data":[{"t.x":"T"}],"expires_in":60}`, time.Minute},
		"the second place of a token":        {`"token":["a","b"]`, `{"a":"","b":"T","expires_in":60}`, time.Minute},
		"a token in a header":                {`"token":["a","header:x-token"]`, `{"a":null,"expires_in":60}`, time.Minute},
		"an end in a header":                 {`"expiry":[{"path":"header:X-Life","unit":"seconds"}]`, `{"access_token":"T","expires_in":60}`, 90 * time.Second},
		"the first rule that holds":          {`"expiry":[{"path":"a","unit":"unix"},{"path":"b","unit":"seconds"},{"path":"expires_in","unit":"seconds"}]`, `{"access_token":"T","expires_in":60,"b":"120"}`, 2 * time.Minute},
		"no rule that holds":                 {`"expiry":[{"path":"a","unit":"unix"}]`, `{"access_token":"T","expires_in":60}`, 5 * time.Minute},
		"seconds since 1970":                 {`"expiry":[{"path":"a","unit":"unix"}]`, `{"access_token":"T","a":1900000060}`, time.Minute},
		"milliseconds since 1970":            {`"expiry":[{"path":"a","unit":"unix_ms"}]`, `{"access_token":"T","a":"1900000060000"}`, time.Minute},
		"a date":                             {`"expiry":[{"path":"a.b","unit":"rfc3339"}]`, `{"access_token":"T","a":{"b":"2030-03-17T18:46:40+01:00"}}`, 0},
		"a date, an hour later":              {`"expiry":[{"path":"a.b","unit":"rfc3339"}]`, `{"access_token":"T","a":{"b":"2030-03-17T19:46:40+01:00"}}`, time.Hour},
		"auto: seconds":                      {`"expiry":[{"path":"a","unit":"auto"}]`, `{"access_token":"T","a":60}`, time.Minute},
		"auto: seconds since 1970":           {`"expiry":[{"path":"a","unit":"auto"}]`, `{"access_token":"T","a":1900000060}`, time.Minute},
		"auto: milliseconds since 1970":      {`"expiry":[{"path":"a","unit":"auto"}]`, `{"access_token":"T","a":1900000060000}`, time.Minute},
		"auto: a date":                       {`"expiry":[{"path":"a","unit":"auto"}]`, `{"access_token":"T","a":"2030-03-17T18:46:40Z"}`, time.Hour},
		"the token itself":                   {``, `{"access_token":"` + fileJWT + `"}`, 10 * time.Minute},
		"the token itself, behind the rules": {`"expiry":[{"path":"a","unit":"seconds"}],"default_ttl":"1m"`, `{"access_token":"` + fileJWT + `","a":null}`, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			atGoldenTime(t, func(t *testing.T) {
				endpoint := &stubEndpoint{status: http.StatusOK, answer: test.answer, header: http.Header{"X-Token": {"T"}, "X-Life": {"90"}}}
				token, err := fetcherOf(t, validFields+`,"token_response":{`+test.response+`}`, testEnvironment(), endpoint).Fetch(t.Context(), tokens.Want{})
				if test.want == 0 {
					if failed, ok := errors.AsType[*tokens.AuthenticationError](err); !ok || failed.Code != tokens.CodeInvalidResponse {
						t.Errorf("got %v", err)
					}
					return
				}
				if value := token.Value.Reveal(); err != nil || value != "T" && value != fileJWT || token.Lifetime != test.want {
					t.Errorf("got %q for %v, want %v, %v", value, token.Lifetime, test.want, err)
				}
			})
		})
	}
}
