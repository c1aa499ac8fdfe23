package oauth2llm

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/providerblock"
)

// A ClientKey is what a client of the gateway presents to be known. It has
// nothing to do with the credentials of providers.
//
// A client may have several keys, all of which are good: to replace one without
// an interruption, add the new one, give it to the client, and then remove the
// old one. Two clients cannot have the same key: that is an error when the
// configuration is loaded, and where a file changes later, the key is refused for
// both clients for as long as that lasts, because nobody can tell whose it is.
//
// Files are read again within a second of a change, so that keys are issued and
// revoked without a reload. What cannot be used by then, such as a file that is
// gone, is an error in the log, and the client's other keys stay good. Keys that
// have changed, or can be used again, are in the log at INFO, with the client's
// name and the number of its keys.
//
// A key of fewer than 16 bytes is warned about: `caddy oauth2-llm key` makes one
// that nobody guesses. The length behind a hash is not known.
type ClientKey struct {
	// The keys: one value as a string, several as a list of strings. A value is a
	// key, its hash as `sha256:<64 hexadecimal digits>`, or a placeholder for one of
	// them: `{env.NAME}` or `{file./path}`. A value that is exactly one
	// `{file./path}` may hold several keys, one a line; lines may end in CRLF, empty
	// lines mean nothing, and nothing is a comment. An empty or unset value, a line
	// break in any other value, white space around a key, a control character and a
	// byte order mark are errors.
	Key clientkey.Values `json:"key"`

	// The models that this client may use: `<provider>/<model>`, in which `*`
	// stands for anything. A request without a model needs a pattern that ends in
	// `/*` for its provider. Default: all.
	Models []string `json:"models,omitempty"`
}

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

// declaredClients are the clients that have keys.
func (h *Handler) declaredClients() map[string]clientkey.Declared {
	declared := make(map[string]clientkey.Declared, len(h.ClientKeys))
	for name, key := range h.ClientKeys {
		declared[name] = clientkey.Declared{Key: key.Key, Models: key.Models}
	}
	return declared
}
