package oauth2llm

import (
	"encoding"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// A providerBlock is a provider block that is being parsed. Its errors show no
// argument: any of them may be a secret.
type providerBlock struct {
	*caddyfile.Dispenser
	name     string
	provider *config.Provider
	seen     []string
}

// fail makes an error about a field.
func (b *providerBlock) fail(field, format string, arguments ...any) error {
	return b.WrapErr(&config.ConfigurationError{Provider: b.name, Field: field, Err: fmt.Errorf(format, arguments...)})
}

// begin notes where a field stands, and refuses one that is set already
// .
func (b *providerBlock) begin(field string) error {
	if slices.Contains(b.seen, field) {
		return b.fail(field, "is set twice; keep one of them")
	}
	b.seen = append(b.seen, field)
	b.provider.Locate(field, b.File(), b.Line())
	return nil
}

// unknown refuses a field that there is not.
func (b *providerBlock) unknown(name, within string, known ...string) error {
	return b.WrapErr(config.UnknownField(b.name, within, name, known))
}

// one parses the one argument of a field.
func (b *providerBlock) one(field string) (string, error) {
	if err := b.begin(field); err != nil {
		return "", err
	}
	arguments := b.RemainingArgs()
	if len(arguments) != 1 {
		return "", b.fail(field, "takes one value, not %d; put one with spaces into quotes", len(arguments))
	}
	return arguments[0], nil
}

func (b *providerBlock) template(field string, target *config.Template) error {
	text, err := b.one(field)
	*target = template(b.Dispenser, text)
	return err
}

// path parses a field that is the path of a file.
func (b *providerBlock) path(field string, target *config.Path) error {
	text, err := b.one(field)
	*target = config.Path(text).ResolvePaths(folderOf(b.File()))
	return err
}

// text parses a field whose type knows how to read it.
func (b *providerBlock) text(field string, target encoding.TextUnmarshaler) error {
	text, err := b.one(field)
	if err != nil {
		return err
	}
	if err := target.UnmarshalText([]byte(text)); err != nil {
		return b.fail(field, "%w", err)
	}
	return nil
}

// block parses a block without arguments: use gets each of its options.
func (b *providerBlock) block(field string, use func(option string) error) error {
	if err := b.begin(field); err != nil {
		return err
	}
	if b.NextArg() {
		return b.fail(field, "takes a block and no arguments")
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		if err := use(b.Val()); err != nil {
			return err
		}
	}
	return nil
}

// pair parses a name and a value.
func (b *providerBlock) pair(field string) (name, value string, err error) {
	arguments := b.RemainingArgs()
	if len(arguments) != 2 {
		return "", "", b.fail(field, "takes a name and a value; put a value with spaces into quotes")
	}
	return arguments[0], arguments[1], nil
}

func (b *providerBlock) number(field string, target *int) error {
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
func (b *providerBlock) flag(field string, target *bool) error {
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

// template is an argument as a value: relative paths in it are those of the
// Caddyfile's folder.
func template(d *caddyfile.Dispenser, argument string) config.Template {
	return config.Template(withoutShorthands.Replace(argument)).ResolvePaths(folderOf(d.File()))
}

// withoutShorthands takes back what Caddy makes of two of our placeholders
// where they stand in a site block: it knows {uuid} and {file.name} as
// shorthands for placeholders of a request.
var withoutShorthands = strings.NewReplacer("{http.request.uuid}", "{uuid}", "{http.request.uri.path.file.", "{file.")

// folderOf is the folder of a Caddyfile, to which its paths are relative: the
// server that loads the configuration may run elsewhere.
func folderOf(caddyfile string) string {
	folder, err := filepath.Abs(filepath.Dir(caddyfile))
	if err != nil {
		return filepath.Dir(caddyfile)
	}
	return folder
}
