package providerblock

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// scope parses scopes, several of which are joined by a space.
func (b *block) scope() error {
	if err := b.begin("scope"); err != nil {
		return err
	}
	scopes := b.RemainingArgs()
	if len(scopes) == 0 {
		return b.fail("scope", "takes one scope or more")
	}
	b.provider.Scope = Template(b.Dispenser, strings.Join(scopes, " "))
	return nil
}

// list parses a list of words. Lines of paths add up.
func (b *block) list(field string, target *[]string) error {
	if field != "paths" {
		if err := b.begin(field); err != nil {
			return err
		}
	}
	words := b.RemainingArgs()
	if len(words) == 0 {
		example := "access_token, data.token or header:X-Token"
		if field == "paths" {
			example = "/v1/chat/*"
		}
		return b.fail(field, "takes one path or more, such as %s", example)
	}
	*target = append(*target, words...)
	b.provider.Locate(field, b.File(), b.Line())
	return nil
}

// named parses a name and a value.
func (b *block) named(target *map[string]config.Template, path, option string) error {
	name, value, err := b.pair(option)
	if err != nil {
		return err
	}
	if err := b.begin(path + "." + name); err != nil {
		return err
	}
	if *target == nil {
		*target = make(map[string]config.Template)
	}
	(*target)[name] = Template(b.Dispenser, value)
	return nil
}

// header parses a name and a value, of which a name may have several.
func (b *block) header(target *map[string][]config.Template, path, option string) error {
	name, value, err := b.pair(option)
	if err != nil {
		return err
	}
	*target = withHeader(*target, name, Template(b.Dispenser, value))
	b.provider.Locate(path+"."+name, b.File(), b.Line())
	return nil
}

// claim parses a name and a value; several values are a list.
func (b *block) claim(target *map[string]config.JSONTemplate, path, option string) error {
	arguments := b.RemainingArgs()
	if len(arguments) < 2 {
		return b.fail(option, `takes a name and a value, or several; "" leaves the claim out`)
	}
	name := arguments[0]
	if err := b.begin(path + "." + name); err != nil {
		return err
	}
	values := make([]config.Template, 0, len(arguments)-1)
	for _, argument := range arguments[1:] {
		values = append(values, Template(b.Dispenser, argument))
	}
	if *target == nil {
		*target = make(map[string]config.JSONTemplate)
	}
	if len(values) == 1 {
		(*target)[name] = config.JSONString(values[0])
	} else {
		(*target)[name] = config.JSONList(values...)
	}
	return nil
}

// model parses a model, which may have a name of its own upstream, and a block.
func (b *block) model() error {
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

func (b *block) statuses(field string, target *[]int) error {
	if err := b.begin(field); err != nil {
		return err
	}
	arguments := b.RemainingArgs()
	if len(arguments) == 0 {
		return b.fail(field, "takes one status or more")
	}
	for _, argument := range arguments {
		status, err := strconv.Atoi(argument)
		if err != nil {
			return b.fail(field, "must be HTTP statuses, such as 409 425")
		}
		*target = append(*target, status)
	}
	return nil
}

func (b *block) expiry(field string, target *[]config.ExpiryRule) error {
	arguments := b.RemainingArgs()
	if len(arguments) != 2 {
		return b.fail(field, "takes a path and a unit: seconds, unix, unix_ms, rfc3339 or auto")
	}
	b.provider.Locate(field, b.File(), b.Line())
	*target = append(*target, config.ExpiryRule{Path: arguments[0], Unit: arguments[1]})
	return nil
}

// transport parses a transport module of Caddy's.
func (b *block) transport(field string, target *json.RawMessage) error {
	if err := b.begin(field); err != nil {
		return err
	}
	if !b.NextArg() {
		return b.fail(field, "takes the name of a transport module, such as http")
	}
	name := b.Val()
	if name == "oauth2_llm" {
		return b.fail(field, "is %s itself; choose the transport that it uses, such as http", name)
	}
	module, err := caddyfile.UnmarshalModule(b.Dispenser, "http.reverse_proxy.transport."+name)
	if err != nil {
		return b.fail(field, "%w", err)
	}
	*target = caddyconfig.JSONModuleObject(module, "protocol", name, nil)
	return nil
}

// body parses JSON. Its syntax error shows nothing of it.
func (b *block) body(field string, target *config.JSONTemplate) error {
	text, err := b.one(field)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return b.fail(field, "must be a JSON object; put one between backticks, on one line or several")
	}
	if err := target.UnmarshalJSON([]byte(withoutShorthands.Replace(text))); err != nil {
		return b.fail(field, "%w", err)
	}
	return nil
}

func (b *block) source(target *config.Source) error {
	if err := b.begin("source"); err != nil {
		return err
	}
	arguments := b.RemainingArgs()
	if len(arguments) == 0 || len(arguments) > 2 {
		return b.fail("source", "must be one of request, self_signed, file PATH")
	}
	*target = config.Source(strings.Join(arguments, " "))
	return nil
}

func (b *block) place(target *config.Place) error {
	if err := b.begin("place"); err != nil {
		return err
	}
	switch arguments := b.RemainingArgs(); {
	case len(arguments) == 2 && arguments[0] == "query":
		target.Query = arguments[1]
	case len(arguments) == 2 && arguments[0] == "header":
		target.Header = arguments[1]
	case len(arguments) == 3 && arguments[0] == "header":
		target.Header, target.Prefix = arguments[1], &arguments[2]
	default:
		return b.fail("place", `is written as: header <name> [<prefix>], with a prefix such as "Bearer "; or as: query <name>`)
	}
	return nil
}

// headerUp parses header_up as reverse_proxy has it.
func (b *block) headerUp(up *config.HeaderUp) error {
	arguments := b.RemainingArgs()
	if len(arguments) == 0 || arguments[0] == "" {
		return b.fail("header_up", "takes a name, and a value unless the name begins with -")
	}
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
	value := Template(b.Dispenser, arguments[1])
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
