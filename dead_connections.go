package oauth2llm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// connections are those to upstreams that share a transport.
type connections struct {
	http.RoundTripper
	// single is a transport of the same settings that keeps no connection, made
	// once it is needed.
	once   sync.Once
	single *http.Transport
}

// netHTTP is net/http's transport for all requests, nil if they go through another.
func (c *connections) netHTTP() *http.Transport {
	transport, ok := c.RoundTripper.(*reverseproxy.HTTPTransport)
	if !ok || slices.Contains(transport.Versions, "3") {
		return nil
	}
	return transport.Transport
}

// fresh returns a transport that does not reuse a connection that may be dead, where
// one can be had. HTTP/2 notices dead connections, so its connections are shared.
func (c *connections) fresh() http.RoundTripper {
	transport := c.netHTTP()
	if transport == nil {
		if closer, ok := c.RoundTripper.(interface{ CloseIdleConnections() }); ok {
			closer.CloseIdleConnections()
		}
		return c.RoundTripper
	}
	c.once.Do(func() {
		c.single = transport.Clone()
		c.single.DisableKeepAlives = true
	})
	return c.single
}

// exchange sends a request, and once more over a new connection where that is right.
// An error says whether the request may have been run.
func (c *connections) exchange(out *http.Request, body *message.Message, gate *message.Gate) (*http.Response, error) {
	sent := limitRepeats(out, gate)
	response, err := c.RoundTrip(out)
	for errors.Is(err, message.ErrAskedAgain) {
		// The request of before is the transport's.
		out = out.WithContext(out.Context())
		if err = body.Again(out, gate); err == nil {
			response, err = c.fresh().RoundTrip(out)
		}
	}
	if err == nil {
		return response, nil
	}
	defer gate.Close()
	switch {
	case errors.Is(context.Cause(out.Context()), message.ErrNoAnswer):
		// HTTP/2 says only that the request was canceled, as if its client had left.
		return nil, message.ErrNoAnswer
	case out.Context().Err() != nil, saysWhy(err):
		return nil, err
	case sent != nil && sent.Load(), gate.Delivered():
		// The cause must not be found: reverse_proxy sends a request once more whose
		// connection could not be dialed, which may be the repeat's.
		return nil, fmt.Errorf("%w: %v", message.ErrNoAnswer, err) //nolint:errorlint // see above
	}
	return nil, err
}

// saysWhy reports whether an error has another cause than a lost connection: a timeout, or a server that did not like what was sent in TLS's
// handshake, which over TLS 1.3 is learned after it.
func saysWhy(err error) bool {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return true
	}
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && alert.Op == "remote error" || errors.Is(err, message.ErrNoAnswer)
}

// idempotencyFields are the headers with which a client says that its request may be
// repeated. net/http repeats such a request as often as it likes.
var idempotencyFields = [...]string{"Idempotency-Key", "X-Idempotency-Key"}

// gate decides how often the body of a request may be given. A request that only
// runs a model leaves nothing behind, one by a safe method changes nothing, and a
// client that sends an idempotency key answers for it.
func (t *Transport) gate(l *lease, r *http.Request) message.Gate {
	repeatable := isSafe(r.Method) || llm.RunsModel(r.Method, r.URL)
	for _, name := range idempotencyFields {
		repeatable = repeatable || len(r.Header[name]) > 0
	}
	return message.Gate{Repeatable: repeatable, Concurrent: t.connectionsOf(&l.route.target).netHTTP() == nil}
}

// limitRepeats keeps net/http from repeating a request without end where a
// connection turns out to be dead. A request with a body is repeated as its Gate
// allows; for net/http to ask for the body over HTTP/1.1 the request must look
// idempotent, which a field without a value says that is not sent. The client's own
// key goes by a name that is the same to the upstream and unknown to net/http.
//
// For a request without a body it returns what tells whether it was sent.
func limitRepeats(out *http.Request, gate *message.Gate) (sent *atomic.Bool) {
	for _, name := range idempotencyFields {
		if values := out.Header[name]; len(values) > 0 {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = values
		}
	}
	switch {
	case out.GetBody != nil:
		delete(out.Header, "Expect")
		if gate.Repeatable {
			out.Header["Idempotency-Key"] = []string{}
		}
	case !isSafe(out.Method) && (out.Body == nil || out.Body == http.NoBody):
		return sendOnce(out)
	}
	return nil
}

// isSafe reports whether requests by a method change nothing (RFC 9110 §9.2.1).
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// sendOnce keeps a request without a body from being sent over HTTP/2 once more:
// there, net/http repeats it whatever the headers say. Over HTTP/1.1 it repeats one
// only if nothing of it was written.
func sendOnce(out *http.Request) (sent *atomic.Bool) {
	ctx, cancel := context.WithCancelCause(out.Context())
	sent = new(atomic.Bool)
	var multiplexed atomic.Bool
	stop := func() {
		if multiplexed.Load() && sent.Load() {
			cancel(message.ErrNoAnswer)
		}
	}
	trace := &httptrace.ClientTrace{
		// HTTP/2 alone has fields such as :method.
		WroteHeaderField: func(name string, _ []string) {
			if strings.HasPrefix(name, ":") {
				multiplexed.Store(true)
			}
		},
		WroteHeaders: func() { sent.Store(true) },
		GetConn:      func(string) { stop() },
		// A connection that was dialed by another request is not asked for.
		GotConn: func(httptrace.GotConnInfo) { stop() },
	}
	*out = *out.WithContext(httptrace.WithClientTrace(ctx, trace))
	return sent
}
