package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A field is a field of a struct that is part of the configuration.
type field struct {
	// name is its name in JSON.
	name  string
	index int
	of    reflect.Type
}

// jsonName is the name of a struct's field in JSON, empty for one that is not
// part of the configuration.
func jsonName(of reflect.StructField) string {
	name, _, _ := strings.Cut(of.Tag.Get("json"), ",")
	return name
}

// fieldNames lists the JSON names of a struct's fields.
func fieldNames(t reflect.Type) []string {
	fields := fieldsOf(t)
	names := make([]string, len(fields))
	for i, field := range fields {
		names[i] = field.name
	}
	return names
}

// knownFields are the fields of each struct that was looked at, []field by
// reflect.Type: a load looks at the same few structs for every provider.
var knownFields sync.Map

// fieldsOf lists the fields of a struct that are part of the configuration. The list is
// shared: it must not be changed.
func fieldsOf(t reflect.Type) []field {
	if known, ok := knownFields.Load(t); ok {
		return known.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		if name := jsonName(t.Field(i)); name != "" {
			fields = append(fields, field{name, i, t.Field(i).Type})
		}
	}
	knownFields.Store(t, fields)
	return fields
}

// join makes the path of what lies in something else.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// visit calls leaf for each field that is set, in a fixed order, with its path:
// names of fields and keys of maps, joined by dots. A leaf may change the field
// and then returns true; an entry of a map that it empties is taken away.
func visit(v reflect.Value, path string, leaf func(path string, v reflect.Value) (changed bool)) (changed bool) {
	switch {
	case v.IsZero():
		return false
	case v.Kind() == reflect.Struct:
		for _, field := range fieldsOf(v.Type()) {
			changed = visit(v.Field(field.index), join(path, field.name), leaf) || changed
		}
		return changed
	case v.Kind() == reflect.Map:
		for _, key := range sortedKeys(v) {
			entry := reflect.New(v.Type().Elem()).Elem()
			entry.Set(v.MapIndex(key))
			if visit(entry, join(path, key.String()), leaf) {
				changed = true
				if entry.IsZero() && entry.Kind() != reflect.Struct {
					entry = reflect.Value{} // takes the key away
				}
				v.SetMapIndex(key, entry)
			}
		}
		return changed
	default:
		return leaf(path, v)
	}
}

func sortedKeys(m reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(m.MapKeys()), func(a, b reflect.Value) int {
		return strings.Compare(a.String(), b.String())
	})
}

// ResolvePaths makes relative paths absolute against a folder: those of the
// _file fields, of variables that are paths, and of each {file.PATH}.
func (p *Provider) ResolvePaths(folder string) {
	beginPaths := p.pathVariables()
	for name, value := range p.Vars {
		if isPathVariable(p.Preset, name) || beginPaths[name] {
			p.Vars[name] = Template(Path(value).ResolvePaths(folder))
		}
	}
	visit(reflect.ValueOf(p).Elem(), "", func(_ string, v reflect.Value) bool {
		switch value := v.Addr().Interface().(type) {
		case *Template:
			*value = value.ResolvePaths(folder)
		case *[]Template:
			for i := range *value {
				(*value)[i] = (*value)[i].ResolvePaths(folder)
			}
		case *Path:
			*value = value.ResolvePaths(folder)
		case *JSONTemplate:
			*value = value.resolvePaths(folder)
		case *Source:
			*value = value.resolvePaths(folder)
		}
		return true
	})
}

// pathVariables are the variables that a path of the provider begins with.
func (p *Provider) pathVariables() map[string]bool {
	found := make(map[string]bool)
	note := func(parts []part) {
		for _, part := range parts {
			if part.kind == partFile && part.path[0].kind == partVar {
				found[part.path[0].text] = true
			}
		}
	}
	template := func(t Template) {
		parts, _ := t.parse()
		note(parts)
	}
	visit(reflect.ValueOf(p).Elem(), "", func(_ string, v reflect.Value) bool {
		switch value := v.Interface().(type) {
		case Template:
			template(value)
		case []Template:
			for _, t := range value {
				template(t)
			}
		case JSONTemplate:
			mapStrings(value.decode(), func(text string) any { template(Template(text)); return text })
		case Path:
			parts, _ := value.parse()
			note(parts)
		case Source:
			_, file, _ := value.parse()
			parts, _ := file.parse()
			note(parts)
		}
		return false
	})
	return found
}

// sorted lists the keys of a map in a stable order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
