package tokens

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A prepared request and the secrets in it.
type prepared struct {
	request *http.Request
	// endpoint is the URL without its query, for the operator.
	endpoint  string
	scope     string
	sensitive sensitive
}

// prepare reads all values and renders the token request.
func (c *Client) prepare(ctx context.Context, grantType string, refreshToken Secret) (*prepared, error) {
	p := &prepared{}
	parameters := url.Values{}
	header := http.Header{}
	if grantType != GrantNone {
		parameters.Set("grant_type", grantType)
	}
	if grantType == GrantRefreshToken {
		p.sensitive.add(refreshToken)
		parameters.Set("refresh_token", refreshToken.Reveal())
	} else if !c.Unrepeatable {
		// The request is safe to repeat, so net/http may do so when a
		// kept-alive connection turns out to be closed. A field
		// without a value says so and is not sent.
		header["Idempotency-Key"] = []string{}
	}
	scope, err := read(ctx, c.Scope)
	if err != nil {
		return nil, err
	}
	// An empty parameter counts as omitted (RFC 6749 §3.2): it is not sent.
	if p.scope = scope.Reveal(); p.scope != "" {
		parameters.Set("scope", p.scope)
	}
	if err := c.authenticate(ctx, p, parameters, header); err != nil {
		return nil, err
	}
	for _, parameter := range c.Parameters {
		value, err := read(ctx, parameter.Value)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(publicParameters, parameter.Name) {
			p.sensitive.add(value)
		}
		parameters.Set(parameter.Name, value.Reveal())
	}
	for _, field := range c.Header {
		value, err := read(ctx, field.Value)
		if err != nil {
			return nil, err
		}
		p.sensitive.add(value)
		header.Add(field.Name, value.Reveal())
	}
	setDefault(header, "Accept", "application/json")
	setDefault(header, "User-Agent", "caddy-oauth2-llm")
	return p, c.render(ctx, p, parameters, header)
}

// publicParameters hold no secret: a server that names one in an error text
// helps whoever reads the log.
var publicParameters = []string{
	"audience", "resource", "requested_token_type", "subject_token_type", "actor_token_type", "client_assertion_type",
}

// authenticate adds what proves the client's identity, in one place only
// (RFC 6749 §2.3).
func (c *Client) authenticate(ctx context.Context, p *prepared, parameters url.Values, header http.Header) error {
	id, err := read(ctx, c.ClientID)
	if err != nil {
		return err
	}
	secret, err := read(ctx, c.ClientSecret)
	if err != nil {
		return err
	}
	p.sensitive.add(secret)
	switch orDefault(c.AuthMethod, ClientSecretPost) {
	case ClientSecretBasic:
		p.basic(header, url.QueryEscape(id.Reveal()), url.QueryEscape(secret.Reveal()))
	case ClientSecretBasicRaw:
		p.basic(header, id.Reveal(), secret.Reveal())
	case ClientSecretJWT, PrivateKeyJWT:
		assertion, err := read(ctx, c.ClientAssertion)
		if err != nil {
			return err
		}
		p.sensitive.add(assertion)
		parameters.Set("client_id", id.Reveal())
		parameters.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		parameters.Set("client_assertion", assertion.Reveal())
	case ClientSecretPost:
		if !secret.Empty() {
			parameters.Set("client_secret", secret.Reveal())
		}
		fallthrough
	default:
		if !id.Empty() {
			parameters.Set("client_id", id.Reveal())
		}
	}
	return nil
}

func (p *prepared) basic(header http.Header, id, secret string) {
	credentials := base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
	p.sensitive.add(NewSecret(credentials))
	header.Set("Authorization", "Basic "+credentials)
}

// render puts the parameters where the encoding wants them.
func (c *Client) render(ctx context.Context, p *prepared, parameters url.Values, header http.Header) error {
	address, err := read(ctx, c.TokenURL)
	if err != nil {
		return err
	}
	target, err := url.Parse(address.Reveal())
	if err != nil || target.Host == "" {
		// The cause of url.Parse holds the whole URL, its query too.
		return &AuthenticationError{Provider: c.Provider, Code: CodeRefused, Err: errors.New("token_url must be an absolute URL")}
	}
	p.endpoint = (&url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path}).String()
	for _, values := range target.Query() {
		for _, value := range values {
			p.sensitive.add(NewSecret(value))
		}
	}

	body := ""
	switch orDefault(c.Encoding, EncodingForm) {
	case EncodingForm:
		body = parameters.Encode()
		setDefault(header, "Content-Type", "application/x-www-form-urlencoded")
	case EncodingJSON:
		if body, err = c.jsonBody(ctx, p, parameters); err != nil {
			return err
		}
		setDefault(header, "Content-Type", "application/json")
	case EncodingQuery:
		// The endpoint's own query must be kept (RFC 6749 §3.2).
		if target.RawQuery != "" && len(parameters) > 0 {
			target.RawQuery += "&"
		}
		target.RawQuery += parameters.Encode()
	case EncodingNone:
	}

	p.request, err = http.NewRequestWithContext(ctx, orDefault(c.Method, http.MethodPost), target.String(), strings.NewReader(body))
	if err != nil {
		return &AuthenticationError{Provider: c.Provider, Code: CodeRefused, Err: errors.New("the token request cannot be made from token_url and method")}
	}
	if body == "" {
		p.request.Body, p.request.GetBody, p.request.ContentLength = http.NoBody, nil, 0
	}
	p.request.Header = header
	return nil
}

// jsonBody makes one JSON object of the parameters and of what nests.
func (c *Client) jsonBody(ctx context.Context, p *prepared, parameters url.Values) (string, error) {
	members := make(map[string]any, len(parameters))
	nested, err := read(ctx, c.Body)
	if err != nil {
		return "", err
	}
	if !nested.Empty() {
		// Numbers stay as they are written.
		decoder := json.NewDecoder(strings.NewReader(nested.Reveal()))
		decoder.UseNumber()
		// null is read without an error, and leaves no map.
		if err := decoder.Decode(&members); err != nil || members == nil || decoder.More() {
			return "", &AuthenticationError{Provider: c.Provider, Code: CodeRefused, Err: errors.New("the body of the token request must be a JSON object")}
		}
		p.sensitive.addNested(members)
	}
	for name := range parameters {
		members[name] = parameters.Get(name)
	}
	encoded, err := json.Marshal(members)
	return string(encoded), err
}

func setDefault(header http.Header, name, value string) {
	if header.Get(name) == "" {
		header.Set(name, value)
	}
}

// read reads a value that may not be configured.
func read(ctx context.Context, value Value) (Secret, error) {
	if value == nil {
		return Secret{}, nil
	}
	return value.Read(ctx)
}
