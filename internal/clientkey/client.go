// Package clientkey knows the clients of the gateway by their keys: it reads the keys that
// are configured (values.go, reading.go), reads those in files again while requests come
// (keyring.go), and finds the client of a request (authenticate.go).
package clientkey

import (
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/wildcard"
)

// Declared is what is configured of a client: its keys, and what they are for.
type Declared struct {
	// Key are the values of the keys.
	Key Values
	// Models are the patterns of what it may use, nil for all.
	Models []string
}

// isExposed reports whether a key itself stands in the configuration. The hash of
// one is of no use to whoever reads it.
func (c Declared) isExposed() bool {
	return slices.ContainsFunc(c.Key, func(value config.Template) bool {
		return value.IsLiteral() && !strings.HasPrefix(string(value), HashPrefix)
	})
}

// hasFile reports whether keys come from a file.
func (c Declared) hasFile() bool { return slices.ContainsFunc(c.Key, config.Template.HasFile) }

// A Client is a client that is known by its keys.
type Client struct {
	Name string
	// Placeholder is the name as placeholders hold it.
	Placeholder any
	// Models are the patterns of what it may use, nil for all.
	Models []string
}

// MayUse reports whether a client may use a model of a provider. Without a
// client, because something else authenticates, all may be used.
func (k *Client) MayUse(provider, model string) bool {
	return k == nil || k.Models == nil || wildcard.MatchAny(k.Models, provider+"/"+model)
}

// Error is an error about the client of a name.
func Error(name string, err error) error {
	return &config.ConfigurationError{Field: strings.TrimSpace("client_key " + name), Err: err}
}
