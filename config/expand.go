package config

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// expand returns the providers with the fields of their presets, and with the values
// of variables in the place of {var.NAME}. A field that a provider sets itself
// takes the place of the preset's. The error joins a *ConfigurationError for each
// fault.
func (p Providers) expand(environment Environment) (Providers, error) {
	expanded := make(Providers, len(p))
	var all error
	for _, name := range sorted(p) {
		provider, err := p[name].expand(name, environment)
		expanded[name] = provider
		all = errors.Join(all, err)
	}
	return expanded, all
}

func (p *Provider) expand(name string, environment Environment) (*Provider, error) {
	f := &faults{provider: p, name: name}
	expanded := p.expandWith(f, environment)
	return expanded, errors.Join(f.errs...)
}

// expandWith returns nil if there is no such preset. What holds a variable that is
// missing stays as it is.
func (p *Provider) expandWith(f *faults, environment Environment) *Provider {
	if p == nil || p.Preset == "" && len(p.Vars) == 0 {
		return p
	}
	preset := &Preset{Provider: &Provider{}}
	if p.Preset != "" {
		var err error
		if preset, err = FindPreset(p.Preset); err != nil {
			f.add("preset", "%w", err)
			return nil
		}
	}
	merged := p.over(preset.Provider)
	merged.substitute(f, p.vars(f, preset, merged.variables()), environment)
	merged.expansion = p.expansionOf(preset)
	return merged
}

// An expansion is what is known of a provider that was expanded, and not to be seen
// in its fields.
type expansion struct {
	// literalSecrets are the secret variables that stood in the configuration itself.
	literalSecrets []string
	// ofPreset are the fields that the preset has set, which hold no secret but by
	// its variables.
	ofPreset map[string]bool
	// required are the fields that the preset leaves to its user and that no rule
	// but the preset wants; needs is all that it needs.
	required []string
	needs    string
}

func (p *Provider) expansionOf(preset *Preset) expansion {
	e := expansion{ofPreset: make(map[string]bool), needs: preset.needs()}
	for _, field := range preset.Fields {
		own := strings.HasPrefix(field, "client_") || field == "jwt.key_file"
		elsewhere := p.Source != "" || p.AuthMethod != "" && strings.HasPrefix(field, "jwt.")
		if !own && !elsewhere {
			e.required = append(e.required, field)
		}
	}
	for _, variable := range sorted(p.Vars) {
		field := "vars." + variable
		if preset.Vars[variable].Secret && p.Vars[variable].IsLiteral() && p.where(field).file == "" {
			e.literalSecrets = append(e.literalSecrets, field)
		}
	}
	mark := func(provider *Provider, set bool) {
		visit(reflect.ValueOf(provider).Elem(), "", func(field string, _ reflect.Value) bool {
			e.ofPreset[field] = set
			return false
		})
	}
	mark(preset.Provider, true)
	mark(p, false)
	return e
}

// over returns a provider's fields, and where it sets none, the preset's.
func (p *Provider) over(preset *Provider) *Provider {
	merged := &Provider{origin: maps.Clone(p.origin)}
	mergeInto(reflect.ValueOf(merged).Elem(), reflect.ValueOf(p).Elem(), reflect.ValueOf(p.alternatives(preset)).Elem(), "", func(string) {})
	merged.Preset, merged.Vars = "", nil
	// An empty parameter takes the preset's away; one of no preset is a fault.
	maps.DeleteFunc(merged.TokenRequest.Params, func(name string, value Template) bool {
		return value == "" && preset.TokenRequest.Params[name] != ""
	})
	return merged
}

// alternatives returns a preset's fields less those for which the provider has set
// another that says the same in another way.
func (p *Provider) alternatives(preset *Provider) *Provider {
	rest := *preset
	kind, _, _ := p.Source.parse()
	if usual, _, _ := preset.Source.parse(); p.Source != "" && kind != usual {
		// Other fields are about another way to come by a token.
		rest = Provider{
			TokenResponse: TokenResponse{DefaultTTL: rest.TokenResponse.DefaultTTL, MaxTTL: rest.TokenResponse.MaxTTL},
			JWT:           rest.JWT, Place: rest.Place, HeaderUp: rest.HeaderUp, Transport: rest.Transport, RefreshBefore: rest.RefreshBefore,
		}
		if kind != sourceSelfSigned {
			rest.JWT = JWT{}
		}
	}
	if p.AuthMethod != "" && p.AuthMethod != preset.AuthMethod && preset.AuthMethod == Template(tokens.PrivateKeyJWT) {
		rest.JWT = JWT{}
	}
	if p.ClientID != "" || p.ClientIDFile != "" {
		rest.ClientID, rest.ClientIDFile = "", ""
	}
	if p.ClientSecret != "" || p.ClientSecretFile != "" {
		rest.ClientSecret, rest.ClientSecretFile = "", ""
	}
	if p.RefreshToken != "" || p.RefreshTokenFile != "" {
		rest.RefreshToken, rest.RefreshTokenFile = "", ""
	}
	if p.JWT.hasKey() {
		rest.JWT.Key, rest.JWT.KeyFile = "", ""
	}
	if p.Place != (Place{}) {
		rest.Place = Place{}
	}
	rest.TokenRequest.Headers = withoutHeaders(rest.TokenRequest.Headers, sorted(p.TokenRequest.Headers))
	up := p.HeaderUp
	set := slices.Concat(sorted(up.Set), sorted(up.Add), sorted(up.Default), up.Delete)
	rest.HeaderUp.Set = withoutHeaders(rest.HeaderUp.Set, set)
	rest.HeaderUp.Add = withoutHeaders(rest.HeaderUp.Add, set)
	rest.HeaderUp.Default = withoutHeaders(rest.HeaderUp.Default, set)
	return &rest
}

// withoutHeaders returns headers less some names, whatever their case.
func withoutHeaders(headers map[string][]Template, names []string) map[string][]Template {
	rest := maps.Clone(headers)
	maps.DeleteFunc(rest, func(name string, _ []Template) bool {
		return slices.ContainsFunc(names, func(other string) bool { return http.CanonicalHeaderKey(other) == http.CanonicalHeaderKey(name) })
	})
	return rest
}

// vars returns the values of all variables but those that are missing; an optional one
// may be empty. used are those that a field holds.
func (p *Provider) vars(f *faults, preset *Preset, used []string) map[string]string {
	values := make(map[string]string)
	for _, name := range sorted(p.Vars) {
		if _, known := preset.Vars[name]; !known && !slices.Contains(used, name) && !(f.partial && p.Preset == "") {
			f.add("vars."+shownName(name), "%w", unknownVar(name, preset))
			continue
		}
		if len(variablesOf(string(p.Vars[name]))) > 0 {
			f.add("vars."+shownName(name), "holds another variable; write its value")
		}
		if isPathVariable(p.Preset, name) && strings.Contains(string(p.Vars[name]), "#") {
			f.add("vars."+shownName(name), "holds a #, which ends the path in {json.PATH#MEMBER}; rename the file or its folder")
		}
		values[name] = string(p.Vars[name])
		if variable, ok := strings.CutPrefix(values[name], osEnviron); ok {
			values[name] = "{env." + variable + "}"
		}
	}
	var missing []string
	for _, name := range sorted(preset.Vars) {
		switch known := preset.Vars[name]; {
		case values[name] != "":
		case known.Needed() && slices.Contains(used, name):
			missing = append(missing, name)
			delete(values, name)
		default:
			values[name] = string(known.Default)
		}
	}
	if len(missing) > 0 && !f.partial {
		f.add("vars", "variables are missing: %s; preset %s needs %s", strings.Join(missing, ", "), p.Preset, preset.needs())
	}
	return values
}

func unknownVar(name string, preset *Preset) error {
	if len(preset.Vars) == 0 {
		return errors.New("is not used: nothing holds {var.NAME} with this name")
	}
	return UnknownName("variable", name, sorted(preset.Vars))
}
