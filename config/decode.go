package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A decoder turns JSON into providers, strictly: unknown and repeated names
// and values of another type are errors, all of which are found at once. No
// error shows a value.
type decoder struct {
	file  string
	lines lineCounter
	// literals are the fields whose values are literal text, as in CrewAI's file.
	literals []string
	errs     []error

	// What is being decoded.
	name     string
	provider *Provider
}

// at is the position of an offset. That of JSON which is part of a larger
// document would mean nothing.
func (d *decoder) at(offset int) position {
	if d.file == "" {
		return position{}
	}
	line, column := d.lines.at(offset)
	return position{d.file, line, column}
}

func (d *decoder) fail(offset int, field, format string, args ...any) {
	at := d.at(offset)
	d.errs = append(d.errs, &ConfigurationError{
		File: at.file, Line: at.line, Column: at.column, Provider: d.name, Field: field, Err: fmt.Errorf(format, args...),
	})
}

// providers decodes an object of providers by name.
func (d *decoder) providers(n node, field string) Providers {
	if n.kind != kindObject {
		d.fail(n.start, field, "must be an object of providers by name, not %s", n.kind)
		return nil
	}
	result := make(Providers, len(n.members))
	for _, m := range n.members {
		d.name = m.name
		if m.name == "" {
			d.name, d.provider = "", nil
			d.fail(m.start, field, "a provider has no name")
			continue
		}
		if _, repeated := result[m.name]; repeated {
			d.fail(m.start, "", "is declared twice; provider names must differ")
			continue
		}
		d.provider = &Provider{origin: map[string]position{"": d.at(m.start)}}
		result[m.name] = d.provider
		d.value(m.value, reflect.ValueOf(d.provider).Elem(), "")
	}
	d.name, d.provider = "", nil
	return result
}

// value decodes a node into a field.
func (d *decoder) value(n node, v reflect.Value, path string) {
	if text, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if d.expect(n, path, kindString, hintFor(text)) {
			if err := text.UnmarshalText([]byte(n.scalar.(string))); err != nil {
				d.fail(n.start, path, "%w", err)
			}
		}
		return
	}
	if raw, ok := reflect.TypeAssert[*json.RawMessage](v.Addr()); ok {
		if d.expect(n, path, kindObject) {
			var compact bytes.Buffer
			_ = json.Compact(&compact, d.lines.data[n.start:n.end])
			*raw = compact.Bytes()
		}
		return
	}
	if template, ok := reflect.TypeAssert[*JSONTemplate](v.Addr()); ok {
		if path != "token_request.body" || d.expect(n, path, kindObject) {
			if err := template.UnmarshalJSON(d.lines.data[n.start:n.end]); err != nil {
				d.fail(n.start, path, "%w", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		if d.expect(n, path, kindBoolean) {
			v.SetBool(n.scalar.(bool))
		}
	case reflect.Struct:
		d.fields(n, v, path)
	case reflect.Map:
		d.entries(n, v, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case reflect.Slice:
		d.elements(n, v, path)
	case reflect.Int:
		d.integer(n, v, path)
	default: // strings of all types
		if d.expect(n, path, kindString) {
			v.SetString(d.text(n, path))
		}
	}
}

// text is a string as a template has it.
func (d *decoder) text(n node, path string) string {
	value := n.scalar.(string)
	if !slices.Contains(d.literals, path) || strings.HasPrefix(value, osEnviron) {
		return value
	}
	if err := meantAsReference(path, value); err != nil {
		d.fail(n.start, path, "%w", err)
	}
	return string(literal(value))
}

// expect reports whether a node is of the kind that its field needs.
func (d *decoder) expect(n node, path string, kind nodeKind, hints ...string) bool {
	if n.kind == kind {
		return true
	}
	switch {
	case path == "scope" && n.kind == kindList:
		hints = append(hints, "; write one string, scopes separated by spaces")
	case path == "":
		hints = append(hints, "; a provider is an object of fields such as client_id")
	}
	d.fail(n.start, path, "must be %s, not %s%s", kind, n.kind, strings.Join(hints, ""))
	return false
}

// hintFor says how a field of a type is written, if that is not plain.
func hintFor(field encoding.TextUnmarshaler) string {
	switch field.(type) {
	case *Duration, *RefreshBefore, *Skew:
		return `; write a duration such as "10s"`
	}
	return ""
}

// fields decodes an object into a struct.
func (d *decoder) fields(n node, v reflect.Value, path string) {
	if !d.expect(n, path, kindObject) {
		return
	}
	byName := make(map[string]int)
	for _, field := range fieldsOf(v.Type()) {
		byName[field.name] = field.index
	}
	d.each(n, path, func(m member) {
		index, known := byName[m.name]
		if !known {
			d.unknown(m, path, fieldNames(v.Type()))
			return
		}
		d.value(m.value, v.Field(index), join(path, m.name))
	})
}

// each calls use for the members of an object, less those that repeat a name,
// and notes where they stand.
func (d *decoder) each(n node, path string, use func(member)) {
	seen := make(map[string]bool, len(n.members))
	for _, m := range n.members {
		if seen[m.name] {
			d.fail(m.start, join(path, shownName(m.name)), "is set twice; keep one of them")
			continue
		}
		seen[m.name] = true
		d.provider.origin[join(path, m.name)] = d.at(m.start)
		use(m)
	}
}

// unknown refuses a field, and guesses what was meant.
func (d *decoder) unknown(m member, path string, known []string) {
	field := join(path, shownName(m.name))
	if m.name == "provider_name" {
		d.fail(m.start, field, "unknown field: a provider's name is the key that its object stands under; remove this field")
		return
	}
	d.fail(m.start, field, "%w", unknownField(m.name, known))
}

// entries decodes an object into a map.
func (d *decoder) entries(n node, v reflect.Value, path string) {
	if !d.expect(n, path, kindObject) || len(n.members) == 0 {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.each(n, path, func(m member) {
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(m.value, entry, join(path, shownName(m.name)))
		v.SetMapIndex(reflect.ValueOf(m.name), entry)
	})
}

// elements decodes a list.
func (d *decoder) elements(n node, v reflect.Value, path string) {
	if !d.expect(n, path, kindList) {
		return
	}
	for _, element := range n.elements {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(element, item, path)
		v.Set(reflect.Append(v, item))
	}
}

func (d *decoder) integer(n node, v reflect.Value, path string) {
	if !d.expect(n, path, kindNumber) {
		return
	}
	// The error of Atoi quotes the text.
	number, err := strconv.Atoi(n.scalar.(json.Number).String())
	if err != nil {
		d.fail(n.start, path, "must be a whole number such as 3")
		return
	}
	v.SetInt(int64(number))
}

// UnmarshalJSON decodes providers by name. Unknown and repeated fields and
// values of another type are errors that name provider and field.
func (p *Providers) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	document, problem := parseJSON(data)
	if problem != nil {
		return &ConfigurationError{Err: problem.err}
	}
	d := &decoder{lines: lineCounter{data: data}}
	providers := d.providers(document, "")
	if err := errors.Join(d.errs...); err != nil {
		return err
	}
	*p = providers
	return nil
}
