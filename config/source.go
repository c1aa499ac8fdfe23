package config

import (
	"errors"
	"strings"
)

// A Source says where a provider's tokens come from: `request`, `self_signed`, or
// `file` and a path.
type Source string

// The kinds of sources.
const (
	sourceRequest    = "request"
	sourceSelfSigned = "self_signed"
	sourceFile       = "file"
)

// parse splits the source into its kind and the path of a file.
func (s Source) parse() (kind string, file Path, err error) {
	kind, path, _ := strings.Cut(string(s), " ")
	path = strings.TrimSpace(path)
	switch {
	case s == "":
		return sourceRequest, "", nil
	case kind == sourceFile && path != "":
		return sourceFile, Path(path), nil
	case (kind == sourceRequest || kind == sourceSelfSigned) && path == "":
		return kind, "", nil
	}
	return sourceRequest, "", errors.New("must be one of request, self_signed, file PATH")
}

// resolvePaths returns the source with a relative path made absolute against a
// folder.
func (s Source) resolvePaths(folder string) Source {
	kind, file, err := s.parse()
	if err != nil || kind != sourceFile {
		return s
	}
	return Source(sourceFile + " " + string(file.ResolvePaths(folder)))
}

// validateSource refuses fields of a token request where none is made.
func (p *Provider) validateSource(f *faults, r *request) {
	if r.source == sourceRequest {
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
