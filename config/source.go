package config

import (
	"errors"
	"strings"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A Source says where a provider's tokens come from: `request`, `self_signed`, or
// `file` and a path.
type Source string

// The kinds of sources.
const (
	SourceRequest    = "request"
	SourceSelfSigned = "self_signed"
	SourceFile       = "file"
)

// parse splits the source into its kind and the path of a file.
func (s Source) parse() (kind string, file Path, err error) {
	kind, path, _ := strings.Cut(string(s), " ")
	path = strings.TrimSpace(path)
	switch {
	case s == "":
		return SourceRequest, "", nil
	case kind == SourceFile && path != "":
		return SourceFile, Path(path), nil
	case (kind == SourceRequest || kind == SourceSelfSigned) && path == "":
		return kind, "", nil
	}
	return SourceRequest, "", errors.New("must be one of request, self_signed, file PATH")
}

// ResolvePaths returns the source with a relative path made absolute against a
// folder.
func (s Source) ResolvePaths(folder string) Source {
	kind, file, err := s.parse()
	if err != nil || kind != SourceFile {
		return s
	}
	return Source(SourceFile + " " + string(file.ResolvePaths(folder)))
}

// validateSource refuses fields of a token request where none is made.
func (p *Provider) validateSource(f *faults, r *request) {
	if r.source == SourceRequest {
		return
	}
	unused := map[string]bool{
		"client_id":             p.ClientID != "",
		"client_id_file":        p.ClientIDFile != "",
		"client_secret":         p.ClientSecret != "",
		"client_secret_file":    p.ClientSecretFile != "",
		"token_url":             p.TokenURL != "",
		"scope":                 p.Scope != "",
		"refresh_token":         p.RefreshToken != "",
		"refresh_token_file":    p.RefreshTokenFile != "",
		"auth_method":           p.AuthMethod != "",
		"grant_type":            p.GrantType != "",
		"token_request":         p.TokenRequest.isSet(),
		"token_response.token":  len(p.TokenResponse.Token) > 0,
		"token_response.expiry": len(p.TokenResponse.Expiry) > 0,
	}
	for _, field := range sorted(unused) {
		if unused[field] {
			f.add(field, "is not used: with source %s no token endpoint is asked", r.source)
		}
	}
}

// Fetcher builds what obtains a provider's tokens, and logs its warnings to
// logger. Where that is a token endpoint, complete may add what the configuration
// does not hold, such as the transport. The error is that of Validate.
func (p Providers) Fetcher(name string, environment Environment, logger *zap.Logger, complete func(*tokens.Client)) (tokens.Fetcher, error) {
	r, err := p.request(name, environment)
	if err != nil {
		return nil, err
	}
	provider := p[name]
	switch r.source {
	case SourceSelfSigned:
		if r.jwt == nil {
			return nil, provider.misconfigured(name, "jwt", errors.New("is missing: a JWT must be signed; write a block with alg and key_file"))
		}
		return &tokens.SelfSigned{Provider: name, JWT: r.jwt.orNil(), TTL: r.jwt.TTL - r.jwt.Skew, Response: provider.TokenResponse.rules()}, nil
	case SourceFile:
		return &tokens.TokenFile{
			Provider: name, File: r.tokenFile.orNil(), Path: shownPath(r.tokenFile.path()), Response: provider.TokenResponse.rules(), Logger: logger,
		}, nil
	}
	client, err := provider.client(name, r)
	if err != nil {
		return nil, err
	}
	client.Logger = logger
	client.Identity, err = p.Identity(name, environment)
	if _, own := errors.AsType[*NotShareableError](err); err != nil && !own {
		return nil, err
	}
	if complete != nil {
		complete(client)
	}
	return client, nil
}
