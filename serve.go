package oauth2llm

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// heldBodies bounds the memory of all bodies that are held, those of earlier
// configurations too.
var heldBodies message.Budget

// defaultHeldBodies is held_bodies where it is not set.
const defaultHeldBodies = 1 << 30

func init() { heldBodies.SetLimit(defaultHeldBodies) }

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	l := h.newLease(w, r)
	if l.earlier != nil {
		l.earlier.handOver()
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		// The last directive of several decides, in the log as well.
		extra.Set(zap.Field{Key: appName, Type: zapcore.InlineMarshalerType, Interface: &l.log})
	}
	finished := true
	defer func() { l.end(finished, err) }()

	forwarded, err := h.prepare(r, l)
	switch {
	case err != nil:
		return h.refuse(w, r, l, err)
	case l.route.reply != nil:
		linger.Respond(w, r, l.unread(), func() { err = answerJSON(w, r, l.route.reply) })
		return err
	}
	if streams := !l.message.Held() && !l.message.Tunnels(); streams {
		linger.Overlap(w, r)
	}
	l.replacer.Delete(upstreamStatus)
	l.replacer.Delete(upstreamChallenge)
	finished = false
	err = next.ServeHTTP(&l.answer, forwarded)
	finished = true
	l.answer.clean()
	l.noticeRejection()
	if err != nil {
		return h.refuse(w, r, l, l.failure(err))
	}
	if !l.answer.switched {
		linger.Finish(w, r, l.takeBack())
	}
	return nil
}

// prepare makes the request that is forwarded: read, decide, get a token, dress.
func (h *Handler) prepare(r *http.Request, l *lease) (*http.Request, error) {
	holder, err := h.authenticate(r, l)
	if err != nil {
		return nil, err
	}
	q, err := h.read(r, l)
	if err != nil {
		return nil, err
	}
	if l.route, err = h.decide(&q); err != nil || l.route.reply != nil {
		return nil, err
	}
	if err := l.message.Failure(); err != nil {
		// What an earlier directive had, or sent, of the body is not here.
		return nil, requestProblem(err)
	}
	l.announce()
	if l.provider() == nil {
		return h.passOn(r, l, holder)
	}
	if err := l.awaitToken(r.Context()); err != nil {
		return nil, err
	}
	return h.dress(r, l, &q, holder)
}

// authenticate finds out which client sent a request, and where its key stands.
func (h *Handler) authenticate(r *http.Request, l *lease) (keyHolder, error) {
	if h.clientKeys.empty() {
		return keyHolder{}, nil
	}
	client, holder := h.clientKeys.current().authenticate(r.Header)
	if client == nil {
		return keyHolder{}, unauthenticated()
	}
	l.client = client
	l.replacer.Set("http.auth.user.id", client.placeholder)
	return holder, nil
}

// answerJSON answers a request that goes nowhere.
func answerJSON(w http.ResponseWriter, r *http.Request, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body) //nolint:gosec // it is JSON, and says so
	return err
}

// Where reverse_proxy puts what the upstream has answered.
const (
	upstreamStatus    = "http.reverse_proxy.status_code"
	upstreamChallenge = "http.reverse_proxy.header.Www-Authenticate"
)

// noticeRejection drops a token that the upstream refused behind a plain
// reverse_proxy, so that the next request gets a new one (case U01). The answer
// has been passed on already, or a route of handle_response follows.
func (l *lease) noticeRejection() {
	if l.provider() == nil || l.bound() || l.taken || l.handedOver {
		return
	}
	value, _ := l.replacer.Get(upstreamStatus)
	status, _ := value.(int)
	challenge, _ := l.replacer.GetString(upstreamChallenge)
	if llm.RefusesToken(status, []string{challenge}) {
		l.provider().manager.Reject(l.walk.token)
	}
}

// refuse ends a request with an error.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, l *lease, err error) error {
	var p *problem
	if !errors.As(err, &p) {
		status := http.StatusInternalServerError
		if failed, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
			status = failed.StatusCode
		}
		l.leaveBody(w, r, status)
		return err
	}
	l.note(p)
	return h.respond(w, r, l, p)
}

// end is called when a request has left the handler, finished or in a panic.
func (l *lease) end(finished bool, err error) {
	l.count(finished, err)
	if err != nil {
		// Error routes may read the body.
		caddyhttp.SetVar(l.Context, leftBody, l.message.InPlaceOf)
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
