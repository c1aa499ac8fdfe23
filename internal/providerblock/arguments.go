package providerblock

import (
	"encoding"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// A block is a provider block that is being parsed. Its errors show no
// argument: any of them may be a secret.
type block struct {
	*caddyfile.Dispenser
	name     string
	provider *config.Provider
	seen     []string
}

// fail makes an error about a field.
func (b *block) fail(field, format string, arguments ...any) error {
	return &config.ConfigurationError{File: b.File(), Line: b.Line(), Provider: b.name, Field: field, Err: fmt.Errorf(format, arguments...)}
}

// begin notes where a field stands, and refuses one that is set already.
func (b *block) begin(field string) error {
	if slices.Contains(b.seen, field) {
		return b.fail(field, "is set twice; keep one of them")
	}
	b.seen = append(b.seen, field)
	b.provider.Locate(field, b.File(), b.Line())
	return nil
}

// unknown refuses an unknown field.
func (b *block) unknown(name, within string, known ...string) error {
	failed := config.UnknownField(b.name, within, name, known)
	if wrong, ok := errors.AsType[*config.ConfigurationError](failed); ok {
		wrong.File, wrong.Line = b.File(), b.Line()
	}
	return failed
}

// one parses the one argument of a field.
func (b *block) one(field string) (string, error) {
	if err := b.begin(field); err != nil {
		return "", err
	}
	arguments := b.RemainingArgs()
	if len(arguments) != 1 {
		return "", b.fail(field, "takes one value, not %d; put one with spaces into quotes", len(arguments))
	}
	return arguments[0], nil
}

func (b *block) template(field string, target *config.Template) error {
	text, err := b.one(field)
	*target = Template(b.Dispenser, text)
	return err
}

// path parses a field that is the path of a file.
func (b *block) path(field string, target *config.Path) error {
	text, err := b.one(field)
	*target = config.Path(text).ResolvePaths(FolderOf(b.File()))
	return err
}

// text parses a field whose type knows how to read it.
func (b *block) text(field string, target encoding.TextUnmarshaler) error {
	text, err := b.one(field)
	if err != nil {
		return err
	}
	if err := target.UnmarshalText([]byte(text)); err != nil {
		return b.fail(field, "%w", err)
	}
	return nil
}

// pair parses a name and a value.
func (b *block) pair(field string) (name, value string, err error) {
	arguments := b.RemainingArgs()
	if len(arguments) != 2 {
		return "", "", b.fail(field, "takes a name and a value; put a value with spaces into quotes")
	}
	return arguments[0], arguments[1], nil
}

func (b *block) number(field string, target *int) error {
	text, err := b.one(field)
	if err != nil {
		return err
	}
	if *target, err = strconv.Atoi(text); err != nil {
		return b.fail(field, "must be a whole number")
	}
	return nil
}

// flag parses a field that is on by being there.
func (b *block) flag(field string, target *bool) error {
	if err := b.begin(field); err != nil {
		return err
	}
	if b.NextArg() {
		return b.fail(field, "takes no value: it is on where it stands")
	}
	*target = true
	return nil
}

func withHeader(headers map[string][]config.Template, name string, value config.Template) map[string][]config.Template {
	if headers == nil {
		headers = make(map[string][]config.Template)
	}
	headers[name] = append(headers[name], value)
	return headers
}

// Template is an argument as a value: relative paths in it are those of the
// Caddyfile's folder.
func Template(d *caddyfile.Dispenser, argument string) config.Template {
	return config.Template(withoutShorthands.Replace(argument)).ResolvePaths(FolderOf(d.File()))
}

// withoutShorthands takes back what Caddy makes of two of our placeholders
// where they stand in a site block: it knows {uuid} and {file.name} as
// shorthands for placeholders of a request.
var withoutShorthands = strings.NewReplacer("{http.request.uuid}", "{uuid}", "{http.request.uri.path.file.", "{file.")

// FolderOf is the folder of a Caddyfile, to which its paths are relative: the
// server that loads the configuration may run elsewhere.
func FolderOf(caddyfile string) string {
	folder, err := filepath.Abs(filepath.Dir(caddyfile))
	if err != nil {
		return filepath.Dir(caddyfile)
	}
	return folder
}
