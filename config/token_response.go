package config

import (
	"slices"
	"strings"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A TokenResponse says where the token endpoint's response holds the token, and
// when that expires. Places are gjson paths, such as `data.token`, or names of
// headers, such as `header:X-Subject-Token`.
type TokenResponse struct {
	// Where the token is; the first place that holds something counts.
	// Default: `access_token`.
	Token []string `json:"token,omitempty"`

	// What says when the token ends; the first that says it counts. 0, and what is
	// neither a number nor a date, says nothing; a negative number and a date that has
	// passed are errors. Behind these the `exp` claim of a token that is a JWT counts.
	// Default: `expires_in`, in `seconds`.
	Expiry []ExpiryRule `json:"expiry,omitempty"`

	// Lifetime assumed when neither the response nor the token states one. Default: `5m`.
	DefaultTTL Duration `json:"default_ttl,omitzero"`

	// The longest lifetime; a longer one is cut to it. Default: `24h`.
	MaxTTL Duration `json:"max_ttl,omitzero"`
}

// An ExpiryRule is a place in the answer, and how to read what it holds.
type ExpiryRule struct {
	// The place.
	Path string `json:"path,omitempty"`

	// `seconds` from now, `unix` or `unix_ms` (seconds or milliseconds since 1970),
	// `rfc3339` (a date), or `auto`, which tells them apart by their size.
	Unit string `json:"unit,omitempty"`
}

// rules are the rules of the configuration, with defaults filled in.
func (t *TokenResponse) rules() tokens.TokenResponse {
	rules := tokens.TokenResponse{Token: t.Token, DefaultTTL: time.Duration(t.DefaultTTL), MaxTTL: time.Duration(t.MaxTTL)}
	for _, rule := range t.Expiry {
		rules.Expiry = append(rules.Expiry, tokens.ExpiryRule{Path: rule.Path, Unit: tokens.ExpiryUnit(rule.Unit)})
	}
	return rules.WithDefaults()
}

// validate looks for places and units that there cannot be.
func (t *TokenResponse) validate(f *faults) {
	for _, place := range t.Token {
		checkPlace(f, "token_response.token", place)
	}
	units := tokens.ExpiryUnits()
	for _, rule := range t.Expiry {
		checkPlace(f, "token_response.expiry", rule.Path)
		if !slices.Contains(units, tokens.ExpiryUnit(rule.Unit)) {
			f.add("token_response.expiry", "a unit must be one of seconds, unix, unix_ms, rfc3339, auto")
		}
	}
	if t.DefaultTTL < 0 {
		f.add("token_response.default_ttl", "must be above 0")
	}
	if t.MaxTTL < 0 {
		f.add("token_response.max_ttl", "must be above 0")
	}
}

func checkPlace(f *faults, field, place string) {
	header, isHeader := strings.CutPrefix(place, "header:")
	if place == "" || isHeader && !IsHeaderName(header) {
		f.add(field, "a path is empty, or has no header name; write one such as access_token, data.token or header:X-Token")
	}
}
