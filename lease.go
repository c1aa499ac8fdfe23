package oauth2llm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A lease is what the handler lends to `transport oauth2_llm` for one request:
// a provider, its token and the request's body. It is the request's context, in
// which no other module can reach it.
type lease struct {
	context.Context

	handler  *Handler
	visit    visit
	replacer *caddy.Replacer
	// client is who sent the request, nil if something else authenticates.
	client *clientKey
	// provider is nil for a request that is passed on untouched.
	provider *provider
	target   target
	// token is replaced when the upstream refuses it.
	token *tokens.Token
	body  leasedBody
	// sent is what the last attempt was given of a body that is not held.
	sent *sentBody

	// upload is the client's own body, and asked notes whether it was read if the
	// client holds it back until it is.
	upload io.Reader
	asked  *linger.Body

	// localAnswer, if not nil, is what the request is answered with.
	localAnswer []byte

	// taken says that the transport has got the request, located that the
	// upstream source has given the provider's address, and stranded that there
	// is none. touched says that something else has read the lockedBody.
	taken, located, stranded bool
	touched                  atomic.Bool
}

// awaitToken waits for a token.
func (l *lease) awaitToken(ctx context.Context) error {
	started := time.Now()
	token, err := l.provider.await(ctx, time.Duration(l.handler.TokenWait))
	l.visit.waited += time.Since(started)
	if err != nil {
		return tokenProblem(ctx, l.provider.name, err)
	}
	l.token = token
	return nil
}

// takeBody takes the body of a request that is forwarded, which is the copy of
// another. That of a provider with a base_url is locked away, held in memory if
// it is not too long.
func (l *lease) takeBody(original, forwarded *http.Request, chosen *choice) error {
	body := watchBody(original, forwarded, l.handler.filters[l.provider.name])
	l.visit.body = body
	switch {
	case chosen.held:
		l.body.content, l.body.held, l.body.trailer = chosen.content, true, forwarded.Trailer
	case forwarded.Method == http.MethodConnect && forwarded.ProtoMajor > 1 && body != nil:
		l.takeTunnel(forwarded, body.ReadCloser)
		return nil
	case l.target.base != nil:
		if err := l.body.hold(body, forwarded.ContentLength, l.handler.MaxBody); err != nil {
			return err
		}
	default:
		l.body.stream, l.body.length = body, forwarded.ContentLength
	}
	if l.target.base == nil {
		return nil
	}
	// A request without a body gets one, too: nothing else may forward it.
	forwarded.Body, forwarded.ContentLength, forwarded.Trailer = lockedBody{&l.touched}, -1, lockedTrailer
	return nil
}

// takeTunnel takes what follows a CONNECT. It is no body but a WebSocket over
// HTTP/2 or HTTP/3: it has no end to wait for, and reverse_proxy closes it to
// end it.
func (l *lease) takeTunnel(forwarded *http.Request, tunnel io.ReadCloser) {
	forwarded.Body, forwarded.Trailer = tunnel, nil
	if l.target.base != nil {
		l.body.held = true
		forwarded.Body, forwarded.Trailer = tunnelBody{tunnel, l}, lockedTrailer
	}
}

type leaseKey struct{}

// Value implements context.Context.
func (l *lease) Value(key any) any {
	if key == (leaseKey{}) {
		return l
	}
	return l.Context.Value(key)
}

// leaseOf is the lease of a request that the handler has handled, else nil.
func leaseOf(ctx context.Context) *lease {
	l, _ := ctx.Value(leaseKey{}).(*lease)
	return l
}

// A leasedBody is a request's body, held in memory so that it can be sent
// again, or streaming because it is too long for that.
type leasedBody struct {
	// content is the body that is held. It never changes: net/http may read it
	// after a request has been answered.
	content []byte
	held    bool
	// trailer are the trailers of a held body.
	trailer http.Header

	stream *clientBody
	length int64
}

// errBodySent ends a second attempt at a body that can be sent only once: what
// is left of it would look like a whole one to the upstream.
var errBodySent = errors.New("the request's body cannot be sent a second time")

// put gives a request the body. It can do so again and again while the body is
// held, and once if it streams.
func (b *leasedBody) put(r *http.Request) error {
	r.TransferEncoding, r.GetBody = nil, nil
	switch {
	case b.stream != nil && b.stream.begun.Load():
		return errBodySent
	case b.stream != nil:
		r.Body, r.ContentLength, r.Trailer = b.stream, b.length, b.stream.trailer
	case len(b.content) == 0 && len(b.trailer) == 0:
		r.Body, r.ContentLength, r.Trailer = http.NoBody, 0, nil
	default:
		// net/http knows this kind of body as one that needs no waiting.
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.content)), nil }
		r.Body, _ = r.GetBody()
		r.ContentLength, r.Trailer = int64(len(b.content)), nil
		if len(b.trailer) > 0 {
			// Trailers need chunks.
			r.ContentLength, r.Trailer = -1, b.trailer
		}
	}
	// net/http repeats a request on another connection if a kept-alive one turns
	// out to be closed before a byte of the answer, where that is said to do no
	// harm. A field without a value says so and is not sent.
	if _, set := r.Header["Idempotency-Key"]; !set && b.stream == nil {
		r.Header["Idempotency-Key"] = []string{}
	}
	return nil
}

// A sentBody is a body that is for reverse_proxy to send again.
type sentBody struct {
	io.ReadCloser
	begun atomic.Bool
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	return b.ReadCloser.Read(p)
}

// send gives a request its own body, unless that was begun in an attempt before:
// one that reverse_proxy has buffered in part seems to be empty then.
func (l *lease) send(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	if l.sent != nil && l.sent.ReadCloser == r.Body && l.sent.begun.Load() {
		return errBodySent
	}
	l.sent = &sentBody{ReadCloser: r.Body}
	r.Body = l.sent
	return nil
}

// replayable reports whether the body can be sent again.
func (b *leasedBody) replayable() bool { return b.stream == nil }

// hold reads a body of at most limit bytes into memory; a longer one goes on
// streaming.
func (b *leasedBody) hold(body *clientBody, length, limit int64) error {
	if body == nil {
		b.held = true
		return nil
	}
	b.stream, b.length = body, length
	limit = min(limit, math.MaxInt64-1)
	if length > limit {
		return nil
	}
	content, err := llm.ReadBody(io.LimitReader(body.ReadCloser, limit+1), min(length, limit), limit+1)
	if err != nil {
		body.fail(err)
		return err
	}
	if int64(len(content)) > limit {
		body.ReadCloser = &resumedBody{Reader: io.MultiReader(bytes.NewReader(content), body.ReadCloser), Closer: body.ReadCloser}
		return nil
	}
	body.finish()
	// Error routes may read it, too.
	body.ReadCloser = newMemoryBody(content)
	b.content, b.held, b.trailer, b.stream = content, true, body.trailer, nil
	return nil
}

// errLocked is what reading a lockedBody gives.
var errLocked = errors.New("the request's body is for transport oauth2_llm alone")

// A lockedBody stands in for the body of a request whose provider has a
// base_url: whatever else forwards the request fails before it has sent a byte
// of the body.
type lockedBody struct{ touched *atomic.Bool }

func (l lockedBody) Read([]byte) (int, error) {
	l.touched.Store(true)
	return 0, errLocked
}

func (lockedBody) Close() error { return nil }

// lockedTrailer goes with a lockedBody. net/http refuses a request with such a
// name before it connects: no other host sees the provider's headers, or can
// answer before the body is read.
var lockedTrailer = http.Header{"(for transport oauth2_llm alone)": nil}

// A tunnelBody is what a client sends through a tunnel. reverse_proxy reads it
// when the transport has opened the other end; whatever else reads it gets
// nothing.
type tunnelBody struct {
	io.ReadCloser
	lease *lease
}

func (b tunnelBody) Read(p []byte) (int, error) {
	if !b.lease.taken {
		return lockedBody{&b.lease.touched}.Read(p)
	}
	return b.ReadCloser.Read(p)
}
