package config

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

const (
	maxTimeout = 5 * time.Minute
	maxRetries = 10
)

// validate finds everything that is wrong with a provider and its token request. It
// reads variables and files, and touches no network.
func (p *Provider) validate(f *faults, r *request) {
	if err := checkName(f.name); err != nil {
		f.add("", "%w", err)
	}
	p.validateCredentials(f, r)
	p.completePreset(f)
	p.completeJWT(f, r)
	p.completeCertificate(f, r)
	if r.grantType == tokens.GrantRefreshToken && r.refreshToken == nil {
		f.add("grant_type", "refresh_token needs the field refresh_token")
	}
	readable := true
	for _, v := range r.values() {
		if v.circular {
			continue // a fault already
		}
		if err := v.verify(); err != nil {
			f.errs = append(f.errs, err)
			readable = false
		}
	}
	p.validateRequest(f, r)
	if r.jwt != nil && readable && len(f.errs) == 0 && !r.needsToken(slices.Concat(r.jwt.header, []*value{r.jwt.key, r.jwt.keyID, r.jwt.certificate})...) {
		if err := r.jwt.check(); err != nil {
			f.errs = append(f.errs, err)
		}
	}
	p.validateLimits(f)
	p.TokenResponse.validate(f)
	p.validatePlace(f)
	p.HeaderUp.validate(f, p.effectivePlace())
	p.validateTransports(f)
	p.validateModels(f)
}

// secretless are the methods that send no client_secret.
var secretless = []tokens.AuthMethod{tokens.NoAuthentication, tokens.PrivateKeyJWT, tokens.TLSClientAuth}

// validateCredentials looks for what is missing, empty or there twice.
func (p *Provider) validateCredentials(f *faults, r *request) {
	asked := r.source == sourceRequest
	needless := slices.Contains(secretless, r.authMethod)
	// Other grants prove who asks by themselves, and so does a header that is made
	// elsewhere.
	anonymous := r.authMethod == tokens.NoAuthentication &&
		(r.grantType != tokens.GrantClientCredentials || slices.ContainsFunc(r.header, (*value).isCredential))
	var missing []string
	for _, required := range []struct {
		field    string
		value    Template
		file     Path
		needless bool
	}{
		{"client_id", p.ClientID, p.ClientIDFile, anonymous || !asked},
		{"client_secret", p.ClientSecret, p.ClientSecretFile, needless || !asked},
		{"token_url", p.TokenURL, "", !asked},
		{"refresh_token", p.RefreshToken, p.RefreshTokenFile, true},
	} {
		switch {
		case required.value != "" && required.file != "":
			f.add(required.field+"_file", "is set beside %s; keep one of them", required.field)
		case required.value == "" && required.file == "" && !required.needless:
			missing = append(missing, required.field)
		}
	}
	if len(missing) > 0 {
		f.add(strings.Join(missing, ", "), "required, but missing or empty")
	}
	// A secret that is never sent is a mistake in one of the two.
	unsent := map[string]bool{"client_secret": p.ClientSecret != "", "client_secret_file": p.ClientSecretFile != ""}
	for _, field := range sorted(unsent) {
		if needless && unsent[field] {
			f.add(field, "is set, but auth_method %s does not send it; remove one of them", r.authMethod)
		}
	}
}

// completePreset looks for the fields that a preset leaves to its user.
func (p *Provider) completePreset(f *faults) {
	set := make(map[string]bool)
	visit(reflect.ValueOf(p).Elem(), "", func(field string, _ reflect.Value) bool {
		set[field] = true
		return false
	})
	for _, field := range p.expansion.required {
		if !set[field] && !set[field+"_file"] {
			f.add(field, "required, but missing or empty; the preset needs %s", p.expansion.needs)
		}
	}
}

// completeCertificate looks for the certificate that proves the client's identity.
func (p *Provider) completeCertificate(f *faults, r *request) {
	if r.authMethod != tokens.TLSClientAuth {
		return
	}
	var transport struct {
		Protocol string `json:"protocol"`
		TLS      struct {
			File     string `json:"client_certificate_file"`
			Automate string `json:"client_certificate_automate"`
		} `json:"tls"`
	}
	_ = json.Unmarshal(p.TokenRequest.Transport, &transport)
	if p.TokenRequest.Transport == nil || transport.Protocol == "http" && transport.TLS.File == "" && transport.TLS.Automate == "" {
		f.add("token_request.transport", "has no client certificate, which auth_method tls_client_auth needs; set tls_client_auth in it")
	}
}

// checkHeaderNames looks for names that cannot be set, and returns the canonical
// ones that can. A wrong name is not repeated: it may be a header with its value.
func checkHeaderNames(f *faults, field string, headers map[string][]Template) []string {
	var names []string
	for _, name := range sorted(headers) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !IsHeaderName(name):
			f.add(field, "invalid header name")
		case isConnectionHeader(name):
			f.add(field+"."+name, "belongs to the connection and cannot be set here")
		case slices.Contains(names, canonical):
			f.add(field+"."+name, "is set twice, in different spellings")
		case len(headers[name]) == 0:
			f.add(field+"."+name, "has no value")
		default:
			names = append(names, canonical)
		}
	}
	return names
}

// validateLimits also checks limits that did not come from JSON.
func (p *Provider) validateLimits(f *faults) {
	if timeout := time.Duration(p.TokenRequest.Timeout); timeout < 0 || timeout > maxTimeout {
		f.add("token_request.timeout", "must be above 0 and at most 5m")
	}
	if retries := p.effectiveRetries(); retries < 0 || retries > maxRetries {
		f.add("token_request.retries", "must be from 0 to %d", maxRetries)
	}
	if slices.ContainsFunc(p.TokenRequest.RetryOn, func(status int) bool { return status < 400 || status > 599 }) {
		f.add("token_request.retry_on", "a status must be from 400 to 599")
	}
	if p.RefreshBefore < 0 {
		f.add("refresh_before", "must be above 0, or auto")
	}
}

func (p *Provider) validatePlace(f *faults) {
	if p.Place.Query != "" {
		p.validateQueryPlace(f)
		return
	}
	switch place := p.effectivePlace(); {
	case !IsHeaderName(place.Header):
		f.add("place.header", "must be a header name")
	case isConnectionHeader(place.Header):
		f.add("place.header", "%s belongs to the connection: a token in it would not arrive", place.Header)
	case strings.HasPrefix(place.Prefix, osEnviron) || strings.Contains(place.Prefix, "{"):
		f.add("place.prefix", "is taken literally, and may hold no placeholder")
	default:
		if err := checkHeaderValue(place.Prefix); err != nil {
			f.add("place.prefix", "%w", err)
		}
	}
}

func (p *Provider) validateQueryPlace(f *faults) {
	switch {
	case p.Place.Header != "" || p.Place.Prefix != nil:
		f.add("place.query", "is set beside place.header; keep one of them")
	case strings.ContainsFunc(p.Place.Query, func(r rune) bool { return r <= ' ' || r >= 0x7F || strings.ContainsRune("&=#+%;{}", r) }):
		f.add("place.query", "must be the plain name of a query parameter")
	}
}
