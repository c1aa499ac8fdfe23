package config

import (
	"fmt"
	"slices"
	"strings"
)

// A tokenReference is a {token.PROVIDER} in a field.
type tokenReference struct{ field, provider string }

// tokenReferences lists the tokens that a provider's token request needs.
func (p *Provider) tokenReferences() []tokenReference {
	if p == nil {
		return nil
	}
	r, _ := p.request("", Environment{})
	var references []tokenReference
	for _, v := range r.values() {
		for _, part := range v.references(partToken) {
			references = append(references, tokenReference{v.field, part.text})
		}
	}
	return references
}

// checkTokens follows {token.PROVIDER} from provider to provider. One that
// waits for itself would wait for ever.
func (p Providers) checkTokens(names ...string) []error {
	var errs []error
	done := make(map[string]bool)
	var follow func(name string, chain []string)
	follow = func(name string, chain []string) {
		if done[name] {
			return
		}
		chain = append(chain, name)
		for _, reference := range p[name].tokenReferences() {
			next := reference.provider
			switch start := slices.Index(chain, next); {
			case p[next] == nil:
				errs = append(errs, p[name].misconfigured(name, reference.field, errNotDeclared(next)))
			case start >= 0:
				circle := append(slices.Clone(chain[start:]), next)
				errs = append(errs, p[name].misconfigured(name, reference.field,
					fmt.Errorf("the providers need each other's tokens: %s", strings.Join(circle, " → "))))
			default:
				follow(next, chain)
			}
		}
		done[name] = true
	}
	for _, name := range names {
		follow(name, nil)
	}
	return errs
}
