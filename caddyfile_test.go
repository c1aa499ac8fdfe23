package oauth2llm

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestAnUnknownOptionIsRefusedWithTheOneThatWasMeant(t *testing.T) {
	for name, test := range map[string]struct {
		into  caddyfile.Unmarshaler
		block string
		want  string
	}{
		"a letter too many in the directive":           {new(Handler), "max_bodys 1MiB", "unknown option max_bodys; did you mean max_body?"},
		"a letter too many in the global option":       {new(App), "held_bodys 1GiB", "unknown option held_bodys; did you mean held_bodies?"},
		"what resembles none, in the directive":        {new(Handler), "timeouts", "unknown option timeouts; known are config_file, provider, client_key, default_provider, alias, unknown_model, keep_prefix, keep_header, max_body, token_wait, errors"},
		"what resembles none, in the global option":    {new(App), "timeouts", "unknown option timeouts; known are config_file, provider, held_bodies, share_tokens"},
		"a letter missing in the global option":        {new(App), "share_token", "unknown option share_token; did you mean share_tokens?"},
		"an option of the directive in the global":     {new(App), "client_key a b", "unknown option client_key; known are config_file, provider, held_bodies, share_tokens"},
		"an option of the global one in the directive": {new(Handler), "held_bodies 1GiB", "unknown option held_bodies; known are config_file"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.into.UnmarshalCaddyfile(caddyfile.NewTestDispenser("oauth2_llm {\n" + test.block + "\n}"))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "Testfile:2") {
				t.Errorf("got %v, want %s and where it stands", err, test.want)
			}
		})
	}
}

func TestTheOptionsThatAreOfferedAreKnown(t *testing.T) {
	for _, test := range []struct {
		into    func() caddyfile.Unmarshaler
		options []string
	}{
		{func() caddyfile.Unmarshaler { return new(App) }, optionsOf(new(App))},
		{func() caddyfile.Unmarshaler { return new(Handler) }, optionsOf(new(Handler))},
	} {
		for _, option := range test.options {
			err := test.into().UnmarshalCaddyfile(caddyfile.NewTestDispenser("oauth2_llm {\n" + option + " a b c\n}"))
			if err != nil && strings.Contains(err.Error(), "unknown option") {
				t.Errorf("%s: %v", option, err)
			}
		}
	}
}
