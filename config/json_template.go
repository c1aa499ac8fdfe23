package config

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A JSONTemplate is a JSON value whose strings may hold placeholders. A string
// that is exactly `{now}` or `{now_ms}` stands for a number. It may hold a
// literal secret, so it prints as [redacted].
type JSONTemplate json.RawMessage

// Format implements fmt.Formatter: no verb shows the text.
func (JSONTemplate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokens.Redacted) }

// String implements fmt.Stringer, and with it zap.Any.
func (JSONTemplate) String() string { return tokens.Redacted }

// LogValue implements slog.LogValuer.
func (JSONTemplate) LogValue() slog.Value { return slog.StringValue(tokens.Redacted) }

// MarshalJSON returns the JSON value.
func (t JSONTemplate) MarshalJSON() ([]byte, error) { return t, nil }

// UnmarshalJSON takes any JSON value in which no name is set twice. The order of
// its members is forgotten, so that equal values are the same bytes.
func (t *JSONTemplate) UnmarshalJSON(data []byte) error {
	document, problem := parseJSON(data)
	if problem != nil {
		lines := lineCounter{data: data}
		line, column := lines.at(problem.offset)
		text := strings.TrimPrefix(problem.err.Error(), "the file must be valid JSON: ")
		return fmt.Errorf("must be valid JSON; see its line %d, column %d: %s", line, column, text)
	}
	if name, found := document.repeated(); found {
		return fmt.Errorf("%s is set twice; keep one of them", shownName(name))
	}
	*t = marshal(JSONTemplate(data).decode())
	return nil
}

// repeated finds a name that an object within the node holds twice.
func (n node) repeated() (name string, found bool) {
	seen := make(map[string]bool, len(n.members))
	within := n.elements
	for _, m := range n.members {
		if seen[m.name] {
			return m.name, true
		}
		seen[m.name] = true
		within = append(within, m.value)
	}
	for _, value := range within {
		if name, found := value.repeated(); found {
			return name, true
		}
	}
	return "", false
}

// JSONString makes a JSON string of a template.
func JSONString(t Template) JSONTemplate { return marshal(string(t)) }

// JSONList makes a JSON list of templates.
func JSONList(list ...Template) JSONTemplate {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = string(t)
	}
	return marshal(texts)
}

// marshal writes JSON in which no letter of a placeholder is escaped.
func marshal(value any) JSONTemplate {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decode returns the JSON value, its numbers as they are written.
func (t JSONTemplate) decode() (value any) {
	decoder := json.NewDecoder(bytes.NewReader(t))
	decoder.UseNumber()
	_ = decoder.Decode(&value)
	return value
}

// absent takes the place of a string that is to be taken away.
type absent struct{}

// mapStrings replaces all strings of a decoded JSON value. Names of members
// stay. Strings are visited in a fixed order.
func mapStrings(value any, replace func(string) any) any {
	switch v := value.(type) {
	case string:
		return replace(v)
	case []any:
		kept := v[:0]
		for _, element := range v {
			if element = mapStrings(element, replace); element != any(absent{}) {
				kept = append(kept, element)
			}
		}
		return kept
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if v[name] = mapStrings(v[name], replace); v[name] == any(absent{}) {
				delete(v, name)
			}
		}
	}
	return value
}

// resolvePaths returns the value with its relative {file.PATH}s made absolute
// against a folder.
func (t JSONTemplate) resolvePaths(folder string) JSONTemplate {
	return marshal(mapStrings(t.decode(), func(text string) any { return string(Template(text).ResolvePaths(folder)) }))
}

// A structure is a JSONTemplate of a token request. It implements tokens.Value
// and reads as JSON.
type structure struct {
	// root is the decoded JSON value, with a *value in place of each string.
	root   any
	values []*value
	name   string
	// shape is the JSON value with true in place of each string that is a value.
	shape string
}

// newStructure parses a JSONTemplate. It is nil if there is none, or if that is wrong.
func newStructure(t JSONTemplate, read func(parse func() ([]part, error)) *value) *structure {
	if len(t) == 0 {
		return nil
	}
	s := &structure{}
	s.root = mapStrings(t.decode(), func(text string) any {
		v := read(Template(text).parse)
		if v == nil {
			return ""
		}
		s.values = append(s.values, v)
		return v
	})
	nameValues("", s.root)
	// An empty string is part of the shape: it holds no value.
	s.shape = string(marshal(mapStrings(t.decode(), func(text string) any { return text != "" })))
	return s
}

// nameValues notes in each value the name of the member that it is, or is in.
func nameValues(name string, node any) {
	switch n := node.(type) {
	case *value:
		n.name = name
	case []any:
		for _, element := range n {
			nameValues(name, element)
		}
	case map[string]any:
		for member, value := range n {
			nameValues(member, value)
		}
	}
}

// hasBraceInName reports whether the name of a member holds a brace: placeholders
// are for values.
func hasBraceInName(node any) bool {
	switch n := node.(type) {
	case []any:
		return slices.ContainsFunc(n, hasBraceInName)
	case map[string]any:
		for name, value := range n {
			if strings.Contains(name, "{") || hasBraceInName(value) {
				return true
			}
		}
	}
	return false
}

// Read renders the JSON value.
func (s *structure) Read(ctx context.Context) (tokens.Secret, error) {
	rendered, err := render(ctx, s.root)
	if err != nil {
		return tokens.Secret{}, err
	}
	return tokens.NewSecret(string(marshal(rendered))), nil
}

func render(ctx context.Context, node any) (any, error) {
	var err error
	switch n := node.(type) {
	case *value:
		text, err := n.Read(ctx)
		if err != nil || !n.isTime() {
			return text.Reveal(), err
		}
		return json.Number(text.Reveal()), nil
	case []any:
		rendered := make([]any, len(n))
		for i := range n {
			if rendered[i], err = render(ctx, n[i]); err != nil {
				return nil, err
			}
		}
		return rendered, nil
	case map[string]any:
		rendered := make(map[string]any, len(n))
		for name := range n {
			if rendered[name], err = render(ctx, n[name]); err != nil {
				return nil, err
			}
		}
		return rendered, nil
	}
	return node, nil
}

// isTime reports whether the value is {now} or {now_ms} and nothing else.
func (v *value) isTime() bool {
	return len(v.parts) == 1 && (v.parts[0].kind == partNow || v.parts[0].kind == partNowMS)
}

// Format implements fmt.Formatter: a tokens.Client that is printed shows none of
// its values.
func (structure) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokens.Redacted) }
