package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// Equal reports whether two providers are configured alike. Where they were
// read from does not matter.
func Equal(a, b *Provider) bool {
	first, err := json.Marshal(a)
	if err != nil {
		return false
	}
	second, err := json.Marshal(b)
	return err == nil && bytes.Equal(first, second)
}

// Add adds the providers of another file. A provider may be in both if it is
// the same in both.
func (p Providers) Add(others Providers) error {
	var errs []error
	for _, name := range sorted(others) {
		if known := p[name]; known != nil && !Equal(known, others[name]) {
			errs = append(errs, others[name].misconfigured(name, "",
				fmt.Errorf("is declared in %s too, and not with the same fields; declare it once", placeOf(known, ""))))
			continue
		}
		p[name] = others[name]
	}
	return errors.Join(errs...)
}

// Complement adds providers that are declared beside a file. One that the file
// declares too gets the fields of both; a field that is set in both is an
// error. Each field of token_request, place and header_up counts alone, and so does
// each parameter and header. One that no file declares, and that has no token_url, preset
// or source of its own, is an error that suggests the names in the files.
func (p Providers) Complement(others Providers) error {
	var errs []error
	declared := sorted(p)
	for _, name := range sorted(others) {
		if p[name] == nil || others[name] == nil {
			if len(declared) > 0 && others[name].onlyCompletes() {
				errs = append(errs, others[name].misconfigured(name, "", notInFiles(name, declared)))
			}
			p[name] = others[name]
			continue
		}
		merged, conflicts := merge(name, p[name], others[name])
		errs = append(errs, conflicts...)
		p[name] = merged
	}
	return errors.Join(errs...)
}

// onlyCompletes reports whether a provider names no way to a token: what it holds can
// only be meant to complete one that is declared elsewhere.
func (p *Provider) onlyCompletes() bool {
	return p != nil && p.TokenURL == "" && p.Preset == "" && (p.Source == "" || p.Source == sourceRequest)
}

// notInFiles is the error about a provider that completes none of the declared ones.
func notInFiles(name string, declared []string) error {
	const advice = "no config file declares this provider, and it has no token_url, preset or source of its own"
	if guess := Nearest(name, declared); guess != "" {
		return fmt.Errorf("%s; did you mean %s?", advice, shownName(guess))
	}
	shown := make([]string, 0, maxSuggestions)
	for _, other := range declared[:min(len(declared), maxSuggestions)] {
		shown = append(shown, shownName(other))
	}
	if more := len(declared) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s; the files declare %s", advice, strings.Join(shown, ", "))
}

// maxSuggestions bounds the names that an error lists.
const maxSuggestions = 10

// merge makes one provider of two, which it leaves as they are.
func merge(name string, a, b *Provider) (*Provider, []error) {
	merged := &Provider{origin: make(map[string]position)}
	maps.Copy(merged.origin, a.origin)
	visit(reflect.ValueOf(b).Elem(), "", func(path string, _ reflect.Value) bool {
		merged.origin[path] = b.where(path)
		return false
	})
	var errs []error
	mergeInto(reflect.ValueOf(merged).Elem(), reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "", func(path string) {
		errs = append(errs, a.misconfigured(name, path,
			fmt.Errorf("is set here and in %s; keep one of them", placeOf(b, path))))
	})
	return merged, errs
}

// placeOf says where a field stands.
func placeOf(p *Provider, path string) string {
	if at := p.where(path).String(); at != "" {
		return at
	}
	return "the provider block"
}

// mergeInto sets what is set in a, else in b, and reports the paths set in both.
func mergeInto(to, a, b reflect.Value, path string, conflict func(path string)) {
	switch {
	case to.Kind() == reflect.Struct:
		for _, field := range fieldsOf(to.Type()) {
			i := field.index
			mergeInto(to.Field(i), a.Field(i), b.Field(i), join(path, field.name), conflict)
		}
	case to.Kind() == reflect.Map && a.Len()+b.Len() > 0:
		to.Set(reflect.MakeMap(to.Type()))
		for _, from := range []reflect.Value{a, b} {
			for _, key := range sortedKeys(from) {
				if to.MapIndex(key).IsValid() {
					conflict(join(path, shownName(key.String())))
					continue
				}
				to.SetMapIndex(key, from.MapIndex(key))
			}
		}
	case b.IsZero():
		to.Set(a)
	case a.IsZero():
		to.Set(b)
	default:
		conflict(path)
		to.Set(a)
	}
}
