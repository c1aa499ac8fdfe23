package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
)

// providersKey is the member of litellm_config.json that holds the providers.
const providersKey = "oauth2_providers"

// literalFields are the fields of CrewAI's document. In its file they are literal
// but for os.environ/NAME: a secret with a brace in it works as it is.
var literalFields = []string{"client_id", "client_secret", "token_url", "scope", "refresh_token"}

// LoadFile reads providers from a file like CrewAI's litellm_config.json.
// Relative paths in it are relative to its folder. The error is a
// *ConfigurationError, or several of them joined.
func LoadFile(path string) (Providers, error) {
	content, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseFile(path, content)
}

// parseFile is LoadFile for content that was read already:
//
//	{"oauth2_providers": {"<name>": {"client_id": "…", …}, …}}
//
// The fields of CrewAI's document (client_id, client_secret, token_url, scope,
// refresh_token) are literal, except that os.environ/NAME is that environment variable.
// All other fields of a Provider work as well. Other members of the outer
// object belong to other programs and are ignored.
func parseFile(path string, content []byte) (Providers, error) {
	lines := lineCounter{data: content}
	document, problem := parseJSON(content)
	if problem != nil {
		line, column := lines.at(problem.offset)
		return nil, &ConfigurationError{File: path, Line: line, Column: column, Err: problem.err}
	}
	d := &decoder{file: path, lines: lines, literals: literalFields}
	providers := d.document(document)
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, &ConfigurationError{File: path, Err: err}
	}
	for _, provider := range providers {
		provider.ResolvePaths(folder)
	}
	return providers, nil
}

// document decodes the outer object of a file.
func (d *decoder) document(n node) Providers {
	if n.kind != kindObject {
		d.fail(n.start, "", "the file must hold an object with %s, not %s", providersKey, n.kind)
		return nil
	}
	var found *member
	similar := false
	for i, m := range n.members {
		switch {
		case m.name != providersKey:
			similar = similar || Nearest(m.name, []string{providersKey}) != ""
		case found != nil:
			d.fail(m.start, providersKey, "is set twice; keep one of them")
		default:
			found = &n.members[i]
		}
	}
	switch {
	case found != nil:
		return d.providers(found.value, providersKey)
	case similar:
		d.fail(n.start, "", "the file has no %s, but a similar name; correct it", providersKey)
	default:
		d.fail(n.start, "", `the file has no %s; it holds {"oauth2_providers": {"NAME": {…}}}`, providersKey)
	}
	return nil
}

// reference matches a text that is a reference to an environment variable or a file, as
// other fields and other programs write it.
var reference = regexp.MustCompile(`\A(?:\{(env|file)\.[^{}]+\}|\$\{[A-Za-z_][A-Za-z0-9_]*\})\z`)

// meantAsReference is the error about a literal field whose value looks like a reference:
// as it stands, it would be sent to the authorization server. The error does not repeat
// the name, for a secret may look so.
func meantAsReference(field, value string) error {
	match := reference.FindStringSubmatch(value)
	if match == nil {
		return nil
	}
	advice := "write os.environ/NAME"
	if match[1] == string(partFile) {
		advice = "set the field in a provider block"
		if other := field + "_file"; slices.Contains(fieldNames(reflect.TypeFor[Provider]()), other) {
			advice = "set " + other
		}
	}
	return fmt.Errorf("must not be a placeholder: this field is literal in the file; %s", advice)
}
