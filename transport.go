package oauth2llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func init() { caddy.RegisterModule(new(Transport)) }

// Transport sends LLM requests to their providers. It points a request at its
// provider's `base_url`, sets the provider's token, and, if the LLM answers 401,
// gets a new token and sends the request once more, unless its body is longer
// than `max_body`. If it stays 401 the client gets a 502: its own key is not at
// fault.
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
	logger  *zap.Logger
	strays  occasion
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
	l.taken = true
	if l.provider == nil {
		return t.HTTPTransport.RoundTrip(r)
	}
	if l.target.base != nil {
		if at, ok := reverseproxy.GetDialInfo(r.Context()); !ok || at.Address != l.target.dial {
			closeBody(r)
			return l.answer(r, transportRequired(l, fmt.Errorf("reverse_proxy chose the upstream %s", at.Address)))
		}
	} else if stream := l.body.stream; stream != nil && !stream.begun.Load() {
		if err := l.body.hold(stream, l.body.length, l.handler.MaxBody); err != nil {
			if p, ok := errors.AsType[*problem](requestProblem(err)); ok {
				return l.answer(r, p)
			}
			return nil, err
		}
	}
	return t.withReplay(l, r)
}

// withReplay sends a request, and once more if its token is refused.
func (t *Transport) withReplay(l *lease, r *http.Request) (*http.Response, error) {
	// Its body may have taken as long as the token was good for.
	if l.token = l.provider.manager.Current(); l.token == nil {
		if err := l.awaitToken(r.Context()); err != nil {
			closeBody(r)
			return t.noToken(l, r, err)
		}
	}
	response, err := t.send(l, r)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	refused := l.token
	worthwhile := l.provider.manager.Reject(refused)
	text := discard(response)
	switch {
	case !worthwhile:
		return t.unauthorized(l, r, text, true)
	case !l.body.replayable():
		// The client can send the body once more, and then the token is another.
		return t.unauthorized(l, r, text, false)
	}
	if err := l.awaitToken(r.Context()); err != nil {
		return t.noToken(l, r, err)
	}
	if l.token.Value.Equal(refused.Value) {
		return t.unauthorized(l, r, text, true)
	}
	l.visit.replayed = true
	if response, err = t.send(l, r); err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	return t.unauthorized(l, r, discard(response), true)
}

// noToken answers for a token that could not be had.
func (t *Transport) noToken(l *lease, r *http.Request, err error) (*http.Response, error) {
	if p, ok := errors.AsType[*problem](err); ok {
		return l.answer(r, p)
	}
	return nil, err
}

// send makes one attempt. The request belongs to reverse_proxy, which may use it
// again: a copy is changed.
func (t *Transport) send(l *lease, r *http.Request) (*http.Response, error) {
	p := l.provider
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	var err error
	if l.target.base != nil || l.body.held {
		closeBody(r)
		err = l.body.put(out)
	} else {
		err = l.send(out)
	}
	if err != nil {
		return nil, err
	}
	if l.target.base != nil {
		hideGateway(out.Header)
	}
	base := l.target.base
	if base != nil {
		address := *r.URL
		llm.Aim(&address, base)
		out.URL, out.Host = &address, base.Host
	}
	p.putToken(out, l.token)
	switch {
	case p.transport != nil:
		return p.transport.RoundTrip(out)
	case base != nil && base.Scheme == "https" && t.withTLS != nil:
		return t.withTLS.RoundTrip(out)
	}
	return t.HTTPTransport.RoundTrip(out)
}

// hideGateway removes what reverse_proxy adds about the client and this gateway,
// and what a client may have made up: none of it is a provider's business.
func hideGateway(header http.Header) {
	for name := range header {
		switch field := canonicalField(name); {
		case field == "Via", field == "Forwarded", field == "X-Real-Ip", strings.HasPrefix(field, "X-Forwarded-"):
			delete(header, name)
		}
	}
}

// unauthorized answers for an upstream that refuses the provider's token. It is
// final if a new token changes nothing, or cannot be had yet.
func (t *Transport) unauthorized(l *lease, r *http.Request, text string, final bool) (*http.Response, error) {
	if l.provider.refusals.now() {
		t.logger.Error("the upstream refuses the provider's token: check scope, audience and base_url",
			zap.String("provider", l.provider.name), zap.String("upstream_says", tokens.Clean(text, l.token.Value)))
	}
	return l.answer(r, &problem{
		status: http.StatusBadGateway, kind: llm.TypeUpstream, code: codeUpstreamUnauthorized, final: final,
		message: fmt.Sprintf("the LLM of provider %s refuses the gateway's access token; the operator of the gateway has to mend this", l.provider.name),
	})
}

// stray answers for a request that no directive has handled. Active health
// checks are let through, without a token.
func (t *Transport) stray(r *http.Request) (*http.Response, error) {
	// Caddy's server gives every request variables; a health check has none.
	if r.Context().Value(caddyhttp.VarsCtxKey) == nil {
		return t.HTTPTransport.RoundTrip(r)
	}
	closeBody(r)
	if t.strays.now() {
		t.logger.Error("transport oauth2_llm refuses a request that no oauth2_llm directive has handled: write oauth2_llm before this reverse_proxy, for the same requests")
	}
	return misrouted(codeTransportRequired, "this request was not handled by oauth2_llm before it was forwarded; the operator of the gateway has to mend this", nil).response(r), nil
}

// answer is the transport's answer in place of the upstream's. An error would
// count as a failure of the upstream, so it is one only where handle_errors
// wants it.
func (l *lease) answer(r *http.Request, p *problem) (*http.Response, error) {
	if l.handler.Errors == errorsHandle {
		return nil, p
	}
	l.note(p)
	return p.response(r), nil
}

// response makes a response of a problem.
func (p *problem) response(r *http.Request) *http.Response {
	header := make(http.Header)
	body := p.write(header)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", p.status, http.StatusText(p.status)), StatusCode: p.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// discard reads the beginning of an answer, which is all that is kept of it, and
// lets its connection be used again if there is not much more. It waits for
// neither for long: a client waits for what comes after.
func discard(response *http.Response) string {
	const kept, read = 4 << 10, 64 << 10
	defer response.Body.Close()
	defer time.AfterFunc(discardWait, func() { _ = response.Body.Close() }).Stop()
	text, _ := io.ReadAll(io.LimitReader(response.Body, kept))
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, read-kept))
	return string(text)
}

const discardWait = time.Second

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// dialAddress is the address that a URL's host listens on.
func dialAddress(base *url.URL) string {
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	return caddy.JoinNetworkAddress("", base.Hostname(), port)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Transport)(nil)
	_ caddy.CleanerUpper    = (*Transport)(nil)
	_ caddyfile.Unmarshaler = (*Transport)(nil)
	_ http.RoundTripper     = (*Transport)(nil)
)
