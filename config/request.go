package config

import (
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A request is everything that shapes a provider's token request: values that
// are read anew for each attempt, and words that are fixed when the
// configuration is loaded.
type request struct {
	provider *Provider
	name     string
	// all are the requests of the providers whose tokens this one may hold.
	all requests

	tokenURL, clientID, clientSecret, refreshToken, scope *value
	parameters, header                                    []*value

	body *structure
	// jwt is what {jwt} stands for, nil if nothing signs.
	jwt *assertion
	// source is one of the kinds of Source, tokenFile the file of sourceFile.
	source    string
	tokenFile *value

	authMethod tokens.AuthMethod
	grantType  string
	method     string
	encoding   tokens.Encoding
}

// requests are token requests by the name of their provider.
type requests map[string]*request

// request makes the token request of a provider whose preset is filled in. A value that
// cannot be parsed is reported as a fault and left nil.
func (p *Provider) request(f *faults, environment Environment, all requests) *request {
	environment = environment.complete()
	r := &request{provider: p, name: f.name, all: all}
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

	r.body = newStructure(p.TokenRequest.Body, func(parse func() ([]part, error)) *value { return read("token_request.body", parse) })
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
	r.findCircles(f)
	return r
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
	text, err := t.constant(environment, partVariable)
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
	guess := ""
	if near := Nearest(text, known); near != "" {
		guess = "; did you mean " + near + "?"
	}
	f.add(field, "must be one of %s%s", strings.Join(known, ", "), guess)
	return standard
}

// client is what asks the token endpoint.
func (r *request) client() *tokens.Client {
	p := r.provider
	client := &tokens.Client{
		Provider:     r.name,
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
		Timeout:      p.effectiveTimeout(),
		RetryOn:      p.TokenRequest.RetryOn,
		Response:     p.TokenResponse.rules(),
		Unrepeatable: r.provesIdentity() || r.refersToJWT(),
		Signed:       r.signs(),
	}
	if r.body != nil {
		client.Body = r.body
	}
	if r.provesIdentity() {
		client.ClientAssertion = r.jwt.orNil()
	}
	return client
}
