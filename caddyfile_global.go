package oauth2llm

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// parseGlobalOption parses the global option. It may stand several times: the
// blocks add up.
func parseGlobalOption(d *caddyfile.Dispenser, previous any) (any, error) {
	app := new(App)
	if previous, ok := previous.(httpcaddyfile.App); ok {
		if err := json.Unmarshal(previous.Value, app); err != nil {
			return nil, err
		}
	}
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from the global option. Syntax:
//
//	oauth2_llm {
//		config_file <path>
//		provider    <name> { ... }
//		held_bodies <size>
//		share_tokens
//	}
//
// The first two may be repeated. Paths are relative to the Caddyfile's folder.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		known, err := a.unmarshalOption(d)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if err := a.unmarshalGlobalOption(d, d.Val()); err != nil {
			return err
		}
	}
	return nil
}

// unmarshalGlobalOption parses the options that only the global option has.
func (a *App) unmarshalGlobalOption(d *caddyfile.Dispenser, option string) error {
	switch option {
	case "held_bodies":
		if a.HeldBodies != 0 {
			return d.Errf("held_bodies is already specified")
		}
		return sizeArgument(d, option, "1GiB", &a.HeldBodies)
	case "share_tokens":
		if a.ShareTokens {
			return d.Errf("share_tokens is already specified")
		}
		a.ShareTokens = true
		return argument(d)
	}
	return unknownOption(d, option, a)
}
