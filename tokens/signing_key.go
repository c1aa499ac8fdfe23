package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// minimumRSABits is the shortest RSA key that may sign (RFC 7518 §3.3).
const minimumRSABits = 2048

// minimumSecretBytes is the shortest secret that may sign. RFC 7518 §3.2 wants as
// many as the hash has, 32 and more; some services give out 16.
const minimumSecretBytes = 16

// A signingKey is a private key, or the bytes of a secret.
type signingKey struct {
	key any
	// id is the key's own identifier, if it has one.
	id string
}

// Algorithms lists the algorithms that assertions can be signed with (RFC 7518
// §3.1, RFC 8037).
func Algorithms() []string {
	return []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
	}
}

// readKey reads the key for an algorithm: PEM with PKCS #1, PKCS #8 or SEC 1, or
// a JWK; for HS256 and the like a JWK or the secret itself. Its errors hold
// nothing of the key.
func readKey(text, algorithm string) (signingKey, error) {
	key, err := parseKey(text, strings.HasPrefix(algorithm, "HS"))
	if err != nil {
		return signingKey{}, err
	}
	return key, checkKey(key.key, algorithm)
}

func parseKey(text string, symmetric bool) (signingKey, error) {
	isObject := strings.HasPrefix(strings.TrimSpace(text), "{")
	switch {
	case symmetric && strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN "):
		return signingKey{}, errors.New("is PEM, not a secret; choose an algorithm such as RS256 for a private key")
	// A secret may begin with a brace, too.
	case symmetric && !(isObject && json.Valid([]byte(text))):
		return signingKey{key: []byte(text)}, nil
	case isObject:
		return parseJWK(text)
	}
	key, err := parsePEM(unescapeLines(text))
	return signingKey{key: key}, err
}

// parseJWK reads a JSON Web Key (RFC 7517).
func parseJWK(text string) (signingKey, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal([]byte(text), &jwk); err != nil {
		// The cause may quote the key.
		return signingKey{}, errors.New("is JSON, but not a JSON Web Key (RFC 7517)")
	}
	if jwk.IsPublic() {
		return signingKey{}, errPublicKey
	}
	return signingKey{key: jwk.Key, id: jwk.KeyID}, nil
}

var (
	errPublicKey    = errors.New("is a public key; signing needs the private one")
	errEncryptedKey = errors.New("is encrypted: decrypt it first, with openssl pkey -in FILE -out NEW_FILE")
	errOpenSSHKey   = errors.New("is in OpenSSH's format: convert it with ssh-keygen -p -m PKCS8 -f FILE")
	errNoKey        = errors.New("must be a private key: write PEM (PKCS #1, PKCS #8 or SEC 1), or a JSON Web Key")
)

// unescapeLines makes lines of a PEM text whose line breaks are written as \n, as
// in environment variables and JSON key files.
func unescapeLines(text string) string {
	if text = strings.TrimSpace(text); strings.Contains(text, "\n") {
		return text
	}
	return strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(text)
}

func parsePEM(text string) (any, error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errNoKey
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, errEncryptedKey
		case block.Type == "OPENSSH PRIVATE KEY":
			return nil, errOpenSSHKey
		case block.Type == "CERTIFICATE", block.Type == "EC PARAMETERS":
			// Keys are often kept in one file with these.
			continue
		case strings.HasSuffix(block.Type, "PUBLIC KEY"):
			return nil, errPublicKey
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		return nil, errNoKey
	}
}

// checkKey reports whether a key is one for an algorithm, and long enough.
func checkKey(key any, algorithm string) error {
	kind := keyKind(key)
	if want := kindFor(algorithm); kind != want {
		return fmt.Errorf("is %s, but %s needs %s", kind, algorithm, want)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if bits := k.N.BitLen(); bits < minimumRSABits {
			return fmt.Errorf("has %d bits; an RSA key needs at least %d", bits, minimumRSABits)
		}
	case []byte:
		if len(k) < minimumSecretBytes {
			return fmt.Errorf("is shorter than %d bytes, which is too short to sign with", minimumSecretBytes)
		}
	}
	return nil
}

func kindFor(algorithm string) string {
	switch algorithm {
	case "ES256":
		return "a P-256 key"
	case "ES384":
		return "a P-384 key"
	case "ES512":
		return "a P-521 key"
	case "EdDSA":
		return "an Ed25519 key"
	}
	if strings.HasPrefix(algorithm, "HS") {
		return "a secret"
	}
	return "an RSA key"
}

func keyKind(key any) string {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return "an RSA key"
	case ed25519.PrivateKey:
		return "an Ed25519 key"
	case []byte:
		return "a secret"
	case *ecdsa.PrivateKey:
		if slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, k.Curve) {
			return "a " + k.Params().Name + " key"
		}
	}
	return "a key of another kind"
}

// forSigner is the key as go-jose takes it. It refuses a secret that is shorter
// than the hash, so a short one gets the zeros that HMAC puts behind it by itself
// (RFC 2104 §2): up to 64 bytes, a block of the smallest hash, the MAC is the same.
func (k signingKey) forSigner() any {
	if secret, ok := k.key.([]byte); ok && len(secret) < sha256.BlockSize {
		return append(slices.Clone(secret), make([]byte, sha256.BlockSize-len(secret))...)
	}
	return k.key
}

// fingerprint is the SHA-256 of the public key as SubjectPublicKeyInfo.
func (k signingKey) fingerprint() (string, error) {
	private, ok := k.key.(crypto.Signer)
	if !ok {
		return "", errors.New("is a secret, which has no public key")
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", errNoKey
	}
	digest := sha256.Sum256(spki)
	return "SHA256:" + base64.StdEncoding.EncodeToString(digest[:]), nil
}

// readCertificates reads a chain of certificates, the client's own first, and
// checks that it belongs to the key.
func readCertificates(text string, key any) ([][]byte, error) {
	var chain [][]byte
	for rest := []byte(unescapeLines(text)); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	if len(chain) == 0 {
		return nil, errors.New("holds no certificate in PEM")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, errors.New("holds a certificate that cannot be read")
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("needs a private key; a secret has no certificate")
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil || !bytes.Equal(public, leaf.RawSubjectPublicKeyInfo) {
		return nil, errors.New("is the certificate of another key")
	}
	return chain, nil
}
