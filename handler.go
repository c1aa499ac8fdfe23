package oauth2llm

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// Handler puts an OAuth2 access token on LLM requests. It checks the client's
// key, finds the provider (a fixed one, or the prefix of the request's model),
// removes the client's credentials from a copy of the request, sets the
// provider's token, and hands the copy to the next handler, usually
// `reverse_proxy`.
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

	// The provider whose token every request gets. The request's body is then
	// neither read nor changed. If empty, the request's model chooses.
	Provider string `json:"provider,omitempty"`

	// Who may use this gateway: keys by client name. A client sends its key as
	// `Authorization: Bearer`, `X-Api-Key` or `Api-Key`. A request without one
	// of these keys gets 401.
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

	// What to do with a model whose prefix is no provider: `reject` (404, the
	// default), `pass` (forward the request untouched, with the client's own
	// credentials but for its key of this gateway), or `default` (the default
	// provider, the model as it is).
	UnknownModel string `json:"unknown_model,omitempty"`

	// Forward "<provider>/<model>" as it is instead of "<model>".
	KeepPrefix bool `json:"keep_prefix,omitempty"`

	// Headers of the client not to remove, such as `Cookie`.
	KeepHeaders []string `json:"keep_headers,omitempty"`

	// The largest request body, in bytes, decoded too; 413 over it. Default:
	// 32 MiB. It does not apply to a fixed provider's requests, whose bodies
	// are not held.
	MaxBody int64 `json:"max_body,omitempty"`

	// The longest time that a request waits for a token, then 504; the token
	// request goes on for those that come after. Default: 15s.
	TokenWait caddy.Duration `json:"token_wait,omitempty"`

	// `respond` (the default) answers errors with a body that OpenAI and
	// Anthropic clients read; `handle` leaves them to `handle_errors`.
	Errors string `json:"errors,omitempty"`

	logger     *zap.Logger
	clientKeys *keyring
	catalog    *catalog
	providers  map[string]*provider
	filters    map[string]*credentialFilter // by provider
	// misroutes bounds the log lines about a reverse_proxy that does not fit.
	misroutes occasion
}

const (
	unknownModelReject  = "reject"
	unknownModelPass    = "pass"
	unknownModelDefault = "default"

	errorsRespond = "respond"
	errorsHandle  = "handle"

	defaultMaxBody   = 32 << 20
	defaultTokenWait = 15 * time.Second

	// defaultConfigFile is the seed's, read where nothing is declared at all.
	defaultConfigFile = "litellm_config.json"
)

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.oauth2_llm",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision joins the handler with its providers. It does not touch the network.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
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
	h.clientKeys, err = newKeyring(h.ClientKeys, app.environment(), h.logger)
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
	for name, key := range h.ClientKeys {
		if key.Key.IsLiteral() && !key.isHash() {
			h.logger.Warn("the key stands in the configuration, where whoever can read that sees it: use {env.NAME} or {file.PATH}", zap.String("client_key", name))
		}
	}
	if h.clientKeys.empty() && !h.ClientKeysOff {
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
	h.filters = make(map[string]*credentialFilter, len(h.providers))
	for name, p := range h.providers {
		filter := newCredentialFilter(h.KeepHeaders, p.headerUp.Names()...)
		filter.remove(p.field)
		h.filters[name] = filter
	}
}

// Validate refuses what cannot work.
func (h *Handler) Validate() error {
	for _, reference := range []struct{ option, name string }{{"provider", h.Provider}, {"default_provider", h.DefaultProvider}} {
		if reference.name != "" && h.providers[reference.name] == nil {
			return &config.ConfigurationError{Provider: reference.name, Field: reference.option, Err: errors.New("no provider of this name is declared")}
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
		return errors.New("unknown_model is reject, pass or default")
	}
	if h.Errors != errorsRespond && h.Errors != errorsHandle {
		return errors.New("errors is respond or handle")
	}
	if h.MaxBody < 0 {
		return errors.New("max_body is not above 0")
	}
	if h.TokenWait < 0 {
		return errors.New("token_wait is not above 0")
	}
	if h.ClientKeysOff && len(h.ClientKeys) > 0 {
		return errors.New("client_key off contradicts the client_key beside it")
	}
	for _, name := range h.KeepHeaders {
		if !config.IsHeaderName(name) {
			return errors.New("keep_header holds what is no header name")
		}
	}
	return nil
}

// validateKeyModels refuses models of providers that are not declared.
func (h *Handler) validateKeyModels() error {
	for _, name := range slices.Sorted(maps.Keys(h.ClientKeys)) {
		for _, pattern := range h.ClientKeys[name].Models {
			provider, _, slash := strings.Cut(pattern, "/")
			switch {
			case strings.Contains(provider, "*"):
			case !slash:
				return clientKeyError(name, errors.New("models are written as <provider>/<model>, in which * stands for anything"))
			case h.providers[provider] == nil:
				return &config.ConfigurationError{Provider: provider, Field: "client_key " + name + " models", Err: errors.New("no provider of this name is declared")}
			}
		}
	}
	return nil
}

// A visit is one request's way through the handler, as the access log sees it.
type visit struct {
	provider  string
	model     string
	errorKind string
	errorCode string
	waited    time.Duration
	// replayed says that the request was sent once more after a 401.
	replayed bool
	// body is the client's body as it is forwarded; bodyRead says that the
	// handler has read it to its end before.
	body     *clientBody
	bodyRead bool
}

// MarshalLogObject adds the visit's fields to the access log.
func (v *visit) MarshalLogObject(encoder zapcore.ObjectEncoder) error {
	if v.provider != "" {
		encoder.AddString("llm_provider", v.provider)
	}
	if v.model != "" {
		encoder.AddString("llm_model", v.model)
	}
	if v.errorCode != "" {
		encoder.AddString("llm_error_code", v.errorCode)
	}
	if v.waited > 0 {
		encoder.AddDuration("llm_token_wait", v.waited)
	}
	if v.replayed {
		encoder.AddBool("llm_replayed", true)
	}
	return nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	l := &lease{Context: r.Context(), handler: h}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Inline(&l.visit))
	}
	l.replacer, _ = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if l.replacer == nil {
		l.replacer = caddy.NewReplacer()
	}

	finished := true
	defer func() { l.count(finished, err) }()
	forwarded, err := h.prepare(r, l)
	if err != nil {
		return h.refuse(w, r, l, err)
	}
	if l.localAnswer != nil {
		return answerJSON(w, r, l.localAnswer)
	}
	l.replacer.Delete(upstreamStatus)
	finished = false
	err = next.ServeHTTP(w, forwarded)
	finished = true
	if l.provider != nil && l.target.base == nil && !l.taken {
		h.noticeRejection(l)
	}
	if err != nil {
		return h.refuse(w, r, l, l.failure(err))
	}
	return nil
}

// answerJSON answers a request that goes nowhere.
func answerJSON(w http.ResponseWriter, r *http.Request, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// prepare makes the request that is forwarded, and the lease for it. Without a
// provider it is passed on with the client's own credentials.
func (h *Handler) prepare(r *http.Request, l *lease) (*http.Request, error) {
	holder, err := h.authenticate(r, l)
	if err != nil {
		return nil, err
	}
	if !mayForward(r) {
		return nil, methodNotAllowed()
	}
	if llm.HasDotSegments(r.URL.Path) {
		return nil, requestProblem(&llm.RequestError{Code: llm.CodeInvalidPath, Message: "the path holds a dot segment"})
	}
	v := &l.visit
	chosen, err := h.choose(r, l)
	if err != nil {
		return nil, err
	}
	if l.localAnswer = chosen.answer; l.localAnswer != nil {
		return nil, nil //nolint:nilnil // the request is answered here
	}
	if v.model = chosen.model; v.model != "" {
		l.replacer.Set("http.oauth2_llm.model", v.model)
	}
	p := chosen.provider
	if p == nil {
		return h.passOn(r, chosen, l, holder), nil
	}
	v.provider = p.name
	l.replacer.Set("http.oauth2_llm.provider", p.placeholder)

	l.provider = p
	if l.token = p.manager.Current(); l.token == nil {
		if err := l.awaitToken(r.Context()); err != nil {
			return nil, err
		}
	}
	forwarded := h.decorated(r, chosen, l, holder)
	if err := l.takeBody(r, forwarded, &chosen); err != nil {
		return nil, requestProblem(err)
	}
	return forwarded, nil
}

// mayForward reports whether a request's method is one for LLMs. The answer to a
// TRACE holds the request, our token and all (RFC 9110 §9.3.8). A CONNECT asks for
// a tunnel to anywhere, unless it opens a WebSocket over HTTP/2 or HTTP/3.
func mayForward(r *http.Request) bool {
	switch r.Method {
	case http.MethodTrace:
		return false
	case http.MethodConnect:
		return r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket"
	}
	return true
}

// authenticate finds out which client sent a request, and where its key stands.
func (h *Handler) authenticate(r *http.Request, l *lease) (keyHolder, error) {
	if h.clientKeys.empty() {
		return keyHolder{}, nil
	}
	client, holder := h.clientKeys.current().authenticate(r.Header)
	if client == nil {
		return keyHolder{}, unauthenticated()
	}
	l.client = client
	l.replacer.Set("http.auth.user.id", client.placeholder)
	return holder, nil
}

// decorated copies a request, without the client's credentials and with the
// provider's. The request itself stays as it is: error routes and retries must
// not see the token (case U06).
//
// The token of a provider with a base_url is for the transport to set, where
// no other module sees it.
func (h *Handler) decorated(r *http.Request, chosen choice, l *lease, holder keyHolder) *http.Request {
	p := l.provider
	filter := h.filters[p.name]
	copied := r.WithContext(l)
	copied.Header = filter.header(r.Header, 2+len(p.headerUp.Set))
	holder.remove(copied.Header)
	chosen.locked = l.target.base != nil
	chosen.apply(copied)
	if query := filter.query(copied.URL.RawQuery); query != copied.URL.RawQuery {
		address := *copied.URL
		address.RawQuery = query
		copied.URL = &address
	}
	p.headerUp.Apply(copied.Header)
	if l.target.base == nil {
		p.place(copied.Header, l.token)
	}
	return copied
}

// passOn copies a request that is no provider's, without the client's key of
// this gateway.
func (h *Handler) passOn(r *http.Request, chosen choice, l *lease, holder keyHolder) *http.Request {
	copied := r.WithContext(l)
	copied.Header = r.Header.Clone()
	holder.remove(copied.Header)
	chosen.restore()
	chosen.apply(copied)
	if copied.Method != http.MethodConnect {
		l.visit.body = watchBody(r, copied, new(credentialFilter))
	}
	return copied
}

// upstreamStatus is where reverse_proxy puts the status of the upstream's answer.
const upstreamStatus = "http.reverse_proxy.status_code"

// noticeRejection drops a token that the upstream refused behind a plain
// reverse_proxy, so that the next request gets a new one (case U01). The answer
// has been passed on already.
func (h *Handler) noticeRejection(l *lease) {
	if status, ok := l.replacer.Get(upstreamStatus); ok && status == http.StatusUnauthorized {
		l.provider.manager.Reject(l.token)
	}
}

// refuse ends a request with an error.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, l *lease, err error) error {
	var p *problem
	if !errors.As(err, &p) {
		return err
	}
	l.note(p)
	return h.answer(w, r, p, l.visit.bodyRead || l.visit.body.read())
}

// note puts an error where the operator sees it: in the access log, in
// placeholders and in the log. Why there is no token is in the log already,
// once for all requests; why the LLM could not be reached is not.
func (l *lease) note(p *problem) {
	l.visit.errorKind, l.visit.errorCode = p.kind, p.code
	l.replacer.Set("http.oauth2_llm.error.type", p.kind)
	l.replacer.Set("http.oauth2_llm.error.code", p.code)
	level := zapcore.DebugLevel
	switch {
	case p.cause == nil:
	case p.kind == llm.TypeUpstream,
		(p.code == codeTransportRequired || p.code == codeNoUpstream) && l.handler.misroutes.now():
		level = zapcore.ErrorLevel
	}
	if c := l.handler.logger.Check(level, "request failed"); c != nil {
		upstream, _ := l.replacer.GetString("http.reverse_proxy.upstream.hostport")
		c.Write(zap.String("provider", l.visit.provider), zap.String("upstream", upstream), zap.String("request_id", p.identify()),
			zap.String("code", p.code), zap.Int("status", p.status), zap.String("problem", p.message), zap.NamedError("cause", p.cause))
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
