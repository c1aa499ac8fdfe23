package clientkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// HashPrefix begins a value that is the hash of a key.
const HashPrefix = "sha256:"

// shortKey is the length in bytes under which a key is warned about.
const shortKey = 16

// A digest is the SHA-256 digest of a key.
type digest [sha256.Size]byte

// A keyReading is what reading the values of one client gave.
type keyReading struct {
	client *Client
	// digests are those of its keys, each once, in order.
	digests []digest
	// short says that a key is so short that it can be guessed.
	short bool
	// errs are what cannot be used. The rest can.
	errs []error
}

// readClientKeys reads the values of all clients, in the order of their names. A
// key of two clients is one of neither.
func readClientKeys(configured map[string]Declared, environment config.Environment) []keyReading {
	readings := make([]keyReading, 0, len(configured))
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		readings = append(readings, configured[name].read(name, environment))
	}
	refuseShared(readings)
	return readings
}

// read reads the values of one client.
func (c Declared) read(name string, environment config.Environment) keyReading {
	r := keyReading{client: &Client{Name: name, Placeholder: name, Models: c.Models}}
	switch {
	case name == "":
		r.fail(name, errors.New("has no name"))
	case len(c.Key) == 0:
		r.fail(name, errNoKey)
	case c.Models != nil && len(c.Models) == 0:
		r.fail(name, errors.New("models is empty: leave it out, or name one"))
	}
	for i, value := range c.Key {
		where := name
		if len(c.Key) > 1 {
			where = fmt.Sprintf("%s value %d", name, i+1)
		}
		text, err := value.Resolve(environment)
		switch {
		case err != nil:
			r.fail(where, err)
		case value.IsOneFile():
			r.addLines(where, text.Reveal())
		default:
			if err := r.add(text.Reveal()); err != nil {
				r.fail(where, err)
			}
		}
	}
	slices.SortFunc(r.digests, func(a, b digest) int { return bytes.Compare(a[:], b[:]) })
	r.digests = slices.Compact(r.digests)
	return r
}

func (r *keyReading) fail(where string, err error) {
	r.errs = append(r.errs, Error(where, err))
}

// err joins what cannot be used, nil if all can.
func (r *keyReading) err() error { return errors.Join(r.errs...) }

// addLines adds the keys of a file, one a line.
func (r *keyReading) addLines(where, content string) {
	number, found := 0, false
	for line := range strings.SplitSeq(content, "\n") {
		number++
		if line = strings.TrimSuffix(line, "\r"); line == "" {
			continue
		}
		found = true
		if err := r.add(line); err != nil {
			r.fail(where, fmt.Errorf("line %d of the file: %w", number, err))
		}
	}
	if !found {
		r.fail(where, errors.New("the file holds no key"))
	}
}

// add adds a key, which may be given by its hash.
func (r *keyReading) add(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	d, err := keyDigest(key)
	if err != nil {
		return err
	}
	r.digests = append(r.digests, d)
	r.short = r.short || len(key) < shortKey && !strings.HasPrefix(key, HashPrefix)
	return nil
}

// keyDigest is the digest of a key, which may be given by its hash.
func keyDigest(value string) (digest, error) {
	encoded, hashed := strings.CutPrefix(value, HashPrefix)
	if !hashed {
		return sha256.Sum256([]byte(value)), nil
	}
	decoded, err := hex.DecodeString(encoded)
	if err != nil || len(decoded) != sha256.Size {
		return digest{}, errHash
	}
	return digest(decoded), nil
}

var (
	errNoKey      = errors.New("the value is empty")
	errHash       = errors.New("sha256: must be followed by 64 hexadecimal digits; `caddy oauth2-llm key` makes both")
	errByteOrder  = errors.New("the value holds a byte order mark: save it as UTF-8 without one")
	errLineBreak  = errors.New("the value holds a line break: remove it; only a value that is exactly one {file.PATH} may hold several keys, one a line")
	errControl    = errors.New("the value holds a control character, which no header can hold: remove it")
	errWhiteSpace = errors.New("the value begins or ends with white space, which no header keeps")
)

// checkKey refuses a key that no header can hold, or that is not what somebody
// meant to write.
func checkKey(key string) error {
	switch {
	case key == "":
		return errNoKey
	case strings.ContainsRune(key, '\uFEFF'):
		return errByteOrder
	case strings.ContainsAny(key, "\r\n"):
		return errLineBreak
	case strings.ContainsFunc(key, unicode.IsControl):
		return errControl
	case strings.TrimSpace(key) != key:
		return errWhiteSpace
	}
	return nil
}

// refuseShared takes away the keys that several clients have.
func refuseShared(readings []keyReading) {
	owners := make(map[digest][]string)
	for _, r := range readings {
		for _, d := range r.digests {
			owners[d] = append(owners[d], r.client.Name)
		}
	}
	for i := range readings {
		r := &readings[i]
		var others []string
		r.digests = slices.DeleteFunc(r.digests, func(d digest) bool {
			if len(owners[d]) == 1 {
				return false
			}
			others = append(others, owners[d]...)
			return true
		})
		slices.Sort(others)
		for _, other := range slices.Compact(others) {
			if other != r.client.Name {
				r.fail(r.client.Name, fmt.Errorf("has the value of client_key %s, so that nobody can tell whose it is; give each client a key of its own", other))
			}
		}
	}
}
