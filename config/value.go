package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A value is one value of a token request. It implements tokens.Value.
type value struct {
	// field is the value's path in the provider, name its name on the wire.
	field, name string
	parts       []part
	environment Environment
	// request is what the value is part of: {token_url} and {jwt} are in it.
	request *request
	// check is the rule that what was read must obey; a breach is a
	// ValidationError if invalid is set.
	check   func(string) error
	invalid bool
	// circular says that the value is part of itself; see request.findCircles.
	circular bool
}

// Format implements fmt.Formatter: a tokens.Client that is printed shows none of
// its values.
func (value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokens.Redacted) }

// value parses one value. It is nil if nothing is configured, or if that is wrong.
func (p *Provider) value(f *faults, environment Environment, field string, parse func() ([]part, error), r *request) *value {
	parts, err := parse()
	for _, part := range parts {
		switch kind := part.kind; {
		case kind == partModel:
			err = errModel
		case (kind == partJWT || kind == partKeyFingerprint) && !f.partial && !p.JWT.isSet() && r.authMethod != tokens.ClientSecretJWT:
			err = errNeedsJWT
		}
	}
	if err != nil {
		f.add(field, "%w", err)
		return nil
	}
	if len(parts) == 0 {
		return nil
	}
	return &value{field: field, parts: parts, environment: environment, request: r}
}

// Read reads the value anew. The error is a *ConfigurationError that wraps
// ErrUnresolvedReference where a variable or a file is unusable, a
// *ConfigurationError or *ValidationError where what was read breaks a rule,
// and the other provider's own error where {token.PROVIDER} fails.
func (v *value) Read(ctx context.Context) (tokens.Secret, error) {
	if v.circular {
		return tokens.Secret{}, v.broken(errCircle)
	}
	var b strings.Builder
	for _, p := range v.parts {
		text, err := v.part(ctx, p)
		if err != nil {
			return tokens.Secret{}, err
		}
		b.WriteString(text)
	}
	if v.check != nil {
		if err := v.check(b.String()); err != nil {
			return tokens.Secret{}, v.broken(err)
		}
	}
	return tokens.NewSecret(b.String()), nil
}

func (v *value) part(ctx context.Context, p part) (string, error) {
	switch r := v.request; {
	case p.kind == partTokenURL && r.tokenURL == nil:
		return "", v.broken(errors.New("{token_url} needs a token_url that is valid"))
	case p.kind == partTokenURL:
		address, err := r.tokenURL.Read(ctx)
		return address.Reveal(), err
	case p.kind == partJWT && r.jwt != nil:
		signed, err := r.jwt.Read(ctx)
		return signed.Reveal(), err
	case p.kind == partKeyFingerprint && r.jwt != nil:
		return r.jwt.fingerprint(ctx)
	}
	text, err := v.environment.read(ctx, p)
	if errors.Is(err, ErrUnresolvedReference) {
		return "", v.request.misconfigured(v.field, err)
	}
	return text, err
}

func (v *value) broken(err error) error {
	if v.invalid {
		return v.request.provider.invalid(v.request.name, v.field, err)
	}
	return v.request.misconfigured(v.field, err)
}

// verify reads the value as far as that needs no network, and signs nothing: the token
// of another provider, a JWT and the token_url are looked at on their own.
func (v *value) verify() error {
	known := true
	for _, p := range v.parts {
		if v.request.isElsewhere(p) {
			known = false
			continue
		}
		if _, err := v.part(context.Background(), p); err != nil {
			return err
		}
	}
	if !known {
		return nil
	}
	_, err := v.Read(context.Background())
	return err
}

// isElsewhere reports whether a part of a value is not to be read to verify it.
func (r *request) isElsewhere(p part) bool {
	return p.kind == partJWT || p.kind == partToken || p.kind == partTokenURL && r.tokenURL != nil ||
		p.kind == partKeyFingerprint && r.jwt != nil && r.needsToken(r.jwt.key)
}

// references lists what the value refers to in one way.
func (v *value) references(kind partKind) []part {
	var found []part
	for _, p := range v.parts {
		if p.kind == kind {
			found = append(found, p)
		}
	}
	return found
}

// path is the path of the file whose content the value is, if it is that.
func (v *value) path() string {
	if v == nil || len(v.parts) != 1 || v.parts[0].kind != partFile {
		return ""
	}
	path, _ := v.environment.path(v.parts[0])
	return path
}

// isLiteral reports whether the value stands in the configuration itself.
func (v *value) isLiteral() bool {
	return len(v.references(partLiteral)) == len(v.parts)
}

// orNil keeps a missing value from becoming an interface that is not nil.
func (v *value) orNil() tokens.Value {
	if v == nil {
		return nil
	}
	return v
}

func named(values []*value) []tokens.Parameter {
	if len(values) == 0 {
		return nil
	}
	parameters := make([]tokens.Parameter, len(values))
	for i, v := range values {
		parameters[i] = tokens.Parameter{Name: v.name, Value: v}
	}
	return parameters
}

// Interface guard
var _ tokens.Value = (*value)(nil)
