package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// The steps of Resolve, one at a time: tests look at each with providers that need not
// pass the others.

// requestsOf makes the token requests of providers, and says what is wrong with each.
func (p Providers) requestsOf(environment Environment) (requests, map[string]error) {
	all, wrong := make(requests), make(map[string]error)
	for _, name := range sorted(p) {
		if p[name] != nil {
			f := &faults{provider: p[name], name: name}
			all[name] = p[name].request(f, environment, all)
			wrong[name] = errors.Join(f.errs...)
		}
	}
	return all, wrong
}

// requestOf is the token request of one of them, whose tokens can be had.
func (p Providers) requestOf(name string, environment Environment) (*request, error) {
	all, wrong := p.requestsOf(environment)
	if all[name] == nil {
		return nil, &ConfigurationError{Provider: name, Err: errors.New("no provider of this name is declared")}
	}
	return all[name], errors.Join(append(all.checkTokens(name), wrong[name])...)
}

func (p Providers) validate(environment Environment) error {
	_, err := p.Resolve(environment, nil)
	return err
}

func (p *Provider) only() Providers { return Providers{"p": p} }

func (p Providers) fingerprint(name string, environment Environment) (string, error) {
	r, err := p.requestOf(name, environment)
	if err != nil {
		return "", err
	}
	sum, err := r.fingerprint()
	return hex.EncodeToString(sum[:]), err
}

func (p Providers) secretsDigest(name string, environment Environment) func() [sha256.Size]byte {
	all, _ := p.requestsOf(environment)
	return all[name].secretsDigest()
}

// A notShareableError says why instances cannot share a token.
type notShareableError struct{ reason string }

func (e *notShareableError) Error() string { return e.reason }

func (p Providers) identity(name string, environment Environment) (func(context.Context) (tokens.Identity, error), error) {
	r, err := p.requestOf(name, environment)
	if err != nil {
		return nil, err
	}
	if reason := r.notShareable(); reason != "" {
		return nil, &notShareableError{reason}
	}
	return r.identity, nil
}

func (p Providers) fetcher(name string, environment Environment, logger *zap.Logger, complete func(*tokens.Client)) (tokens.Fetcher, error) {
	r, err := p.requestOf(name, environment)
	if err != nil {
		return nil, err
	}
	resolved := &Resolved{Name: name, Declared: p[name], request: r}
	if err := resolved.identify(); err != nil {
		return nil, err
	}
	return resolved.Fetcher(logger, complete), nil
}

func (p *Provider) client(environment Environment) (*tokens.Client, error) {
	all, wrong := p.only().requestsOf(environment)
	return all["p"].client(), wrong["p"]
}

func (p *Provider) warnings(environment Environment) []Warning {
	all, _ := p.only().requestsOf(environment)
	bases, _ := p.baseURLs("p", environment)
	return all["p"].warnings(bases)
}

func (p *Provider) headerUp(environment Environment) (ResolvedHeaderUp, error) {
	f := &faults{provider: p, name: "p"}
	resolved := p.resolveHeaderUp(f, environment)
	return resolved, errors.Join(f.errs...)
}

func (p *Provider) bases(environment Environment) (BaseURLs, error) {
	bases, errs := p.baseURLs("p", environment)
	return bases, errors.Join(errs...)
}
