package config

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// fingerprint is the identity of a provider's token: the SHA-256 of the provider's name
// and of all that shapes its token request, the values of environment variables and the
// fingerprints of {token.PROVIDER} among it. A changed client secret never meets an old
// token. The contents of files are not in it, only their paths: a file may be rotated
// while its token is good. Nor are time limits, retries and what shapes LLM requests.
// Fields that say the same in other words have the same fingerprint.
func (r *request) fingerprint() ([sha256.Size]byte, error) { return newHasher(false).request(r) }

// request is the hash of what shapes a provider's token.
func (h hasher) request(r *request) (sum [sha256.Size]byte, err error) {
	h.write("provider", r.name)
	h.write("auth_method", string(r.authMethod))
	h.write("grant_type", r.grantType)
	h.write("method", r.method)
	h.write("encoding", string(r.encoding))
	h.write("transport", string(r.provider.TokenRequest.Transport))
	h.write("source", r.source)
	h.writeResponse(r.provider.TokenResponse.rules())
	if err := h.writeAssertion(r.jwt); err != nil {
		return sum, err
	}
	if err := h.writeStructure("body", r.body); err != nil {
		return sum, err
	}
	for _, field := range []struct {
		role   string
		values []*value
	}{
		{"token_url", []*value{r.tokenURL}},
		{"client_id", []*value{r.clientID}},
		{"client_secret", []*value{r.clientSecret}},
		{"refresh_token", []*value{r.refreshToken}},
		{"scope", []*value{r.scope}},
		{"parameter", r.parameters},
		{"header", r.header},
		{"token_file", []*value{r.tokenFile}},
	} {
		if err := h.writeValues(field.role, field.values...); err != nil {
			return sum, err
		}
	}
	return h.sum(), nil
}

// writeResponse writes which token is taken out of an answer, and for how long.
func (h hasher) writeResponse(rules tokens.TokenResponse) {
	h.write("token", strings.Join(rules.Token, "\n"))
	for _, rule := range rules.Expiry {
		h.write("expiry", rule.Path, string(rule.Unit))
	}
	h.write("ttl", rules.DefaultTTL.String(), rules.MaxTTL.String())
}

// writeAssertion writes what is signed, and with what.
func (h hasher) writeAssertion(a *assertion) error {
	if a == nil {
		return nil
	}
	h.write("jwt", a.Algorithm, string(a.Thumbprint), fmt.Sprint(a.Chain, a.Milliseconds), a.TTL.String(), a.Skew.String())
	err := errors.Join(h.writeValues("key", a.key), h.writeValues("kid", a.keyID), h.writeValues("certificate", a.certificate),
		h.writeValues("member", a.header...))
	for _, claim := range a.claims {
		err = errors.Join(err, h.writeStructure("claim", claim))
	}
	return err
}

// writeStructure writes JSON: its shape, and the values in it.
func (h hasher) writeStructure(role string, s *structure) error {
	if s == nil {
		return nil
	}
	h.write(role, s.name, s.shape)
	return h.writeValues(role, s.values...)
}

// writeValues writes the values in one role. Names of headers are the same in any
// case.
func (h hasher) writeValues(role string, values ...*value) error {
	for _, v := range values {
		if v == nil {
			continue
		}
		name := v.name
		if role == "header" {
			name = http.CanonicalHeaderKey(name)
		}
		h.write(role, name)
		if err := h.writeValue(v); err != nil {
			return err
		}
	}
	return nil
}

// A hasher is a hash of texts, each with its length: no text can look like
// two, or like another's end.
type hasher struct {
	hash.Hash
	// asRead says that a value is what it reads as now, not what it is made of.
	asRead bool
}

func newHasher(asRead bool) hasher { return hasher{sha256.New(), asRead} }

func (h hasher) write(texts ...string) {
	for _, text := range texts {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		_, _ = h.Write([]byte(text))
	}
}

func (h hasher) sum() (sum [sha256.Size]byte) {
	h.Sum(sum[:0])
	return sum
}

// writeValue writes what a value is made of, or what it reads as.
func (h hasher) writeValue(v *value) error {
	h.write("value")
	if h.asRead {
		return h.writeRead(v)
	}
	for _, p := range v.parts {
		h.write(string(p.kind))
		switch p.kind {
		case partVariable:
			text, err := v.environment.variable(p.text)
			if err != nil {
				return v.request.misconfigured(v.field, err)
			}
			h.write(p.text, text)
		case partFile:
			path, err := v.environment.path(p)
			if err != nil {
				return v.request.misconfigured(v.field, err)
			}
			h.write(path, p.member)
		case partToken:
			if err := h.writeToken(v, p); err != nil {
				return err
			}
		default:
			h.write(p.text)
		}
	}
	return nil
}

// writeToken writes what names the token of another provider.
func (h hasher) writeToken(v *value, p part) error {
	sum, err := newHasher(h.asRead).request(v.request.all[p.text])
	h.write(string(sum[:]))
	return err
}

// secretsDigest returns a function that hashes the present contents of all files that a
// token request is made of, those of the tokens that it holds among them. A file that
// cannot be read is part of the hash as well.
func (r *request) secretsDigest() func() [sha256.Size]byte {
	files := r.files(make(map[string]bool))
	return func() [sha256.Size]byte {
		h := newHasher(false)
		for _, read := range files {
			content, err := read()
			if err != nil {
				h.write("error", err.Error())
				continue
			}
			h.write("content", content)
		}
		return h.sum()
	}
}

// files lists what reads the files of a token request, and of those whose tokens are
// in it.
func (r *request) files(seen map[string]bool) []func() (string, error) {
	if r == nil || seen[r.name] {
		return nil
	}
	seen[r.name] = true
	var files []func() (string, error)
	for _, v := range r.values() {
		for _, file := range v.references(partFile) {
			files = append(files, func() (string, error) { return v.environment.read(context.Background(), file) })
		}
	}
	for _, reference := range r.tokenReferences() {
		files = append(files, r.all[reference.provider].files(seen)...)
	}
	return files
}
