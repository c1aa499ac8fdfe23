package oauth2llm

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
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
	// final tells SDKs not to try again.
	final bool
	cause error
}

// Error does not show the cause: handle_errors can put {err.message} into an
// answer to a client.
func (p *problem) Error() string { return p.code + ": " + p.message }

func (p *problem) Unwrap() error { return p.cause }

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

// leftAdvice is the placeholder by which a directive that ends in an error leaves what
// it tells the client in headers to one in an error route; see left.
const leftAdvice = "http." + appName + ".left.advice"

// advise sets the headers of a problem that an error route answers.
func (l *lease) advise(header http.Header, p *problem) {
	advice := make(http.Header)
	p.setHeaders(advice)
	maps.Copy(header, advice)
	l.replacer.Set(leftAdvice, left[http.Header]{advice})
}

// withdrawAdvice takes off what an earlier directive has told the client, such as not to
// try again: the request goes on, and what it is answered then has advice of its own. What
// an error route has set in its place stays.
func (l *lease) withdrawAdvice(header http.Header) {
	for name, values := range leftBy[http.Header](l.replacer, leftAdvice) {
		if slices.Equal(header[name], values) {
			delete(header, name)
		}
	}
}

// write sets the header of an answer and returns its body. The id is the
// request's.
func (p *problem) write(header http.Header, id string) []byte {
	p.setHeaders(header)
	header.Set("Content-Type", "application/json")
	header.Set("X-Request-ID", id)
	return llm.ErrorBody{Type: p.kind, Code: p.code, Message: p.message, RequestID: id}.AppendJSON(nil)
}

// response makes a response of a problem.
func (p *problem) response(r *http.Request) *http.Response {
	header := make(http.Header)
	body := p.write(header, requestID(r.Context(), replacerOf(r)))
	return &http.Response{
		Status: fmt.Sprintf("%d %s", p.status, http.StatusText(p.status)), StatusCode: p.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}
