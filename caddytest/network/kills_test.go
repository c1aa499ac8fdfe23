package network

import (
	"flag"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/fleet"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/redisproxy"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/redisstorage"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/standin"
)

var kills = flag.Int("kills", 0, "how many instances the tests of kill -9 kill; 0: as many as they can in 30 s")

// Instances are killed at any time, and every few token requests one of them just when
// the server has spent its refresh token and it has not got what replaces it. The
// server takes the last one again for a minute.
func TestAGrantOutlivesKill9(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sameAgain bool
		// storage returns the storage of the gateways, and the same one for the test.
		storage func(t *testing.T) (name, option string, same certmagic.Storage)
	}{
		"over a folder, and the server hands out another one": {false, folderStorage},
		"over Redis, and the server hands out the same again": {true, redisStorage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storageName, option, storage := test.storage(t)
			s, grant := startRefreshing(t, &standin.Grant{Grace: time.Minute, SameAgain: test.sameAgain}, option)
			load := s.Load("corp/m", 100*time.Millisecond)
			killer := s.killAtRandom()
			result := load.Stop()
			s.awaitAllServe()
			report := grant.Report()
			keys := s.awaitFewKeys(storage)
			figure(t, "kill_9_"+storageName, "%d kills, %d of them before the answer has come: grant lives: %v, %d rotations, %d spent tokens sent in grace and %d later, %d keys left; %v",
				killer.Kills(), killer.BeforeAnswer(), report.Lives, report.Rotated, report.InGrace, report.Late, len(keys), result)
			if !report.Lives || report.Late > 0 {
				t.Errorf("the grant has come to %+v", report)
			}
			for failure := range result.Failed {
				if strings.Contains(failure, "invalid_grant") {
					t.Errorf("%v", result)
				}
			}
		})
	}
}

// startRefreshing starts three instances with a refresh token.
func startRefreshing(t *testing.T, grant *standin.Grant, storage string) (*site, *standin.Grant) {
	t.Helper()
	auth := newAuthServer(2 * time.Second)
	auth.Grant, auth.Delay = grant, 20*time.Millisecond
	refreshToken := filepath.Join(t.TempDir(), "refresh_token")
	writeSecret(t, refreshToken, grant.Begin())
	killer := new(fleet.Killer)
	auth.BeforeAnswer = func(r *http.Request) { killer.Granted(r.Context()) }
	// A request of at most 3 s makes a claim that others pass 14 s after they have seen
	// it first: few instances live much longer here. Nothing is fallen back to.
	s := startSite(t, auth, 3, storage, "", "refresh_token_file "+refreshToken, "grant_type refresh_token", "token_request {\n\t\ttimeout 3s\n\t}")
	s.killer = killer
	return s, grant
}

// killAtRandom kills and starts instances for as long as the flag says.
func (s *site) killAtRandom() *fleet.Killer {
	s.t.Helper()
	until := time.Now().Add(30 * time.Second)
	// Somebody must live until a claim that was left counts as abandoned.
	every, apart := 3, 8*time.Second
	if *kills > 0 {
		every, apart = 8, 16*time.Second
	}
	s.killer.Begin(s.Fleet, every, 0)
	for *kills == 0 && time.Now().Before(until) || s.killer.Kills() < *kills {
		s.killer.Kill(s.t.Context())
		s.killer.Pause(s.t.Context(), apart)
	}
	if err := s.killer.End(); err != nil {
		s.t.Error(err)
	}
	return s.killer
}

// awaitAllServe waits until each instance answers with 200.
func (s *site) awaitAllServe() {
	s.t.Helper()
	awaitThat(s.t, "an answer of each instance", func() bool {
		return s.Once(s.t.Context(), "corp/m").AllFailed() == 0
	})
}

// awaitFewKeys waits until the storage has the newest record, and little else. A claim
// of a killed instance goes with the next record after it counts as abandoned.
func (s *site) awaitFewKeys(storage certmagic.Storage) (keys []string) {
	t := s.t
	t.Helper()
	const few = 3
	awaitThat(t, "a tidy storage", func() bool {
		s.Once(t.Context(), "corp/m")
		all, err := storage.List(t.Context(), "oauth2_llm/refresh_tokens", true)
		keys = keys[:0]
		for _, key := range all {
			// Names of digits are what a file system's storage left behind when it was
			// killed; folders have no dash.
			if strings.Contains(path.Base(key), "-") {
				keys = append(keys, path.Base(key))
			}
		}
		return err == nil && len(keys) > 0 && len(keys) <= few
	})
	return keys
}

func folderStorage(t *testing.T) (name, option string, same certmagic.Storage) {
	t.Helper()
	folder := t.TempDir()
	return "folder", "file_system " + folder, &certmagic.FileStorage{Path: folder}
}

// redisStorage lists keys before it stores values.
func redisStorage(t *testing.T) (name, option string, same certmagic.Storage) {
	t.Helper()
	server := startRedis(t)
	if err := server.Add(redisproxy.Latency); err != nil {
		t.Fatal(err)
	}
	storage := &redisstorage.Storage{Address: server.Address}
	if err := storage.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { storage.Cleanup() })
	return server.Kind, fmt.Sprint("test_redis ", server.Address, " index_first"), storage
}

// A strict server takes no refresh token twice. Nobody is killed; the network is
// disturbed all the time.
func TestAStrictServersGrantOutlivesADisturbedNetwork(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	if err := redis.Add(redisproxy.Latency); err != nil {
		t.Fatal(err)
	}
	s, grant := startRefreshing(t, new(standin.Grant), "test_redis "+redis.Address)
	load := s.Load("corp/m", 100*time.Millisecond)
	for _, toxic := range []redisproxy.Toxic{redisproxy.Slicer, redisproxy.Reset, redisproxy.Timeout} {
		disturb(t, redis, toxic, 5*time.Second)
		time.Sleep(5 * time.Second)
	}
	redis.Down()
	time.Sleep(5 * time.Second)
	if err := redis.Up(); err != nil {
		t.Fatal(err)
	}
	result := load.Stop()
	s.awaitAllServe()
	report := grant.Report()
	figure(t, "strict_"+redis.Kind, "grant lives: %v, %d rotations, %d spent tokens sent; %v", report.Lives, report.Rotated, report.InGrace+report.Late, result)
	if !report.Lives || report.InGrace+report.Late > 0 || report.Rotated < 5 {
		t.Errorf("the grant has come to %+v", report)
	}
}
