package oauth2llm

import (
	"crypto/sha256"
	"crypto/subtle"
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
	// The key itself, or a placeholder for it: `{env.NAME}` or
	// `{file./path}`. An empty or unset value is an error.
	Key config.Template `json:"key"`
}

// clientKeys tells which client a request comes from.
type clientKeys []clientKey

type clientKey struct {
	name   string
	digest [sha256.Size]byte
	// placeholder is the name as placeholders hold it.
	placeholder any
}

// readClientKeys resolves the configured keys.
func readClientKeys(configured map[string]ClientKey, environment config.Environment) (clientKeys, error) {
	var keys clientKeys
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		value, err := configured[name].Key.Resolve(environment)
		switch {
		case err != nil:
			return nil, clientKeyError(name, err)
		case name == "":
			return nil, clientKeyError(name, errors.New("has no name"))
		case value.Empty():
			return nil, clientKeyError(name, errors.New("the value is empty"))
		case strings.TrimSpace(value.Reveal()) != value.Reveal():
			return nil, clientKeyError(name, errors.New("the value begins or ends with white space, which no header keeps"))
		}
		keys = append(keys, clientKey{name: name, digest: sha256.Sum256([]byte(value.Reveal())), placeholder: name})
	}
	for i, key := range keys {
		for _, other := range keys[:i] {
			if key.digest == other.digest {
				return nil, clientKeyError(key.name, fmt.Errorf("has the value of client_key %s; a client would be taken for the other", other.name))
			}
		}
	}
	return keys, nil
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

// clientKeyHeaders are where a client may put its key: OpenAI's clients use
// the first, Anthropic's one of the first two, Azure's the last.
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
