package clientkey

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// keyInterval is how long a key that is in a file may be out of date.
const keyInterval = time.Second

// A Keyring holds the keys of a directive. Those that come from files are read
// again while requests come, so that a key is issued or revoked without a
// reload.
type Keyring struct {
	configured  map[string]Declared
	environment config.Environment
	logger      *zap.Logger

	keys atomic.Pointer[Keys]
	// fromFiles says that there is something to read again, readAt when that was
	// done last, after start: the wall clock can be set back.
	fromFiles bool
	start     time.Time
	readAt    atomic.Int64
	reading   sync.Mutex
	// last is what was read last, of all clients in the order of their names.
	last []keyReading
}

// New reads the configured keys. Every one of them must be there.
func New(configured map[string]Declared, environment config.Environment, logger *zap.Logger) (*Keyring, error) {
	k := &Keyring{configured: configured, environment: environment, logger: logger, start: time.Now()}
	readings := readClientKeys(configured, environment)
	errs := make([]error, len(readings))
	for i := range readings {
		errs[i] = readings[i].err()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, key := range configured {
		k.fromFiles = k.fromFiles || key.hasFile()
	}
	k.use(readings)
	return k, nil
}

// Empty reports whether no keys are configured.
func (k *Keyring) Empty() bool { return len(k.configured) == 0 }

// Current returns the keys that are good now.
func (k *Keyring) Current() Keys {
	if k.fromFiles && time.Since(k.start)-time.Duration(k.readAt.Load()) >= keyInterval && k.reading.TryLock() {
		k.read()
		k.reading.Unlock()
	}
	return *k.keys.Load()
}

// read reads the keys again. What cannot be used is good no longer; the rest
// stays.
func (k *Keyring) read() {
	readings := readClientKeys(k.configured, k.environment)
	for i := range readings {
		k.report(&k.last[i], &readings[i])
	}
	k.use(readings)
	k.readAt.Store(int64(time.Since(k.start)))
}

// use makes what was read the keys that are good.
func (k *Keyring) use(readings []keyReading) {
	var keys Keys
	for _, r := range readings {
		for _, digest := range r.digests {
			keys = append(keys, issuedKey{digest: digest, client: r.client})
		}
	}
	k.last = readings
	k.keys.Store(&keys)
}

// Warn logs which keys work and are a risk.
func (k *Keyring) Warn() {
	for i := range k.last {
		name := k.last[i].client.Name
		if k.configured[name].isExposed() {
			k.logger.Warn("the key stands in the configuration, where whoever can read that sees it: use {env.NAME} or {file.PATH}", zap.String("client_key", name))
		}
		k.warnShort(&k.last[i])
	}
}

func (k *Keyring) warnShort(r *keyReading) {
	if r.short {
		k.logger.Warn("a key has fewer than 16 bytes and can be guessed: make one with `caddy oauth2-llm key`", zap.String("client_key", r.client.Name))
	}
}

// report says what has become of a client's keys since they were read before.
func (k *Keyring) report(before, now *keyReading) {
	changed, err := !slices.Equal(before.digests, now.digests), now.err()
	another := reason(before.err()) != reason(err)
	name, count := zap.String("client_key", now.client.Name), zap.Int("keys", len(now.digests))
	switch {
	case another && err != nil && len(now.digests) == 0:
		k.logger.Error("a client is refused until its key can be used", name, zap.Error(err))
	case another && err != nil:
		k.logger.Error("a key of a client cannot be used; its other keys can", name, count, zap.Error(err))
	case another:
		k.logger.Info("the keys of a client can be used again", name, count)
	case changed:
		k.logger.Info("the keys of a client have changed", name, count)
	}
	if changed {
		k.warnShort(now)
	}
}

// reason is the text of an error, empty if there is none.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
