package tokens

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

// errorPlaces are where answers hold an error code: first as RFC 6749 §5.2 says,
// then as others do.
var errorPlaces = []string{"error", "errorCode", "error.status", "error.code", "code", "ErrorCode", "fault.detail.errorcode"}

// refusal says what an answer that is an error means: first by its status,
// where that says "later", then by its error code, then by its status again.
func (c *Client) refusal(failed *AuthenticationError, content content, p *prepared, contentType string) {
	code := ""
	for _, place := range errorPlaces {
		// An object or a list could hide a secret behind its escapes.
		value := content.at(place)
		if (value.Type == gjson.String || value.Type == gjson.Number) && errorCode.MatchString(value.String()) {
			code = value.String()
			break
		}
	}
	failed.Description = content.description(p.sensitive)
	switch status := failed.Status; {
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusServiceUnavailable,
		slices.Contains(c.RetryOn, status), slices.Contains(passingErrors, code):
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
		failed.Err = fmt.Errorf("the server's error code is %s", p.sensitive.clean(code))
	} else {
		failed.Err = fmt.Errorf("the answer holds no error code (%s)", mediaType(contentType))
	}
}

// passingErrors are the error codes that say "later".
var passingErrors = []string{"temporarily_unavailable", "server_error", "slow_down", "internal_failure"}

// networkError says what a failed exchange means.
func (c *Client) networkError(err error) *AuthenticationError {
	failed := &AuthenticationError{Provider: c.Provider, Code: CodeUnavailable, Err: describable(err), temporary: true}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		failed.Code, failed.Err = CodeTimeout, fmt.Errorf("no answer within %v: %w", orDefault(c.Timeout, DefaultTimeout), context.DeadlineExceeded)
	case errors.As(err, &timeout) && timeout.Timeout():
		failed.Code = CodeTimeout
	case isUntrusted(err):
		failed.Code, failed.temporary = CodeUntrusted, false
	}
	return failed
}

// errNoHTTP stands for errors of net/http that quote what the server sent,
// which may be what it was sent.
var errNoHTTP = errors.New("the server did not answer in HTTP")

// describable returns the part of an error of net/http that an operator can use
// and that quotes neither the URL nor the answer.
func describable(err error) error {
	if network, ok := errors.AsType[*net.OpError](err); ok {
		if network.Op == "remote error" && slices.Contains(clientAlerts, alertOf(network)) {
			return fmt.Errorf("%w (%w)", errClientCertificate, network)
		}
		return network
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return lookup
	}
	if refused := untrusted(err); refused != nil {
		return refused
	}
	for _, plain := range []error{context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, plain) {
			return plain
		}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return errors.New("timeout")
	}
	return errNoHTTP
}

// isUntrusted reports whether TLS refused the server, or the server the client's
// TLS. Trying again changes nothing.
func isUntrusted(err error) bool {
	if untrusted(err) != nil {
		return true
	}
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && alert.Op == "remote error" && slices.Contains(refusingAlerts, alertOf(alert))
}

func alertOf(remote *net.OpError) string { return strings.TrimPrefix(remote.Err.Error(), "tls: ") }

var (
	errClientCertificate = errors.New("the server refuses the client's certificate, or wants one")
	errNoTLS             = errors.New("the server does not speak TLS")
)

// clientAlerts are the alerts that blame the client's certificate.
var clientAlerts = []string{
	"bad certificate", "certificate required", "expired certificate", "revoked certificate", "unknown certificate",
	"unknown certificate authority", "unsupported certificate",
}

// untrusted returns the error with which TLS refused the server, if it did.
func untrusted(err error) error {
	if verification, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return verification
	}
	if authority, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return authority
	}
	if hostname, ok := errors.AsType[x509.HostnameError](err); ok {
		return hostname
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return invalid
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w (%s)", errNoTLS, record.Msg)
	}
	// An old version of TLS has no type of its own.
	for at := err; at != nil; at = errors.Unwrap(at) {
		if strings.HasPrefix(at.Error(), "tls: server selected unsupported protocol version") {
			return at
		}
	}
	return nil
}

// refusingAlerts are the alerts (RFC 8446 §6) that blame a certificate, a name
// or a version, as crypto/tls words them. Others, such as an internal error,
// can pass.
var refusingAlerts = []string{
	"access denied", "bad certificate", "certificate required", "expired certificate", "handshake failure",
	"insufficient security level", "no application protocol", "protocol version not supported",
	"revoked certificate", "unknown certificate", "unknown certificate authority", "unrecognized name",
	"unsupported certificate",
}

// compareScope warns where a server grants less than was asked: requests to
// the LLM would fail without a hint why (RFC 6749 §3.3).
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
