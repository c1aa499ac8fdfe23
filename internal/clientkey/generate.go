package clientkey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// Generate makes a key of 256 random bits, and the value of client_key that
// stands for it.
func Generate() (key, hash string) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	key = "gw-" + base64.RawURLEncoding.EncodeToString(random)
	digest := sha256.Sum256([]byte(key))
	return key, HashPrefix + hex.EncodeToString(digest[:])
}
