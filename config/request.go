package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A request is everything that shapes a provider's token request: values that
// are read anew for each attempt, and words that are fixed when the
// configuration is loaded.
type request struct {
	tokenURL, clientID, clientSecret, refreshToken, scope *value
	parameters, header                                    []*value

	body *structure
	// jwt is what {jwt} stands for, nil if nothing signs.
	jwt *assertion
	// source is one of the kinds of Source, tokenFile the file of SourceFile.
	source    string
	tokenFile *value

	authMethod tokens.AuthMethod
	grantType  string
	method     string
	encoding   tokens.Encoding
}

// request makes the token request of a provider. Values that cannot be parsed
// are among the faults, and missing.
func (p *Provider) request(name string, environment Environment) (*request, *faults) {
	f := &faults{provider: p, name: name}
	environment = environment.complete()
	r := &request{}
	if p.Preset != "" || len(p.Vars) > 0 {
		f.add("preset", "is not filled in: call Providers.Expand first")
	}

	r.authMethod = word(f, environment, "auth_method", p.AuthMethod, tokens.ClientSecretPost,
		tokens.ClientSecretPost, tokens.ClientSecretBasic, tokens.ClientSecretBasicRaw, tokens.ClientSecretJWT, tokens.PrivateKeyJWT,
		tokens.TLSClientAuth, tokens.NoAuthentication)
	r.tokenURL = p.value(f, environment, "token_url", p.TokenURL.parse, r)
	if r.tokenURL != nil {
		r.tokenURL.check, r.tokenURL.invalid = checkURL, true
	}
	read := func(field string, parse func() ([]part, error)) *value {
		return p.value(f, environment, field, parse, r)
	}
	either := func(field string, t Template, file Path) *value {
		if file != "" {
			return read(field+"_file", file.parse)
		}
		return read(field, t.parse)
	}
	r.clientID = either("client_id", p.ClientID, p.ClientIDFile)
	r.clientSecret = either("client_secret", p.ClientSecret, p.ClientSecretFile)
	r.jwt = p.assertion(f, environment, r)
	r.refreshToken = either("refresh_token", p.RefreshToken, p.RefreshTokenFile)
	if r.scope = read("scope", p.Scope.parse); r.scope != nil {
		r.scope.check, r.scope.invalid = checkScope, true
	}
	for _, name := range sorted(p.TokenRequest.Params) {
		if v := read("token_request.params."+shownName(name), p.TokenRequest.Params[name].parse); v != nil {
			v.name = name
			r.parameters = append(r.parameters, v)
		}
	}
	for _, name := range sorted(p.TokenRequest.Headers) {
		for _, template := range p.TokenRequest.Headers[name] {
			if v := read("token_request.headers."+shownName(name), template.parse); v != nil {
				v.name, v.check = name, checkHeaderValue
				r.header = append(r.header, v)
			}
		}
	}

	r.body = p.structure(p.TokenRequest.Body, func(parse func() ([]part, error)) *value { return read("token_request.body", parse) })
	var file Path
	var err error
	if r.source, file, err = p.Source.parse(); err != nil {
		f.add("source", "%w", err)
	}
	r.tokenFile = read("source", file.parse)

	r.grantType = word(f, environment, "grant_type", p.GrantType, tokens.GrantClientCredentials)
	r.method = word(f, environment, "token_request.method", p.TokenRequest.Method, "POST", "POST", "GET", "PUT", "PATCH")
	standard := tokens.EncodingForm
	if r.body != nil {
		standard = tokens.EncodingJSON
	}
	r.encoding = word(f, environment, "token_request.encoding", p.TokenRequest.Encoding, standard,
		tokens.EncodingForm, tokens.EncodingJSON, tokens.EncodingQuery, tokens.EncodingNone)
	return r, f
}

// values lists all values of the request in a fixed order.
func (r *request) values() []*value {
	all := present(r.tokenURL, r.clientID, r.clientSecret, r.refreshToken, r.scope)
	all = append(append(all, r.parameters...), r.header...)
	all = append(all, r.bodyValues()...)
	return append(append(all, present(r.tokenFile)...), r.jwt.values()...)
}

func (r *request) bodyValues() []*value {
	if r.body == nil {
		return nil
	}
	return r.body.values
}

// present lists those values that are there.
func present(values ...*value) []*value {
	return slices.DeleteFunc(values, func(v *value) bool { return v == nil })
}

// word resolves a template that is one word, of a few if there are any.
func word[T ~string](f *faults, environment Environment, field string, t Template, standard T, words ...T) T {
	text, err := t.constant(environment, partVariable, partVar)
	if err != nil {
		f.add(field, "%w", err)
		return standard
	}
	if text == "" {
		return standard
	}
	if len(words) == 0 || slices.Contains(words, T(text)) {
		return T(text)
	}
	known := make([]string, len(words))
	for i, w := range words {
		known[i] = string(w)
	}
	f.add(field, "is none of %s", strings.Join(known, ", "))
	return standard
}

// A value is one value of a token request. It implements tokens.Value.
type value struct {
	provider     *Provider
	providerName string
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
}

// Format implements fmt.Formatter: a tokens.Client that is printed shows none of
// its values.
func (value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokens.Redacted) }

// value parses one value. It is nil if nothing is configured, or nonsense.
func (p *Provider) value(f *faults, environment Environment, field string, parse func() ([]part, error), r *request) *value {
	parts, err := parse()
	for _, part := range parts {
		switch kind := part.kind; {
		case kind == partTokenURL && field == "token_url":
			err = errors.New("{token_url} cannot stand in token_url itself")
		case kind == partModel:
			err = errModel
		case kind == partJWT && strings.HasPrefix(field, "jwt."):
			err = errors.New("{jwt} cannot stand in jwt itself")
		case (kind == partJWT || kind == partKeyFingerprint) && !p.JWT.isSet() && r.authMethod != tokens.ClientSecretJWT:
			err = errNeedsJWT
		case kind == partKeyFingerprint && strings.HasPrefix(field, "jwt.key"):
			err = errors.New("{key_fingerprint} cannot stand in the key itself")
		}
	}
	if err != nil {
		f.add(field, "%w", err)
		return nil
	}
	if len(parts) == 0 {
		return nil
	}
	return &value{provider: p, providerName: f.name, field: field, parts: parts, environment: environment, request: r}
}

// Read reads the value anew. The error is a *ConfigurationError that wraps
// ErrUnresolvedReference where a variable or a file gives nothing, a
// *ConfigurationError or *ValidationError where what was read breaks a rule,
// and the other provider's own error where {token.PROVIDER} fails.
func (v *value) Read(ctx context.Context) (tokens.Secret, error) {
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
		return "", v.broken(errors.New("{token_url} stands for a token_url that is missing or wrong"))
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
		return "", v.provider.misconfigured(v.providerName, v.field, err)
	}
	return text, err
}

func (v *value) broken(err error) error {
	if v.invalid {
		return v.provider.invalid(v.providerName, v.field, err)
	}
	return v.provider.misconfigured(v.providerName, v.field, err)
}

// verify reads the value as far as that needs no network: the token of another
// provider is not asked for, and nothing is signed.
func (v *value) verify() error {
	if len(v.references(partToken)) == 0 && len(v.references(partJWT)) == 0 {
		_, err := v.Read(context.Background())
		return unlessNotAsked(err)
	}
	for _, p := range v.parts {
		if p.kind == partToken || p.kind == partJWT {
			continue
		}
		if _, err := v.part(context.Background(), p); unlessNotAsked(err) != nil {
			return err
		}
	}
	return nil
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

// Client builds what asks for the provider's tokens. The error is that of
// Validate, as far as the token request is concerned.
func (p *Provider) Client(name string, environment Environment) (*tokens.Client, error) {
	r, f := p.request(name, environment)
	if err := errors.Join(f.errs...); err != nil {
		return nil, err
	}
	if r.tokenURL == nil {
		return nil, p.misconfigured(name, "token_url", errors.New("required, but missing or empty"))
	}
	client := &tokens.Client{
		Provider:     name,
		TokenURL:     r.tokenURL.orNil(),
		AuthMethod:   r.authMethod,
		GrantType:    r.grantType,
		ClientID:     r.clientID.orNil(),
		ClientSecret: r.clientSecret.orNil(),
		RefreshToken: r.refreshToken.orNil(),
		Scope:        r.scope.orNil(),
		Parameters:   named(r.parameters),
		Header:       named(r.header),
		Method:       r.method,
		Encoding:     r.encoding,
		Timeout:      p.EffectiveTimeout(),
		RetryOn:      p.TokenRequest.RetryOn,
		Response:     p.TokenResponse.rules(),
	}
	if r.body != nil {
		client.Body = r.body
	}
	if r.authMethod == tokens.PrivateKeyJWT || r.authMethod == tokens.ClientSecretJWT {
		client.ClientAssertion = r.jwt.orNil()
	}
	return client, nil
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
