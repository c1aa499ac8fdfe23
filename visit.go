package oauth2llm

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// A visit is one request's way through the handler, as the access log sees it.
type visit struct {
	provider  string
	model     string
	errorKind string
	errorCode string
	waited    time.Duration
	// replayed says that the request was sent once more after a 401.
	replayed bool
	// body is the client's body as it is forwarded; bodyRead says that the
	// handler has read it to its end before.
	body     *clientBody
	bodyRead bool
}

// MarshalLogObject adds the visit's fields to the access log.
func (v *visit) MarshalLogObject(encoder zapcore.ObjectEncoder) error {
	if v.provider != "" {
		encoder.AddString("llm_provider", v.provider)
	}
	if v.model != "" {
		encoder.AddString("llm_model", v.model)
	}
	if v.errorCode != "" {
		encoder.AddString("llm_error_code", v.errorCode)
	}
	if v.waited > 0 {
		encoder.AddDuration("llm_token_wait", v.waited)
	}
	if v.replayed {
		encoder.AddBool("llm_replayed", true)
	}
	return nil
}

// note puts an error where the operator sees it: in the access log, in
// placeholders and in the log. Why there is no token is in the log already,
// once for all requests; why the LLM could not be reached is not.
func (l *lease) note(p *problem) {
	l.visit.errorKind, l.visit.errorCode = p.kind, p.code
	l.replacer.Set("http.oauth2_llm.error.type", p.kind)
	l.replacer.Set("http.oauth2_llm.error.code", p.code)
	level := zapcore.DebugLevel
	switch {
	case p.cause == nil:
	case p.kind == llm.TypeUpstream,
		(p.code == codeTransportRequired || p.code == codeNoUpstream) && l.handler.misroutes.now():
		level = zapcore.ErrorLevel
	}
	if c := l.handler.logger.Check(level, "request failed"); c != nil {
		upstream, _ := l.replacer.GetString("http.reverse_proxy.upstream.hostport")
		c.Write(zap.String("provider", l.visit.provider), zap.String("upstream", upstream), zap.String("request_id", p.identify()),
			zap.String("code", p.code), zap.Int("status", p.status), zap.String("problem", p.message), zap.NamedError("cause", p.cause))
	}
}
