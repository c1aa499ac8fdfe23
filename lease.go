package oauth2llm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A lease is what the handler lends to the upstream source and to `transport
// oauth2_llm` for one request: where it goes, its token, and its body. It is the
// request's context, in which no other module can reach it. The handler writes
// it before it forwards the request, the transport during RoundTrip.
type lease struct {
	context.Context

	handler  *Handler
	replacer *caddy.Replacer
	// earlier is the lease of a directive that has forwarded the request to this
	// one, if there is one. The last directive decides.
	earlier *lease
	// client is who sent the request, nil if something else authenticates.
	client  *clientkey.Client
	message message.Message
	// upload is the client's own body, which may still be coming when the request is
	// answered.
	upload io.Reader
	route  route
	walk   walk
	log    requestLog
	answer answerWriter

	// replaced is the body that another handler has put in the place of the
	// message's.
	replaced     *message.Message
	replacedBody any

	progress progress
}

// A progress is how far a request has come behind the handler.
type progress uint8

const (
	// prepared: the handler has forwarded the request, or is about to.
	prepared progress = iota
	// upstreamMissing: the upstream source has found no address for it.
	upstreamMissing
	// upstreamFound: the upstream source has returned the provider's address.
	upstreamFound
	// inTransport: `transport oauth2_llm` has got it.
	inTransport
	// handedOver: a later directive has got it.
	handedOver
)

// reach notes how far the request has come. A retry begins no earlier stage anew.
func (l *lease) reach(p progress) { l.progress = max(l.progress, p) }

// newLease makes the lease of a request. The message takes the request's body.
func (h *Handler) newLease(w http.ResponseWriter, r *http.Request) *lease {
	l := &lease{Context: r.Context(), handler: h, earlier: leaseOf(r.Context())}
	l.answer.ResponseWriter, l.answer.lease = w, l
	l.replacer = replacerOf(r)
	l.upload = clientBody(r)
	if inPlaceOf := leftBy[func(io.ReadCloser) io.ReadCloser](l.replacer, leftBody); inPlaceOf != nil {
		r.Body = inPlaceOf(r.Body)
		l.withdrawAdvice(w.Header())
	}
	l.message.Take(r, &heldBodies)
	return l
}

// leftBody is the placeholder by which a directive that ends in an error leaves the
// body to one in an error route. That has the server's request, whose body is the
// client's own if a handler before the first directive has made a copy of it, as
// forward_auth does.
const leftBody = "http." + appName + ".left.body"

// left is what a directive leaves to a later one of the same request. It stands among
// the placeholders, which are safe to set at any time: a connection that is still being
// dialed for the request reads Caddy's variables of it. As a text it is nothing.
type left[T any] struct{ value T }

func (left[T]) String() string { return "" }

// leftBy is what an earlier directive has left, else nothing.
func leftBy[T any](replacer *caddy.Replacer, key string) (value T) {
	if set, ok := replacer.Get(key); ok {
		if left, ok := set.(left[T]); ok {
			return left.value
		}
	}
	return value
}

// handOver leaves a request to a later directive. What the upstreams of that one
// answer says nothing about this one's token.
func (l *lease) handOver() {
	l.noticeRejection()
	l.reach(handedOver)
}

// requestID is Caddy's own id of a request, {http.request.uuid}, by which an operator
// finds it in the access log. Where nobody has asked for that yet one is made here:
// Caddy would note it in the request's variables, which a connection that is still
// being dialed for the request reads.
func requestID(ctx context.Context, replacer *caddy.Replacer) string {
	if known, ok := caddyhttp.GetVar(ctx, "uuid").(fmt.Stringer); ok {
		return known.String()
	}
	if known := leftBy[string](replacer, leftID); known != "" {
		return known
	}
	id := uuid.NewString()
	replacer.Set(leftID, left[string]{id})
	// What is set comes before what Caddy would make.
	replacer.Set("http.request.uuid", id)
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("uuid", id))
	}
	return id
}

// leftID is the placeholder by which a directive leaves the id that it has made.
const leftID = "http." + appName + ".left.request_id"

// replacerOf returns a request's placeholders.
func replacerOf(r *http.Request) *caddy.Replacer {
	if replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		return replacer
	}
	return caddy.NewReplacer()
}

// provider is the request's, nil for one that is passed on untouched.
func (l *lease) provider() *provider { return l.route.target.provider }

// bound reports whether the request goes to its provider's base_url.
func (l *lease) bound() bool { return l.route.target.base != nil }

// awaitToken waits for a token. A request that can be sent twice takes a suspect one,
// another waits once whether a better one comes.
func (l *lease) awaitToken(ctx context.Context, repeatable bool) error {
	p := l.provider()
	token := p.manager.Current()
	suspects := !repeatable && !l.walk.hesitated && p.manager.Suspects(token)
	if token != nil && !suspects {
		l.walk.token = token
		return nil
	}
	ask := p.manager.Token
	if suspects {
		l.walk.hesitated, ask = true, p.manager.TrustedToken
	}
	if err := l.await(ctx, ask); err != nil {
		return tokenProblem(ctx, p.name, err)
	}
	return nil
}

// await waits for the token that is asked for, for `token_wait`.
func (l *lease) await(ctx context.Context, ask func(context.Context) (*tokens.Token, error)) error {
	started := time.Now()
	defer func() { l.log.waited += time.Since(started) }()
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(l.handler.TokenWait), errTokenWait)
	defer cancel()
	token, err := ask(ctx)
	if err == nil {
		l.walk.token = token
	}
	return err
}

// end is called when a request has left the handler, finished or in a panic.
func (l *lease) end(finished bool, err error) {
	l.count(finished, err)
	if err != nil {
		// Error routes may read the body.
		l.replacer.Set(leftBody, left[func(io.ReadCloser) io.ReadCloser]{l.message.InPlaceOf})
		context.AfterFunc(l.Context, l.release)
		return
	}
	l.release()
}

// release gives back what the request's bodies take of the memory for all.
func (l *lease) release() {
	l.message.Release()
	if l.replaced != nil {
		l.replaced.Release()
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

// leaseOf is the lease of a request that a handler has handled, else nil.
func leaseOf(ctx context.Context) *lease {
	l, _ := ctx.Value(leaseKey{}).(*lease)
	return l
}

// clientBody is the client's own body. Others may have wrapped it: `request_body
// max_size` lets nothing through behind its limit, so it is looked for below them.
func clientBody(r *http.Request) io.Reader {
	if reader, _ := caddyhttp.IdleTimeoutsFromContext(r.Context()); reader != nil {
		return reader
	}
	return r.Body
}

// unread is what is left of the client's body.
func (l *lease) unread() linger.Rest {
	remains, begun := l.message.Rest()
	if !remains {
		return linger.Rest{}
	}
	return linger.Rest{Body: l.upload, Begun: begun}
}

// takeBack ends reading for a transport that has not noticed yet that its
// request is over, and returns what is left of the client's body.
func (l *lease) takeBack() linger.Rest {
	l.message.TakeBack()
	return l.unread()
}

// leaveBody prepares a request for an error route, which answers it. A failure
// of an upstream or a token endpoint is one that the error route can mend, by
// sending the request elsewhere: it gets the body if that is still whole. What
// is wrong with the request itself stays wrong, so the body is thrown away.
func (l *lease) leaveBody(w http.ResponseWriter, r *http.Request, status int) {
	if l.message.Whole() && status >= http.StatusInternalServerError {
		linger.Leave(w, r, l.unread())
		return
	}
	linger.Discard(w, r, l.takeBack())
	l.settle(r)
}

// settle waits, over HTTP/1, for a transport that is still in the middle of reading
// the body: it gets the end, or the deadline that has ended the upload.
func (l *lease) settle(r *http.Request) {
	if r.ProtoMajor == 1 {
		l.message.Settle()
	}
}

// isBuffered reports whether an answer whose header was written stays with a
// ResponseRecorder of Caddy's, such as the one of `intercept`, until the handler
// returns.
func isBuffered(w http.ResponseWriter) bool {
	for {
		if recorder, ok := w.(interface{ Buffered() bool }); ok && recorder.Buffered() {
			return true
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = wrapper.Unwrap()
	}
}
