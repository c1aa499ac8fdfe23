package config

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// variable matches {var.NAME}, and one whose brace is literal.
var variable = regexp.MustCompile(`\\?\{var\.([A-Za-z0-9._-]+)\}`)

// replaceVariables replaces each {var.NAME} of a text.
func replaceVariables(text string, replace func(name, match string) string) string {
	return variable.ReplaceAllStringFunc(text, func(match string) string {
		if strings.HasPrefix(match, `\`) {
			return match
		}
		return replace(variable.FindStringSubmatch(match)[1], match)
	})
}

// A textUser gets each text of a provider that may hold {var.NAME}; what it
// returns takes the text's place. The JSON of a Caddy module says so: Caddy fills
// in none of our placeholders.
type textUser func(field, text string, module bool) string

// texts shows use all texts of the provider. An empty one that it returns, and what
// it was in, is taken away.
func (p *Provider) texts(use textUser) {
	visit(reflect.ValueOf(p).Elem(), "", func(field string, v reflect.Value) bool {
		switch value := v.Addr().Interface().(type) {
		case *[]Template:
			*value = useEach(*value, field, use)
		case *[]string:
			*value = useEach(*value, field, use)
		case *[]ExpiryRule:
			*value = slices.Clone(*value)
			for i := range *value {
				(*value)[i].Path = use(field, (*value)[i].Path, false)
			}
		case *JSONTemplate:
			*value = marshal(mapStrings(value.decode(), func(text string) any { return use(field, text, false) }))
		case *json.RawMessage:
			*value = json.RawMessage(marshal(mapStrings(JSONTemplate(*value).decode(), func(text string) any { return use(field, text, true) })))
		case **string:
			text := use(field, **value, false)
			*value = &text
		default:
			if v.Kind() == reflect.String {
				v.SetString(use(field, v.String(), false))
			}
		}
		return true
	})
}

func useEach[T ~string](list []T, field string, use textUser) []T {
	var kept []T
	for _, t := range list {
		if text := use(field, string(t), false); text != "" || t == "" {
			kept = append(kept, T(text))
		}
	}
	return kept
}

// variables lists the variables that the provider's texts hold.
func (p *Provider) variables() []string {
	var names []string
	p.texts(func(_, text string, _ bool) string {
		return replaceVariables(text, func(name, match string) string {
			names = append(names, name)
			return match
		})
	})
	return names
}

// substitute puts the values of variables in their places. A text with a variable
// that has no value is taken away; one that has only some is a fault.
func (p *Provider) substitute(f *faults, vars map[string]string, environment Environment) {
	p.texts(func(field, text string, module bool) string {
		var with, without []string
		replaced := replaceVariables(text, func(name, match string) string {
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
