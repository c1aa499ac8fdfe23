// Package providerblock reads and writes providers as blocks of a Caddyfile. Both walk the
// struct of a provider by its JSON names, so that a new plain field needs nothing here:
// parse.go and format.go go by the type of each field. What is written in a way of its own
// is read in by_hand.go.
package providerblock

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// Parse parses the block of a provider, whose name was read already. Syntax:
//
//	provider <name> {
//		preset             <name>
//		var                <name> <value>
//		client_id          <value>
//		client_secret      <value>
//		token_url          <url>
//		scope              <scope>...
//		refresh_token      <value>
//		client_id_file     <path>
//		client_secret_file <path>
//		refresh_token_file <path>
//		auth_method        client_secret_post | client_secret_basic | client_secret_basic_raw |
//		                   client_secret_jwt | private_key_jwt | tls_client_auth | none
//		grant_type         <grant>
//		source             request | self_signed | file <path>
//		token_request {
//			param    <name> <value>
//			header   <name> <value>
//			method   <method>
//			encoding form | json | query | none
//			body     <json>
//			timeout  <duration>
//			retries  <number>
//			retry_on <status>...
//			transport <module> { ... }
//		}
//		token_response {
//			token       <path>...
//			expiry      <path> seconds | unix | unix_ms | rfc3339 | auto
//			default_ttl <duration>
//			max_ttl     <duration>
//		}
//		jwt {
//			alg              <algorithm>
//			key_file         <path>
//			key              <value>
//			key_id           <value>
//			certificate_file <path>
//			thumbprint       x5t#S256 | x5t | none
//			x5c
//			claim            <name> <value>...
//			header           <name> <value>
//			ttl              <duration>
//			exp_unit         s | ms
//			iat_skew         <duration> | 0
//		}
//		refresh_before     auto | <duration>
//		base_url           <url>
//		model              <name> [<upstream name>] {
//			base_url <url>
//		}
//		paths              <pattern>...
//		transport          <module> { ... }
//		place              header <name> [<prefix>] | query <name>
//		header_up          [+|-|?]<name> [<value>]
//	}
//
// What is wrong whatever the environment holds is refused here, with its line.
func Parse(d *caddyfile.Dispenser, name string) (*config.Provider, error) {
	b := &block{Dispenser: d, name: name, provider: new(config.Provider)}
	b.provider.Locate("", d.File(), d.Line())
	if err := b.options(reflect.ValueOf(b.provider).Elem(), ""); err != nil {
		return nil, err
	}
	b.provider.ResolvePaths(FolderOf(d.File()))
	return b.provider, b.provider.ValidateLiterals(name)
}

// options parses the options of a block into a struct, whose path is given.
func (b *block) options(v reflect.Value, path string) error {
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		option := b.Val()
		field, name := fieldOf(v, option)
		if !field.IsValid() {
			return b.unknown(option, path, optionsOf(v.Type())...)
		}
		if err := b.field(field, join(path, name), join(path, option)); err != nil {
			return err
		}
	}
	return nil
}

// field parses a field by its type. path is where it is in the provider, option how it
// is written.
func (b *block) field(v reflect.Value, path, option string) error {
	if path == "scope" {
		return b.scope()
	}
	switch target := v.Addr().Interface().(type) {
	case *config.Template:
		return b.template(path, target)
	case *config.Path:
		return b.path(path, target)
	case encoding.TextUnmarshaler:
		return b.text(path, target)
	case *string:
		text, err := b.one(path)
		*target = text
		return err
	case *bool:
		return b.flag(path, target)
	case **int:
		*target = new(int)
		return b.number(path, *target)
	case *[]string:
		return b.list(path, target)
	case *map[string]config.Template:
		return b.named(target, path, option)
	case *map[string][]config.Template:
		return b.header(target, path, option)
	case *map[string]config.JSONTemplate:
		return b.claim(target, path, option)
	case *map[string]config.Model:
		return b.model()
	case *[]int:
		return b.statuses(path, target)
	case *[]config.ExpiryRule:
		return b.expiry(path, target)
	case *json.RawMessage:
		return b.transport(path, target)
	case *config.JSONTemplate:
		return b.body(path, target)
	case *config.Source:
		return b.source(target)
	case *config.Place:
		return b.place(target)
	case *config.HeaderUp:
		return b.headerUp(target)
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return b.field(v.Elem(), path, option)
	}
	if err := b.begin(path); err != nil {
		return err
	}
	if b.NextArg() {
		return b.fail(path, "takes a block and no arguments")
	}
	return b.options(v, path)
}

// fieldOf finds the field that an option is about, and its JSON name.
func fieldOf(v reflect.Value, option string) (field reflect.Value, name string) {
	for i := range v.NumField() {
		if name := jsonName(v.Type().Field(i)); name != "" && optionFor(name, v.Type().Field(i).Type) == option {
			return v.Field(i), name
		}
	}
	return reflect.Value{}, ""
}

// optionsOf lists the options of a struct.
func optionsOf(t reflect.Type) []string {
	var options []string
	for field := range t.Fields() {
		if name := jsonName(field); name != "" {
			options = append(options, optionFor(name, field.Type))
		}
	}
	return options
}

// optionFor is the option that stands for a field: its JSON name, or of a map, each of
// whose entries has a line of its own, the singular.
func optionFor(name string, of reflect.Type) string {
	if of.Kind() == reflect.Map {
		return strings.TrimSuffix(name, "s")
	}
	return name
}

// jsonName is the name of a field in JSON, empty for one that is not configured.
func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
