// Command gateway is Caddy with the plugin and the storage module of these tests.
// It ends when its standard input does, so that it never outlives who started it.
package main

import (
	"io"
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/oauth2llm/caddy-oauth2-llm"
	_ "github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/redisstorage"
)

func main() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	caddycmd.Main()
}
