// Package config says what an OAuth2 provider of LLMs is: its fields, the
// values that they may hold, the rules that they must obey, and CrewAI's
// litellm_config.json, from which providers can be read.
//
// A Provider comes from that file (LoadFile), from JSON (Providers is decoded
// strictly) or from a Caddyfile. Providers are what is declared: text, and where it
// stands. Resolve, in resolve.go, is the way to what can be used, and there is no other:
// it fills in presets and variables (expand.go, substitute.go), parses the values of the
// token request (request.go, value.go, template.go), checks the rules (validate*.go),
// looks for tokens that need each other (cycle.go), and derives what the token is known
// by (fingerprint.go, identity.go). A Resolved builds what obtains the token.
//
// A new plain field is a field of the struct in provider.go, its rule in validate.go or
// validate_request.go, and what it changes of the token request in request.go: decoding,
// merging, comparing, path resolution and the Caddyfile follow the struct, and a test
// wants to know whether the field shapes the token. A new kind of provider is an entry in
// presets.json, and no code.
//
// No error of this package holds a configured value: only names of providers,
// fields, environment variables and files.
package config
