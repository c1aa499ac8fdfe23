package oauth2llm

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// connections are those to upstreams that share a transport.
type connections struct {
	http.RoundTripper
	renewed occasion
}

// renewInterval is how often idle connections are closed because one of them was
// dead.
const renewInterval = time.Second

// Renew closes idle connections, so that a request that is repeated goes over a
// new one instead of the next that may be dead.
func (c *connections) Renew() {
	var idle interface{ CloseIdleConnections() }
	switch transport := c.RoundTripper.(type) {
	case *reverseproxy.HTTPTransport:
		idle = transport.Transport
	case interface{ CloseIdleConnections() }:
		idle = transport
	}
	if idle != nil && c.renewed.every(renewInterval) {
		idle.CloseIdleConnections()
	}
}

// idempotencyFields are the headers with which a client says that its request may be
// repeated. net/http repeats such a request as often as it likes.
var idempotencyFields = [...]string{"Idempotency-Key", "X-Idempotency-Key"}

// gate decides how often the body of a request may be given. A request that only
// runs a model leaves nothing behind, and a client that sends an idempotency key
// answers for it.
func (t *Transport) gate(l *lease, r *http.Request) message.Gate {
	repeatable := llm.RunsModel(r.Method, r.URL)
	for _, name := range idempotencyFields {
		repeatable = repeatable || len(r.Header[name]) > 0
	}
	return message.Gate{Repeatable: repeatable, Connections: t.connectionsOf(&l.route.target)}
}

// limitRepeats keeps net/http from repeating a request without end where a
// connection turns out to be dead. A request with a body is repeated as its Gate
// allows; for net/http to ask the Gate over HTTP/1.1 the request must look
// idempotent, which a field without a value says that is not sent. The client's own
// key goes by a name that is the same to the upstream and unknown to net/http.
func limitRepeats(out *http.Request, gate *message.Gate) {
	for _, name := range idempotencyFields {
		if values := out.Header[name]; len(values) > 0 {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = values
		}
	}
	if out.GetBody != nil {
		delete(out.Header, "Expect")
		if gate.Repeatable {
			out.Header["Idempotency-Key"] = []string{}
		}
		return
	}
	switch out.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return
	}
	if out.Body == nil || out.Body == http.NoBody {
		sendOnce(out)
	}
}

// sendOnce keeps a request without a body, which net/http repeats over HTTP/2 as
// often as it fails, from being sent again once it was.
func sendOnce(out *http.Request) {
	ctx, cancel := context.WithCancelCause(out.Context())
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) {
			if sent.Load() {
				cancel(message.ErrNoAnswer)
			}
		},
		WroteHeaders: func() { sent.Store(true) },
	}
	*out = *out.WithContext(httptrace.WithClientTrace(ctx, trace))
}
