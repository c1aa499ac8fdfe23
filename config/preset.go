package config

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
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
	// Fields are the fields of a provider that must be set as well,
	// OptionalFields those that may be.
	Fields         []string `json:"fields"`
	OptionalFields []string `json:"optional_fields"`
	// Unverified says which of its facts nobody has checked.
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

// Needed reports whether the variable must be set.
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

// Presets returns all presets by name. They are shared: do not change them.
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

// FindPreset returns a preset. The error suggests the one that was probably meant.
func FindPreset(name string) (*Preset, error) {
	if preset := Presets()[name]; preset != nil {
		return preset, nil
	}
	if guess := Nearest(name, sorted(Presets())); guess != "" {
		return nil, fmt.Errorf("unknown preset; did you mean %s?", guess)
	}
	return nil, errors.New("unknown preset; caddy oauth2-llm presets lists them all")
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
