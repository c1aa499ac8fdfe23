package oauth2llm

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	l := &lease{Context: r.Context(), handler: h}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Inline(&l.visit))
	}
	l.replacer, _ = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if l.replacer == nil {
		l.replacer = caddy.NewReplacer()
	}

	l.watchUpload(r)
	finished := true
	defer func() { l.count(finished, err) }()
	forwarded, err := h.prepare(r, l)
	if err != nil {
		return h.refuse(w, r, l, err)
	}
	if l.localAnswer != nil {
		linger.Respond(w, r, l.unread(), func() { err = answerJSON(w, r, l.localAnswer) })
		return err
	}
	l.replacer.Delete(upstreamStatus)
	finished = false
	err = next.ServeHTTP(w, forwarded)
	finished = true
	if l.provider != nil && l.target.base == nil && !l.taken {
		h.noticeRejection(l)
	}
	if err != nil {
		return h.refuse(w, r, l, l.failure(err))
	}
	return nil
}

// answerJSON answers a request that goes nowhere.
func answerJSON(w http.ResponseWriter, r *http.Request, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// prepare makes the request that is forwarded, and the lease for it. Without a
// provider it is passed on with the client's own credentials.
func (h *Handler) prepare(r *http.Request, l *lease) (*http.Request, error) {
	holder, err := h.authenticate(r, l)
	if err != nil {
		return nil, err
	}
	if !mayForward(r) {
		return nil, methodNotAllowed()
	}
	if llm.HasDotSegments(r.URL.Path) {
		return nil, requestProblem(&llm.RequestError{Code: llm.CodeInvalidPath, Message: "the path holds a dot segment"})
	}
	v := &l.visit
	chosen, err := h.choose(r, l)
	if err != nil {
		return nil, err
	}
	if l.localAnswer = chosen.answer; l.localAnswer != nil {
		return nil, nil //nolint:nilnil // the request is answered here
	}
	if v.model = chosen.model; v.model != "" {
		l.replacer.Set("http.oauth2_llm.model", v.model)
	}
	p := chosen.provider
	if p == nil {
		return h.passOn(r, chosen, l, holder), nil
	}
	v.provider = p.name
	l.replacer.Set("http.oauth2_llm.provider", p.placeholder)

	l.provider = p
	if l.token = p.manager.Current(); l.token == nil {
		if err := l.awaitToken(r.Context()); err != nil {
			return nil, err
		}
	}
	forwarded := h.decorated(r, chosen, l, holder)
	if err := l.takeBody(r, forwarded, &chosen); err != nil {
		return nil, requestProblem(err)
	}
	return forwarded, nil
}

// mayForward reports whether a request's method is one for LLMs. The answer to a
// TRACE holds the request, our token and all (RFC 9110 §9.3.8). A CONNECT asks for
// a tunnel to anywhere, unless it opens a WebSocket over HTTP/2 or HTTP/3.
func mayForward(r *http.Request) bool {
	switch r.Method {
	case http.MethodTrace:
		return false
	case http.MethodConnect:
		return r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket"
	}
	return true
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

// decorated copies a request, without the client's credentials and with the
// provider's. The request itself stays as it is: error routes and retries must
// not see the token (case U06).
//
// The token of a provider with a base_url is for the transport to set, where
// no other module sees it.
func (h *Handler) decorated(r *http.Request, chosen choice, l *lease, holder keyHolder) *http.Request {
	p := l.provider
	filter := h.filters[p.name]
	copied := r.WithContext(l)
	copied.Header = filter.header(r.Header, 2+len(p.headerUp.Set))
	holder.remove(copied.Header)
	chosen.locked = l.target.base != nil
	chosen.apply(copied)
	if query := filter.query(copied.URL.RawQuery); query != copied.URL.RawQuery {
		address := *copied.URL
		address.RawQuery = query
		copied.URL = &address
	}
	p.headerUp.Apply(copied.Header)
	if l.target.base == nil {
		p.putToken(copied, l.token)
	}
	return copied
}

// passOn copies a request that is no provider's, without the client's key of
// this gateway.
func (h *Handler) passOn(r *http.Request, chosen choice, l *lease, holder keyHolder) *http.Request {
	copied := r.WithContext(l)
	copied.Header = r.Header.Clone()
	holder.remove(copied.Header)
	chosen.restore()
	chosen.apply(copied)
	if copied.Method != http.MethodConnect {
		l.visit.body = watchBody(r, copied, new(credentialFilter))
	}
	return copied
}

// upstreamStatus is where reverse_proxy puts the status of the upstream's answer.
const upstreamStatus = "http.reverse_proxy.status_code"

// noticeRejection drops a token that the upstream refused behind a plain
// reverse_proxy, so that the next request gets a new one (case U01). The answer
// has been passed on already.
func (h *Handler) noticeRejection(l *lease) {
	if status, ok := l.replacer.Get(upstreamStatus); ok && status == http.StatusUnauthorized {
		l.provider.manager.Reject(l.token)
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
	return h.answer(w, r, l, p)
}
