package oauth2llm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/providerblock"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(appName, parseGlobalOption)
	httpcaddyfile.RegisterHandlerDirective(appName, parseDirective)
	httpcaddyfile.RegisterDirectiveOrder(appName, httpcaddyfile.Before, "reverse_proxy")
}

// maximumSize is more than any size that makes sense.
const maximumSize = 1 << 40

// sizeArgument parses the argument of an option, which is a size above 0.
func sizeArgument(d *caddyfile.Dispenser, option, example string, target *int64) error {
	var text string
	if err := argument(d, &text); err != nil {
		return err
	}
	size, err := humanize.ParseBytes(text)
	if err != nil || size == 0 || size > maximumSize {
		return d.Errf("%s must be a size above 0, such as %s", option, example)
	}
	*target = int64(size)
	return nil
}

// unmarshalOption parses the options that the global option and the directive
// share.
func (d *Declarations) unmarshalOption(disp *caddyfile.Dispenser) (known bool, err error) {
	switch disp.Val() {
	case "config_file":
		var path string
		if !disp.AllArgs(&path) {
			return true, disp.ArgErr()
		}
		d.addConfigFile(besideCaddyfile(disp.File(), path))
	case "provider":
		return true, d.unmarshalProvider(disp)
	default:
		return false, nil
	}
	return true, nil
}

// unmarshalProvider parses a provider block. What is wrong whatever the environment holds
// is refused here, with its line.
func (d *Declarations) unmarshalProvider(disp *caddyfile.Dispenser) error {
	var name string
	if !disp.AllArgs(&name) {
		return disp.Errf("provider: takes one name and a block")
	}
	if d.Providers[name] != nil {
		return disp.Errf("provider %s: is declared twice; put all of its fields into one block", name)
	}
	provider, err := providerblock.Parse(disp, name)
	if err != nil {
		return err
	}
	if d.Providers == nil {
		d.Providers = make(config.Providers)
	}
	d.Providers[name] = provider
	return nil
}

// addConfigFile notes a file and the digest of what it holds now. A file that
// cannot be read has none; loading the configuration says why.
func (d *Declarations) addConfigFile(path string) {
	d.ConfigFiles = append(d.ConfigFiles, path)
	content, err := config.ReadFile(path)
	if err != nil {
		return
	}
	if d.ConfigFileDigests == nil {
		d.ConfigFileDigests = make(map[string]string)
	}
	digest := sha256.Sum256(content)
	d.ConfigFileDigests[path] = "sha256:" + hex.EncodeToString(digest[:])
}

// besideCaddyfile makes a path absolute that is relative to a Caddyfile's folder.
func besideCaddyfile(caddyfile, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(providerblock.FolderOf(caddyfile), path)
}

// parseDirective parses the directive, whose optional matcher has been taken
// off already.
func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	if handler.declared() || declaredGlobally(h) {
		return handler, nil
	}
	path := besideCaddyfile(h.File(), defaultConfigFile)
	if _, err := os.Stat(path); err != nil {
		return nil, h.Errf("no provider is declared, and no %s is beside the Caddyfile: add a provider or a config_file", defaultConfigFile)
	}
	handler.addConfigFile(path)
	return handler, nil
}

// declaredGlobally reports whether the global option declares anything.
func declaredGlobally(h httpcaddyfile.Helper) bool {
	option, ok := h.Option(appName).(httpcaddyfile.App)
	app := new(App)
	return ok && json.Unmarshal(option.Value, app) == nil && app.declared()
}

// UnmarshalCaddyfile sets up the handler from the directive. Syntax:
//
//	oauth2_llm [<matcher>] [<provider>] {
//		config_file      <path>
//		provider         <name> { ... }
//		client_key       <name> <value>... {
//			models <provider>/<pattern>...
//		}
//		client_key       off
//		default_provider <name>
//		unknown_model    reject | pass | default
//		alias            <name> <provider>/<model>
//		keep_prefix
//		keep_header      <name>...
//		max_body         <size>
//		token_wait       <duration>
//		errors           respond | handle
//	}
//
// With a provider every request gets that provider, and nothing in the body is
// read or changed. Without one the prefix of the request's model chooses.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		h.Provider = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for d.NextBlock(0) {
		option := d.Val()
		known, err := h.unmarshalOption(d)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if seen[option] && option != "client_key" && option != "keep_header" && option != "alias" {
			return d.Errf("%s is already specified", option)
		}
		seen[option] = true
		if err := h.unmarshalHandlerOption(d, option); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) unmarshalHandlerOption(d *caddyfile.Dispenser, option string) error {
	switch option {
	case "client_key":
		return h.unmarshalClientKey(d)
	case "default_provider":
		return argument(d, &h.DefaultProvider)
	case "unknown_model":
		return oneOf(d, option, &h.UnknownModel, unknownModelReject, unknownModelPass, unknownModelDefault)
	case "alias":
		var alias, target string
		if err := argument(d, &alias, &target); err != nil {
			return err
		}
		if _, ok := h.Aliases[alias]; ok {
			return d.Errf("alias %s is already specified", alias)
		}
		if h.Aliases == nil {
			h.Aliases = make(map[string]string)
		}
		h.Aliases[alias] = target
	case "keep_prefix":
		h.KeepPrefix = true
		return argument(d)
	case "keep_header":
		names := d.RemainingArgs()
		if len(names) == 0 {
			return d.ArgErr()
		}
		h.KeepHeaders = append(h.KeepHeaders, names...)
	case "max_body":
		return sizeArgument(d, option, "32MiB", &h.MaxBody)
	case "token_wait":
		var text string
		if err := argument(d, &text); err != nil {
			return err
		}
		wait, err := caddy.ParseDuration(text)
		if err != nil || config.CheckDuration(wait) != nil {
			return d.Errf("token_wait must be a duration of at least 1ms, such as 15s")
		}
		h.TokenWait = caddy.Duration(wait)
	case "errors":
		return oneOf(d, option, &h.Errors, errorsRespond, errorsHandle)
	default:
		return unknownOption(d, option, h)
	}
	return nil
}

// unknownOption refuses an option, and suggests one that sets a field of the module.
func unknownOption(d *caddyfile.Dispenser, option string, module any) error {
	return d.WrapErr(config.UnknownName("option "+option, option, optionsOf(module)))
}

// withoutOption are fields that are set by other options: client_key off, and config_file.
var withoutOption = []string{"client_keys_off", "config_file_digests"}

// optionsOf lists the options of a module: the JSON names of its fields, and of what has a
// line for each entry the singular.
func optionsOf(module any) []string {
	fields := reflect.VisibleFields(reflect.TypeOf(module).Elem())
	options := make([]string, 0, len(fields))
	for _, field := range fields {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "" || slices.Contains(withoutOption, name):
			continue
		case name == "aliases":
			name = "alias"
		case field.Type.Kind() == reflect.Map || field.Type.Kind() == reflect.Slice:
			name = strings.TrimSuffix(name, "s")
		}
		if !slices.Contains(options, name) {
			options = append(options, name)
		}
	}
	return options
}

// argument parses exactly as many arguments as there are targets.
func argument(d *caddyfile.Dispenser, targets ...*string) error {
	if !d.AllArgs(targets...) {
		return d.ArgErr()
	}
	return nil
}

// oneOf parses the argument of an option, which is one of a few words.
func oneOf(d *caddyfile.Dispenser, option string, target *string, words ...string) error {
	if err := argument(d, target); err != nil {
		return err
	}
	if slices.Contains(words, *target) {
		return nil
	}
	return d.Errf("%s must be one of %s", option, strings.Join(words, ", "))
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Handler)(nil)
)
