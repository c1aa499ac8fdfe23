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
	// Path means that its value is the path of a file.
	Path bool `json:"path"`
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

// errMissingVars means that a preset needs variables that are not set. They may be
// set in another declaration of the same provider.
var errMissingVars = errors.New("variables are missing")

// Expand gives the providers with the fields of their presets, and with the values
// of variables in the place of {var.NAME}. A field that a provider sets itself
// takes the place of the preset's. The error joins a *ConfigurationError for each
// fault.
func (p Providers) Expand(environment Environment) (Providers, error) {
	expanded := make(Providers, len(p))
	var all []error
	for _, name := range sorted(p) {
		provider, errs := p[name].expand(name, environment)
		expanded[name] = provider
		all = append(all, errs...)
	}
	return expanded, errors.Join(all...)
}

// expand fills in the preset of one provider. What holds a variable that is
// missing stays as it is.
func (p *Provider) expand(name string, environment Environment) (*Provider, []error) {
	if p == nil || p.Preset == "" && len(p.Vars) == 0 {
		return p, nil
	}
	preset := &Preset{Provider: &Provider{}}
	if p.Preset != "" {
		var err error
		if preset, err = FindPreset(p.Preset); err != nil {
			return nil, []error{p.misconfigured(name, "preset", err)}
		}
	}
	merged := p.over(preset.Provider)
	f := &faults{provider: p, name: name}
	merged.substitute(f, p.vars(f, preset, merged), environment)
	return merged, f.errs
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
	return merged
}

// alternatives gives a preset's fields less those for which the provider has set
// another that says the same in another way.
func (p *Provider) alternatives(preset *Provider) *Provider {
	rest := *preset
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

// withoutHeaders gives headers less some names, whatever their case.
func withoutHeaders(headers map[string][]Template, names []string) map[string][]Template {
	rest := maps.Clone(headers)
	maps.DeleteFunc(rest, func(name string, _ []Template) bool {
		return slices.ContainsFunc(names, func(other string) bool { return http.CanonicalHeaderKey(other) == http.CanonicalHeaderKey(name) })
	})
	return rest
}

// vars gives the values of all variables that are not missing; an optional one may
// be empty.
func (p *Provider) vars(f *faults, preset *Preset, merged *Provider) map[string]string {
	values := make(map[string]string)
	used := merged.variables()
	for _, variable := range sorted(p.Vars) {
		if _, known := preset.Vars[variable]; !known && !slices.Contains(used, variable) {
			f.errs = append(f.errs, p.misconfigured(f.name, "vars."+shownName(variable), unknownVar(variable, preset)))
			continue
		}
		values[variable] = string(p.Vars[variable])
		if environment, ok := strings.CutPrefix(values[variable], osEnviron); ok {
			values[variable] = "{env." + environment + "}"
		}
	}
	var missing []string
	for _, variable := range sorted(preset.Vars) {
		switch known := preset.Vars[variable]; {
		case values[variable] != "":
		case known.Needed() && slices.Contains(used, variable):
			missing = append(missing, variable)
			delete(values, variable)
		default:
			values[variable] = string(known.Default)
		}
	}
	if len(missing) > 0 {
		f.add("vars", "%w: %s; preset %s needs %s", errMissingVars, strings.Join(missing, ", "), p.Preset, preset.needs())
	}
	return values
}

// errUnusedVar means that a variable stands nowhere. What holds it may be in another
// declaration of the same provider.
var errUnusedVar = errors.New("is not used: nothing holds {var.NAME} with this name")

func unknownVar(name string, preset *Preset) error {
	if len(preset.Vars) == 0 {
		return errUnusedVar
	}
	return unknownName("variable", name, sorted(preset.Vars))
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
