package oauth2llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// loadTransport loads a transport module, given as JSON with its name in
// protocol. It is nil if there is none. The scheme of a URL decides whether TLS
// is spoken, so the http transport is made fit for both; options for TLS are
// refused where there will be none.
func loadTransport(ctx caddy.Context, raw json.RawMessage, scheme string) (http.RoundTripper, error) {
	if raw == nil {
		return nil, nil //nolint:nilnil // no transport of its own is no error
	}
	var options map[string]json.RawMessage
	var protocol string
	if err := json.Unmarshal(raw, &options); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(options["protocol"], &protocol); err != nil {
		return nil, err
	}
	delete(options, "protocol")
	if protocol == "http" && scheme != "" {
		switch {
		case options["tls"] == nil || string(options["tls"]) == "null":
			options["tls"] = json.RawMessage("{}")
		case scheme == "http":
			return nil, errors.New("has options for TLS, but the URL begins with http://")
		}
	}
	stripped, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	module, err := ctx.LoadModuleByID("http.reverse_proxy.transport."+protocol, stripped)
	if err != nil {
		return nil, err
	}
	transport, ok := module.(http.RoundTripper)
	if !ok {
		return nil, fmt.Errorf("%s must be a transport module", protocol)
	}
	return transport, nil
}

// A tokenTransport sends token requests through a transport module. Caddy's http
// transport dials what a request's context says and reads placeholders from it:
// with the context of an LLM request the secret would go to the LLM, without any
// it would panic. So a token request gets a context of
// its own, of which only the end is that of the caller's.
type tokenTransport struct{ http.RoundTripper }

func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.RoundTripper.RoundTrip(r.WithContext(&tokenContext{
		Context: r.Context(), replacer: caddy.NewReplacer(), vars: make(map[string]any),
	}))
}

type tokenContext struct {
	context.Context
	replacer *caddy.Replacer
	vars     map[string]any
}

// Value returns what Caddy's transports need, and nothing of another request.
func (c *tokenContext) Value(key any) any {
	switch key {
	case caddy.ReplacerCtxKey:
		return c.replacer
	case caddyhttp.VarsCtxKey:
		return c.vars
	}
	return nil
}
