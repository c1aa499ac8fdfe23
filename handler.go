package oauth2llm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/credentials"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/nativejson"
)

// Handler puts an OAuth2 access token on LLM requests. It checks the client's
// key, finds the provider (a fixed one, or the prefix of the request's model),
// removes the client's credentials from a copy of the request, sets the
// provider's token, and hands the copy to the next handler, usually
// `reverse_proxy`.
//
// Several may handle one request, in a row, in `handle_response` or in an error
// route. The last one decides, and nothing of an earlier provider stays on the
// request. In a row and in `handle_response` it sees the request as the one before
// has forwarded it: the model renamed, the client's key removed. Error routes see
// the request as it came.
//
// What gateway and LLM could read differently is refused where the model chooses.
// Answers go to the client without headers and trailers that have a
// credential's name, or whose value holds a token that was sent, if that has 16
// bytes or more. `Upgrade` is forwarded for WebSockets only.
//
// It sets these placeholders:
//
// Placeholder | Description
// ------------|-------------
// `{http.oauth2_llm.provider}` | The provider's name
// `{http.oauth2_llm.model}` | The model as it is sent upstream
// `{http.oauth2_llm.error.type}` | The type of the error that the gateway answered
// `{http.oauth2_llm.error.code}` | Its code
// `{http.auth.user.id}` | The name of the client whose key was given
//
// and adds the fields `llm_provider`, `llm_model`, `llm_error_code`,
// `llm_token_wait` and `llm_replayed` to the access log.
type Handler struct {
	Declarations

	// The provider whose token every request gets. Nothing in the request's body
	// is then looked at or changed, and the model keeps its name. If empty, the
	// request's model chooses: that of a JSON body, a form, the query, or the path.
	Provider string `json:"provider,omitempty"`

	// Who may use this gateway: keys by client name. A client sends its key as
	// `Authorization: Bearer`, `X-Api-Key`, `Api-Key` or `X-Goog-Api-Key`, or as the
	// WebSocket subprotocol `openai-insecure-api-key.<key>`. The first key that is
	// good, in this order, decides, and no key of this gateway is forwarded, whatever
	// `keep_headers` says. A request without one gets 401.
	ClientKeys map[string]ClientKey `json:"client_keys,omitempty"`

	// Says that something else authenticates the clients. Without it and
	// without client keys there is a warning: whoever reaches this gateway
	// uses its providers.
	ClientKeysOff bool `json:"client_keys_off,omitempty"`

	// The provider of requests that name no model, or a model without "/" that is
	// no alias and that no provider lists.
	DefaultProvider string `json:"default_provider,omitempty"`

	// Other names of models: `<provider>/<model>` by a name without "/".
	Aliases map[string]string `json:"aliases,omitempty"`

	// What to do with a model whose prefix names no provider: `reject` (404, the
	// default), `pass` (forward the request untouched, with the client's own
	// credentials but for its key of this gateway), or `default` (the default
	// provider, the model as it is).
	UnknownModel string `json:"unknown_model,omitempty"`

	// Forward "<provider>/<model>" as it is instead of "<model>".
	KeepPrefix bool `json:"keep_prefix,omitempty"`

	// Headers in which clients send credentials that are not to be removed, such as
	// `Cookie`. Headers that make another request of one, such as
	// `X-HTTP-Method-Override`, are never forwarded and cannot be kept.
	KeepHeaders []string `json:"keep_headers,omitempty"`

	// The largest request body, in bytes, decoded too; 413 over it. Default:
	// 32 MiB. A fixed provider's requests, and those whose body is neither a JSON
	// object nor a form, may be larger: bodies up to here are held if the provider
	// has a `base_url`, so that they can be sent again, and longer ones stream. Of a
	// body that streams nothing can be sent a second time, nor to a second LLM.
	//
	// A held body of 64 KiB or more is let go when the LLM begins to answer, unless
	// the `reverse_proxy` has `handle_response` or `lb_retry_match`.
	MaxBody int64 `json:"max_body,omitempty"`

	// The longest time that a request waits for a token, then 504; the token
	// request goes on for those that come after. At least 1ms: in JSON a number
	// without a unit counts nanoseconds, so write "15s". Default: 15s.
	TokenWait caddy.Duration `json:"token_wait,omitempty"`

	// `respond` (the default) answers errors with a body that the SDKs
	// of LLM APIs read; `handle` leaves them to `handle_errors`, which sees the
	// request as it came and can send it to another provider.
	Errors string `json:"errors,omitempty"`

	logger     *zap.Logger
	clientKeys *clientkey.Keyring
	catalog    *catalog
	providers  map[string]*provider
	filters    map[string]*credentials.Filter // by provider
	// misroutes bounds the log lines about a reverse_proxy that does not fit.
	misroutes *rate.Limiter
	// troubles bounds those about upstreams of requests that are passed on, overloads
	// those about bodies that take more memory than held_bodies allows.
	troubles, overloads *rate.Limiter
}

const (
	unknownModelReject  = "reject"
	unknownModelPass    = "pass"
	unknownModelDefault = "default"

	errorsRespond = "respond"
	errorsHandle  = "handle"

	defaultMaxBody   = 32 << 20
	defaultTokenWait = 15 * time.Second

	// defaultConfigFile is read where nothing is declared at all, as CrewAI does.
	defaultConfigFile = "litellm_config.json"
)

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.oauth2_llm",
		New: func() caddy.Module { return new(Handler) },
	}
}

// UnmarshalJSON implements json.Unmarshaler: what is wrong is said by field.
func (h *Handler) UnmarshalJSON(content []byte) error { return nativejson.Decode(content, h) }

// Provision joins the handler with its providers. It does not touch the network.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.misroutes, h.troubles, h.overloads = newLogLimiter(), newLogLimiter(), newLogLimiter()
	module, err := ctx.App(appName)
	if err != nil {
		return err
	}
	app := module.(*App)
	if !h.declared() && !app.declared() {
		h.ConfigFiles = []string{defaultConfigFile}
	}
	declared, err := h.load()
	if err != nil {
		return err
	}
	h.providers, err = app.declare(ctx, declared)
	if err != nil {
		return err
	}
	h.setDefaults()
	h.clientKeys, err = clientkey.New(h.declaredClients(), app.environment(), h.logger)
	if err != nil {
		return err
	}
	h.catalog, err = newCatalog(h.providers, h.Aliases, time.Now())
	if err != nil {
		return err
	}
	h.prepareFilters()
	h.warn()
	return nil
}

// warn says what works and is a risk.
func (h *Handler) warn() {
	h.clientKeys.Warn()
	if h.clientKeys.Empty() && !h.ClientKeysOff {
		h.logger.Warn("anyone who can reach this gateway can use its providers: set client_key, or client_key off if something else authenticates")
	}
}

func (h *Handler) setDefaults() {
	if h.UnknownModel == "" {
		h.UnknownModel = unknownModelReject
	}
	if h.Errors == "" {
		h.Errors = errorsRespond
	}
	if h.MaxBody == 0 {
		h.MaxBody = defaultMaxBody
	}
	if h.TokenWait == 0 {
		h.TokenWait = caddy.Duration(defaultTokenWait)
	}
}

// prepareFilters decides what is removed from the requests of each provider.
func (h *Handler) prepareFilters() {
	h.filters = make(map[string]*credentials.Filter, len(h.providers))
	for name, p := range h.providers {
		filter := credentials.NewFilter(h.KeepHeaders, p.headerUp.Names()...)
		if p.place.Query != "" {
			filter.Parameter = p.place.Query
		} else {
			filter.Remove(p.place.Header)
		}
		h.filters[name] = filter
	}
}

// Validate refuses what cannot work.
func (h *Handler) Validate() error {
	for _, reference := range []struct{ option, name string }{{"provider", h.Provider}, {"default_provider", h.DefaultProvider}} {
		if reference.name != "" && h.providers[reference.name] == nil {
			return &config.ConfigurationError{Provider: reference.name, Field: reference.option, Err: h.undeclared(reference.name)}
		}
	}
	if p := h.providers[h.Provider]; p != nil && p.bound() && (p.bases.Default == nil || p.bases.Default.HasModel()) {
		return &config.ConfigurationError{Provider: p.name, Field: "base_url", Err: errors.New("depends on the model, which a directive with a fixed provider does not read: leave the provider out of the directive")}
	}
	if err := h.validateKeyModels(); err != nil {
		return err
	}
	switch h.UnknownModel {
	case unknownModelReject, unknownModelPass:
	case unknownModelDefault:
		if h.DefaultProvider == "" {
			return errors.New("unknown_model default needs a default_provider")
		}
	default:
		return errors.New("unknown_model must be reject, pass or default")
	}
	if h.Errors != errorsRespond && h.Errors != errorsHandle {
		return errors.New("errors must be respond or handle")
	}
	if h.MaxBody < 0 {
		return errors.New("max_body must be above 0")
	}
	if err := config.CheckDuration(time.Duration(h.TokenWait)); err != nil {
		return &config.ConfigurationError{Field: "token_wait", Err: err}
	}
	if h.ClientKeysOff && len(h.ClientKeys) > 0 {
		return errors.New("client_key off contradicts the client_key beside it: remove one of them")
	}
	for _, name := range h.KeepHeaders {
		if !config.IsHeaderName(name) {
			return errors.New("keep_header: invalid header name; write one such as Cookie")
		}
		if credentials.IsOverride(name) {
			return fmt.Errorf("keep_header: %s is never forwarded, because it can make another request of one; remove it", name)
		}
	}
	return nil
}

// undeclared is the error about a provider that nobody has declared.
func (h *Handler) undeclared(name string) error {
	if guess := config.Nearest(name, slices.Sorted(maps.Keys(h.providers))); guess != "" {
		return fmt.Errorf("no provider of this name is declared; did you mean %s?", guess)
	}
	return errors.New("no provider of this name is declared")
}

// validateKeyModels refuses models of providers that are not declared.
func (h *Handler) validateKeyModels() error {
	for _, name := range slices.Sorted(maps.Keys(h.ClientKeys)) {
		for _, pattern := range h.ClientKeys[name].Models {
			provider, _, slash := strings.Cut(pattern, "/")
			switch {
			case strings.Contains(provider, "*"):
			case !slash:
				return clientkey.Error(name, errors.New("models must be written as PROVIDER/MODEL, in which * stands for anything"))
			case h.providers[provider] == nil:
				return &config.ConfigurationError{Provider: provider, Field: "client_key " + name + " models", Err: h.undeclared(provider)}
			}
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
