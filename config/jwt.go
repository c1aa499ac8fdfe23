package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

	// A file that holds the certificate of the key, PEM, its chain behind it.
	CertificateFile Path `json:"certificate_file,omitempty"`

	// How the JWT names the certificate: `x5t#S256` (RFC 7515 §4.1.8), `x5t`
	// (SHA-1, §4.1.7) or `none`. Default: `x5t#S256` if there is a certificate.
	Thumbprint Template `json:"thumbprint,omitempty"`

	// Whether the JWT holds the certificate and its chain, `x5c` (RFC 7515 §4.1.6).
	// Default: no.
	X5C bool `json:"x5c,omitempty"`

	// Further claims by name, or others in place of those that it has by itself:
	// any JSON. An empty one leaves the claim out; `{now}` alone is a number.
	Claims map[string]JSONTemplate `json:"claims,omitempty"`

	// Further members of the header (RFC 7515 §4).
	Header map[string]Template `json:"header,omitempty"`

	// How long a JWT is valid, at most `24h`. Default: `5m`.
	TTL Duration `json:"ttl,omitzero"`

	// The unit of `exp`: `s`, or `ms` for services that want milliseconds.
	// Default: `s`.
	ExpUnit Template `json:"exp_unit,omitempty"`

	// How long before now `iat` is, for servers whose clock is behind, at most
	// `1h`. Default: 0.
	IatSkew Duration `json:"iat_skew,omitzero"`
}

const (
	maxAssertionTTL  = 24 * time.Hour
	maxAssertionSkew = time.Hour
)

func (j *JWT) isSet() bool { return !reflect.ValueOf(*j).IsZero() }

func (j *JWT) hasKey() bool { return j.Key != "" || j.KeyFile != "" }

// An assertion is the tokens.Assertion of a provider. Its errors name the
// provider's field.
type assertion struct {
	tokens.Assertion
	provider *Provider
	name     string
	// keyField is where the key comes from.
	keyField string

	key, keyID, certificate *value
	claims                  []*structure
	header                  []*value
}

// assertion makes what signs, or nil if nothing does.
func (p *Provider) assertion(f *faults, environment Environment, r *request) *assertion {
	if !p.JWT.isSet() && r.authMethod != tokens.ClientSecretJWT {
		return nil
	}
	j := &p.JWT
	a := &assertion{provider: p, name: f.name, keyField: "jwt.key"}
	read := func(field string, parse func() ([]part, error)) *value {
		return p.value(f, environment, field, parse, r)
	}
	switch {
	case r.authMethod == tokens.ClientSecretJWT:
		a.key, a.keyField = r.clientSecret, "client_secret"
		if p.ClientSecretFile != "" {
			a.keyField = "client_secret_file"
		}
	case j.KeyFile != "":
		a.key, a.keyField = read("jwt.key_file", j.KeyFile.parse), "jwt.key_file"
	default:
		a.key = read("jwt.key", j.Key.parse)
	}
	a.keyID = read("jwt.key_id", j.KeyID.parse)
	a.certificate = read("jwt.certificate_file", j.CertificateFile.parse)
	for _, name := range sorted(j.Claims) {
		claim := p.structure(j.Claims[name], func(parse func() ([]part, error)) *value {
			return read("jwt.claims."+shownName(name), parse)
		})
		if claim != nil {
			claim.name = name
			a.claims = append(a.claims, claim)
		}
	}
	for _, name := range sorted(j.Header) {
		if v := read("jwt.header."+shownName(name), j.Header[name].parse); v != nil {
			v.name = name
			a.header = append(a.header, v)
		}
	}
	standard := ""
	if r.authMethod == tokens.ClientSecretJWT {
		standard = "HS256"
	}
	thumbprint := tokens.ThumbprintNone
	if j.CertificateFile != "" {
		thumbprint = tokens.ThumbprintSHA256
	}
	a.Assertion = tokens.Assertion{
		Algorithm:    word(f, environment, "jwt.alg", j.Alg, standard, tokens.Algorithms()...),
		Key:          a.key.orNil(),
		KeyID:        a.keyID.orNil(),
		Certificate:  a.certificate.orNil(),
		Thumbprint:   word(f, environment, "jwt.thumbprint", j.Thumbprint, thumbprint, tokens.ThumbprintNone, tokens.ThumbprintSHA1, tokens.ThumbprintSHA256),
		Chain:        j.X5C,
		Claims:       append(r.identityClaims(environment), namedStructures(a.claims)...),
		Header:       named(a.header),
		TTL:          time.Duration(j.TTL),
		Skew:         time.Duration(j.IatSkew),
		Milliseconds: word(f, environment, "jwt.exp_unit", j.ExpUnit, "s", "s", "ms") == "ms",
	}
	return a
}

// identityClaims are the claims of a JWT that proves the client's identity
// (RFC 7523 §3, OpenID Connect Core §9).
func (r *request) identityClaims(environment Environment) []tokens.Parameter {
	if r.authMethod != tokens.PrivateKeyJWT && r.authMethod != tokens.ClientSecretJWT {
		return nil
	}
	return []tokens.Parameter{
		{Name: "iss", Value: quoted{r.clientID.orNil()}},
		{Name: "sub", Value: quoted{r.clientID.orNil()}},
		{Name: "aud", Value: quoted{r.tokenURL.orNil()}},
		{Name: "jti", Value: quoted{uuidValue(environment.UUID)}},
	}
}

// quoted is a value as a JSON string.
type quoted struct{ tokens.Value }

func (q quoted) Read(ctx context.Context) (tokens.Secret, error) {
	if q.Value == nil {
		return tokens.Secret{}, nil
	}
	text, err := q.Value.Read(ctx)
	if err != nil {
		return tokens.Secret{}, err
	}
	encoded, err := json.Marshal(text.Reveal())
	return tokens.NewSecret(string(encoded)), err
}

// uuidValue is a new UUID each time that it is read.
type uuidValue func() string

func (u uuidValue) Read(context.Context) (tokens.Secret, error) { return tokens.NewSecret(u()), nil }

func namedStructures(structures []*structure) []tokens.Parameter {
	parameters := make([]tokens.Parameter, len(structures))
	for i, s := range structures {
		parameters[i] = tokens.Parameter{Name: s.name, Value: s}
	}
	return parameters
}

// values lists the values of the JWT. A client_secret that signs is the request's.
func (a *assertion) values() []*value {
	if a == nil {
		return nil
	}
	all := present(a.keyID, a.certificate)
	if strings.HasPrefix(a.keyField, "jwt.") {
		all = append(present(a.key), all...)
	}
	for _, claim := range a.claims {
		all = append(all, claim.values...)
	}
	return append(all, a.header...)
}

// orNil keeps a missing assertion from becoming an interface that is not nil.
func (a *assertion) orNil() tokens.Value {
	if a == nil {
		return nil
	}
	return a
}

// Read signs a JWT. The error is a *ConfigurationError that names the field.
func (a *assertion) Read(ctx context.Context) (tokens.Secret, error) {
	signed, err := a.Assertion.Read(ctx)
	return signed, a.explain(err)
}

// check reads key and certificate.
func (a *assertion) check() error { return a.explain(a.Check(context.Background())) }

// fingerprint is what {key_fingerprint} stands for.
func (a *assertion) fingerprint(ctx context.Context) (string, error) {
	fingerprint, err := a.KeyFingerprint(ctx)
	return fingerprint, a.explain(err)
}

// explain says which field is wrong, and which file.
func (a *assertion) explain(err error) error {
	wrong, ok := errors.AsType[*tokens.AssertionError](err)
	if !ok {
		return err
	}
	field, path := "jwt."+wrong.Part, ""
	switch wrong.Part {
	case "key":
		field, path = a.keyField, a.key.path()
	case "certificate":
		field, path = "jwt.certificate_file", a.certificate.path()
	}
	cause := wrong.Err
	if path != "" {
		cause = fmt.Errorf("the file %s %w", shownPath(path), cause)
	}
	return a.provider.misconfigured(a.name, field, cause)
}

// ownHeaders are the members of a JOSE header that fields stand for, or that
// change what a JWT means.
var ownHeaders = map[string]string{
	"alg": "alg", "kid": "key_id", "x5t": "thumbprint", "x5t#S256": "thumbprint", "x5c": "x5c", "crit": "", "b64": "", "jwk": "",
}

// signs reports whether something is signed with the jwt block.
func (r *request) signs() bool {
	return r.authMethod == tokens.PrivateKeyJWT || r.authMethod == tokens.ClientSecretJWT || r.source == SourceSelfSigned || r.refersToJWT()
}

// completeJWT looks for what is missing, or is there for nothing.
func (p *Provider) completeJWT(f *faults, r *request) {
	j, secret := &p.JWT, r.authMethod == tokens.ClientSecretJWT
	if !j.isSet() {
		if r.signs() && !secret {
			f.add("jwt", "is missing: something has to sign")
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
	named := j.Thumbprint != "" && j.Thumbprint != Template(tokens.ThumbprintNone)
	switch {
	case j.CertificateFile == "" && (named || j.X5C):
		f.add("jwt.certificate_file", "is missing: thumbprint and x5c are about a certificate")
	case j.CertificateFile != "" && j.Thumbprint == Template(tokens.ThumbprintNone) && !j.X5C:
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
		f.add("jwt.alg", "signs with a secret; private_key_jwt needs another one, such as RS256")
	}
	for _, name := range sorted(j.Header) {
		field, own := ownHeaders[name]
		switch {
		case own && field != "":
			f.add("jwt.header."+shownName(name), "set the field jwt.%s instead", field)
		case own || name == "":
			f.add("jwt.header", "a name is empty, or one that cannot be set here")
		}
	}
	if _, nameless := j.Claims[""]; nameless {
		f.add("jwt.claims", "a name is empty")
	}
	if j.TTL < 0 || time.Duration(j.TTL) > maxAssertionTTL {
		f.add("jwt.ttl", "must be above 0 and at most 24h")
	}
	if j.IatSkew < 0 || time.Duration(j.IatSkew) > maxAssertionSkew {
		f.add("jwt.iat_skew", "must be above 0 and at most 1h")
	}
}

// refersToJWT reports whether a value holds {jwt}.
func (r *request) refersToJWT() bool {
	return slices.ContainsFunc(r.values(), func(v *value) bool { return len(v.references(partJWT)) > 0 })
}

// Interface guards
var (
	_ tokens.Value = (*assertion)(nil)
	_ tokens.Value = (*structure)(nil)
)
