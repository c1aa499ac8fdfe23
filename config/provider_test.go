package config

import (
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

func TestEffectivePlace(t *testing.T) {
	for name, test := range map[string]struct {
		place string
		want  EffectivePlace
	}{
		"the default":                        {``, EffectivePlace{"Authorization", "Bearer ", ""}},
		"the default header in other words":  {`"header":"AUTHORIZATION"`, EffectivePlace{"Authorization", "Bearer ", ""}},
		"another header has no prefix":       {`"header":"x-api-key"`, EffectivePlace{"X-Api-Key", "", ""}},
		"another header with a prefix":       {`"header":"X-A","prefix":"Token "`, EffectivePlace{"X-A", "Token ", ""}},
		"another prefix":                     {`"prefix":"Apikey "`, EffectivePlace{"Authorization", "Apikey ", ""}},
		"no prefix":                          {`"prefix":""`, EffectivePlace{"Authorization", "", ""}},
		"a backslash in a prefix is literal": {`"prefix":"a\\b"`, EffectivePlace{"Authorization", `a\b`, ""}},
		"a query parameter":                  {`"query":"access_token"`, EffectivePlace{"", "", "access_token"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := valid(t, `"place":{`+test.place+`}`).effectivePlace(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEffectiveLimits(t *testing.T) {
	for fields, want := range map[string]struct {
		retries int
		timeout time.Duration
	}{
		``:                            {3, 10 * time.Second},
		`"retries":0,"timeout":"1ms"`: {0, time.Millisecond},
		`"retries":10,"timeout":"5m"`: {10, 5 * time.Minute},
	} {
		if p := valid(t, `"token_request":{`+fields+`}`); p.effectiveRetries() != want.retries || p.effectiveTimeout() != want.timeout {
			t.Errorf("got %d retries, %s", p.effectiveRetries(), p.effectiveTimeout())
		}
	}
}

func TestALogNamesTheFieldsThatAreSet(t *testing.T) {
	encoder := zapcore.NewMapObjectEncoder()
	if err := valid(t, `"token_request":{"params":{"x":"CANARY"},"retries":0}`).MarshalLogObject(encoder); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"client_id", "client_secret", "token_url", "token_request.params.x", "token_request.retries"} {
		if encoder.Fields[path] != true {
			t.Errorf("%s is logged as %v", path, encoder.Fields[path])
		}
	}
	if len(encoder.Fields) != 5 {
		t.Errorf("got %v", encoder.Fields)
	}
}
