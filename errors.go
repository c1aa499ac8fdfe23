package oauth2llm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/uuid"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A problem is a request that the gateway answers itself. Its message is for
// the client and names nothing but configured providers; the cause is for the
// operator.
type problem struct {
	status  int
	kind    string
	code    string
	message string
	// retryAt is when it makes sense to try again; zero if nothing is known.
	retryAt time.Time
	// final tells SDKs that trying again is of no use.
	final bool
	cause error
	// requestID is in the answer, and in the log where there is a line.
	requestID string
}

// Error does not show the cause: handle_errors can put {err.message} into an
// answer to a client.
func (p *problem) Error() string { return p.code + ": " + p.message }

func (p *problem) Unwrap() error { return p.cause }

// identify is the request id of the answer: Caddy's own, {http.request.uuid}, by
// which an operator finds the request in the access log.
func (p *problem) identify(replacer *caddy.Replacer) string {
	if p.requestID == "" {
		p.requestID, _ = replacer.GetString("http.request.uuid")
	}
	if p.requestID == "" {
		p.requestID = uuid.NewString()
	}
	return p.requestID
}

// Codes of the gateway's own answers; those about tokens are in package
// tokens, those about requests in package llm.
const (
	codeInvalidAPIKey        = "invalid_api_key"
	codeMethodNotAllowed     = "method_not_allowed"
	codeUnresolvedReference  = "unresolved_reference"
	codeModelNotAllowed      = "model_not_allowed"
	codePathNotAllowed       = "path_not_allowed"
	codeNoUpstream           = "no_upstream"
	codeTransportRequired    = "transport_required"
	codeUpstreamUnauthorized = "upstream_unauthorized"
	codeUpstreamError        = "upstream_error"
	codeUpstreamUnreachable  = "upstream_unreachable"
	codeUpstreamTimeout      = "upstream_timeout"
	codeUpgradeRefused       = "upgrade_refused"
	codeOverloaded           = "overloaded"
)

// statusClientClosedRequest is what Caddy logs when the client went away.
const statusClientClosedRequest = 499

// errTokenWait is the cause of the end of a wait for a token.
var errTokenWait = errors.New("token_wait has passed; the token request goes on")

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
	return notAllowed(codePathNotAllowed, "this path is not among those that the provider may be used for")
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
		message: "the request body could not be read to its end", cause: err,
	}
}

// tokenProblem says why there is no token. The authorization server's words
// stay with the operator; a client's own key is never blamed, so nothing of
// this is a 401 (case X05). The context is that of the request.
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
		case failed.Temporary():
			p.status = http.StatusBadGateway
			p.message = fmt.Sprintf("no usable token of provider %s came", provider)
		default:
			p.status, p.final = http.StatusBadGateway, true
			p.message = fmt.Sprintf("the gateway could not obtain an access token for provider %s (%s); its operator must fix this", provider, failed.Code)
		}
	case errors.As(err, &misconfigured):
		p.status, p.kind, p.code, p.final = http.StatusInternalServerError, llm.TypeOAuth2Configuration, codeUnresolvedReference, true
		p.message = fmt.Sprintf("the configuration of provider %s refers to a file, a key or a variable that cannot be used; the operator of the gateway must fix this", provider)
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
	if l.handedOver {
		return err
	}
	if broken := l.message.Failure(); broken != nil {
		return requestProblem(broken)
	}
	failed, proxied := proxyError(err)
	bound := l.bound() && !l.taken
	switch {
	case proxied && l.stranded && failed.StatusCode == http.StatusServiceUnavailable:
		return noUpstream(l.provider(), failed.Err)
	case proxied && bound && !(l.located && failed.StatusCode == http.StatusServiceUnavailable), bound && l.message.Tried():
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
	switch {
	case l.located:
		missing = "`transport oauth2_llm`"
	case l.taken:
		missing = "`dynamic oauth2_llm`"
	}
	if failed, ok := errors.AsType[caddyhttp.HandlerError](cause); ok {
		cause = failed.Err
	}
	return misrouted(codeTransportRequired, fmt.Sprintf("provider %s has a base_url, and the reverse_proxy behind oauth2_llm lacks %s; the operator of the gateway must fix this", l.provider().name, missing), cause)
}

func noUpstream(p *provider, cause error) *problem {
	who := "the request has no provider"
	if p != nil {
		who = fmt.Sprintf("provider %s has no base_url", p.name)
	}
	return misrouted(codeNoUpstream, who+", and reverse_proxy has no static upstream; the operator of the gateway must fix this", cause)
}

// Bounds of the Retry-After that clients get: two SDKs wait any time they are
// told.
const (
	minimumRetryAfter = 1
	maximumRetryAfter = 30
)

// setHeaders sets what tells clients what to do: SDKs whether and when to try
// again, others how to authenticate or encode (RFC 9110 §15.5).
func (p *problem) setHeaders(header http.Header) {
	switch p.status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case http.StatusUnsupportedMediaType:
		if p.code == llm.CodeUnsupportedContentType {
			header.Set("Accept", llm.AcceptedContentTypes)
		} else {
			header.Set("Accept-Encoding", llm.AcceptedEncodings)
		}
	case http.StatusUpgradeRequired:
		header.Set("Connection", "close")
	}
	if p.final {
		header.Set("X-Should-Retry", "false")
	}
	temporary := p.status == http.StatusServiceUnavailable || p.status == http.StatusGatewayTimeout
	if temporary || (!p.retryAt.IsZero() && !p.final) {
		seconds := int(time.Until(p.retryAt)/time.Second) + 1
		header.Set("Retry-After", strconv.Itoa(min(max(seconds, minimumRetryAfter), maximumRetryAfter)))
	}
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
		body := p.write(w.Header(), l.replacer)
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
	return nil
}

// write sets the header of an answer and returns its body.
func (p *problem) write(header http.Header, replacer *caddy.Replacer) []byte {
	p.setHeaders(header)
	header.Set("Content-Type", "application/json")
	id := p.identify(replacer)
	header.Set("X-Request-ID", id)
	return llm.ErrorBody{Type: p.kind, Code: p.code, Message: p.message, RequestID: id}.AppendJSON(nil)
}
