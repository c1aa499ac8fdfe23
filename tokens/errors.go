package tokens

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What went wrong with a token request. The words are those that clients of
// the gateway and its metrics see; the first seven are those of RFC 6749 §5.2
// and RFC 8707 §2.
const (
	CodeInvalidClient        = "invalid_client"
	CodeInvalidScope         = "invalid_scope"
	CodeUnauthorizedClient   = "unauthorized_client"
	CodeInvalidGrant         = "invalid_grant"
	CodeUnsupportedGrantType = "unsupported_grant_type"
	CodeInvalidRequest       = "invalid_request"
	CodeInvalidTarget        = "invalid_target"

	// CodeRefused is any other refusal of the authorization server.
	CodeRefused = "token_request_refused"
	// CodeUntrusted means that TLS failed: nothing was sent.
	CodeUntrusted = "token_endpoint_untrusted"
	// CodeInvalidResponse means that the answer holds no usable token.
	CodeInvalidResponse = "invalid_token_response"
	// CodeUnavailable means a network error or a status that says "later".
	CodeUnavailable = "token_endpoint_unavailable"
	// CodeTimeout means that the last attempt got no answer in time.
	CodeTimeout = "token_endpoint_timeout"
	// CodeStorageUnavailable means that a refresh token cannot be used safely, because
	// the storage fails.
	CodeStorageUnavailable = "token_storage_unavailable"
)

// ErrNotBound is the error of a Manager that has no Binding yet.
var ErrNotBound = errors.New("no configuration is loaded for this provider")

// An AuthenticationError says that no access token could be obtained. It never
// holds a secret, the query of a URL, or more of an answer's text than its error code
// and its Description.
type AuthenticationError struct {
	// Provider is the provider's name.
	Provider string
	// Code is one of the Code constants.
	Code string
	// Status is the HTTP status of the token endpoint's answer, 0 without one.
	Status int
	// Description is the authorization server's error_description, or what it says in
	// its place, such as the title of a page: cut, cleaned of secrets, and meant for
	// the operator, never for a client.
	Description string
	// Attempts counts the token requests that were made.
	Attempts int
	// RetryAfter is the server's own Retry-After, 0 without one.
	RetryAfter time.Duration
	// RetryAt is when the next token request is made at the earliest.
	RetryAt time.Time
	// Endpoint is the token endpoint, without its query.
	Endpoint string
	// ServerClockOffset is how far the server's clock is ahead of this machine's,
	// negative where it is behind: where a request with a JWT of ours was refused, and
	// the Date of the answer differs from our clock by more than 5 s; else 0.
	ServerClockOffset time.Duration
	// Needs names the provider whose token is missing, where the failure is
	// that provider's and not the endpoint's.
	Needs string
	// Err is the cause.
	Err error

	// temporary failures can heal without anyone's doing.
	temporary bool
	// signed marks the refusal of a request that held a JWT of ours.
	signed bool
	// once marks a request that must not be repeated blindly: the server may
	// have used up the refresh token although no answer arrived.
	once bool
	// busy says that another instance is asking: nothing has failed.
	busy bool
}

// Temporary reports whether waiting can help: the failure is an outage, not a
// refusal.
func (e *AuthenticationError) Temporary() bool { return e.temporary }

func (e *AuthenticationError) Error() string {
	var b strings.Builder
	if e.Provider != "" {
		fmt.Fprintf(&b, "provider %s: ", e.Provider)
	}
	b.WriteString("could not obtain an access token")
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	fmt.Fprintf(&b, ": %s", e.Code)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, ": the server says: %s", e.Description)
	}
	for _, advice := range []string{e.clockAdvice(), e.advice()} {
		if advice != "" {
			fmt.Fprintf(&b, "; %s", advice)
		}
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *AuthenticationError) Unwrap() error { return e.Err }

// clockAdvice says what to do about clocks where a JWT was refused: its iat and exp
// are those of this machine.
func (e *AuthenticationError) clockAdvice() string {
	switch {
	case e.ServerClockOffset > 0:
		return fmt.Sprintf("check the clocks: the server's is %v ahead of this machine's", e.ServerClockOffset)
	case e.ServerClockOffset < 0:
		return fmt.Sprintf("check the clocks: the server's is %v behind this machine's", -e.ServerClockOffset)
	case e.signed && (e.Code == CodeInvalidGrant || e.Code == CodeInvalidClient):
		return "check the clock of this machine"
	}
	return ""
}

// advice says what the person on call can do.
func (e *AuthenticationError) advice() string {
	switch {
	case e.busy:
		return "its token is taken as soon as it is there"
	case e.Code == CodeUnavailable && e.Status == http.StatusTooManyRequests:
		return "the authorization server limits the rate of token requests"
	case e.Code == CodeUnavailable && e.Status != 0:
		return "the authorization server answers, but not with a token: ask its operators if it lasts"
	case errors.Is(e.Err, errClientCertificate):
		return "the server wants a client certificate: set tls_client_auth in the transport of token_request"
	case errors.Is(e.Err, errTokenFile):
		return "check what writes that file"
	case errors.Is(e.Err, errNoToken):
		return "check the token of token_response, and that token_url is the token endpoint"
	case e.Code == CodeRefused && e.Status == http.StatusNotFound:
		return "check token_url: nothing is at this path"
	case e.Code == CodeRefused && e.Status == http.StatusMethodNotAllowed:
		return "check the method of token_request"
	case e.Code == CodeRefused && e.Status == http.StatusUnsupportedMediaType:
		return "check the encoding of token_request"
	case errors.Is(e.Err, errSelfSigned):
		return "check the claim exp of jwt"
	case errors.Is(e.Err, errNoTLS):
		return "should token_url begin with http://?"
	}
	return adviceFor[e.Code]
}

// adviceFor says what the person on call can do about a failure.
var adviceFor = map[string]string{
	CodeInvalidClient:        "check client_id, client_secret or the key, and auth_method",
	CodeInvalidScope:         "check scope",
	CodeUnauthorizedClient:   "check client_id and client_secret, and that the authorization server allows this client the grant_type",
	CodeInvalidGrant:         "the refresh token or assertion is expired, revoked or used up: obtain a new one",
	CodeUnsupportedGrantType: "check grant_type and token_url",
	CodeInvalidRequest:       "check token_url, auth_method and the parameters of token_request",
	CodeInvalidTarget:        "check the parameters resource and audience of token_request",
	CodeRefused:              "check token_url and the client's rights at the authorization server",
	CodeUntrusted:            "check the token endpoint's certificate and the host name in token_url",
	CodeUnavailable:          "check that the token endpoint can be reached from here",
	CodeStorageUnavailable:   "check the storage of Caddy",
	CodeTimeout:              "check that the token endpoint can be reached from here, or raise token_request timeout",
}
