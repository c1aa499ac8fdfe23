package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A tokenReference is a {token.PROVIDER} in a field.
type tokenReference struct{ field, provider string }

// tokenReferences lists the tokens that a token request needs.
func (r *request) tokenReferences() []tokenReference {
	var references []tokenReference
	for _, v := range r.values() {
		for _, part := range v.references(partToken) {
			references = append(references, tokenReference{v.field, part.text})
		}
	}
	return references
}

// needsToken reports whether one of some values cannot be read without the token of
// another provider.
func (r *request) needsToken(values ...*value) bool {
	seen := make(map[*value]bool)
	var needs func(v *value) bool
	needs = func(v *value) bool {
		if v == nil || seen[v] {
			return false
		}
		seen[v] = true
		return len(v.references(partToken)) > 0 || slices.ContainsFunc(r.partsOf(v), needs)
	}
	return slices.ContainsFunc(values, needs)
}

// checkTokens follows {token.PROVIDER} from provider to provider. One that
// waits for itself would wait for ever.
func (all requests) checkTokens(names ...string) []error {
	var errs []error
	done := make(map[string]bool)
	var follow func(name string, chain []string)
	follow = func(name string, chain []string) {
		if done[name] || all[name] == nil {
			return
		}
		chain = append(chain, name)
		for _, reference := range all[name].tokenReferences() {
			next := reference.provider
			switch start := slices.Index(chain, next); {
			case all[next] == nil:
				errs = append(errs, all[name].misconfigured(reference.field, all.notDeclared(next)))
			case start >= 0:
				circle := append(slices.Clone(chain[start:]), next)
				errs = append(errs, all[name].misconfigured(reference.field,
					fmt.Errorf("the providers need each other's tokens: %s; remove one of these references", strings.Join(circle, " → "))))
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

// notDeclared is the error about a {token.PROVIDER} that names no provider.
func (all requests) notDeclared(name string) error {
	if guess := Nearest(name, sorted(all)); guess != "" {
		return fmt.Errorf("{token.%s}: no provider of this name is declared; did you mean %s?", shownName(name), shownName(guess))
	}
	return fmt.Errorf("{token.%s}: no provider of this name is declared", shownName(name))
}

// errCircle is about a value that could never be read.
var errCircle = errors.New("refers to itself through {token_url}, {jwt} or {key_fingerprint}; remove one of them")

// findCircles finds the values that {token_url}, {jwt} and {key_fingerprint} lead
// back to themselves. Reading one would never end.
func (r *request) findCircles(f *faults) {
	for _, v := range r.values() {
		if r.leadsTo(v, v, make(map[*value]bool)) {
			v.circular = true
			f.add(v.field, "%w", errCircle)
		}
	}
}

// leadsTo reports whether reading a value means to read another.
func (r *request) leadsTo(from, to *value, seen map[*value]bool) bool {
	for _, next := range r.partsOf(from) {
		if next == to {
			return true
		}
		if next != nil && !seen[next] {
			seen[next] = true
			if r.leadsTo(next, to, seen) {
				return true
			}
		}
	}
	return false
}

// partsOf lists the values of the request that a value is made of.
func (r *request) partsOf(v *value) []*value {
	var all []*value
	for _, p := range v.parts {
		switch {
		case p.kind == partTokenURL:
			all = append(all, r.tokenURL)
		case p.kind == partKeyFingerprint && r.jwt != nil:
			all = append(all, r.jwt.key)
		case p.kind == partJWT && r.jwt != nil:
			all = append(append(all, r.jwt.key), r.jwt.values()...)
			if r.provesIdentity() {
				all = append(all, r.clientID, r.tokenURL)
			}
		}
	}
	return all
}
