package oauth2llm

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestTokensAreSharedWhereTheOptionSaysSo(t *testing.T) {
	for name, test := range map[string]struct {
		block  string
		shared bool
		fault  string
	}{
		"without the option":     {"held_bodies 1GiB", false, ""},
		"with it":                {"share_tokens", true, ""},
		"twice":                  {"share_tokens\nshare_tokens", true, "share_tokens is already specified"},
		"with an argument":       {"share_tokens on", true, "wrong argument count or unexpected line ending after 'share_tokens'"},
		"with one that means no": {"share_tokens off", true, "wrong argument count or unexpected line ending after 'share_tokens'"},
	} {
		t.Run(name, func(t *testing.T) {
			app := new(App)
			err := app.UnmarshalCaddyfile(caddyfile.NewTestDispenser("oauth2_llm {\n" + test.block + "\n}"))
			if test.fault == "" && (err != nil || app.ShareTokens != test.shared) {
				t.Errorf("tokens are shared: %t, %v", app.ShareTokens, err)
			}
			if test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault) || !strings.Contains(err.Error(), "Testfile:")) {
				t.Errorf("got %v, want %s", err, test.fault)
			}
		})
	}
}
