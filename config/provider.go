package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A Provider is where access tokens for LLM requests come from: a client that
// is registered with an OAuth2 authorization server.
//
// Values may hold placeholders, those of the token request all of them: `{env.NAME}` is an environment variable,
// `{file.PATH}` a file's content without its trailing newline,
// `{json.PATH#MEMBER}` a member of a JSON file (a gjson path),
// `{token.PROVIDER}` the access token of another provider, `{jwt}` the JWT that
// `jwt` signs, `{key_fingerprint}` the SHA-256 of its public key, `{uuid}` a random
// UUID, `{now}` and `{now_ms}` the time in seconds and milliseconds since 1970,
// `{token_url}` the provider's own token endpoint, `{var.NAME}` a variable of
// `vars`. A literal brace is written `\{`. A value that is exactly `os.environ/NAME` is that environment variable.
// What is unset, empty or unreadable is an error.
type Provider struct {
	// The client's identifier at the authorization server (RFC 6749 §2.2).
	// Required, unless `source` or `preset` makes it unnecessary, or `auth_method` is
	// `none` and `grant_type` is not `client_credentials`.
	ClientID Template `json:"client_id,omitempty"`

	// The client's secret (RFC 6749 §2.3.1). Required, unless `auth_method`, `source`
	// or `preset` makes it unnecessary. Refer to it by `{env.NAME}` or `{file.PATH}`: a literal secret
	// can be read by everyone who can read the configuration.
	ClientSecret Template `json:"client_secret,omitempty"`

	// The token endpoint (RFC 6749 §3.2): an `https` URL. An `http` URL works,
	// and is warned about unless its host is loopback, because the secret
	// is sent unencrypted. Required, unless `source` or `preset` makes it unnecessary.
	TokenURL Template `json:"token_url,omitempty"`

	// What to ask for: scopes separated by single spaces (RFC 6749 §3.3).
	// Default: none, no `scope` is sent.
	Scope Template `json:"scope,omitempty"`

	// A refresh token (RFC 6749 §6). It is used first; one that the server returns
	// instead of it is kept in Caddy's storage; if the server refuses
	// it, client credentials are used, unless `grant_type` is `refresh_token`.
	// Default: none.
	RefreshToken Template `json:"refresh_token,omitempty"`

	// A file that holds the client's identifier, instead of `client_id`. It is
	// read at every token request, a trailing newline removed.
	ClientIDFile Path `json:"client_id_file,omitempty"`

	// A file that holds the client's secret, instead of `client_secret`. It is
	// read at every token request, a trailing newline removed, so that a
	// rotated secret needs no reload.
	ClientSecretFile Path `json:"client_secret_file,omitempty"`

	// A file that holds the refresh token, instead of `refresh_token`. It is
	// read at every token request, a trailing newline removed.
	RefreshTokenFile Path `json:"refresh_token_file,omitempty"`

	// How the client proves its identity (RFC 6749 §2.3):
	// `client_secret_post` sends client_id and client_secret as parameters,
	// `client_secret_basic` in the Authorization header, form-encoded as the
	// RFC requires, `client_secret_basic_raw` the same without that encoding,
	// for servers that do not decode it, `client_secret_jwt` and `private_key_jwt` a
	// JWT that is signed with the secret or with the key of `jwt` (RFC 7523 §2.2),
	// `tls_client_auth` the client_id, which the client certificate of
	// `token_request.transport` proves (RFC 8705), `none` the client_id alone, if
	// there is one. Default: `client_secret_post`.
	AuthMethod Template `json:"auth_method,omitempty"`

	// The grant to ask with (RFC 6749 §4), any word or URN; `none` sends no
	// grant_type. Default: `client_credentials`.
	GrantType Template `json:"grant_type,omitempty"`

	// Where tokens come from: `request` asks the token endpoint, `self_signed`
	// uses the JWT that `jwt` signs as the token, `file /run/token` reads a token that
	// another program keeps in that file. Default: `request`.
	Source Source `json:"source,omitempty"`

	// What else shapes the token request.
	TokenRequest TokenRequest `json:"token_request,omitzero"`

	// Where the token endpoint's response holds the token and when it expires.
	TokenResponse TokenResponse `json:"token_response,omitzero"`

	// What signs assertions, or tokens.
	JWT JWT `json:"jwt,omitzero"`

	// How long before it expires a token is replaced: a duration such as `5m`, but at
	// most half of the token's lifetime, or `auto`: 20 % of the lifetime, at least
	// 60 s, at most half of it, ± 10 % (half: up to 10 % more).
	// Default: `auto`.
	RefreshBefore RefreshBefore `json:"refresh_before,omitzero"`

	// Where this provider's LLM requests go: an `https` or `http` URL, which may
	// have a path, in place of the request's leading `/v1`, and a query, which is
	// set on each request. It may hold `{env.NAME}` and `{file.PATH}` and is read
	// when the configuration is loaded. The token, and the bodies of requests,
	// leave only through `transport oauth2_llm` and only to this host. Its path
	// may hold `{model}`, the model's name as the provider knows it. Default:
	// none, requests go to the static upstream of `reverse_proxy`.
	BaseURL Template `json:"base_url,omitempty"`

	// The models that it offers, by the name that clients use after
	// `<provider>/`. With at least one model, others are refused; `*` stands for
	// any other. Default: none, every model is forwarded.
	Models map[string]Model `json:"models,omitempty"`

	// What its token may be used for: paths of requests, such as
	// `/v1/chat/completions`, in which `*` stands for anything. A request with
	// another path is refused. Default: every path.
	Paths []string `json:"paths,omitempty"`

	// The Caddy transport module (`http.reverse_proxy.transport.*`) for LLM
	// requests, for a CA, a client certificate, HTTP versions, timeouts or a
	// proxy. Default: what is configured for `transport oauth2_llm`.
	Transport json.RawMessage `json:"transport,omitempty"`

	// Where the token goes on LLM requests.
	// Default: the header `Authorization`, with the prefix `Bearer `.
	Place Place `json:"place,omitzero"`

	// Headers of LLM requests that accompany the token.
	HeaderUp HeaderUp `json:"header_up,omitzero"`

	// A named set of defaults for one kind of provider, such as `azure_openai`;
	// `caddy oauth2-llm presets` lists them. Every field can be overridden.
	// Default: none.
	Preset string `json:"preset,omitempty"`

	// The variables of the preset by name, which stand for `{var.NAME}`.
	Vars map[string]Template `json:"vars,omitempty"`

	// origin says where each field was read from, by its path.
	origin map[string]position
	// expansion is what filling in the preset has to say to the warnings.
	expansion expansion
}

// A TokenRequest is what shapes the request to the token endpoint, besides the
// client's credentials, grant and scope.
type TokenRequest struct {
	// Further parameters by name, such as `audience` or `resource`. An empty one
	// removes the preset's.
	Params map[string]Template `json:"params,omitempty"`

	// Headers by name.
	Headers map[string][]Template `json:"headers,omitempty"`

	// A JSON object of further parameters, nested ones too. It needs the encoding
	// `json`, which then is the default.
	Body JSONTemplate `json:"body,omitempty"`

	// The HTTP method: `POST`, `GET`, `PUT` or `PATCH`. Default: `POST`.
	Method Template `json:"method,omitempty"`

	// How parameters are sent: `form` (application/x-www-form-urlencoded,
	// RFC 6749 §4.4.2), `json`, `query` (in the URL), or `none` (not at all).
	// Default: `form`, or `json` if there is a `body`.
	Encoding Template `json:"encoding,omitempty"`

	// The longest time that one attempt may take, at most `5m`.
	// Default: `10s`.
	Timeout Duration `json:"timeout,omitzero"`

	// The number of attempts after the first, 1 s, 2 s, 4 s … apart, from 0 to
	// 10. Default: 3.
	Retries *int `json:"retries,omitempty"`

	// Statuses from 400 to 599 that are tried again besides 408, 429 and 5xx.
	RetryOn []int `json:"retry_on,omitempty"`

	// The Caddy transport module (`http.reverse_proxy.transport.*`) for token
	// requests, for a CA, a client certificate or a proxy. Default: the system's
	// CAs, and the proxy that the environment names.
	Transport json.RawMessage `json:"transport,omitempty"`
}

// isSet reports whether anything is configured.
func (t *TokenRequest) isSet() bool { return !reflect.ValueOf(*t).IsZero() }

// A Model is a model that a provider offers, with the settings that differ for it.
type Model struct {
	// The name by which the provider knows the model. Default: the name by which
	// clients know it.
	Upstream string `json:"upstream,omitempty"`

	// Where requests for this model go, in place of the provider's `base_url`.
	BaseURL Template `json:"base_url,omitempty"`
}

// AnyModel is the name that stands for any model.
const AnyModel = "*"

// A Place is where the token goes on LLM requests.
type Place struct {
	// The header's name. Default: `Authorization`.
	Header string `json:"header,omitempty"`

	// The text before the token, taken literally, including its trailing space.
	// Default: `Bearer ` in `Authorization`, nothing in other headers.
	Prefix *string `json:"prefix,omitempty"`

	// The query parameter that it goes into instead of a header. Default: none.
	Query string `json:"query,omitempty"`
}

// effectivePlace is the place of the token with defaults filled in.
func (p *Provider) effectivePlace() EffectivePlace {
	if p.Place.Query != "" {
		return EffectivePlace{Query: p.Place.Query}
	}
	place := EffectivePlace{Header: "Authorization"}
	if p.Place.Header != "" {
		place.Header = http.CanonicalHeaderKey(p.Place.Header)
	}
	switch {
	case p.Place.Prefix != nil:
		place.Prefix = *p.Place.Prefix
	case place.Header == "Authorization":
		place.Prefix = "Bearer "
	}
	return place
}

// An EffectivePlace is where the token goes, with defaults filled in: a header and the
// text before the token in it, or a query parameter.
type EffectivePlace struct{ Header, Prefix, Query string }

// effectiveRetries is the number of attempts after the first. A key or a token
// file that cannot be used now is still so a second later.
func (p *Provider) effectiveRetries() int {
	if kind, _, _ := p.Source.parse(); kind != sourceRequest {
		return 0
	}
	if p.TokenRequest.Retries != nil {
		return *p.TokenRequest.Retries
	}
	return tokens.DefaultRetries
}

// effectiveTimeout is the longest time that one attempt may take.
func (p *Provider) effectiveTimeout() time.Duration {
	if p.TokenRequest.Timeout != 0 {
		return time.Duration(p.TokenRequest.Timeout)
	}
	return tokens.DefaultTimeout
}

// Format implements fmt.Formatter: no verb shows a value. The receiver is no
// pointer because a Provider may be printed as well as a *Provider.
func (Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokens.Redacted) }

// MarshalLogObject keeps a provider that is logged from showing its values:
// a log gets the names of the fields that are set.
func (p Provider) MarshalLogObject(encoder zapcore.ObjectEncoder) error {
	visit(reflect.ValueOf(&p).Elem(), "", func(path string, _ reflect.Value) bool {
		encoder.AddBool(path, true)
		return false
	})
	return nil
}

// Providers are providers by name. Names are made of letters, digits, ".", "_"
// and "-".
type Providers map[string]*Provider
