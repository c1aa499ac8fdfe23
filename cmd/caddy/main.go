// Command caddy is Caddy with its standard modules and this plugin, for
// development and the quick start. For production build with xcaddy.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	// Caddy's modules and ours register themselves.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/oauth2llm/caddy-oauth2-llm"
)

func main() {
	caddycmd.Main()
}
