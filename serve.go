package oauth2llm

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
)

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
		l.settle(r)
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
	// Where only the transport can send it, the transport finds out how often.
	if err := l.awaitToken(r.Context(), l.bound()); err != nil {
		return nil, err
	}
	return h.dress(r, l, &q, holder)
}

// authenticate finds out which client sent a request, and where its key stands.
func (h *Handler) authenticate(r *http.Request, l *lease) (clientkey.Holder, error) {
	if h.clientKeys.Empty() {
		return clientkey.Holder{}, nil
	}
	client, holder := h.clientKeys.Current().Authenticate(r.Header)
	if client == nil {
		return clientkey.Holder{}, unauthenticated()
	}
	l.client = client
	l.replacer.Set("http.auth.user.id", client.Placeholder)
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

// respond ends a request with an error: with a body that LLM clients understand,
// or through handle_errors where the directive says so.
func (h *Handler) respond(w http.ResponseWriter, r *http.Request, l *lease, p *problem) error {
	if h.Errors == errorsHandle {
		l.advise(w.Header(), p)
		l.leaveBody(w, r, p.status)
		return caddyhttp.Error(p.status, p)
	}
	linger.Respond(w, r, l.takeBack(), func() {
		body := p.write(w.Header(), requestID(l.Context, l.replacer))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(p.status)
		if isBuffered(w) {
			// Whoever buffers the answer may put another in its place.
			w.Header().Del("Content-Length")
		}
		if r.Method != http.MethodHead {
			_, _ = w.Write(body) //nolint:gosec // it is JSON, and says so
		}
	})
	l.settle(r)
	return nil
}
