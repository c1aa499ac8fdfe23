package config

import (
	"net/http"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// validateRequest looks at what shapes the token request, as far as no value needs
// to be read for that.
func (p *Provider) validateRequest(f *faults, r *request) {
	p.validateSource(f, r)
	p.validateJWT(f, r)
	p.validateParams(f, r)
	p.validateHeaders(f, r)
	p.validateEncoding(f, r)
	p.validateBody(f, r)
}

// validateBody looks for what would be sent twice, or not at all.
func (p *Provider) validateBody(f *faults, r *request) {
	const body = "token_request.body"
	if r.body == nil {
		return
	}
	if r.encoding != tokens.EncodingJSON {
		f.add(body, "is sent with token_request.encoding json only")
	}
	members, _ := r.body.root.(map[string]any)
	if members == nil {
		f.add(body, "must be a JSON object")
	}
	if hasBraceInName(r.body.root) {
		f.add(body, "a name holds a brace; placeholders can stand in values only")
	}
	sent := map[string]bool{
		"grant_type":    r.grantType != tokens.GrantNone && !f.mayChange(p.GrantType),
		"client_id":     r.clientID != nil,
		"client_secret": r.clientSecret != nil,
		"scope":         r.scope != nil,
		"refresh_token": r.refreshToken != nil,
	}
	for _, name := range sorted(members) {
		_, twice := p.TokenRequest.Params[name]
		switch {
		case sent[name]:
			f.add(body, "%s is sent already, from the provider's field %[1]s; keep one of them", shownName(name))
		case twice:
			f.add(body, "%s is in token_request.params too; keep one of them", shownName(name))
		case provesTwice(name, r) && !f.mayChange(p.AuthMethod):
			f.add(body, "%s proves the client's identity a second time; set auth_method none", shownName(name))
		}
	}
}

// ownParameters are the parameters that the client sends itself, from the fields of
// the same names.
var ownParameters = []string{"grant_type", "client_id", "client_secret", "scope", "refresh_token"}

func (p *Provider) validateParams(f *faults, r *request) {
	const params = "token_request.params"
	for _, name := range sorted(p.TokenRequest.Params) {
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= 0x20 || r == 0x7F || r == '{' || r == '}' }):
			f.add(params, "a name is empty or holds white space, control characters or braces")
		case slices.Contains(ownParameters, name):
			f.add(join(params, shownName(name)), "set the provider's field %s instead", name)
		case provesTwice(name, r) && !f.mayChange(p.AuthMethod):
			f.add(join(params, shownName(name)), "proves the client's identity a second time; set auth_method none")
		case p.TokenRequest.Params[name] == "":
			f.add(join(params, shownName(name)), "is empty; a parameter without a value counts as omitted (RFC 6749 §3.2)")
		}
	}
}

// provesTwice reports whether a parameter would be a second method of
// authentication in a request, which may have one (RFC 6749 §2.3).
func provesTwice(name string, r *request) bool {
	return strings.HasPrefix(name, "client_assertion") && r.authMethod != tokens.NoAuthentication
}

func (p *Provider) validateHeaders(f *faults, r *request) {
	const headers = "token_request.headers"
	basic := r.authMethod == tokens.ClientSecretBasic || r.authMethod == tokens.ClientSecretBasicRaw
	names := checkHeaderNames(f, headers, p.TokenRequest.Headers)
	if basic && slices.Contains(names, "Authorization") {
		f.add(headers, "Authorization is where auth_method puts the client's credentials; remove the header, or choose another auth_method")
	}
}

// validateEncoding finds what would not be sent.
func (p *Provider) validateEncoding(f *faults, r *request) {
	const encoding = "token_request.encoding"
	if r.method == http.MethodGet && (r.encoding == tokens.EncodingForm || r.encoding == tokens.EncodingJSON) && !f.mayChange(p.TokenRequest.Encoding) {
		f.add(encoding, "a GET request has no body; choose query or none")
	}
	if r.method == http.MethodGet && (r.refreshToken != nil || r.provesIdentity() || r.refersToJWT()) {
		// net/http repeats a GET request where a kept-alive connection breaks.
		f.add("token_request.method", "a GET request may be sent twice, which a refresh token or a JWT must not be; choose POST")
	}
	if r.encoding != tokens.EncodingNone {
		return
	}
	unsent := map[string]bool{
		"token_request.params": len(p.TokenRequest.Params) > 0,
		"scope":                p.Scope != "",
		"refresh_token":        p.RefreshToken != "",
		"refresh_token_file":   p.RefreshTokenFile != "",
	}
	if r.provesIdentity() {
		unsent["auth_method"] = true
	}
	for _, field := range sorted(unsent) {
		if unsent[field] {
			f.add(field, "would not be sent, because token_request.encoding is none")
		}
	}
}
