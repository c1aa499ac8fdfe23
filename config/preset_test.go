package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var anyVariable = regexp.MustCompile(`\{var\.([^}]*)\}`)

func TestThePresetsAreSound(t *testing.T) {
	decoder := json.NewDecoder(bytes.NewReader(presetsFile))
	decoder.DisallowUnknownFields()
	var raw map[string]struct {
		Preset
		Provider json.RawMessage `json:"provider"`
	}
	if err := decoder.Decode(&raw); err != nil {
		t.Fatal(err)
	}
	if all, err := parsePresets(presetsFile); err != nil || len(all) != len(raw) || !reflect.DeepEqual(sorted(all), sorted(Presets())) {
		t.Fatalf("got %d presets of %d, %v", len(all), len(raw), err)
	}
	paths := allPaths(reflect.TypeFor[Provider](), "")
	for name, preset := range raw {
		t.Run(name, func(t *testing.T) {
			if !plainName.MatchString(name) || preset.Description == "" || strings.TrimSpace(preset.Description) != preset.Description {
				t.Errorf("the name or the description is %q", preset.Description)
			}
			held := make(map[string]bool)
			for _, match := range anyVariable.FindAllSubmatch(preset.Provider, -1) {
				held[string(match[1])] = true
			}
			if got, want := slices.Sorted(maps.Keys(held)), sorted(preset.Vars); !slices.Equal(got, want) {
				t.Errorf("it holds the variables %v, and declares %v", got, want)
			}
			for variable, declared := range preset.Vars {
				if !plainName.MatchString(variable) || declared.Description == "" {
					t.Errorf("the variable %s has no description", variable)
				}
				if declared.Optional && declared.Default != "" {
					t.Errorf("the variable %s is optional and has a default", variable)
				}
				if isPath := strings.HasSuffix(variable, "_file"); isPath != declared.Path {
					t.Errorf("the variable %s is a path: %t", variable, declared.Path)
				}
			}
			set := Presets()[name].Provider
			for _, field := range slices.Concat(preset.Fields, preset.OptionalFields) {
				if !slices.Contains(paths, field) {
					t.Errorf("there is no field %s", field)
				}
			}
			for _, field := range preset.Fields {
				if slices.Contains(set.setFields(), field) {
					t.Errorf("the field %s has to be set, and is set", field)
				}
			}
			if set.Preset != "" || len(set.Vars) > 0 || set.BaseURL != "" {
				t.Error("a preset, a variable or an address of LLM requests is set in a preset")
			}
		})
	}
}

// setFields lists the fields that are set.
func (p *Provider) setFields() []string {
	var fields []string
	visit(reflect.ValueOf(p).Elem(), "", func(path string, _ reflect.Value) bool {
		fields = append(fields, path)
		return false
	})
	return fields
}

func TestPresetsThatCannotBeParsed(t *testing.T) {
	for _, content := range []string{`[]`, `{"a":{"provider":{"client_idd":"x"}}}`, `{"a":{"provider":{"scope":1}}}`, `{"a":`} {
		if _, err := parsePresets([]byte(content)); err == nil {
			t.Errorf("%s is accepted", content)
		}
	}
}
