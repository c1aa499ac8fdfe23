package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// ErrUnresolvedReference means that a value refers to an environment variable
// or a file that cannot be used: unset, empty, missing or unreadable.
var ErrUnresolvedReference = errors.New("unresolved reference")

// A ConfigurationError says what is wrong with a configuration, and where. It
// names providers, fields, variables and files, and never shows a value.
type ConfigurationError struct {
	// File is the configuration file, empty where there is none.
	File string
	// Line and Column count from 1; 0 where they are not known.
	Line, Column int
	// Provider is the provider's name, empty where none is at fault.
	Provider string
	// Field is the path of the field, such as token_request.timeout.
	Field string
	// Err is the cause.
	Err error
}

func (e *ConfigurationError) Error() string {
	return describe(position{e.File, e.Line, e.Column}, e.Provider, e.Field, e.Err)
}

// Unwrap returns the cause.
func (e *ConfigurationError) Unwrap() error { return e.Err }

// A ValidationError says that a token_url, a base_url or a scope has a wrong form. It has
// the fields of a ConfigurationError, and never shows the value.
type ValidationError ConfigurationError

func (e *ValidationError) Error() string { return (*ConfigurationError)(e).Error() }

// Unwrap returns the cause.
func (e *ValidationError) Unwrap() error { return e.Err }

func describe(at position, provider, field string, err error) string {
	var b strings.Builder
	if place := at.String(); place != "" {
		b.WriteString(place + ": ")
	}
	if provider != "" {
		b.WriteString("provider " + shownName(provider) + ": ")
	}
	if field != "" {
		b.WriteString(field + ": ")
	}
	fmt.Fprintf(&b, "%v", err)
	return b.String()
}

// A position is a place in a configuration file, zero for a field that was not read
// from one.
type position struct {
	file         string
	line, column int
}

func (p position) String() string {
	switch {
	case p.line == 0:
		return shownPath(p.file)
	case p.column == 0:
		return fmt.Sprintf("%s:%d", shownPath(p.file), p.line)
	}
	return strings.TrimPrefix(fmt.Sprintf("%s:%d:%d", shownPath(p.file), p.line, p.column), ":")
}

// Locate notes where a field was read from, for errors about it: a file and a
// line. The empty field stands for the provider as a whole.
func (p *Provider) Locate(field, file string, line int) {
	if p.origin == nil {
		p.origin = make(map[string]position)
	}
	p.origin[field] = position{file: file, line: line}
}

// where finds the position of a field, or of the nearest field around it.
func (p *Provider) where(field string) position {
	if p == nil {
		return position{}
	}
	for {
		if at, ok := p.origin[field]; ok {
			return at
		}
		if field == "" {
			return position{}
		}
		field = field[:max(strings.LastIndexByte(field, '.'), 0)]
	}
}

// misconfigured makes a ConfigurationError about a field of a provider.
func (p *Provider) misconfigured(name, field string, err error) error {
	at := p.where(field)
	return &ConfigurationError{File: at.file, Line: at.line, Column: at.column, Provider: name, Field: field, Err: err}
}

// misconfigured makes a ConfigurationError about a field of the request's provider.
func (r *request) misconfigured(field string, err error) error {
	return r.provider.misconfigured(r.name, field, err)
}

// invalid makes a ValidationError about a field of a provider.
func (p *Provider) invalid(name, field string, err error) error {
	at := p.where(field)
	return &ValidationError{File: at.file, Line: at.line, Column: at.column, Provider: name, Field: field, Err: err}
}

// faults collects all that is wrong with one provider.
type faults struct {
	provider *Provider
	name     string
	errs     []error
	// partial says that another declaration may add to this one: what is missing
	// is not a fault yet.
	partial bool
}

// mayChange reports whether a field that is not set may be set in another
// declaration.
func (f *faults) mayChange(t Template) bool { return f.partial && t == "" }

func (f *faults) add(field, format string, args ...any) {
	f.errs = append(f.errs, f.provider.misconfigured(f.name, field, fmt.Errorf(format, args...)))
}

// plainName is a name that may be repeated in an error. One of other
// characters may be a value in the wrong place.
var plainName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func shownName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return fmt.Sprintf("(a name of %d bytes)", len(name))
}

// shownPath quotes a path that would disturb a log line.
func shownPath(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}

// A redacted error has a cause whose text may quote what was read, and does not show it.
type redacted struct {
	text  string
	cause error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.cause }
