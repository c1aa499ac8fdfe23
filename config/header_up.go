package config

import (
	"net/http"
	"slices"
	"strings"
)

// HeaderUp says which headers of LLM requests accompany the token, as
// header_up of reverse_proxy does. It is applied after the client's credentials
// are removed and before the token is placed. Values are read once, when the
// configuration is loaded, and may hold `{env.NAME}` and `{file.PATH}`.
type HeaderUp struct {
	// Headers to set, in place of those of the client.
	Set map[string][]Template `json:"set,omitempty"`

	// Headers to add to those of the client.
	Add map[string][]Template `json:"add,omitempty"`

	// Headers to set if the client did not.
	Default map[string][]Template `json:"default,omitempty"`

	// Headers to remove. A `*` at the beginning or end stands for anything.
	Delete []string `json:"delete,omitempty"`
}

// A ResolvedHeaderUp is a HeaderUp whose values have been read.
type ResolvedHeaderUp struct {
	Set, Add, Default http.Header
	Delete            []string
}

// resolveHeaderUp reads the values of header_up.
func (p *Provider) resolveHeaderUp(f *faults, environment Environment) ResolvedHeaderUp {
	resolved := ResolvedHeaderUp{
		Set:     f.resolveHeader("header_up.set", p.HeaderUp.Set, environment),
		Add:     f.resolveHeader("header_up.add", p.HeaderUp.Add, environment),
		Default: f.resolveHeader("header_up.default", p.HeaderUp.Default, environment),
		Delete:  p.HeaderUp.Delete,
	}
	// reverse_proxy sends several values to set as one.
	for name, values := range resolved.Set {
		resolved.Set[name] = []string{strings.Join(values, ",")}
	}
	return resolved
}

func (f *faults) resolveHeader(field string, headers map[string][]Template, environment Environment) http.Header {
	resolved := make(http.Header, len(headers))
	for _, name := range sorted(headers) {
		for _, template := range headers[name] {
			value, err := template.constant(environment, partVariable, partFile, partVar)
			if err == nil {
				err = checkHeaderValue(value)
			}
			if err != nil {
				f.add(join(field, shownName(name)), "%w", err)
				continue
			}
			resolved.Add(name, value)
		}
	}
	return resolved
}

// validate looks for names that cannot be set, and for those that say two
// things at once.
func (h *HeaderUp) validate(f *faults, place EffectivePlace) {
	operations := make(map[string]string)
	for _, operation := range []struct {
		field   string
		headers map[string][]Template
	}{{"set", h.Set}, {"add", h.Add}, {"default", h.Default}} {
		field := "header_up." + operation.field
		for _, name := range checkHeaderNames(f, field, operation.headers) {
			if name == place.Header {
				f.add(field+"."+name, "is where the token goes; remove it, or choose another place")
			}
			if other := operations[name]; other != "" {
				f.add(field+"."+name, "is in header_up.%s too; keep one of them", other)
			}
			operations[name] = operation.field
		}
	}
	for _, pattern := range h.Delete {
		name := strings.TrimPrefix(strings.TrimSuffix(pattern, "*"), "*")
		if !IsHeaderName(name) || strings.Contains(name, "*") {
			f.add("header_up.delete", "invalid header name; use letters, digits and -, and * at its beginning or end")
			continue
		}
		if isConnectionHeader(pattern) {
			f.add("header_up.delete", "%s belongs to the connection and cannot be removed here", name)
		}
		if other := operations[http.CanonicalHeaderKey(pattern)]; other != "" {
			f.add("header_up.delete", "%s is in header_up.%s too; keep one of them", name, other)
		}
	}
}

// Names lists the headers that may be set.
func (h ResolvedHeaderUp) Names() []string {
	return slices.Concat(sorted(h.Set), sorted(h.Add), sorted(h.Default))
}

// Apply changes a header in the order of reverse_proxy: it adds, then sets,
// then removes, and then fills in defaults. It changes no slice of values in
// place, so that they may be shared with another header.
func (h ResolvedHeaderUp) Apply(header http.Header) {
	for name, values := range h.Add {
		header[name] = slices.Concat(header[name], values)
	}
	for name, values := range h.Set {
		header[name] = slices.Clip(values)
	}
	for _, pattern := range h.Delete {
		remove(header, pattern)
	}
	for name, values := range h.Default {
		if _, set := header[name]; !set {
			header[name] = slices.Clip(values)
		}
	}
}

// remove deletes the headers that a pattern such as "X-*" matches.
func remove(header http.Header, pattern string) {
	prefix, wildcardAtEnd := strings.CutSuffix(http.CanonicalHeaderKey(pattern), "*")
	suffix, wildcardAtStart := strings.CutPrefix(prefix, "*")
	if !wildcardAtStart && !wildcardAtEnd {
		header.Del(pattern)
		return
	}
	text := strings.ToLower(suffix)
	for name := range header {
		lower := strings.ToLower(name)
		if wildcardAtStart && wildcardAtEnd && strings.Contains(lower, text) ||
			wildcardAtStart && !wildcardAtEnd && strings.HasSuffix(lower, text) ||
			!wildcardAtStart && wildcardAtEnd && strings.HasPrefix(lower, text) {
			delete(header, name)
		}
	}
}
