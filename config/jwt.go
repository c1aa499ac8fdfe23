package config

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// JWT is what signs assertions (RFC 7523) or tokens: a private key, and what the
// JWT says. It is used where `auth_method` is `private_key_jwt` or
// `client_secret_jwt`, where `source` is `self_signed`, and where a value holds
// `{jwt}`. Each JWT is signed anew, retries too. It has the claims `iat` and
// `exp`; as proof of the client's identity also `iss` and `sub` (the client_id),
// `aud` (the token_url) and `jti` (a new UUID).
type JWT struct {
	// The algorithm (RFC 7518 §3.1): `RS256`, `PS256`, `ES256`, `EdDSA`, `HS256`,
	// or one of the longer ones of these families. Required; `client_secret_jwt`
	// has `HS256` by default.
	Alg Template `json:"alg,omitempty"`

	// A file that holds the private key: PEM (PKCS #1, PKCS #8 or SEC 1, not
	// encrypted) or a JSON Web Key; for `HS256` and the like the secret itself. It
	// is read each time that something is signed, so a rotated key needs no reload.
	KeyFile Path `json:"key_file,omitempty"`

	// The key itself, instead of `key_file`: refer to it by `{env.NAME}`, or by
	// `{json.PATH#MEMBER}` for one in a JSON file. Line breaks may be written `\n`.
	Key Template `json:"key,omitempty"`

	// The key's identifier, `kid` (RFC 7515 §4.1.4). Default: the one in a JSON
	// Web Key, else none.
	KeyID Template `json:"key_id,omitempty"`

	// A PEM file that holds the certificate of the key, followed by its chain.
	CertificateFile Path `json:"certificate_file,omitempty"`

	// How the JWT names the certificate: `x5t#S256` (RFC 7515 §4.1.8), `x5t`
	// (SHA-1, §4.1.7) or `none`. Default: `x5t#S256` if there is a certificate.
	Thumbprint Template `json:"thumbprint,omitempty"`

	// Whether the JWT holds the certificate and its chain, `x5c` (RFC 7515 §4.1.6).
	// Default: no.
	X5C bool `json:"x5c,omitempty"`

	// Further claims by name, or other values for those that are set by default:
	// any JSON. An empty one leaves the claim out; `{now}` alone is a number.
	Claims map[string]JSONTemplate `json:"claims,omitempty"`

	// Further members of the header (RFC 7515 §4).
	Header map[string]Template `json:"header,omitempty"`

	// How long a JWT is valid: `exp` is `iat` plus this. At least `1s`, more than
	// `iat_skew`, and at most `24h`. Default: `5m`.
	TTL Duration `json:"ttl,omitzero"`

	// The unit of `exp`: `s`, or `ms` for services that want milliseconds.
	// Default: `s`.
	ExpUnit Template `json:"exp_unit,omitempty"`

	// How far `iat` lies before now, for servers whose clock is slow: they refuse a
	// JWT from the future. In the claims `iat` and `nbf`, `{now}` and `{now_ms}` are
	// earlier by the same time; any other value is used as it is. `exp` counts from
	// `iat`, so a JWT is valid for `ttl` minus this. `0` for none, at most `1h`.
	// Default: `10s`.
	IatSkew *Skew `json:"iat_skew,omitempty"`
}

const (
	maxAssertionTTL  = 24 * time.Hour
	maxAssertionSkew = time.Hour
)

func (j *JWT) isSet() bool { return !reflect.ValueOf(*j).IsZero() }

func (j *JWT) hasKey() bool { return j.Key != "" || j.KeyFile != "" }

// ownHeaders are the members of a JOSE header that fields stand for, or that
// change what a JWT means.
var ownHeaders = map[string]string{
	"alg": "alg", "kid": "key_id", "x5t": "thumbprint", "x5t#S256": "thumbprint", "x5c": "x5c", "crit": "", "b64": "", "jwk": "",
}

// signs reports whether something is signed with the jwt block.
func (r *request) signs() bool {
	return r.provesIdentity() || r.source == sourceSelfSigned || r.refersToJWT()
}

// completeJWT looks for what is missing, or is there for nothing.
func (p *Provider) completeJWT(f *faults, r *request) {
	j, secret := &p.JWT, r.authMethod == tokens.ClientSecretJWT
	if !j.isSet() {
		if r.signs() && !secret {
			f.add("jwt", "is missing: a JWT must be signed; write a block with alg and key_file")
		}
		return
	}
	if !r.signs() {
		f.add("jwt", "is not used: set auth_method private_key_jwt or source self_signed, or write {jwt} where the JWT goes")
	}
	if !secret && !j.hasKey() {
		f.add("jwt.key_file", "required, but missing or empty")
	}
	if !secret && j.Alg == "" {
		f.add("jwt.alg", "required, but missing: write the algorithm that the server expects, such as RS256")
	}
	named := r.jwt.Thumbprint != tokens.ThumbprintNone
	switch {
	case j.CertificateFile == "" && (named || j.X5C):
		f.add("jwt.certificate_file", "required by thumbprint and x5c, but missing")
	case j.CertificateFile != "" && !named && !j.X5C:
		f.add("jwt.certificate_file", "is not used: set thumbprint or x5c")
	}
}

// validateJWT looks for what is contradictory or out of bounds.
func (p *Provider) validateJWT(f *faults, r *request) {
	j, secret := &p.JWT, r.authMethod == tokens.ClientSecretJWT
	switch {
	case secret && j.hasKey():
		f.add("jwt.key", "is set, but client_secret_jwt signs with client_secret; remove one of them")
	case j.Key != "" && j.KeyFile != "":
		f.add("jwt.key_file", "is set beside jwt.key; keep one of them")
	}
	alg := ""
	if r.jwt != nil {
		alg = r.jwt.Algorithm
	}
	switch symmetric := strings.HasPrefix(alg, "HS"); {
	case alg == "":
	case secret && !symmetric:
		f.add("jwt.alg", "must be HS256, HS384 or HS512 for client_secret_jwt")
	case r.authMethod == tokens.PrivateKeyJWT && symmetric:
		f.add("jwt.alg", "must not sign with a secret for private_key_jwt; use one such as RS256")
	}
	for _, name := range sorted(j.Header) {
		field, own := ownHeaders[name]
		switch {
		case own && field != "":
			f.add("jwt.header."+shownName(name), "set the field jwt.%s instead", field)
		case own || name == "":
			f.add("jwt.header", "a name is empty, or one that cannot be set here")
		case j.Header[name] == "":
			f.add("jwt.header."+shownName(name), "is empty")
		}
	}
	for _, name := range sorted(j.Claims) {
		switch {
		case name == "":
			f.add("jwt.claims", "a name is empty")
		case strings.Contains(name, "{") || hasBraceInName(j.Claims[name].decode()):
			f.add("jwt.claims", "a name holds a brace; placeholders can stand in values only")
		}
	}
	ttl, skew := j.effectiveTTL(), j.effectiveSkew()
	switch {
	case ttl < time.Second || ttl > maxAssertionTTL:
		f.add("jwt.ttl", "must be at least 1s and at most 24h")
	case ttl <= skew && skew <= maxAssertionSkew:
		f.add("jwt.ttl", "must be more than iat_skew, which is %v, because exp counts from iat", skew)
	}
	if skew < 0 || skew > maxAssertionSkew {
		f.add("jwt.iat_skew", "must be at most 1h")
	}
}

// effectiveTTL is the time from iat to exp.
func (j *JWT) effectiveTTL() time.Duration {
	return cmp.Or(time.Duration(j.TTL), tokens.DefaultAssertionTTL)
}

// effectiveSkew is the time from iat to now.
func (j *JWT) effectiveSkew() time.Duration {
	if j.IatSkew == nil {
		return tokens.DefaultAssertionSkew
	}
	return time.Duration(*j.IatSkew)
}

// refersToJWT reports whether a value holds {jwt}.
func (r *request) refersToJWT() bool {
	return slices.ContainsFunc(r.values(), func(v *value) bool { return len(v.references(partJWT)) > 0 })
}
