package oauth2llm

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// It may hold what belongs to the LLM request only, and Caddy dials what a context says.
func TestATokenRequestSeesNothingOfTheRequestThatCausedIt(t *testing.T) {
	type foreign struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), foreign{}, "of the LLM request"))
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{"secret": "x"})
	llmReplacer := caddy.NewReplacer()
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, llmReplacer)
	var seen context.Context
	transport := tokenTransport{roundTripper(func(r *http.Request) (*http.Response, error) {
		seen = r.Context()
		return nil, errors.New("no answer")
	})}
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://idp.example.com/token", strings.NewReader(""))
	_, _ = transport.RoundTrip(r)
	if seen.Value(foreign{}) != nil {
		t.Error("a value of the LLM request is visible")
	}
	if vars, ok := seen.Value(caddyhttp.VarsCtxKey).(map[string]any); !ok || len(vars) != 0 {
		t.Errorf("the variables are %v", vars)
	}
	if replacer, ok := seen.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); !ok || replacer == llmReplacer {
		t.Error("the replacer is not the token request's own")
	}
	cancel()
	<-seen.Done()
	if !errors.Is(seen.Err(), context.Canceled) {
		t.Errorf("the end is %v", seen.Err())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
