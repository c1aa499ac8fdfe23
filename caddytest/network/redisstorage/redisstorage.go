// Package redisstorage is a storage module of Caddy over Redis, for tests. It does
// what caddy-storage-redis does, as far as it matters to a protocol on top of it:
// values are keys, a sorted set is the index that List reads, the client repeats
// commands that failed, and it is closed when its configuration ends.
package redisstorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
)

func init() { caddy.RegisterModule(new(Storage)) }

// A Storage keeps values in Redis.
type Storage struct {
	// Address of the Redis server, host:port.
	Address string `json:"address"`
	// IndexFirst lists a key before its value is there, as caddy-storage-redis does:
	// a client that is killed in between leaves a key that can be listed, and not
	// loaded.
	IndexFirst bool `json:"index_first,omitempty"`

	client *redis.Client
}

// The names in Redis: the sorted set of all keys, and what stands before a key.
const (
	index  = "index"
	prefix = "value:"
)

// CaddyModule describes the module.
func (*Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.test_redis", New: func() caddy.Module { return new(Storage) }}
}

// Provision makes the client. It does not connect.
func (s *Storage) Provision(caddy.Context) error {
	s.client = redis.NewClient(&redis.Options{Addr: s.Address})
	return nil
}

// Cleanup closes the client.
func (s *Storage) Cleanup() error { return s.client.Close() }

// CertMagicStorage gives the storage to Caddy.
func (s *Storage) CertMagicStorage() (certmagic.Storage, error) { return s, nil }

// UnmarshalCaddyfile reads
//
//	storage test_redis <address> [index_first]
func (s *Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&s.Address) {
		return d.ArgErr()
	}
	if d.NextArg() {
		if d.Val() != "index_first" {
			return d.Errf("unknown order %q", d.Val())
		}
		s.IndexFirst = true
	}
	return nil
}

// Store saves a value and lists its key.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	list := func() error { return s.client.ZAdd(ctx, index, redis.Z{Member: key}).Err() }
	set := func() error { return s.client.Set(ctx, prefix+key, value, 0).Err() }
	if s.IndexFirst {
		return inOrder(list, set)
	}
	return inOrder(set, list)
}

// Load returns a value.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.client.Get(ctx, prefix+key).Bytes()
	return value, notExist(key, err)
}

// Delete deletes a value, and takes its key from the index.
func (s *Storage) Delete(ctx context.Context, key string) error {
	return inOrder(
		func() error { return s.client.ZRem(ctx, index, key).Err() },
		func() error { return s.client.Del(ctx, prefix+key).Err() },
	)
}

// Exists reports whether there is a value.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	n, err := s.client.Exists(ctx, prefix+key).Result()
	return err == nil && n == 1
}

// List returns the keys in a folder.
func (s *Storage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	folder := strings.Trim(path, "/") + "/"
	all, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{Key: index, ByLex: true, Start: "[" + folder, Stop: "(" + folder + "\xff"}).Result()
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, key := range all {
		if name, _, deeper := strings.Cut(strings.TrimPrefix(key, folder), "/"); deeper && !recursive {
			key = folder + name
		}
		if len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return keys, nil
}

// Stat describes a value.
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, err := s.Load(ctx, key)
	return certmagic.KeyInfo{Key: key, Size: int64(len(value)), IsTerminal: true}, err
}

// Lock locks nothing.
func (*Storage) Lock(context.Context, string) error { return nil }

// Unlock unlocks nothing.
func (*Storage) Unlock(context.Context, string) error { return nil }

// inOrder does one after the other, until one fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func notExist(key string, err error) error {
	if errors.Is(err, redis.Nil) {
		return fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return err
}

var (
	_ caddy.StorageConverter = (*Storage)(nil)
	_ caddy.Provisioner      = (*Storage)(nil)
	_ caddy.CleanerUpper     = (*Storage)(nil)
	_ caddyfile.Unmarshaler  = (*Storage)(nil)
	_ certmagic.Storage      = (*Storage)(nil)
)
