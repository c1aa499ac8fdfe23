package tokens

import (
	"context"
	"crypto/sha1" //nolint:gosec // x5t is SHA-1 (RFC 7515 §4.1.7)
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// DefaultAssertionTTL is the life of an assertion, from its iat on.
	DefaultAssertionTTL = 5 * time.Minute
	// DefaultAssertionSkew is how long before now the iat of an assertion is, so that
	// a server whose clock is behind does not take it for one of the future.
	DefaultAssertionSkew = 10 * time.Second
)

// A Thumbprint says how a JWT names the certificate of its key.
type Thumbprint string

const (
	// ThumbprintNone names no certificate.
	ThumbprintNone Thumbprint = "none"
	// ThumbprintSHA1 is x5t (RFC 7515 §4.1.7).
	ThumbprintSHA1 Thumbprint = "x5t"
	// ThumbprintSHA256 is x5t#S256 (RFC 7515 §4.1.8).
	ThumbprintSHA256 Thumbprint = "x5t#S256"
)

// An Assertion is a JWT that proves something to a server (RFC 7523), or is a
// token itself. It is a Value: it is signed anew each time that it is read, so
// that a retried request never repeats one and a rotated key is used at once.
type Assertion struct {
	// Algorithm is one of Algorithms.
	Algorithm string
	// Key is the private key or secret; see Algorithms.
	Key Value
	// KeyID is kid. Default: the one that the key itself has, if it has one.
	KeyID Value
	// Certificate is the certificate of the key as PEM, with its chain.
	// Thumbprint names it in the JWT; Chain puts all of it in (x5c).
	Certificate Value
	Thumbprint  Thumbprint
	Chain       bool
	// Claims read as JSON. One without a value, null or "", is left out; any
	// takes the place of iat and exp.
	Claims []Parameter
	// Header are further members of the JOSE header.
	Header []Parameter
	// TTL is the time from iat to exp, DefaultAssertionTTL if 0; Skew that from iat
	// to now.
	TTL, Skew time.Duration
	// Milliseconds writes exp in milliseconds.
	Milliseconds bool
}

// An AssertionError says which part of an Assertion is wrong. It holds nothing
// of its values.
type AssertionError struct {
	// Part is "key", "certificate", "claims" or "alg".
	Part string
	// Err is the cause.
	Err error
}

func (e *AssertionError) Error() string { return e.Part + " " + e.Err.Error() }

// Unwrap returns the cause.
func (e *AssertionError) Unwrap() error { return e.Err }

// Read signs a new JWT. The error is an *AssertionError, or the error of a Value that
// could not be read.
func (a *Assertion) Read(ctx context.Context) (Secret, error) {
	signer, err := a.signer(ctx)
	if err != nil {
		return Secret{}, err
	}
	claims, err := a.claims(ctx)
	if err != nil {
		return Secret{}, err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return Secret{}, &AssertionError{"claims", errors.New("must be JSON")}
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return Secret{}, &AssertionError{"key", errors.New("cannot sign")}
	}
	compact, err := signed.CompactSerialize()
	return NewSecret(compact), err
}

// Check reads the key and the certificate, and signs nothing.
func (a *Assertion) Check(ctx context.Context) error {
	_, err := a.signer(ctx)
	return err
}

// KeyFingerprint is "SHA256:" and the SHA-256 of the public key in base64.
func (a *Assertion) KeyFingerprint(ctx context.Context) (string, error) {
	key, err := a.key(ctx)
	if err != nil {
		return "", err
	}
	fingerprint, err := key.fingerprint()
	if err != nil {
		return "", &AssertionError{"key", err}
	}
	return fingerprint, nil
}

func (a *Assertion) key(ctx context.Context) (signingKey, error) {
	text, err := read(ctx, a.Key)
	if err != nil {
		return signingKey{}, err
	}
	key, err := readKey(text.Reveal(), a.Algorithm)
	if err != nil {
		return signingKey{}, &AssertionError{"key", err}
	}
	return key, nil
}

func (a *Assertion) signer(ctx context.Context) (jose.Signer, error) {
	key, err := a.key(ctx)
	if err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	id, err := read(ctx, a.KeyID)
	switch {
	case err != nil:
		return nil, err
	case !id.Empty():
		options.WithHeader("kid", id.Reveal())
	case key.id != "":
		options.WithHeader("kid", key.id)
	}
	if err := a.certify(ctx, key, options); err != nil {
		return nil, err
	}
	for _, member := range a.Header {
		value, err := read(ctx, member.Value)
		if err != nil {
			return nil, err
		}
		options.WithHeader(jose.HeaderKey(member.Name), value.Reveal())
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(a.Algorithm), Key: key.forSigner()}, options)
	if err != nil {
		return nil, &AssertionError{"alg", errors.New("must be one of the supported ones")}
	}
	return signer, nil
}

// certify adds the certificate of the key, in the ways that are wanted.
func (a *Assertion) certify(ctx context.Context, key signingKey, options *jose.SignerOptions) error {
	if a.Certificate == nil {
		return nil
	}
	text, err := a.Certificate.Read(ctx)
	if err != nil {
		return err
	}
	chain, err := readCertificates(text.Reveal(), key.key)
	if err != nil {
		return &AssertionError{"certificate", err}
	}
	switch a.Thumbprint {
	case ThumbprintSHA1:
		digest := sha1.Sum(chain[0]) //nolint:gosec // RFC 7515 §4.1.7
		options.WithHeader("x5t", base64.RawURLEncoding.EncodeToString(digest[:]))
	case ThumbprintSHA256:
		digest := sha256.Sum256(chain[0])
		options.WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(digest[:]))
	case ThumbprintNone:
	}
	if a.Chain {
		encoded := make([]string, len(chain))
		for i, certificate := range chain {
			encoded[i] = base64.StdEncoding.EncodeToString(certificate)
		}
		options.WithHeader("x5c", encoded)
	}
	return nil
}

// claims are those of a JWT that is signed now.
func (a *Assertion) claims(ctx context.Context) (map[string]any, error) {
	issued := time.Now().Add(-a.Skew)
	expires := issued.Add(orDefault(a.TTL, DefaultAssertionTTL))
	claims := map[string]any{"iat": issued.Unix(), "exp": expires.Unix()}
	if a.Milliseconds {
		claims["exp"] = expires.UnixMilli()
	}
	for _, claim := range a.Claims {
		value, err := claim.Value.Read(ctx)
		if err != nil {
			return nil, err
		}
		if text := value.Reveal(); text == "" || text == "null" || text == `""` {
			delete(claims, claim.Name)
			continue
		}
		claims[claim.Name] = json.RawMessage(value.Reveal())
	}
	return claims, nil
}

// Interface guard
var _ Value = (*Assertion)(nil)
