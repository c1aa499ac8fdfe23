package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// An assertion is the tokens.Assertion of a provider. Its errors name the
// provider's field.
type assertion struct {
	tokens.Assertion
	request *request
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
	a := &assertion{request: r, keyField: "jwt.key"}
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
	skewed := environment.before(j.effectiveSkew())
	for _, name := range sorted(j.Claims) {
		clock := environment
		if name == "iat" || name == "nbf" {
			clock = skewed
		}
		claim := newStructure(j.Claims[name], func(parse func() ([]part, error)) *value {
			return p.value(f, clock, "jwt.claims."+shownName(name), parse, r)
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
		TTL:          j.effectiveTTL(),
		Skew:         j.effectiveSkew(),
		Milliseconds: word(f, environment, "jwt.exp_unit", j.ExpUnit, "s", "s", "ms") == "ms",
	}
	return a
}

// provesIdentity reports whether the JWT proves who the client is.
func (r *request) provesIdentity() bool {
	return r.authMethod == tokens.PrivateKeyJWT || r.authMethod == tokens.ClientSecretJWT
}

// identityClaims are the claims of a JWT that proves the client's identity
// (RFC 7523 §3, OpenID Connect Core §9).
func (r *request) identityClaims(environment Environment) []tokens.Parameter {
	if !r.provesIdentity() {
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
	return a.request.misconfigured(field, cause)
}

// Interface guard
var _ tokens.Value = (*assertion)(nil)
