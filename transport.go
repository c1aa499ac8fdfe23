package oauth2llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
)

func init() { caddy.RegisterModule(new(Transport)) }

// Transport sends LLM requests to their providers. It points a request at its
// provider's `base_url` and sets the provider's headers, after `reverse_proxy` has
// set its own, and a token that is valid at that moment, at each try of
// `lb_retries` and `lb_try_duration` anew.
//
// If the LLM refuses the token, with a 401 or with another 4xx that says
// `invalid_token` (RFC 6750 §3.1), it gets a new one and sends the request once
// more, unless its body is longer than `max_body`. If a new token is refused too
// the client gets a 502: its own key is not at fault. If the request was not tried
// with a new one it gets a 503 with `Retry-After`.
//
// If a connection that was kept alive turns out to be dead, it sends the request
// again over a new one. A request that was handed over whole is sent again once at
// most, within a second, and only if all that it does is to run a model, or if the
// client has sent an idempotency key: a bounded exception to RFC 9110 §9.2.2.
//
// It takes the options of Caddy's `http` transport, for providers that have no
// `transport` of their own. More idle connections are kept by default than that
// transport keeps: 512 for each host. `https` base URLs work without a `tls`
// option.
//
// It forwards only requests that an `oauth2_llm` directive has handled. Requests
// of providers without a `base_url` go to the upstream that `reverse_proxy` has
// chosen.
type Transport struct {
	reverseproxy.HTTPTransport

	// withTLS is for https base URLs where TLS is not configured.
	withTLS *reverseproxy.HTTPTransport
	// plain and secure are the connections of the two.
	plain, secure connections
	// parent is the reverse_proxy that this is part of.
	parent *reverseproxy.Handler
	logger *zap.Logger
	// strays bounds the log lines about requests that no directive has handled.
	strays *rate.Limiter
}

// idleConnections are kept for each host. Caddy keeps 32: an LLM gateway has
// many requests at once to few hosts.
const idleConnections = 512

// CaddyModule returns the Caddy module information.
func (*Transport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.oauth2_llm",
		New: func() caddy.Module { return new(Transport) },
	}
}

// UnmarshalCaddyfile sets up the transport. Syntax:
//
//	transport oauth2_llm {
//		# the options of transport http
//	}
func (t *Transport) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return t.HTTPTransport.UnmarshalCaddyfile(d)
}

// Provision prepares the connections to upstreams. It opens none.
func (t *Transport) Provision(ctx caddy.Context) error {
	t.logger = ctx.Logger()
	t.strays = newLogLimiter()
	t.parent = proxyAround(ctx)
	t.plain.RoundTripper = &t.HTTPTransport
	if t.KeepAlive == nil {
		t.KeepAlive = new(reverseproxy.KeepAlive)
	}
	if t.KeepAlive.MaxIdleConnsPerHost == 0 {
		t.KeepAlive.MaxIdleConnsPerHost = idleConnections
	}
	if t.TLS == nil {
		options, err := json.Marshal(&t.HTTPTransport)
		if err != nil {
			return err
		}
		t.withTLS = new(reverseproxy.HTTPTransport)
		if err := json.Unmarshal(options, t.withTLS); err != nil {
			return err
		}
		t.withTLS.TLS = new(reverseproxy.TLSConfig)
		if err := t.withTLS.Provision(ctx); err != nil {
			return err
		}
		t.secure.RoundTripper = t.withTLS
	}
	return t.HTTPTransport.Provision(ctx)
}

// Cleanup closes idle connections.
func (t *Transport) Cleanup() error {
	err := t.HTTPTransport.Cleanup()
	if t.withTLS != nil {
		err = errors.Join(err, t.withTLS.Cleanup())
	}
	return err
}

// RoundTrip sends a request to its provider.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	l := leaseOf(r.Context())
	if l == nil {
		return t.stray(r)
	}
	l.reach(inTransport)
	if l.provider() == nil {
		return t.HTTPTransport.RoundTrip(r)
	}
	if l.bound() {
		if at, ok := reverseproxy.GetDialInfo(r.Context()); !ok || at.Address != l.route.target.dial {
			closeBody(r)
			return l.answerError(r, transportRequired(l, fmt.Errorf("reverse_proxy chose the upstream %s", at.Address)))
		}
		l.message.Unlock()
	}
	body, err := l.bodyOf(r)
	switch {
	case err == nil:
	case errors.Is(err, message.ErrSent):
		// reverse_proxy tries once more what cannot be sent twice.
		return nil, err
	default:
		closeBody(r)
		return l.answerError(r, requestProblem(err))
	}
	return t.run(l, r, body)
}

// bodyOf is the body that reverse_proxy wants to have sent, nil without one:
// the lease's, or one that another handler has put in its place.
func (l *lease) bodyOf(r *http.Request) (*message.Message, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody || l.message.Tunnels():
		return nil, nil //nolint:nilnil // no body is no error
	case l.message.LeadsHere(r.Body):
		return &l.message, l.message.Hold(l.handler.MaxBody)
	case l.replaced != nil && !reflect.ValueOf(r.Body).Comparable():
		// Nobody can tell whether it is the one that was taken before.
		return nil, message.ErrSent
	}
	if l.replaced == nil || l.replacedBody != r.Body {
		if l.replaced != nil {
			l.replaced.Release()
		}
		l.replaced, l.replacedBody = new(message.Message), r.Body
		taken := *r
		l.replaced.Take(&taken, &heldBodies)
	}
	err := l.replaced.Hold(l.handler.MaxBody)
	if errors.Is(err, message.ErrLocked) {
		// It is a wrapper that does not let itself be asked.
		return &l.message, nil
	}
	return l.replaced, err
}

// connectionsOf are those that lead to a target.
func (t *Transport) connectionsOf(to *target) *connections {
	switch {
	case to.provider.upstream != nil:
		return to.provider.upstream
	case to.base != nil && to.base.Scheme == "https" && t.withTLS != nil:
		return &t.secure
	}
	return &t.plain
}

// mayBeSentAgain reports whether the reverse_proxy around may send a request once
// more although the upstream has answered.
func (t *Transport) mayBeSentAgain() bool {
	return t.parent != nil && (len(t.parent.HandleResponse) > 0 || t.parent.LoadBalancing != nil && len(t.parent.LoadBalancing.RetryMatch) > 0)
}

// stray answers for a request that no directive has handled. Active health
// checks are let through, without a token.
func (t *Transport) stray(r *http.Request) (*http.Response, error) {
	// Caddy's server gives every request variables; a health check has none.
	if r.Context().Value(caddyhttp.VarsCtxKey) == nil {
		return t.HTTPTransport.RoundTrip(r)
	}
	closeBody(r)
	if t.strays.Allow() {
		t.logger.Error("transport oauth2_llm refuses a request that no oauth2_llm directive has handled: write oauth2_llm before this reverse_proxy, for the same requests")
	}
	return misrouted(codeTransportRequired, "this request was not handled by oauth2_llm before it was forwarded; ask the operator of the gateway to fix this", nil).response(r), nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Transport)(nil)
	_ caddy.CleanerUpper    = (*Transport)(nil)
	_ caddyfile.Unmarshaler = (*Transport)(nil)
	_ http.RoundTripper     = (*Transport)(nil)
)
