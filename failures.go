package oauth2llm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// errTokenWait is the cause of the end of a wait for a token.
var errTokenWait = errors.New("token_wait has passed; the token request goes on")

// tokenProblem says why there is no token. The authorization server's words
// stay with the operator; a client's own key is never blamed, so nothing of
// this is a 401. The context is the request's.
func tokenProblem(ctx context.Context, provider string, err error) error {
	p := &problem{kind: llm.TypeOAuth2Authentication, cause: err}
	var failed *tokens.AuthenticationError
	var misconfigured *config.ConfigurationError
	switch {
	case ctx.Err() != nil:
		return caddyhttp.Error(statusClientClosedRequest, err)
	case errors.As(err, &failed):
		p.code, p.retryAt = failed.Code, failed.RetryAt
		switch {
		case failed.Code == tokens.CodeTimeout:
			p.status = http.StatusGatewayTimeout
			p.message = fmt.Sprintf("the token endpoint of provider %s did not answer in time", provider)
		case failed.Code == tokens.CodeUnavailable:
			p.status = http.StatusServiceUnavailable
			p.message = fmt.Sprintf("the token endpoint of provider %s is unavailable", provider)
		case failed.Code == tokens.CodeStorageUnavailable:
			p.status = http.StatusServiceUnavailable
			p.message = fmt.Sprintf("the gateway's storage, which the token of provider %s needs, is unavailable", provider)
		case failed.Temporary():
			p.status = http.StatusBadGateway
			p.message = fmt.Sprintf("the token endpoint of provider %s returned no usable token", provider)
		default:
			p.status, p.final = http.StatusBadGateway, true
			p.message = fmt.Sprintf("the gateway could not obtain an access token for provider %s (%s); ask the operator of the gateway to fix this", provider, failed.Code)
		}
	case errors.As(err, &misconfigured):
		p.status, p.kind, p.code, p.final = http.StatusInternalServerError, llm.TypeOAuth2Configuration, codeUnresolvedReference, true
		p.message = fmt.Sprintf("the configuration of provider %s refers to a file, a key or a variable that cannot be used; ask the operator of the gateway to fix this", provider)
	case errors.Is(err, errTokenWait):
		p.status, p.code = http.StatusGatewayTimeout, tokens.CodeTimeout
		p.message = fmt.Sprintf("no access token for provider %s arrived in time", provider)
		p.retryAt = time.Now().Add(time.Second)
	default:
		p.status, p.kind, p.code, p.final = http.StatusInternalServerError, llm.TypeOAuth2Configuration, codeUnresolvedReference, true
		p.message = fmt.Sprintf("the gateway cannot obtain an access token for provider %s", provider)
	}
	return p
}

// failure says what an error of the next handler means.
func (l *lease) failure(err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if l.progress == handedOver {
		return err
	}
	if broken := l.message.Failure(); broken != nil {
		return requestProblem(broken)
	}
	failed, proxied := proxyError(err)
	bound := l.bound() && l.progress < inTransport
	switch {
	case proxied && l.progress == upstreamMissing && failed.StatusCode == http.StatusServiceUnavailable:
		return noUpstream(l.provider(), failed.Err)
	case proxied && bound && !(l.progress == upstreamFound && failed.StatusCode == http.StatusServiceUnavailable), bound && l.message.Tried():
		return transportRequired(l, err)
	case proxied:
		return l.upstreamProblem(failed)
	}
	return err
}

// proxyError is an error of reverse_proxy about its upstream.
func proxyError(err error) (caddyhttp.HandlerError, bool) {
	failed, ok := errors.AsType[caddyhttp.HandlerError](err)
	return failed, ok && strings.HasPrefix(failed.Trace, "reverseproxy.")
}

// upstreamProblem turns reverse_proxy's error about an upstream that could not
// be reached into one that LLM clients can read. One that says something else
// is left alone.
func (l *lease) upstreamProblem(failed caddyhttp.HandlerError) error {
	who := "the LLM"
	if p := l.provider(); p != nil {
		who = "the LLM of provider " + p.name
	}
	if errors.Is(failed.Err, message.ErrLetGo) {
		return requestProblem(message.ErrLetGo)
	}
	switch failed.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		unreachable := &problem{
			status: http.StatusBadGateway, kind: llm.TypeUpstream, code: codeUpstreamUnreachable,
			message: who + " could not be reached", cause: withHint(failed.Err),
		}
		if errors.Is(failed.Err, message.ErrNoAnswer) {
			unreachable.message = who + " has closed the connection without an answer; the request may have been run"
			unreachable.retryAt = time.Now().Add(time.Second)
		}
		return unreachable
	case http.StatusGatewayTimeout:
		return &problem{
			status: http.StatusGatewayTimeout, kind: llm.TypeUpstream, code: codeUpstreamTimeout,
			message: who + " did not answer in time", cause: failed.Err, retryAt: time.Now().Add(time.Second),
		}
	}
	if failed.StatusCode < http.StatusBadRequest || failed.StatusCode == statusClientClosedRequest {
		return failed
	}
	// A retry of reverse_proxy has swallowed what the LLM answered.
	return &problem{
		status: failed.StatusCode, kind: llm.TypeUpstream, code: codeUpstreamError,
		message: fmt.Sprintf("%s answered with status %d", who, failed.StatusCode), cause: failed.Err,
	}
}

// withHint adds what the operator can do about an upstream that TLS refuses.
func withHint(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: if the CA is your own, name it in the transport of the provider (tls_trust_pool)", err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w: should the URL begin with http://?", err)
	}
	return err
}

// upstreamUnauthorized answers for an upstream that refuses the provider's token.
// It is final if that was a new one.
func upstreamUnauthorized(p *provider, final bool) error {
	refused := &problem{
		status: http.StatusBadGateway, kind: llm.TypeUpstream, code: codeUpstreamUnauthorized, final: final,
		message: fmt.Sprintf("the LLM of provider %s refuses the gateway's access token; ask the operator of the gateway to fix this", p.name),
	}
	if !final {
		refused.status, refused.retryAt = http.StatusServiceUnavailable, time.Now().Add(refusedRetry)
		refused.message = fmt.Sprintf("the LLM of provider %s refuses the gateway's access token, and this request was not tried with a new one; try again, and if it lasts, ask the operator of the gateway to fix this", p.name)
	}
	return refused
}

// refusedRetry is when it makes sense to send a request again whose token was
// refused and could not be replaced for it.
const refusedRetry = 5 * time.Second

// misrouted is a configuration in which a request cannot get where it has to go.
func misrouted(code, message string, cause error) *problem {
	return &problem{
		status: http.StatusInternalServerError, kind: llm.TypeOAuth2Configuration, code: code, final: true,
		message: message, cause: cause,
	}
}

// transportRequired is a request that cannot get to its provider's base_url.
func transportRequired(l *lease, cause error) *problem {
	missing := "`dynamic oauth2_llm` and `transport oauth2_llm`"
	switch l.progress {
	default:
	case upstreamFound:
		missing = "`transport oauth2_llm`"
	case inTransport:
		missing = "`dynamic oauth2_llm`"
	}
	if failed, ok := errors.AsType[caddyhttp.HandlerError](cause); ok {
		cause = failed.Err
	}
	return misrouted(codeTransportRequired, fmt.Sprintf("provider %s has a base_url, and the reverse_proxy behind oauth2_llm lacks %s; ask the operator of the gateway to fix this", l.provider().name, missing), cause)
}

func noUpstream(p *provider, cause error) *problem {
	who := "the request has no provider"
	if p != nil {
		who = fmt.Sprintf("provider %s has no base_url", p.name)
	}
	return misrouted(codeNoUpstream, who+", and reverse_proxy has no static upstream; ask the operator of the gateway to fix this", cause)
}

func unauthenticated() *problem {
	return &problem{
		status: http.StatusUnauthorized, kind: llm.TypeAuthentication, code: codeInvalidAPIKey,
		final:   true,
		message: "no valid API key for this gateway was given; send one as Authorization: Bearer, X-Api-Key, Api-Key or X-Goog-Api-Key",
	}
}

func notAllowed(code, message string) error {
	return &problem{status: http.StatusForbidden, kind: llm.TypePermission, code: code, message: message, final: true}
}

func pathNotAllowed() error {
	return notAllowed(codePathNotAllowed, "the provider may not be used for this path")
}

// pathNeedsProvider refuses a path that may reach more than the models that a key
// is for.
func pathNeedsProvider(provider string) error {
	return notAllowed(codeModelNotAllowed, fmt.Sprintf("this key is for some models of provider %s, and this path may reach others: it needs a key for %s/*", provider, provider))
}

// chooserNotAllowed refuses a field by which the LLM could choose another model
// than the one that a key is for.
func chooserNotAllowed(field, provider string) error {
	needed := "all models"
	if provider != "" {
		needed = provider + "/*"
	}
	return notAllowed(codeModelNotAllowed, fmt.Sprintf("this key is for some models only, and %s may choose another: leave it out, or use a key for %s", field, needed))
}

// upgradeRefused answers a WebSocket that names no model: Codex then uses HTTP.
func upgradeRefused() error {
	return &problem{
		status: http.StatusUpgradeRequired, kind: llm.TypeInvalidRequest, code: codeUpgradeRefused,
		message: "a WebSocket must name its model in the query (?model=<provider>/<model>); use HTTP for this request",
	}
}

func methodNotAllowed() error {
	return &problem{
		status: http.StatusMethodNotAllowed, kind: llm.TypeInvalidRequest, code: codeMethodNotAllowed,
		message: "this gateway does not forward TRACE and CONNECT", final: true,
	}
}

// requestProblem says what is wrong with a client's request.
func requestProblem(err error) error {
	if invalid, ok := errors.AsType[*llm.RequestError](err); ok {
		return &problem{status: invalid.Status(), kind: llm.TypeInvalidRequest, code: invalid.Code, message: invalid.Message}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &problem{
			status: http.StatusRequestEntityTooLarge, kind: llm.TypeInvalidRequest, code: llm.CodeBodyTooLarge,
			message: "the request body is larger than this gateway accepts",
		}
	}
	if known, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		return known
	}
	switch {
	case errors.Is(err, context.Canceled):
		return caddyhttp.Error(statusClientClosedRequest, err)
	case errors.Is(err, message.ErrOverloaded):
		return &problem{
			status: http.StatusServiceUnavailable, kind: llm.TypeOverloaded, code: codeOverloaded,
			message: "the gateway holds as many request bodies as it may (held_bodies); try again",
		}
	case errors.Is(err, message.ErrSent), errors.Is(err, message.ErrLetGo):
		return &problem{
			status: http.StatusBadGateway, kind: llm.TypeUpstream, code: codeUpstreamError,
			message: "the request cannot be sent to another LLM: " + err.Error(), cause: err,
		}
	}
	return &problem{
		status: http.StatusBadRequest, kind: llm.TypeInvalidRequest, code: llm.CodeInvalidBody,
		message: "the request body could not be read to its end: the connection was lost, or the body came too slowly", cause: err,
	}
}
