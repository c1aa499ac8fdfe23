package config

import (
	"context"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A Warning is about a field that works and is a risk. It has no field where the name of
// the provider is meant.
type Warning struct{ Field, Message string }

// secretParameters are the parameters, members and headers of token requests whose
// value is a secret everywhere.
var secretParameters = []string{
	"actor_token", "api-key", "api_key", "apikey", "assertion", "authorization", "client_assertion", "client_secret",
	"password", "secret", "subject_token", "x-api-key", "x-auth-token",
}

const literalSecret = "the secret stands in the configuration, and whoever can read that can read it: use {env.NAME}, {file.PATH} or a _file field"

// warnings lists what works and is a risk: a token URL or a base_url without TLS,
// secrets that stand in the configuration itself, and variables that end with a
// newline. A literal secret in litellm_config.json is not warned about: the file is
// made to hold it.
func (r *request) warnings(bases BaseURLs) []Warning {
	p := r.provider
	var warnings []Warning
	if hint := liteLLMHint(r.name); hint != "" {
		warnings = append(warnings, Warning{"", hint})
	}
	if r.tokenURL != nil && !r.needsToken(r.tokenURL) {
		if address, err := r.tokenURL.Read(context.Background()); err == nil && isPlainHTTP(address.Reveal()) {
			warnings = append(warnings, Warning{"token_url", "the secret travels in the clear: use an https URL"})
		}
	}
	for base := range bases.All {
		if isPlainHTTP(strings.Join(base.segments, "model")) {
			warnings = append(warnings, Warning{"base_url", "the token travels in the clear: use an https URL"})
			break
		}
	}
	if r.encoding == tokens.EncodingNone && r.authMethod == tokens.ClientSecretPost {
		warnings = append(warnings, Warning{"auth_method", "the client's credentials are not sent, because token_request.encoding is none: choose client_secret_basic or none"})
	}
	for _, field := range p.expansion.literalSecrets {
		warnings = append(warnings, Warning{field, literalSecret})
	}
	for _, v := range r.values() {
		if v.isSecret(r) && v.isLiteral() && p.where(v.field).file == "" && !p.expansion.ofPreset[v.field] {
			warnings = append(warnings, Warning{v.field, literalSecret})
		}
		for _, variable := range v.references(partVariable) {
			if text, ok := v.environment.LookupEnv(variable.text); ok && strings.HasSuffix(text, "\n") {
				warnings = append(warnings, Warning{v.field, "the environment variable " + shownName(variable.text) + " ends with a newline, which is part of the value"})
			}
		}
	}
	return warnings
}

// isCredential reports whether a header proves who sends it.
func (v *value) isCredential() bool {
	return slices.Contains(secretParameters, strings.ToLower(v.name))
}

func (v *value) isSecret(r *request) bool {
	if v == r.clientSecret || v == r.refreshToken || r.jwt != nil && v == r.jwt.key {
		return true
	}
	return v.isCredential()
}
