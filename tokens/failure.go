package tokens

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"go.uber.org/zap"
)

// errorCode is what an OAuth error code may look like (RFC 6749 §5.2), less
// what nobody uses in one.
var errorCode = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// knownRefusals are the error codes that clients of the gateway see as they are.
var knownRefusals = []string{
	CodeInvalidClient, CodeInvalidScope, CodeUnauthorizedClient, CodeInvalidGrant,
	CodeUnsupportedGrantType, CodeInvalidRequest, CodeInvalidTarget,
}

// refusal says what an answer that is an error means: first by its status,
// where that says "later", then by its error code, then by its status again.
func (c *Client) refusal(failed *AuthenticationError, members func(string) gjson.Result, readable bool, p *prepared, contentType string) {
	code := ""
	if readable {
		if value := members("error"); value.Type == gjson.String && errorCode.MatchString(value.Str) {
			code = p.sensitive.clean(value.Str)
		}
		failed.Description = p.sensitive.clean(members("error_description").String())
	}
	switch status := failed.Status; {
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusServiceUnavailable,
		slices.Contains(c.RetryOn, status), code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		failed.Code, failed.temporary = CodeUnavailable, true
	case slices.Contains(knownRefusals, code):
		failed.Code = code
		return
	case status/100 == 5:
		failed.Code, failed.temporary = CodeUnavailable, true
	default:
		failed.Code = CodeRefused
	}
	if code != "" {
		failed.Err = fmt.Errorf("the server's error code is %s", code)
	} else {
		failed.Err = fmt.Errorf("the answer holds no error code (%s)", mediaType(contentType))
	}
}

// networkError says what a failed exchange means. The cause is kept without
// the URL that net/http puts into its errors.
func (c *Client) networkError(err error, grantType string) *AuthenticationError {
	if withURL, ok := errors.AsType[*url.Error](err); ok {
		err = withURL.Err
	}
	failed := &AuthenticationError{Provider: c.Provider, Code: CodeUnavailable, Err: err, temporary: true}
	var timeout net.Error
	var dial *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		failed.Code = CodeTimeout
	case isTLSError(err):
		failed.Code, failed.temporary = CodeUntrusted, false
	}
	// A refresh token may have been used up unless nothing was sent at all.
	notSent := errors.As(err, &dial) && dial.Op == "dial"
	failed.once = grantType == GrantRefreshToken && !notSent
	return failed
}

// isTLSError reports whether TLS refused the server. Nothing has been sent
// then, and trying again changes nothing (case N07).
func isTLSError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		record       tls.RecordHeaderError
		alert        tls.AlertError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) ||
		errors.As(err, &invalid) || errors.As(err, &record) || errors.As(err, &alert) ||
		strings.Contains(err.Error(), "tls: ")
}

// compareScope warns where a server grants less than was asked: requests to
// the LLM would fail without a hint why (case T25, RFC 6749 §3.3).
func (c *Client) compareScope(asked string, granted gjson.Result) {
	if asked == "" || granted.Type != gjson.String || granted.Str == "" {
		return
	}
	have := strings.Fields(granted.Str)
	for scope := range strings.FieldsSeq(asked) {
		if !slices.Contains(have, scope) {
			c.scopeOnce.Do(func() {
				c.logger().Warn("the authorization server granted less than the configured scope",
					zap.String("provider", c.Provider), zap.String("missing", scope))
			})
			return
		}
	}
}
