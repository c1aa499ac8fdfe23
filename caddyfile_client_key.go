package oauth2llm

import (
	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/providerblock"
)

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// unmarshalClientKey parses a client and its keys. Its errors show none of the
// values, and no word of the block, which may be a key too.
func (h *Handler) unmarshalClientKey(d *caddyfile.Dispenser) error {
	arguments := d.RemainingArgs()
	if len(arguments) == 1 && arguments[0] == "off" {
		h.ClientKeysOff = true
		return nil
	}
	if len(arguments) < 2 {
		// ArgErr would show the last argument.
		return d.Errf("client_key: takes a name and one value or more, or off")
	}
	name := arguments[0]
	if _, ok := h.ClientKeys[name]; ok {
		return d.Errf("client_key %s is already specified; write all of its keys into one line", name)
	}
	key := ClientKey{Key: make(clientkey.Values, 0, len(arguments)-1)}
	for _, argument := range arguments[1:] {
		key.Key = append(key.Key, providerblock.Template(d, argument))
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "models" {
			return d.Errf("client_key %s: unknown option; its block takes models only, and values stand on the line of the name", name)
		}
		patterns := d.RemainingArgs()
		if len(patterns) == 0 {
			return d.Errf("client_key %s: models takes one <provider>/<model> or more", name)
		}
		key.Models = append(key.Models, patterns...)
	}
	if h.ClientKeys == nil {
		h.ClientKeys = make(map[string]ClientKey)
	}
	h.ClientKeys[name] = key
	return nil
}
