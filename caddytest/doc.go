// Package caddytest holds the end-to-end tests: a real Caddy with the plugin,
// a real OAuth2 authorization server, and stand-ins for LLMs that check every
// token they are given. All of them listen on loopback.
//
// testdata/clients holds requests of real LLM clients as they were recorded on
// the wire (only the host name was replaced), one folder for each client.
package caddytest
