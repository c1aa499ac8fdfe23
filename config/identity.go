package config

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// identity returns what names the token request of a provider, and seals what is
// kept for it, by all values of the request as they read now. A file counts by its
// content, wherever it lies; {uuid}, {now}, {now_ms}, {jwt}, {token_url} and
// {key_fingerprint} count by name, {token.PROVIDER} by the request of that provider.
//
// It is derived from the client_secret, the key that signs, a secret of HS256 too,
// and the configured refresh token, from those that are there. A parameter counts as
// a value, not as a secret, even if it is a password: nothing says which one is. A
// value that holds {token.PROVIDER} or {jwt} is not a secret either: these change.
func (r *request) identity(ctx context.Context) (tokens.Identity, error) {
	secret, err := r.secret(ctx)
	if err != nil {
		return tokens.Identity{}, err
	}
	about, err := newHasher(true).request(r)
	if err != nil {
		return tokens.Identity{}, err
	}
	return tokens.NewIdentity("access_tokens", secret, hex.EncodeToString(about[:]))
}

// notShareable says why no identity can be derived, or why the token may be another one
// on each instance although the request is the same. It is empty where instances can
// share the token.
func (r *request) notShareable() string {
	switch {
	case r.source != sourceRequest:
		return "with source " + r.source + " no token endpoint is asked"
	case len(r.secrets()) == 0:
		return "the token request holds no client_secret, signing key or refresh token"
	}
	for _, reference := range r.tokenReferences() {
		if r.all[reference.provider].differs() {
			return "it needs the token of provider " + shownName(reference.provider) + ", which may differ by instance"
		}
	}
	return ""
}

// differs reports whether the token may be another one on each instance although the
// request is the same. What is self-signed, or read from a file, is the same.
func (r *request) differs() bool {
	if r.source == sourceRequest && len(r.secrets()) == 0 {
		return true
	}
	return slices.ContainsFunc(r.tokenReferences(), func(reference tokenReference) bool { return r.all[reference.provider].differs() })
}

// secrets are the values that an identity can be derived from.
func (r *request) secrets() []*value {
	secrets := present(r.clientSecret, r.refreshToken)
	if r.jwt != nil && r.jwt.key != r.clientSecret {
		secrets = append(secrets, present(r.jwt.key)...)
	}
	lasting := secrets[:0]
	for _, v := range secrets {
		if v.lasts() {
			lasting = append(lasting, v)
		}
	}
	return lasting
}

// lasts reports whether a value reads the same until somebody changes it.
func (v *value) lasts() bool {
	return !slices.ContainsFunc(v.parts, func(p part) bool { return !p.lasts() })
}

// lasts reports whether a part is a text that stands somewhere.
func (p part) lasts() bool {
	return p.kind == partLiteral || p.kind == partVariable || p.kind == partFile
}

// secret is all secrets as they read now, each with its length.
func (r *request) secret(ctx context.Context) (tokens.Secret, error) {
	var all strings.Builder
	for _, v := range r.secrets() {
		text, err := v.Read(ctx)
		if err != nil {
			return tokens.Secret{}, err
		}
		fmt.Fprintf(&all, "%d:%s", len(text.Reveal()), text.Reveal())
	}
	return tokens.NewSecret(all.String()), nil
}

// writeRead writes what a value reads as now: neighbouring texts are one, and what
// is another each time counts by its name.
func (h hasher) writeRead(v *value) error {
	var text strings.Builder
	for _, p := range v.parts {
		if p.lasts() {
			read, err := v.environment.read(context.Background(), p)
			if err != nil {
				return v.request.misconfigured(v.field, err)
			}
			text.WriteString(read)
			continue
		}
		h.write("text", text.String(), string(p.kind))
		text.Reset()
		if p.kind == partToken {
			if err := h.writeToken(v, p); err != nil {
				return err
			}
		}
	}
	h.write("end", text.String())
	return nil
}
