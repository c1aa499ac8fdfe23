package oauth2llm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// states holds the tokens of all providers of the process. It outlives every
// configuration, so that a reload keeps tokens; its keys are fingerprints of
// all that shapes a token, so that a changed secret never meets an old token.
// It holds nothing that belongs to a configuration.
var states = caddy.NewUsagePool()

// storage is Caddy's storage for all providers of the process, and what the process
// remembers of it. It outlives every configuration: whoever changes a provider's scope,
// or takes it away for a while, must not use a refresh token again that was replaced.
var storage tokens.SharedStorage

// A tokenState is what is shared by all configurations in which a provider is
// the same.
type tokenState struct{ manager *tokens.Manager }

// Destruct implements caddy.Destructor. There is nothing to stop: a token
// request under way ends by itself, and callers may still wait for it.
func (*tokenState) Destruct() error { return nil }

// GoString keeps the pool from printing what a state holds when it panics.
func (*tokenState) GoString() string { return "tokenState" }

// A provider is a provider of one configuration.
type provider struct {
	name     string
	resolved *config.Resolved
	declared *config.Provider
	manager  *tokens.Manager
	unbind   func()
	// placeholder is the name as placeholders hold it.
	placeholder any

	place    config.EffectivePlace
	headerUp config.ResolvedHeaderUp

	// bases are where LLM requests go, dials their addresses. upstream, if not nil,
	// are connections of the provider's own.
	bases    config.BaseURLs
	dials    map[*config.BaseURL]string
	upstream *connections

	authorization atomic.Pointer[fieldValue]
	// refusals bounds the log lines about an upstream that refuses tokens.
	refusals *rate.Limiter
	// troubles bounds those about an upstream that cannot be reached.
	troubles *rate.Limiter
}

// A fieldValue is a token as it stands in a header.
type fieldValue struct {
	token *tokens.Token
	value string
}

// newProvider joins a provider with the state of its tokens.
func newProvider(ctx caddy.Context, resolved *config.Resolved, logger *zap.Logger, share bool) (*provider, error) {
	name := resolved.Name
	transport, tokenEndpoint, err := loadTransports(ctx, resolved)
	if err != nil {
		return nil, err
	}
	fetcher := resolved.Fetcher(logger, func(client *tokens.Client) {
		client.Storage = &storage
		if tokenEndpoint != nil {
			client.Transport = tokenTransport{tokenEndpoint}
		}
	})
	if share {
		fetcher = shareTokens(fetcher, resolved, logger)
	}
	for _, warning := range resolved.Warnings {
		fields := []zap.Field{zap.String("provider", name)}
		if warning.Field != "" {
			fields = append(fields, zap.String("field", warning.Field))
		}
		logger.Warn(warning.Message, fields...)
	}

	pooled, _, err := states.LoadOrNew(resolved.Fingerprint, func() (caddy.Destructor, error) {
		return &tokenState{manager: tokens.NewManager(name)}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", name, err)
	}
	state := pooled.(*tokenState)
	p := &provider{
		name:        name,
		placeholder: name,
		resolved:    resolved,
		declared:    resolved.Declared,
		manager:     state.manager,
		unbind: state.manager.Bind(&tokens.Binding{
			Fetcher:       fetcher,
			Retries:       resolved.Retries,
			RefreshBefore: resolved.RefreshBefore,
			SecretsDigest: resolved.SecretsDigest,
			Logger:        logger,
		}),
		place:    resolved.Place,
		headerUp: resolved.HeaderUp,
		bases:    resolved.BaseURLs,
		refusals: newLogLimiter(),
		troubles: newLogLimiter(),
		dials:    make(map[*config.BaseURL]string),
	}
	if transport != nil {
		p.upstream = &connections{RoundTripper: transport}
	}
	for base := range p.bases.All {
		p.dials[base] = dialAddress(base.Host())
	}
	return p, nil
}

// offer says what a model is called upstream, by the name that clients use, and
// whether the provider offers it.
func (p *provider) offer(model string) (upstream string, offered bool) {
	if listed, ok := p.declared.Models[model]; ok && model != config.AnyModel {
		if listed.Upstream != "" {
			return listed.Upstream, true
		}
		return model, true
	}
	_, wild := p.declared.Models[config.AnyModel]
	return model, wild || len(p.declared.Models) == 0
}

// lists reports whether the provider names the model among those that it offers.
func (p *provider) lists(model string) bool {
	_, listed := p.declared.Models[model]
	return listed && model != config.AnyModel
}

// bound reports whether the provider has an address of its own: its token goes
// nowhere else then, whatever a request names.
func (p *provider) bound() bool { return len(p.dials) > 0 }

var errNoBase = errors.New("the provider has no base_url for this")

// target is where requests for a model go, or for what names none.
func (p *provider) target(model, upstream string) (target, error) {
	to := target{provider: p, model: model, upstream: upstream}
	base := p.bases.Of(model)
	switch {
	case base == nil && p.bound():
		return target{}, errNoBase
	case base == nil:
		return to, nil
	}
	var err error
	if to.base, err = base.For(upstream); err != nil {
		return target{}, err
	}
	to.dial, to.namesModel = p.dials[base], base.HasModel()
	return to, nil
}

// loadTransports loads the transports of a provider, for its LLM requests and
// for its token requests; each is nil if there is none.
func loadTransports(ctx caddy.Context, resolved *config.Resolved) (upstream, tokenEndpoint http.RoundTripper, err error) {
	scheme := ""
	for base := range resolved.BaseURLs.All {
		// Options for TLS make sense if any of them speaks it.
		if scheme != "https" {
			scheme = base.Host().Scheme
		}
	}
	if upstream, err = loadTransport(ctx, resolved.Declared.Transport, scheme); err != nil {
		return nil, nil, resolved.Fault("transport", err)
	}
	// The scheme of token_url may be in a file, so both are possible.
	if tokenEndpoint, err = loadTransport(ctx, resolved.Declared.TokenRequest.Transport, "https"); err != nil {
		return nil, nil, resolved.Fault("token_request.transport", err)
	}
	return upstream, tokenEndpoint, nil
}

// release gives back the state of the provider's tokens. Requests under way go
// on using it.
func (p *provider) release() {
	p.unbind()
	_, _ = states.Delete(p.resolved.Fingerprint)
}

// value is the token as it stands in a header.
func (p *provider) value(token *tokens.Token) string {
	if known := p.authorization.Load(); known != nil && known.token == token {
		return known.value
	}
	value := &fieldValue{token: token, value: p.place.Prefix + token.Value.Reveal()}
	p.authorization.Store(value)
	return value.value
}

// putToken puts the token where it goes on a request whose header is its own, in
// place of one that is there already.
func (p *provider) putToken(r *http.Request, token *tokens.Token) {
	if p.place.Query == "" {
		r.Header[p.place.Header] = []string{p.value(token)}
		return
	}
	query := p.withoutToken(r.URL.RawQuery)
	if query != "" {
		query += "&"
	}
	setQuery(r, query+p.place.Query+"="+url.QueryEscape(p.value(token)))
}

// removeToken takes off a request what putToken puts on it.
func (p *provider) removeToken(r *http.Request) {
	if p.place.Query == "" {
		delete(r.Header, p.place.Header)
		return
	}
	setQuery(r, p.withoutToken(r.URL.RawQuery))
}

func (p *provider) withoutToken(query string) string {
	return llm.WithoutParameters(query, func(name string) bool { return name == p.place.Query })
}

// environment is where values of providers come from.
func (a *App) environment() config.Environment {
	environment := config.DefaultEnvironment()
	environment.Token = func(ctx context.Context, name string) (tokens.Secret, error) {
		a.mu.RLock()
		p := a.providers[name]
		a.mu.RUnlock()
		if p == nil {
			return tokens.Secret{}, fmt.Errorf("provider %s is not known", name)
		}
		token, err := p.manager.Token(ctx)
		if err != nil {
			return tokens.Secret{}, err
		}
		return token.Value, nil
	}
	return environment
}

// shareTokens makes a provider's tokens those of all instances, where they can be
// shared. A refresh token is kept in the storage for all instances anyway, and the access
// tokens with it.
func shareTokens(fetcher tokens.Fetcher, resolved *config.Resolved, logger *zap.Logger) tokens.Fetcher {
	if resolved.Identity == nil || resolved.Declared.RefreshToken != "" || resolved.Declared.RefreshTokenFile != "" {
		return fetcher
	}
	return &tokens.Shared{Fetcher: fetcher, Storage: &storage, Identity: resolved.Identity, Provider: resolved.Name, Logger: logger}
}

// logNotShared names the providers whose tokens are not shared although share_tokens
// is set.
func (a *App) logNotShared(names []string) {
	var reasons []string
	for _, name := range names {
		if reason := a.providers[name].resolved.NotShareable; a.ShareTokens && reason != "" {
			reasons = append(reasons, name+": "+reason)
		}
	}
	if len(reasons) > 0 {
		a.logger.Info("the access tokens of some providers are not shared: each instance obtains its own", zap.Strings("providers", reasons))
	}
}

// flushTimeout bounds how long the end of the process is held up by the storage.
const flushTimeout = 10 * time.Second

// flushStorage stores what could not be stored yet, if the process ends.
func flushStorage() {
	if !caddy.Exiting() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	storage.Flush(ctx)
}
