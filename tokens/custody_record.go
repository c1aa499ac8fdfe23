package tokens

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// A custodyRecord is what is stored of a refresh token: one key for each generation,
// written once, so that a Store that was given up and lands late sets nothing back.
type custodyRecord struct {
	Version    int `json:"v"`
	Generation int `json:"generation"`
	// RefreshToken is empty where the configured one counts again.
	RefreshToken string `json:"refresh_token"`
	// AccessTokens are those that came with it, by the identity of the token request:
	// one redemption serves all instances.
	AccessTokens map[string]storedToken `json:"access_tokens,omitempty"`
}

const (
	generationPrefix, endedPrefix = "gen-", "ended-"
	custodyVersion                = 1
)

func generationName(n int) string { return fmt.Sprintf("%s%08d", generationPrefix, n) }
func endedName(n int) string      { return fmt.Sprintf("%s%08d", endedPrefix, n) }

// numbered returns the numbers of the names that begin with a prefix, the highest
// first.
func numbered(names []string, prefix string) []int {
	var numbers []int
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, prefix)
		if n, err := strconv.Atoi(digits); ok && err == nil && n >= 0 && len(digits) == 8 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	slices.Reverse(numbers)
	return numbers
}

// A keeping is what the storage has of a refresh token.
type keeping struct {
	// record is the newest, the zero value without one.
	record custodyRecord
	// highest is the highest number that is listed, of a record that was never written
	// too; ended is the highest generation that the server has refused, -1 without one.
	highest, ended int
}

// errNotLoaded is about a record that is listed and cannot be loaded.
var errNotLoaded = errors.New("it is listed, but not found")

// read loads the newest record of a list. One that is listed and cannot be loaded is
// believed to be missing only if it stays so for a whole promise while the own claim
// can be loaded: some storages answer "not found" for every error, others list a key
// before it is written.
func (c *custody) read(ctx context.Context, v view, own *claim) (keeping, error) {
	k := keeping{}
	var err error
	if k.ended, err = c.readEnded(ctx, v); err != nil {
		return k, err
	}
	generations := numbered(v.names, generationPrefix)
	if len(generations) > 0 {
		k.highest = generations[0]
	}
	for _, n := range generations {
		key := c.claims.folder + "/" + generationName(n)
		content, err := c.storage.load(ctx, storageTimeout, key)
		switch {
		case errors.Is(err, fs.ErrNotExist) && c.neverWritten(ctx, n, own):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return k, &StorageError{Operation: "load", Key: key, Err: errNotLoaded}
		case err != nil:
			return k, err
		}
		delete(c.missing, n)
		if err := c.identity.open(key, content, &k.record); err != nil || k.record.Version != custodyVersion || k.record.Generation != n {
			return k, &StorageError{Operation: "read", Key: key, Err: errUnreadable}
		}
		return k, nil
	}
	return k, nil
}

// readEnded returns the highest generation that is marked as refused, -1 without one. A
// mark that cannot be read is nobody's word.
func (c *custody) readEnded(ctx context.Context, v view) (int, error) {
	for _, n := range numbered(v.names, endedPrefix) {
		if n <= c.ended {
			return n, nil
		}
		key := c.claims.folder + "/" + endedName(n)
		content, err := c.storage.load(ctx, storageTimeout, key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return -1, err
		}
		if c.identity.open(key, content, &endedMark{}) == nil {
			return n, nil
		}
		c.log().Warn("a mark of a refused refresh token cannot be read, and is ignored", zap.String("key", key))
	}
	return -1, nil
}

// An endedMark says when the server has refused a generation.
type endedMark struct {
	At time.Time `json:"at"`
}

// neverWritten reports whether a listed record was not found for a whole promise.
func (c *custody) neverWritten(ctx context.Context, n int, own *claim) bool {
	if own == nil {
		s := c.missing[n]
		return s != nil && s.watched >= s.promise
	}
	if _, err := c.storage.load(ctx, storageTimeout, own.key()); err != nil {
		return false
	}
	now := time.Now()
	s := c.missing[n]
	if s == nil {
		s = &sighting{promise: own.terms.promise, at: now}
		c.missing[n] = s
	}
	s.watched += min(now.Sub(s.at), lookInterval)
	s.at = now
	return s.watched >= s.promise
}

// write stores the newest record.
func (c *custody) write(ctx context.Context) error {
	key := c.claims.folder + "/" + generationName(c.held.Generation)
	content, err := c.identity.seal(key, c.held)
	if err != nil {
		return err
	}
	return c.storage.store(ctx, storageTimeout, key, content)
}

// sweep deletes what a newer generation has replaced.
func (c *custody) sweep(ctx context.Context, names []string) {
	for _, n := range numbered(names, generationPrefix) {
		if n < c.held.Generation {
			_ = c.storage.delete(ctx, storageTimeout, c.claims.folder+"/"+generationName(n))
		}
	}
	for _, n := range numbered(names, endedPrefix) {
		if n < c.held.Generation {
			_ = c.storage.delete(ctx, storageTimeout, c.claims.folder+"/"+endedName(n))
		}
	}
}

// writeEnded notes for all instances that the server has refused a generation.
func (c *custody) writeEnded(ctx context.Context, generation int) error {
	key := c.claims.folder + "/" + endedName(generation)
	content, err := c.identity.seal(key, endedMark{time.Now().UTC()})
	if err != nil {
		return err
	}
	return c.storage.store(ctx, storageTimeout, key, content)
}

// successor is the next generation, with the access tokens that are still good.
func (c *custody) successor(number int, refreshToken Secret, identity string, t *storedToken) custodyRecord {
	tokens := maps.Clone(c.held.AccessTokens)
	maps.DeleteFunc(tokens, func(_ string, kept storedToken) bool {
		return time.Since(kept.ObtainedAt) > seconds(kept.Lifetime)
	})
	if tokens == nil {
		tokens = make(map[string]storedToken)
	}
	if t != nil && identity != "" {
		tokens[identity] = *t
	}
	return custodyRecord{Version: custodyVersion, Generation: number, RefreshToken: refreshToken.Reveal(), AccessTokens: tokens}
}
