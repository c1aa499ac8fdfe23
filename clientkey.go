package oauth2llm

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// A ClientKey is a key that a client of the gateway presents. It has nothing
// to do with the credentials of providers.
type ClientKey struct {
	// The key itself, its hash as `sha256:<64 hexadecimal digits>`, or a
	// placeholder for one of them: `{env.NAME}` or `{file./path}`. A file is read
	// again when it changes, within a second, so that keys are issued and revoked
	// without a reload. An empty or unset value is an error.
	Key config.Template `json:"key"`

	// The models that this client may use: `<provider>/<model>`, in which `*`
	// stands for anything. A request without a model needs a pattern that ends in
	// `/*` for its provider. Default: all.
	Models []string `json:"models,omitempty"`
}

// clientKeys tells which client a request comes from.
type clientKeys []clientKey

type clientKey struct {
	name   string
	digest [sha256.Size]byte
	// placeholder is the name as placeholders hold it.
	placeholder any
	// models are the patterns of what it may use, nil for all.
	models []string
}

// mayUse reports whether a client may use a model of a provider. Without a
// client, because something else authenticates, all may be used.
func (k *clientKey) mayUse(provider, model string) bool {
	return k == nil || k.models == nil || matchesAny(k.models, provider+"/"+model)
}

// readClientKeys resolves the configured keys, in the order of their names.
func readClientKeys(configured map[string]ClientKey, environment config.Environment) (clientKeys, error) {
	var keys clientKeys
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		key, err := keys.read(name, configured[name], environment)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// read resolves one more key, which must be none of the others.
func (keys clientKeys) read(name string, configured ClientKey, environment config.Environment) (clientKey, error) {
	value, err := configured.Key.Resolve(environment)
	switch {
	case err != nil:
		return clientKey{}, clientKeyError(name, err)
	case name == "":
		return clientKey{}, clientKeyError(name, errors.New("has no name"))
	case value.Empty():
		return clientKey{}, clientKeyError(name, errors.New("the value is empty"))
	case strings.TrimSpace(value.Reveal()) != value.Reveal():
		return clientKey{}, clientKeyError(name, errors.New("the value begins or ends with white space, which no header keeps"))
	}
	if configured.Models != nil && len(configured.Models) == 0 {
		return clientKey{}, clientKeyError(name, errors.New("models is empty: leave it out, or name one"))
	}
	digest, err := keyDigest(value.Reveal())
	if err != nil {
		return clientKey{}, clientKeyError(name, err)
	}
	for _, other := range keys {
		if other.digest == digest {
			return clientKey{}, clientKeyError(name, fmt.Errorf("has the value of client_key %s; a client would be taken for the other", other.name))
		}
	}
	return clientKey{name: name, digest: digest, placeholder: name, models: configured.Models}, nil
}

// isHash reports whether the configuration holds the hash of a key, which is of
// no use to whoever reads it.
func (c ClientKey) isHash() bool { return strings.HasPrefix(string(c.Key), hashPrefix) }

// hashPrefix begins a value that is the hash of a key.
const hashPrefix = "sha256:"

// keyDigest is the digest of a key, which may be given by its hash.
func keyDigest(value string) (digest [sha256.Size]byte, err error) {
	encoded, hashed := strings.CutPrefix(value, hashPrefix)
	if !hashed {
		return sha256.Sum256([]byte(value)), nil
	}
	if n, err := hex.Decode(digest[:], []byte(encoded)); err != nil || n != sha256.Size || len(encoded) != hex.EncodedLen(sha256.Size) {
		return digest, errors.New("sha256: is followed by something else than 64 hexadecimal digits")
	}
	return digest, nil
}

func clientKeyError(name string, err error) error {
	return &config.ConfigurationError{Field: strings.TrimSpace("client_key " + name), Err: err}
}

// identify returns the client whose key a value is, nil if there is none.
// Digests are compared, all of them, so that the time taken says nothing about
// a key.
func (keys clientKeys) identify(presented string) *clientKey {
	if presented == "" {
		return nil
	}
	var client *clientKey
	digest := sha256.Sum256([]byte(presented))
	for i := range keys {
		if subtle.ConstantTimeCompare(digest[:], keys[i].digest[:]) == 1 {
			client = &keys[i]
		}
	}
	return client
}

// clientKeyHeaders are where the SDKs of LLM APIs put a client's key.
var clientKeyHeaders = [...]string{"Authorization", "X-Api-Key", "Api-Key"}

// A keyHolder says which of the clientKeyHeaders hold a client's key.
type keyHolder [len(clientKeyHeaders)]bool

// remove takes the client's key off a request.
func (k keyHolder) remove(header http.Header) {
	for i, name := range clientKeyHeaders {
		if k[i] {
			delete(header, name)
		}
	}
}

// authenticate finds the client of a request, nil if there is none, and the
// headers that hold its key.
func (keys clientKeys) authenticate(header http.Header) (client *clientKey, holder keyHolder) {
	for i, field := range clientKeyHeaders {
		for _, value := range header[field] {
			if field == "Authorization" {
				scheme, credentials, found := strings.Cut(value, " ")
				if !found || !strings.EqualFold(scheme, "Bearer") {
					continue
				}
				value = strings.TrimSpace(credentials)
			}
			if match := keys.identify(value); match != nil {
				client, holder[i] = match, true
			}
		}
	}
	return client, holder
}
