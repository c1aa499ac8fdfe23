package config

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A Preset is a named set of defaults for one kind of provider. Presets are data:
// to add one, add an entry to presets.json.
type Preset struct {
	// Description says what the preset is for.
	Description string `json:"description"`
	// Vars are its variables, which stand for {var.NAME} in the provider.
	Vars map[string]PresetVar `json:"vars"`
	// Fields are the fields of a provider that have to be set besides,
	// OptionalFields those that may be.
	Fields         []string `json:"fields"`
	OptionalFields []string `json:"optional_fields"`
	// Unverified says which of the facts behind it nobody has checked.
	Unverified string `json:"unverified"`
	// Provider are the defaults.
	Provider *Provider `json:"-"`
}

// A PresetVar is a variable of a preset.
type PresetVar struct {
	// Description says what its value is.
	Description string `json:"description"`
	// Default is its value if none is set.
	Default Template `json:"default"`
	// Optional means that what holds it is left out if it is not set.
	Optional bool `json:"optional"`
	// Path means that its value is the path of a file, Secret that nobody may see it.
	Path   bool `json:"path"`
	Secret bool `json:"secret"`
}

// Needed reports whether the variable has to be set.
func (v PresetVar) Needed() bool { return v.Default == "" && !v.Optional }

//go:embed presets.json
var presetsFile []byte

var presets = sync.OnceValue(func() map[string]*Preset {
	all, err := parsePresets(presetsFile)
	if err != nil {
		panic("presets.json: " + err.Error()) // a test reads the file, too
	}
	return all
})

// Presets gives all presets by name. They are shared: do not change them.
func Presets() map[string]*Preset { return presets() }

func parsePresets(content []byte) (map[string]*Preset, error) {
	var all map[string]*Preset
	var raw map[string]struct{ Provider json.RawMessage }
	if err := errors.Join(json.Unmarshal(content, &all), json.Unmarshal(content, &raw)); err != nil {
		return nil, err
	}
	for _, name := range sorted(all) {
		var providers Providers
		if err := json.Unmarshal(fmt.Appendf(nil, "{%q:%s}", name, raw[name].Provider), &providers); err != nil {
			return nil, err
		}
		all[name].Provider = providers[name]
	}
	return all, nil
}

// Expand gives the providers with the fields of their presets, and with the values
// of variables in the place of {var.NAME}. A field that a provider sets itself
// takes the place of the preset's. The error joins a *ConfigurationError for each
// fault.
func (p Providers) Expand(environment Environment) (Providers, error) {
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

// expandWith gives nil if there is no such preset. What holds a variable that is
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
}

func (p *Provider) expansionOf(preset *Preset) expansion {
	e := expansion{ofPreset: make(map[string]bool)}
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

// FindPreset gives a preset. The error guesses which one was meant.
func FindPreset(name string) (*Preset, error) {
	if preset := Presets()[name]; preset != nil {
		return preset, nil
	}
	if guess := nearest(name, sorted(Presets())); guess != "" {
		return nil, fmt.Errorf("unknown preset; did you mean %s?", guess)
	}
	return nil, errors.New("unknown preset; caddy oauth2-llm presets lists them all")
}

// over gives a provider's fields, and where it sets none, the preset's.
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

// alternatives gives a preset's fields less those for which the provider has set
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
		if kind != SourceSelfSigned {
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
	rest.TokenRequest.Params = maps.Clone(rest.TokenRequest.Params)
	for name, value := range p.TokenRequest.Params {
		if value == "" {
			delete(rest.TokenRequest.Params, name)
		}
	}
	rest.TokenRequest.Headers = withoutHeaders(rest.TokenRequest.Headers, sorted(p.TokenRequest.Headers))
	up := p.HeaderUp
	set := slices.Concat(sorted(up.Set), sorted(up.Add), sorted(up.Default), up.Delete)
	rest.HeaderUp.Set = withoutHeaders(rest.HeaderUp.Set, set)
	rest.HeaderUp.Add = withoutHeaders(rest.HeaderUp.Add, set)
	rest.HeaderUp.Default = withoutHeaders(rest.HeaderUp.Default, set)
	return &rest
}

// withoutHeaders gives headers less some names, whatever their case.
func withoutHeaders(headers map[string][]Template, names []string) map[string][]Template {
	rest := maps.Clone(headers)
	maps.DeleteFunc(rest, func(name string, _ []Template) bool {
		return slices.ContainsFunc(names, func(other string) bool { return http.CanonicalHeaderKey(other) == http.CanonicalHeaderKey(name) })
	})
	return rest
}

// vars gives the values of all variables but those that are missing; an optional one
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
	return unknownName("variable", name, sorted(preset.Vars))
}

// isPathVariable reports whether a variable of a preset is the path of a file. Where
// the preset is named in another declaration, the variable's name tells: it means
// the same in all presets.
func isPathVariable(preset, name string) bool {
	if preset != "" {
		return Presets()[preset] != nil && Presets()[preset].Vars[name].Path
	}
	for _, other := range Presets() {
		if other.Vars[name].Path {
			return true
		}
	}
	return false
}

// needs lists what a user of the preset has to set.
func (p *Preset) needs() string {
	var needed []string
	for _, variable := range sorted(p.Vars) {
		if known := p.Vars[variable]; known.Needed() {
			needed = append(needed, fmt.Sprintf("var %s (%s)", variable, known.Description))
		}
	}
	return strings.Join(append(needed, p.Fields...), ", ")
}
