package tokens

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
)

// An Identity names credentials in the storage, and seals what is kept for them.
// Both come from the credentials themselves: whoever has the same finds and reads
// the same, wherever they stand, and nobody else does.
type Identity struct {
	id  string
	key []byte
}

// NewIdentity derives an identity from a secret. kind separates different uses of one
// secret; about is everything else that determines the stored record, such as the other
// values of a token request. Neither the ID nor the key reveals the secret or each other.
func NewIdentity(kind string, secret Secret, about string) (Identity, error) {
	derived, err := hkdf.Extract(sha256.New, []byte(secret.Reveal()), []byte(kind+"\x00"+about))
	if err != nil {
		return Identity{}, err
	}
	id, err := hkdf.Expand(sha256.New, derived, "id", sha256.Size/2)
	if err != nil {
		return Identity{}, err
	}
	key, err := hkdf.Expand(sha256.New, derived, "key", sha256.Size)
	return Identity{hex.EncodeToString(id), key}, err
}

// ID is the identity's name in keys of the storage: 32 hexadecimal digits.
func (i Identity) ID() string { return i.id }

// IsZero reports whether it is the zero value, which identifies nothing.
func (i Identity) IsZero() bool { return i.id == "" }

// An envelope is a sealed record as it stands in the storage.
type envelope struct {
	Version int    `json:"v"`
	Sealed  []byte `json:"sealed"`
}

const envelopeVersion = 1

// errUnreadable is about a record that cannot be opened: torn, of a newer version,
// or sealed for something else.
var errUnreadable = errors.New("the record cannot be read")

// seal encrypts a record for one key of the storage.
func (i Identity) seal(key string, record any) ([]byte, error) {
	plain, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	cipher, err := i.cipher()
	if err != nil {
		return nil, err
	}
	//nolint:gosec // the nonce is random and the cipher's own
	return json.Marshal(envelope{envelopeVersion, cipher.Seal(nil, nil, plain, i.associated(key))})
}

// open decrypts a record that was sealed for the same key.
func (i Identity) open(key string, content []byte, record any) error {
	var e envelope
	if err := json.Unmarshal(content, &e); err != nil || e.Version != envelopeVersion {
		return errUnreadable
	}
	cipher, err := i.cipher()
	if err != nil {
		return err
	}
	plain, err := cipher.Open(nil, nil, e.Sealed, i.associated(key))
	if err != nil {
		return errUnreadable
	}
	if err := json.Unmarshal(plain, record); err != nil {
		return errUnreadable
	}
	return nil
}

func (i Identity) cipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(i.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// associated binds a record to its version and key: one that was moved is unreadable.
func (Identity) associated(key string) []byte { return []byte("oauth2_llm v1 " + key) }
