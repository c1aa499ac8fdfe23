package oauth2llm

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestAClientKeyOfACaddyfileIsTheJSONOfIt(t *testing.T) {
	for name, test := range map[string]struct{ caddyfile, want string }{
		"one value":                 {"client_key a {env.A}", `{"a":{"key":"{env.A}"}}`},
		"several values":            {"client_key a {env.NEW} {env.OLD} sha256:00", `{"a":{"key":["{env.NEW}","{env.OLD}","sha256:00"]}}`},
		"a value in quotes":         {`client_key a "a b" {env.B}`, `{"a":{"key":["a b","{env.B}"]}}`},
		"files, as Caddy has them":  {"client_key a {http.request.uri.path.file./new} {file./old}", `{"a":{"key":["{file./new}","{file./old}"]}}`},
		"models":                    {"client_key a one two {\nmodels corp/* x/y\nmodels z/*\n}", `{"a":{"key":["one","two"],"models":["corp/*","x/y","z/*"]}}`},
		"values on several lines":   {"client_key a one \\\ntwo {\nmodels corp/*\n}", `{"a":{"key":["one","two"],"models":["corp/*"]}}`},
		"several clients":           {"client_key a one\nclient_key b two three", `{"a":{"key":"one"},"b":{"key":["two","three"]}}`},
		"a client with off as name": {"client_key off one", `{"off":{"key":"one"}}`},
		"a key that is off":         {"client_key a off", `{"a":{"key":"off"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var h Handler
			if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("oauth2_llm {\n" + test.caddyfile + "\n}")); err != nil {
				t.Fatal(err)
			}
			if got, err := json.Marshal(h.ClientKeys); err != nil || string(got) != test.want || h.ClientKeysOff {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestAWrongClientKeyIsRefusedWithoutShowingAValue(t *testing.T) {
	for name, test := range map[string]struct{ caddyfile, want string }{
		"nothing":                {"client_key", "client_key: takes a name and one value or more, or off"},
		"a name, or a key":       {"client_key canary", "client_key: takes a name and one value or more, or off"},
		"a name and a block":     {"client_key canary {\nmodels a/*\n}", "client_key: takes a name and one value or more, or off"},
		"a name twice":           {"client_key a canary\nclient_key a canary2", "client_key a is already specified"},
		"a value in the block":   {"client_key a canary {\ncanary2\n}", "client_key a: unknown option; its block takes models only, and values stand on the line of the name"},
		"models without a model": {"client_key a canary {\nmodels\n}", "client_key a: models takes one <provider>/<model> or more"},
	} {
		t.Run(name, func(t *testing.T) {
			err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser("oauth2_llm {\n" + test.caddyfile + "\n}"))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %s and no value", err, test.want)
			}
		})
	}
}
