// Package config says what an OAuth2 provider of LLMs is: its fields, the
// values that they may hold, the rules that they must obey, and CrewAI's
// litellm_config.json, from which providers can be read.
//
// A Provider (provider.go, jwt.go, token_response.go, models.go) comes from that file
// (file.go), from JSON (decode.go, json.go) or from a Caddyfile; merge.go joins providers
// that are declared in several places. Providers are what is declared: text, and where it
// stands. Resolve, in resolve.go, is the only way to what can be used: it fills in presets
// and variables (preset.go, expand.go, substitute.go), parses the values of the token
// request (request.go, value.go, template.go, json_template.go) and the addresses and
// headers of LLM requests (upstream.go, header_up.go), checks the rules (validate.go,
// validate_request.go, rules.go), looks for tokens that need each other (cycle.go), and
// derives what the token is known by (fingerprint.go, identity.go). A Resolved builds what
// obtains the token. ValidateLiterals, in literals.go, is a second and partial reading for
// adapters, which know no environment. Errors and the places that they name are in
// errors.go, suggestions in nearest.go.
//
// A new plain field needs the field of the struct in provider.go, its rule in validate.go
// or validate_request.go, and what it changes of the token request in request.go:
// decoding, merging, comparing, path resolution and the blocks of a Caddyfile
// (internal/providerblock) follow the struct. A test fails until tokenFields, in
// fingerprint_test.go, says whether the field shapes the token. A new kind of provider is an entry in presets.json, and no code.
//
// No error of this package holds a configured value: only names of providers,
// fields, environment variables and files.
package config
