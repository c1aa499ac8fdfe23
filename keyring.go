package oauth2llm

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// keyInterval is how long a key that is in a file may be out of date.
const keyInterval = time.Second

// A keyring holds the keys of a directive. Those that come from files are read
// again while requests come, so that a key is issued or revoked without a
// reload.
type keyring struct {
	configured  map[string]ClientKey
	environment config.Environment
	logger      *zap.Logger

	keys atomic.Pointer[clientKeys]
	// fromFiles says that there is something to read again, readAt when that was
	// done last, after start: the wall clock can be set back.
	fromFiles bool
	start     time.Time
	readAt    atomic.Int64
	reading   sync.Mutex
	// refused are the clients whose keys could not be used.
	refused map[string]bool
}

// newKeyring reads the configured keys. Every one of them must be there.
func newKeyring(configured map[string]ClientKey, environment config.Environment, logger *zap.Logger) (*keyring, error) {
	keys, err := readClientKeys(configured, environment)
	if err != nil {
		return nil, err
	}
	k := &keyring{configured: configured, environment: environment, logger: logger, start: time.Now(), refused: make(map[string]bool)}
	for _, key := range configured {
		k.fromFiles = k.fromFiles || key.Key.HasFile()
	}
	k.keys.Store(&keys)
	return k, nil
}

// empty reports whether no keys are configured.
func (k *keyring) empty() bool { return len(k.configured) == 0 }

// current are the keys that are good now.
func (k *keyring) current() clientKeys {
	if k.fromFiles && time.Since(k.start)-time.Duration(k.readAt.Load()) >= keyInterval && k.reading.TryLock() {
		k.read()
		k.reading.Unlock()
	}
	return *k.keys.Load()
}

// read reads the keys again. One that cannot be read, or is another client's by
// now, is good no longer; the others stay.
func (k *keyring) read() {
	var keys clientKeys
	for _, name := range slices.Sorted(maps.Keys(k.configured)) {
		key, err := keys.read(name, k.configured[name], k.environment)
		if err == nil {
			keys = append(keys, key)
		} else if !k.refused[name] {
			k.logger.Error("a client is refused until its key can be used", zap.String("client_key", name), zap.Error(err))
		}
		k.refused[name] = err != nil
	}
	k.keys.Store(&keys)
	k.readAt.Store(int64(time.Since(k.start)))
}
