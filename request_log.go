package oauth2llm

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/time/rate"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// A requestLog is what the access log says of a request.
type requestLog struct {
	provider  string
	model     string
	errorKind string
	errorCode string
	waited    time.Duration
	// replayed says that the request was sent once more after the LLM refused its token.
	replayed bool
}

// MarshalLogObject adds the fields to the access log.
func (f *requestLog) MarshalLogObject(encoder zapcore.ObjectEncoder) error {
	if f.provider != "" {
		encoder.AddString("llm_provider", f.provider)
	}
	if f.model != "" {
		encoder.AddString("llm_model", f.model)
	}
	if f.errorCode != "" {
		encoder.AddString("llm_error_code", f.errorCode)
	}
	if f.waited > 0 {
		encoder.AddDuration("llm_token_wait", f.waited)
	}
	if f.replayed {
		encoder.AddBool("llm_replayed", true)
	}
	return nil
}

// announce tells the access log and placeholders where the request goes.
func (l *lease) announce() {
	to := &l.route.target
	if l.log.model = to.upstream; l.log.model != "" {
		l.replacer.Set("http.oauth2_llm.model", l.log.model)
	}
	if to.provider != nil {
		l.log.provider = to.provider.name
		l.replacer.Set("http.oauth2_llm.provider", to.provider.placeholder)
	}
}

// note puts an error where the operator sees it: in the access log, in
// placeholders and in the log. Why there is no token is in the log already,
// once for all requests; why the LLM could not be reached is not, and clients can
// ask for it as often as they like.
func (l *lease) note(p *problem) {
	l.log.errorKind, l.log.errorCode = p.kind, p.code
	l.replacer.Set("http.oauth2_llm.error.type", p.kind)
	l.replacer.Set("http.oauth2_llm.error.code", p.code)
	level := zapcore.DebugLevel
	switch {
	case p.code == codeOverloaded && l.handler.overloads.Allow():
		level = zapcore.ErrorLevel
	case p.cause == nil:
	case p.kind == llm.TypeUpstream && l.troubles().Allow(),
		(p.code == codeTransportRequired || p.code == codeNoUpstream) && l.handler.misroutes.Allow():
		level = zapcore.ErrorLevel
	}
	if c := l.handler.logger.Check(level, "request failed"); c != nil {
		upstream, _ := l.replacer.GetString("http.reverse_proxy.upstream.hostport")
		c.Write(zap.String("provider", l.log.provider), zap.String("upstream", upstream), zap.String("request_id", requestID(l.Context, l.replacer)),
			zap.String("code", p.code), zap.Int("status", p.status), zap.String("problem", p.message), zap.NamedError("cause", p.cause))
	}
}

// troubles bounds the log lines about the LLM of the request's provider.
func (l *lease) troubles() *rate.Limiter {
	if p := l.provider(); p != nil {
		return p.troubles
	}
	return l.handler.troubles
}

// logInterval is how often a log line is written that clients can cause.
const logInterval = 30 * time.Second

// newLogLimiter allows one log line in 30 seconds. Each kind of line has its own.
func newLogLimiter() *rate.Limiter { return rate.NewLimiter(rate.Every(logInterval), 1) }
