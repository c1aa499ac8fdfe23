package oauth2llm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A walk is the way of a request to its target: which token it carries, and how
// often it was sent. The handler takes the first step, which is to get a token;
// the transport goes on.
type walk struct {
	token *tokens.Token
	// replayed says that the request was sent once more with another token, hesitated
	// that it has waited for one to take the place of a suspect one.
	replayed, hesitated bool
	gate                message.Gate

	// sent are the last tokens that have left: what an answer must not show.
	sent [2]*tokens.Token
}

// sends notes a token that leaves with the request.
func (w *walk) sends(t *tokens.Token) {
	if w.sent[0] != t {
		w.sent[0], w.sent[1] = t, w.sent[0]
	}
}

// An outcome is what became of an attempt.
type outcome struct {
	// refused says that the upstream refuses the token.
	refused bool
	// replayed says that the token was a new one already, replayable that the
	// request can be sent again.
	replayed, replayable bool
}

// A verdict is what follows an attempt.
type verdict uint8

const (
	// answer: what came is the answer.
	answer verdict = iota
	// replay: the request is sent once more with another token.
	replay
	// giveUp: the token is refused and the request is not sent again, so that the
	// answer is the gateway's own.
	giveUp
)

// judge alone decides what follows an attempt.
func judge(o outcome) verdict {
	switch {
	case !o.refused:
		return answer
	case o.replayable && !o.replayed:
		return replay
	}
	return giveUp
}

// run sends a request to its target until there is an answer.
func (t *Transport) run(l *lease, r *http.Request, body *message.Message) (*http.Response, error) {
	w := &l.walk
	w.replayed = false
	w.gate = t.gate(l, r)
	// Its body may have taken as long as the token was good for.
	if err := l.awaitToken(r.Context(), body == nil || body.Held()); err != nil {
		closeBody(r)
		return l.answerError(r, err)
	}
	for {
		response, err := t.send(l, r, body)
		if err != nil {
			return nil, err
		}
		follows := judge(outcome{
			refused:  llm.RefusesToken(response.StatusCode, response.Header["Www-Authenticate"]),
			replayed: w.replayed, replayable: body == nil || body.Held(),
		})
		if follows == answer {
			if body != nil && !t.mayBeSentAgain() {
				body.Drop()
			}
			return response, nil
		}
		text := discard(response)
		if err := l.renew(r, follows); err != nil {
			t.reportRefusal(l, text)
			return l.answerError(r, err)
		}
	}
}

// renew has a token replaced that was refused, and gets the new one for a replay. The
// error says what the client gets if the request is not sent again.
func (l *lease) renew(r *http.Request, follows verdict) error {
	p, refused := l.provider(), l.walk.token
	switch {
	case l.walk.replayed:
		return upstreamUnauthorized(p, true)
	case follows == giveUp:
		p.manager.Suspect(refused)
		// Nothing says that this is final: the next request may carry a new token.
		return upstreamUnauthorized(p, false)
	}
	err := l.await(r.Context(), func(ctx context.Context) (*tokens.Token, error) {
		return p.manager.Replacement(ctx, refused)
	})
	switch {
	case errors.Is(err, tokens.ErrRefusedTooOften):
		return upstreamUnauthorized(p, false)
	case err != nil:
		return tokenProblem(r.Context(), p.name, err)
	case l.walk.token.Value.Equal(refused.Value):
		return upstreamUnauthorized(p, true)
	}
	l.walk.replayed, l.log.replayed = true, true
	return nil
}

// send makes one attempt. The request belongs to reverse_proxy, which may use it
// again: a copy is changed. A nil message is a request without a body.
func (t *Transport) send(l *lease, r *http.Request, body *message.Message) (*http.Response, error) {
	w, to := &l.walk, &l.route.target
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	if body == nil || body.Held() {
		closeBody(r)
	}
	if body == nil {
		out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
		out.Trailer, out.TransferEncoding = nil, nil
	} else if err := body.Attempt(out, &w.gate); err != nil {
		return nil, err
	}
	to.aim(out, w)
	return t.connectionsOf(to).exchange(out, body, &w.gate)
}

// reportRefusal logs that an upstream refuses a provider's tokens, once in a while.
func (t *Transport) reportRefusal(l *lease, text string) {
	if p := l.provider(); p.refusals.Allow() {
		t.logger.Error("the upstream refuses the provider's token: check scope, audience and base_url",
			zap.String("provider", p.name), zap.String("upstream_says", tokens.Clean(text, l.walk.token.Value)))
	}
}

// Where reverse_proxy puts what the upstream has answered.
const (
	upstreamStatus    = "http.reverse_proxy.status_code"
	upstreamChallenge = "http.reverse_proxy.header.Www-Authenticate"
)

// noticeRejection has a token replaced that the upstream refused behind a plain
// reverse_proxy, so that the next request gets a new one. The answer
// has been passed on already, or a route of handle_response follows.
func (l *lease) noticeRejection() {
	if l.provider() == nil || l.bound() || l.progress >= inTransport {
		return
	}
	value, _ := l.replacer.Get(upstreamStatus)
	status, _ := value.(int)
	challenge, _ := l.replacer.GetString(upstreamChallenge)
	if llm.RefusesToken(status, []string{challenge}) {
		l.provider().manager.Suspect(l.walk.token)
	}
}

// answerError is the transport's answer in place of the upstream's. An error would
// count as a failure of the upstream, so it is one only where handle_errors wants
// it, or where the client gets no answer.
func (l *lease) answerError(r *http.Request, err error) (*http.Response, error) {
	p, ok := errors.AsType[*problem](err)
	if !ok || l.handler.Errors == errorsHandle {
		return nil, err
	}
	l.note(p)
	return p.response(r), nil
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
