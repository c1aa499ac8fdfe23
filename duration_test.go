package oauth2llm

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// token_wait is read by Caddy, a provider's durations by config: both take the same.
func TestDurationsAreReadAsCaddyReadsThem(t *testing.T) {
	for _, text := range []string{
		"1d", "1.5d", ".5d", "1.d", "0.1d", "1d12h", "1h1d", "2d3d", "+1d", "10s", "1m30s", "250ms",
		"d", "1e3d", "1.2.3d", "1 d", "1w", "1D", "99999999d", "10", "", "day", "1dd",
	} {
		t.Run(text, func(t *testing.T) {
			want, wantErr := caddy.ParseDuration(text)
			var got config.Duration
			err := got.UnmarshalText([]byte(text))
			if (err == nil) != (wantErr == nil) || err == nil && time.Duration(got) != want {
				t.Errorf("got %s, %v; Caddy reads %s, %v", time.Duration(got), err, want, wantErr)
			}
		})
	}
}
