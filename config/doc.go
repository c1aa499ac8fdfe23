// Package config says what an OAuth2 provider of LLMs is: its fields, the
// values that they may hold, the rules that they must obey, and CrewAI's
// litellm_config.json, from which providers can be read.
//
// A Provider comes from that file (LoadFile), from JSON (Providers is decoded
// strictly) or from a Caddyfile. Expand fills in its preset and variables,
// Validate finds everything that is wrong with it, Fingerprint names what shapes
// its token, and Fetcher builds what obtains one.
//
// A new field is a field of the struct in provider.go: decoding, merging,
// comparing and path resolution follow the struct. Its rule goes to
// validate.go or validaterequest.go, and what it changes of the token request to
// request.go. A new kind of provider is an entry in presets.json, and no code.
//
// No error of this package holds a configured value: only names of providers,
// fields, environment variables and files.
package config
