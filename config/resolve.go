package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// Resolved is a provider that can be used: its preset is filled in, its values are
// parsed, and the rules are checked. What is in files is read again when it is needed.
type Resolved struct {
	// Name is the provider's name, Declared what was declared, with the preset's fields.
	Name     string
	Declared *Provider

	// Fingerprint is the identity of the provider's token: a hex SHA-256 of the name and
	// of all that shapes the token request. With another fingerprint it is another token.
	Fingerprint string
	// SecretsDigest hashes the present contents of all files that shape the token request.
	// Another result means that a secret was rotated: after a failure it is worth asking
	// again.
	SecretsDigest func() [sha256.Size]byte
	// Identity returns what names the token in a storage, for the instances that share it,
	// and seals it. It is nil where NotShareable says why instances cannot share it.
	Identity     func(ctx context.Context) (tokens.Identity, error)
	NotShareable string

	// Place is where the token goes, HeaderUp what accompanies it, BaseURLs where LLM
	// requests go.
	Place    EffectivePlace
	HeaderUp ResolvedHeaderUp
	BaseURLs BaseURLs
	// Retries is the number of attempts after the first, RefreshBefore how long before
	// its end a token is replaced, 0 for auto.
	Retries       int
	RefreshBefore time.Duration
	// Warnings are about what works and is a risk.
	Warnings []Warning

	request *request
}

// Resolve resolves providers. Their {token.PROVIDER} may name each other and the known
// providers, which were resolved before. It reads variables and files, and does not use
// the network. The error joins a *ConfigurationError or *ValidationError for each fault:
// missing fields, fields that contradict each other, values that break a rule, variables
// and files that are unset, empty or unreadable, and providers that need each other's
// tokens in a circle.
func (p Providers) Resolve(environment Environment, known map[string]*Resolved) (map[string]*Resolved, error) {
	expanded, err := p.expand(environment)
	if err != nil {
		return nil, err
	}
	all := make(requests, len(p)+len(known))
	for name, provider := range known {
		all[name] = provider.request
	}
	names := sorted(expanded)
	resolved := make(map[string]*Resolved, len(p))
	var errs []error
	for _, name := range names {
		provider, wrong := expanded[name].resolve(name, environment, all)
		resolved[name] = provider
		errs = append(errs, wrong...)
	}
	errs = append(errs, all.checkTokens(names...)...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, name := range names {
		if err := resolved[name].identify(); err != nil {
			return nil, err
		}
	}
	return resolved, nil
}

// resolve resolves what needs no other provider, and notes the provider's token request
// among all.
func (p *Provider) resolve(name string, environment Environment, all requests) (*Resolved, []error) {
	if p == nil {
		delete(all, name)
		return nil, []error{&ConfigurationError{Provider: name, Err: errors.New("the provider has no fields")}}
	}
	f := &faults{provider: p, name: name}
	r := p.request(f, environment, all)
	all[name] = r
	if missing := p.missingVariables(name); len(missing) > 0 {
		return nil, missing
	}
	p.validate(f, r)
	headerUp := p.resolveHeaderUp(f, environment)
	bases, wrong := p.baseURLs(name, environment)
	if errs := append(f.errs, wrong...); len(errs) > 0 {
		return nil, errs
	}
	return &Resolved{
		Name: name, Declared: p, Place: p.effectivePlace(), HeaderUp: headerUp, BaseURLs: bases,
		Retries: p.effectiveRetries(), RefreshBefore: time.Duration(p.RefreshBefore), Warnings: r.warnings(bases), request: r,
	}, nil
}

// identify fills in what depends on the providers whose tokens this one needs, too.
func (r *Resolved) identify() error {
	sum, err := r.request.fingerprint()
	if err != nil {
		return err
	}
	r.Fingerprint = hex.EncodeToString(sum[:])
	r.SecretsDigest = r.request.secretsDigest()
	if r.NotShareable = r.request.notShareable(); r.NotShareable == "" {
		r.Identity = r.request.identity
	}
	return nil
}

// Fetcher builds what obtains the provider's tokens, and logs its warnings to logger.
// Where that is a token endpoint, complete may add what the configuration does not hold,
// such as the transport.
func (r *Resolved) Fetcher(logger *zap.Logger, complete func(*tokens.Client)) tokens.Fetcher {
	request, rules := r.request, r.Declared.TokenResponse.rules()
	switch request.source {
	case sourceSelfSigned:
		return &tokens.SelfSigned{Provider: r.Name, JWT: request.jwt.orNil(), TTL: request.jwt.TTL - request.jwt.Skew, Response: rules}
	case sourceFile:
		return &tokens.TokenFile{
			Provider: r.Name, File: request.tokenFile.orNil(), Path: shownPath(request.tokenFile.path()), Response: rules, Logger: logger,
		}
	}
	client := request.client()
	client.Logger, client.Identity = logger, r.Identity
	if complete != nil {
		complete(client)
	}
	return client
}

// Fault returns an error about a field of the provider as a *ConfigurationError that says
// where the field stands. The empty field stands for the provider as a whole.
func (r *Resolved) Fault(field string, err error) error {
	return r.Declared.misconfigured(r.Name, field, err)
}
