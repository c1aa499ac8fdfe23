package oauth2llm

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// unmarshalProvider parses a provider block. Syntax:
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
func (d *Declarations) unmarshalProvider(disp *caddyfile.Dispenser) error {
	var name string
	if !disp.AllArgs(&name) {
		return disp.Errf("provider: takes one name and a block")
	}
	if d.Providers[name] != nil {
		return disp.Errf("provider %s: is declared twice; put all of its fields into one block", name)
	}
	b := &providerBlock{Dispenser: disp, name: name, provider: new(config.Provider)}
	b.provider.Locate("", disp.File(), disp.Line())
	for nesting := disp.Nesting(); disp.NextBlock(nesting); {
		if err := b.field(disp.Val()); err != nil {
			return err
		}
	}
	b.provider.ResolvePaths(folderOf(disp.File()))
	if err := b.provider.ValidateLiterals(name); err != nil {
		return err
	}
	if d.Providers == nil {
		d.Providers = make(config.Providers)
	}
	d.Providers[name] = b.provider
	return nil
}

// field parses one field of the provider.
func (b *providerBlock) field(name string) error {
	p := b.provider
	templates := map[string]*config.Template{
		"client_id":     &p.ClientID,
		"client_secret": &p.ClientSecret,
		"token_url":     &p.TokenURL,
		"refresh_token": &p.RefreshToken,
		"auth_method":   &p.AuthMethod,
		"grant_type":    &p.GrantType,
		"base_url":      &p.BaseURL,
	}
	files := map[string]*config.Path{
		"client_id_file":     &p.ClientIDFile,
		"client_secret_file": &p.ClientSecretFile,
		"refresh_token_file": &p.RefreshTokenFile,
	}
	switch {
	case templates[name] != nil:
		return b.template(name, templates[name])
	case files[name] != nil:
		return b.path(name, files[name])
	}
	switch name {
	case "preset":
		text, err := b.one(name)
		p.Preset = text
		return err
	case "var":
		return b.variable()
	case "source":
		return b.source()
	case "token_response":
		return b.tokenResponse()
	case "jwt":
		return b.jwt()
	case "scope":
		if err := b.begin(name); err != nil {
			return err
		}
		scopes := b.RemainingArgs()
		if len(scopes) == 0 {
			return b.fail(name, "takes one scope or more")
		}
		p.Scope = template(b.Dispenser, strings.Join(scopes, " "))
		return nil
	case "token_request":
		return b.tokenRequest()
	case "refresh_before":
		return b.text(name, &p.RefreshBefore)
	case "model":
		return b.model()
	case "paths":
		patterns := b.RemainingArgs()
		if len(patterns) == 0 {
			return b.fail(name, "takes one path or more, such as /v1/chat/*")
		}
		p.Paths = append(p.Paths, patterns...)
		p.Locate(name, b.File(), b.Line())
		return nil
	case "transport":
		return b.transport(name, &p.Transport)
	case "place":
		return b.place()
	case "header_up":
		return b.headerUp()
	}
	return b.unknown(name, "", "client_id", "client_secret", "token_url", "scope", "refresh_token",
		"client_id_file", "client_secret_file", "refresh_token_file", "auth_method", "grant_type", "source",
		"token_request", "token_response", "jwt", "refresh_before", "base_url", "model", "paths", "transport", "place", "header_up",
		"preset", "var")
}

func (b *providerBlock) variable() error {
	name, value, err := b.pair("var")
	if err != nil {
		return err
	}
	if err := b.begin("vars." + name); err != nil {
		return err
	}
	if b.provider.Vars == nil {
		b.provider.Vars = make(map[string]config.Template)
	}
	b.provider.Vars[name] = template(b.Dispenser, value)
	return nil
}

func (b *providerBlock) source() error {
	if err := b.begin("source"); err != nil {
		return err
	}
	arguments := b.RemainingArgs()
	if len(arguments) == 0 || len(arguments) > 2 {
		return b.fail("source", "must be one of request, self_signed, file PATH")
	}
	b.provider.Source = config.Source(strings.Join(arguments, " "))
	return nil
}

func (b *providerBlock) model() error {
	arguments := b.RemainingArgs()
	if len(arguments) < 1 || len(arguments) > 2 {
		return b.fail("model", "takes a name, and the upstream's name if that is another")
	}
	name := arguments[0]
	field := "models." + name
	if err := b.begin(field); err != nil {
		return err
	}
	var model config.Model
	if len(arguments) == 2 {
		model.Upstream = arguments[1]
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		if option := b.Val(); option != "base_url" {
			return b.unknown(option, field, "base_url")
		}
		if err := b.template(field+".base_url", &model.BaseURL); err != nil {
			return err
		}
	}
	if b.provider.Models == nil {
		b.provider.Models = make(map[string]config.Model)
	}
	b.provider.Models[name] = model
	return nil
}

// transport parses a transport module of Caddy's.
func (b *providerBlock) transport(field string, target *json.RawMessage) error {
	if err := b.begin(field); err != nil {
		return err
	}
	if !b.NextArg() {
		return b.fail(field, "takes the name of a transport module, such as http")
	}
	name := b.Val()
	if name == appName {
		return b.fail(field, "is %s itself; choose the transport that it uses, such as http", appName)
	}
	module, err := caddyfile.UnmarshalModule(b.Dispenser, "http.reverse_proxy.transport."+name)
	if err != nil {
		return b.fail(field, "%w", err)
	}
	*target = caddyconfig.JSONModuleObject(module, "protocol", name, nil)
	return nil
}

func (b *providerBlock) place() error {
	if err := b.begin("place"); err != nil {
		return err
	}
	switch arguments := b.RemainingArgs(); {
	case len(arguments) == 2 && arguments[0] == "query":
		b.provider.Place.Query = arguments[1]
	case len(arguments) == 2 && arguments[0] == "header":
		b.provider.Place.Header = arguments[1]
	case len(arguments) == 3 && arguments[0] == "header":
		b.provider.Place.Header, b.provider.Place.Prefix = arguments[1], &arguments[2]
	default:
		return b.fail("place", `is written as: header <name> [<prefix>], with a prefix such as "Bearer "; or as: query <name>`)
	}
	return nil
}

// headerUp parses header_up as reverse_proxy has it.
func (b *providerBlock) headerUp() error {
	arguments := b.RemainingArgs()
	if len(arguments) == 0 || arguments[0] == "" {
		return b.fail("header_up", "takes a name, and a value unless the name begins with -")
	}
	up := &b.provider.HeaderUp
	name := arguments[0]
	if deleted, ok := strings.CutPrefix(name, "-"); ok {
		if len(arguments) > 1 {
			return b.fail("header_up", "removes a header, so it takes no value")
		}
		up.Delete = append(up.Delete, deleted)
		b.provider.Locate("header_up.delete", b.File(), b.Line())
		return nil
	}
	if len(arguments) != 2 {
		return b.fail("header_up", "takes a name and a value; put a value with spaces into quotes")
	}
	value := template(b.Dispenser, arguments[1])
	switch name[0] {
	case '+':
		up.Add = withHeader(up.Add, name[1:], value)
		b.provider.Locate("header_up.add."+name[1:], b.File(), b.Line())
	case '?':
		up.Default = withHeader(up.Default, name[1:], value)
		return b.begin("header_up.default." + name[1:])
	default:
		up.Set = withHeader(up.Set, name, value)
		return b.begin("header_up.set." + name)
	}
	return nil
}
