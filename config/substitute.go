package config

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// variable matches {var.NAME}.
var variable = regexp.MustCompile(`\{var\.([A-Za-z0-9._-]+)\}`)

// texts calls use for each text of the provider that may hold {var.NAME}. What use
// returns takes its place; an empty text, and what it was in, is taken away. JSON
// of a Caddy module says so, because Caddy fills in none of our placeholders.
func (p *Provider) texts(use func(field, text string, module bool) string) {
	visit(reflect.ValueOf(p).Elem(), "", func(field string, v reflect.Value) bool {
		if v.Kind() == reflect.Pointer {
			return false
		}
		switch value := v.Addr().Interface().(type) {
		case *[]Template:
			kept := make([]Template, 0, len(*value))
			for _, t := range *value {
				if text := use(field, string(t), false); text != "" || t == "" {
					kept = append(kept, Template(text))
				}
			}
			*value = slices.Clip(kept)
			if len(kept) == 0 {
				*value = nil
			}
		case *JSONTemplate:
			*value = marshal(mapStrings(value.decode(), func(text string) any { return use(field, text, false) }))
		case *json.RawMessage:
			*value = json.RawMessage(marshal(mapStrings(JSONTemplate(*value).decode(), func(text string) any { return use(field, text, true) })))
		default:
			if v.Kind() == reflect.String {
				v.SetString(use(field, v.String(), false))
			}
		}
		return true
	})
}

// variables lists the variables that the provider's texts hold.
func (p *Provider) variables() []string {
	var names []string
	p.texts(func(_, text string, _ bool) string {
		for _, match := range variable.FindAllStringSubmatch(text, -1) {
			names = append(names, match[1])
		}
		return text
	})
	return names
}

// substitute puts the values of variables in their places. A text with a variable
// that has no value is taken away; one that has only some is a fault.
func (p *Provider) substitute(f *faults, vars map[string]string, environment Environment) {
	p.texts(func(field, text string, module bool) string {
		var with, without []string
		replaced := variable.ReplaceAllStringFunc(text, func(match string) string {
			name := variable.FindStringSubmatch(match)[1]
			value, known := vars[name]
			switch {
			case !known:
				return match
			case value == "":
				without = append(without, name)
			default:
				with = append(with, name)
			}
			return value
		})
		switch {
		case len(without) > 0 && len(with) > 0 && slices.ContainsFunc(with, func(name string) bool { return f.provider.Vars[name] != "" }):
			f.add("vars", "%s is set, but %s is not, and %s needs both", strings.Join(with, ", "), strings.Join(without, ", "), field)
			return ""
		case len(without) > 0:
			return ""
		case module && len(with) > 0:
			// Caddy knows no placeholder here.
			value, err := Template(replaced).constant(environment, partVariable)
			if err != nil {
				f.errs = append(f.errs, p.misconfigured(f.name, field, err))
			}
			return value
		}
		return replaced
	})
}
