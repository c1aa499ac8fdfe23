package oauth2llm

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/time/rate"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

func TestTheAccessLogSaysWhatIsKnownOfARequest(t *testing.T) {
	for name, test := range map[string]struct {
		log  requestLog
		want map[string]any
	}{
		"nothing":    {requestLog{}, map[string]any{}},
		"everything": {requestLog{provider: "corp", model: "m", errorKind: "k", errorCode: "c", waited: time.Second, replayed: true}, map[string]any{"llm_provider": "corp", "llm_model": "m", "llm_error_code": "c", "llm_token_wait": time.Second, "llm_replayed": true}},
		"a provider": {requestLog{provider: "corp"}, map[string]any{"llm_provider": "corp"}},
		"an error":   {requestLog{errorKind: "k", errorCode: "c"}, map[string]any{"llm_error_code": "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			encoder := zapcore.NewMapObjectEncoder()
			if err := test.log.MarshalLogObject(encoder); err != nil || !reflect.DeepEqual(encoder.Fields, test.want) {
				t.Errorf("the fields are %v, %v, want %v", encoder.Fields, err, test.want)
			}
		})
	}
}

// noted is a lease of a request to a provider, nil for one that is passed on, and
// the log of its handler.
func noted(h *Handler, p *provider) *lease {
	h.misroutes, h.troubles, h.overloads = orNewLimiter(h.misroutes), orNewLimiter(h.troubles), orNewLimiter(h.overloads)
	if p != nil {
		p.refusals, p.troubles = orNewLimiter(p.refusals), orNewLimiter(p.troubles)
	}
	l := &lease{Context: context.Background(), handler: h, replacer: caddy.NewReplacer()}
	l.route.target.provider = p
	l.announce()
	return l
}

// orNewLimiter is a limiter for what was made without Provision.
func orNewLimiter(limiter *rate.Limiter) *rate.Limiter { return cmp.Or(limiter, newLogLimiter()) }

// unreachable is what becomes of reverse_proxy's error about an LLM that is down.
func unreachable(l *lease) *problem {
	err := l.failure(caddyhttp.HandlerError{Err: errors.New("connection refused"), StatusCode: http.StatusBadGateway, Trace: "reverseproxy.statusError"})
	p, _ := errors.AsType[*problem](err)
	return p
}

// Clients can ask for an LLM that is down as often as they like.
func TestAnLLMThatIsDownIsOneLineInThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		h := &Handler{logger: zap.New(core), Errors: errorsRespond}
		corp, other := &provider{name: "corp", placeholder: "corp"}, &provider{name: "other", placeholder: "other"}
		for _, step := range []struct {
			after time.Duration
			p     *provider
			// lines is how many there are then.
			lines int
		}{
			{0, corp, 1},
			{0, corp, 1},
			{0, other, 2},
			{0, nil, 3},
			{29 * time.Second, corp, 3},
			{time.Second, corp, 4},
			{0, corp, 4},
			{0, nil, 5},
			{time.Hour, other, 6},
		} {
			time.Sleep(step.after)
			for range 100 {
				l := noted(h, step.p)
				l.note(unreachable(l))
			}
			if logs.Len() != step.lines {
				t.Fatalf("%d lines after %v of %v, want %d", logs.Len(), step.after, step.p, step.lines)
			}
		}
		first := logs.All()[0].ContextMap()
		if first["provider"] != "corp" || first["code"] != "upstream_unreachable" || first["cause"] != "connection refused" || first["request_id"] == "" {
			t.Errorf("the line says %v", first)
		}
	})
}

// What is the client's doing, or is in the log already, is no error of the
// operator's.
func TestOnlyWhatTheOperatorMustKnowIsAnError(t *testing.T) {
	for name, test := range map[string]struct {
		p    *problem
		want int
	}{
		"an LLM that is down":     {&problem{kind: llm.TypeUpstream, code: codeUpstreamUnreachable, cause: errors.New("x")}, 1},
		"one that refuses tokens": {&problem{kind: llm.TypeUpstream, code: codeUpstreamUnauthorized}, 0},
		"no token":                {&problem{kind: llm.TypeOAuth2Authentication, code: "invalid_client", cause: errors.New("x")}, 0},
		"a wrong configuration":   {&problem{kind: llm.TypeOAuth2Configuration, code: codeTransportRequired, cause: errors.New("x")}, 1},
		"no upstream":             {&problem{kind: llm.TypeOAuth2Configuration, code: codeNoUpstream, cause: errors.New("x")}, 1},
		"too many bodies":         {&problem{kind: llm.TypeOverloaded, code: codeOverloaded}, 1},
		"a wrong request":         {&problem{kind: llm.TypeInvalidRequest, code: "invalid_body", cause: errors.New("x")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			h := &Handler{logger: zap.New(core)}
			corp := &provider{name: "corp", placeholder: "corp"}
			for range 3 {
				noted(h, corp).note(test.p)
			}
			if got := logs.FilterLevelExact(zap.ErrorLevel).Len(); got != test.want || logs.Len() != 3 {
				t.Errorf("%d of %d lines are errors, want %d of 3", got, logs.Len(), test.want)
			}
		})
	}
}

func TestALogLineThatClientsCauseIsWrittenOnceIn30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := newLogLimiter()
		var lines atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if limiter.Allow() {
					lines.Add(1)
				}
			})
		}
		all.Wait()
		if lines.Load() != 1 {
			t.Errorf("%d of 100 at once", lines.Load())
		}
		time.Sleep(logInterval - time.Millisecond)
		if limiter.Allow() {
			t.Error("it came again too soon")
		}
		time.Sleep(time.Millisecond)
		if !limiter.Allow() {
			t.Error("it did not come again")
		}
	})
}
