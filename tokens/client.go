package tokens

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// An AuthMethod says how the client proves its identity to the token endpoint
// (token_endpoint_auth_method, RFC 7591 §2).
type AuthMethod string

const (
	// ClientSecretPost sends client_id and client_secret as parameters.
	ClientSecretPost AuthMethod = "client_secret_post"
	// ClientSecretBasic sends both, form-encoded, in the Authorization header
	// (RFC 6749 §2.3.1).
	ClientSecretBasic AuthMethod = "client_secret_basic"
	// ClientSecretBasicRaw is the same without the encoding, for servers that
	// do not undo it.
	ClientSecretBasicRaw AuthMethod = "client_secret_basic_raw"
	// ClientSecretJWT and PrivateKeyJWT send a JWT that is signed with the
	// client's secret or key (RFC 7523 §2.2).
	ClientSecretJWT AuthMethod = "client_secret_jwt"
	PrivateKeyJWT   AuthMethod = "private_key_jwt"
	// TLSClientAuth sends the client_id; the client's certificate proves it
	// (RFC 8705 §2.1). Transport must have one.
	TLSClientAuth AuthMethod = "tls_client_auth"
	// NoAuthentication sends the client_id alone, if there is one.
	NoAuthentication AuthMethod = "none"
)

// An Encoding says how the parameters of a token request are sent.
type Encoding string

const (
	EncodingForm  Encoding = "form"
	EncodingJSON  Encoding = "json"
	EncodingQuery Encoding = "query"
	EncodingNone  Encoding = "none"
)

// Grant types with a meaning of their own.
const (
	GrantClientCredentials = "client_credentials"
	GrantRefreshToken      = "refresh_token"
	// GrantNone sends no grant_type.
	GrantNone = "none"
)

// What holds where the configuration says nothing.
const (
	DefaultTimeout = 10 * time.Second
	DefaultRetries = 3
	// DefaultTTL is the life of a token of which nothing says how long it lives.
	DefaultTTL = 5 * time.Minute
	// MaxTTL is the longest life that is believed.
	MaxTTL = 24 * time.Hour
)

// A Parameter is a named value of a token request: a form parameter or a header.
type Parameter struct {
	Name  string
	Value Value
}

// A Client asks one token endpoint for access tokens (RFC 6749 §4.4, §4.5 and §6).
// It makes one attempt per call and does not follow redirects: a redirected
// token request would hand the secret to whoever is named.
type Client struct {
	// Provider names the provider in errors and logs.
	Provider string
	// TokenURL is the token endpoint. Its query is sent and never shown.
	TokenURL Value
	// AuthMethod defaults to ClientSecretPost.
	AuthMethod AuthMethod
	// GrantType defaults to GrantClientCredentials.
	GrantType    string
	ClientID     Value
	ClientSecret Value
	// ClientAssertion is the JWT of ClientSecretJWT and PrivateKeyJWT.
	ClientAssertion Value
	// RefreshToken, if set, is used first, with grant_type=refresh_token, and
	// alone if that is the GrantType.
	RefreshToken Value
	Scope        Value
	Parameters   []Parameter
	// Body, if set, reads as a JSON object: parameters that form and query
	// cannot express. It needs EncodingJSON.
	Body   Value
	Header []Parameter
	// Unrepeatable says that a request holds something that must not be sent twice,
	// such as a JWT with a jti. Each attempt is rendered anew anyway, but net/http
	// would repeat a request where a kept-alive connection breaks.
	Unrepeatable bool
	// Signed says that a request holds a JWT that is signed for it, besides a
	// ClientAssertion: where one is refused, the clocks may differ.
	Signed bool
	// Method defaults to POST, Encoding to EncodingForm.
	Method   string
	Encoding Encoding
	// Timeout bounds one attempt from dialling to the last byte of the answer;
	// DefaultTimeout if 0.
	Timeout time.Duration
	// RetryOn names statuses that count as an outage besides 408, 429 and 5xx.
	RetryOn []int
	// Response says where an answer holds the token and its end.
	Response TokenResponse
	// Transport defaults to one that is shared by all clients of the process.
	Transport http.RoundTripper
	// Storage, if set, is where rotated refresh tokens are kept, beyond the process
	// and for all instances.
	Storage *SharedStorage
	// Identity, if set, names the token request with all its values as they read now.
	Identity func(ctx context.Context) (Identity, error)
	// Logger, if set, gets warnings about odd answers, each once.
	Logger *zap.Logger

	// memory is in place of Storage.
	memory                 SharedStorage
	assumedOnce, scopeOnce sync.Once
}

// Fetch makes one token request, or two where a refresh token is refused and
// there are client credentials to fall back to. The error is an
// *AuthenticationError, or the error of a Value that could not be read.
func (c *Client) Fetch(ctx context.Context, want Want) (Token, error) {
	if c.RefreshToken != nil {
		return c.fetchWithRefreshToken(ctx, want)
	}
	return c.fetch(ctx)
}

// fetch makes one token request with the configured grant.
func (c *Client) fetch(ctx context.Context) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	answer, err := c.request(ctx, orDefault(c.GrantType, GrantClientCredentials), Secret{}, nil)
	return answer.token, err
}

func (c *Client) timeout() time.Duration { return orDefault(c.Timeout, DefaultTimeout) }

// request sends one token request and reads its answer. An answer that holds no
// usable access token may hold a refresh token. Nothing is sent if it is too late, by
// late, when it could be.
func (c *Client) request(ctx context.Context, grantType string, refreshToken Secret, late func() bool) (answer, error) {
	prepared, err := c.prepare(ctx, grantType, refreshToken)
	if err != nil {
		return answer{}, err
	}
	sending := watchSending(prepared, late)
	start := time.Now()
	response, err := orDefault[http.RoundTripper](c.Transport, sharedTransport).RoundTrip(prepared.request)
	if err != nil {
		failed := c.networkError(err)
		failed.Endpoint = prepared.endpoint
		failed.once = grantType == GrantRefreshToken && sending.began(err)
		if sending.refused.Load() {
			failed.Code, failed.Err = CodeStorageUnavailable, errLate
		}
		return answer{}, failed
	}
	defer response.Body.Close()
	a, failed := c.read(response, prepared, start)
	if failed == nil {
		return a, nil
	}
	failed.Endpoint = prepared.endpoint
	if grantType == GrantRefreshToken {
		// A new refresh token may be in what was not read.
		failed.temporary = failed.temporary || errors.Is(failed.Err, errAnswerLength)
		failed.once = mayHaveUsed(failed)
	}
	return a, failed
}

// mayHaveUsed reports whether a server may have used up a refresh token although its
// answer says nothing of that: one that says "later", or what is wrong with the
// request, has not.
func mayHaveUsed(failed *AuthenticationError) bool {
	switch failed.Status / 100 {
	case 4:
		return failed.Status == http.StatusRequestTimeout
	case 5:
		return failed.Status != http.StatusServiceUnavailable
	}
	return failed.temporary && failed.Code == CodeInvalidResponse || failed.Status == 0
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// sharedTransport honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
// Each step of a connection is bounded, the whole by Client.Timeout.
var sharedTransport http.RoundTripper = &http.Transport{
	Proxy:                  http.ProxyFromEnvironment,
	DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	TLSHandshakeTimeout:    5 * time.Second,
	ForceAttemptHTTP2:      true,
	MaxIdleConnsPerHost:    2,
	IdleConnTimeout:        30 * time.Second,
	MaxResponseHeaderBytes: 64 << 10,
}
