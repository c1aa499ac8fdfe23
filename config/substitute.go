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
		within := func(module bool) func(string) any {
			return func(text string) any {
				used := use(field, text, module)
				if used == "" && text != "" {
					return absent{}
				}
				return used
			}
		}
		switch value := v.Addr().Interface().(type) {
		case *[]ExpiryRule:
			*value = slices.Clone(*value)
			for i := range *value {
				rule := &(*value)[i]
				rule.Path, rule.Unit = use(field, rule.Path, false), use(field, rule.Unit, false)
			}
		case *JSONTemplate:
			used := mapStrings(value.decode(), within(false))
			if *value = nil; used != any(absent{}) {
				*value = marshal(used)
			}
		case *json.RawMessage:
			*value = json.RawMessage(marshal(mapStrings(JSONTemplate(*value).decode(), within(true))))
		case **string:
			text := use(field, **value, false)
			*value = &text
		default:
			switch {
			case v.Kind() == reflect.String:
				v.SetString(use(field, v.String(), false))
			case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
				v.Set(mapList(v, within(false)))
			}
		}
		return true
	})
}

// mapList is a new list of the strings of a list that are replaced and stay.
func mapList(list reflect.Value, replace func(string) any) reflect.Value {
	kept := reflect.Zero(list.Type())
	for i := range list.Len() {
		if text, stays := replace(list.Index(i).String()).(string); stays {
			kept = reflect.Append(kept, reflect.ValueOf(text).Convert(list.Type().Elem()))
		}
	}
	return kept
}

// variablesOf lists the variables that a text holds.
func variablesOf(text string) []string {
	var names []string
	replaceVariables(text, func(name, match string) string {
		names = append(names, name)
		return match
	})
	return names
}

// variables lists the variables that the provider's texts hold.
func (p *Provider) variables() []string {
	var names []string
	p.texts(func(_, text string, _ bool) string {
		names = append(names, variablesOf(text)...)
		return text
	})
	return names
}

// missingVariables is what is wrong with the texts that still hold a variable.
func (p *Provider) missingVariables(name string) []error {
	f := &faults{provider: p, name: name}
	p.over(&Provider{}).texts(func(field, text string, _ bool) string {
		for _, variable := range variablesOf(text) {
			f.add(field, "%w", noVariable(variable))
		}
		return text
	})
	return f.errs
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
