package redisstorage

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func newStorage(t *testing.T, indexFirst bool) (*Storage, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	s := &Storage{Address: server.Addr(), IndexFirst: indexFirst}
	if err := s.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Cleanup() })
	return s, server
}

func TestWhatIsStoredIsLoadedListedAndDeleted(t *testing.T) {
	for name, indexFirst := range map[string]bool{"the value first": false, "the index first": true} {
		t.Run(name, func(t *testing.T) {
			s, _ := newStorage(t, indexFirst)
			for _, key := range []string{"a/b/one", "a/b/two", "a/c", "ab/d"} {
				if err := s.Store(t.Context(), key, []byte("value of "+key)); err != nil {
					t.Fatal(err)
				}
			}
			if value, err := s.Load(t.Context(), "a/b/one"); err != nil || string(value) != "value of a/b/one" {
				t.Errorf("loaded %q, %v", value, err)
			}
			if err := s.Delete(t.Context(), "a/b/one"); err != nil || s.Exists(t.Context(), "a/b/one") || !s.Exists(t.Context(), "a/b/two") {
				t.Errorf("one key of two shall be deleted: %v", err)
			}
			if info, err := s.Stat(t.Context(), "a/c"); err != nil || info.Size != int64(len("value of a/c")) || !info.IsTerminal {
				t.Errorf("a/c is %+v, %v", info, err)
			}
			for _, test := range []struct {
				recursive bool
				want      []string
			}{
				{true, []string{"a/b/two", "a/c"}},
				{false, []string{"a/b", "a/c"}},
			} {
				keys, err := s.List(t.Context(), "a", test.recursive)
				if err != nil || !slices.Equal(keys, test.want) {
					t.Errorf("recursive %v: %v, %v", test.recursive, keys, err)
				}
			}
		})
	}
}

func TestWhatIsNotThereDoesNotExist(t *testing.T) {
	s, _ := newStorage(t, true)
	_, loaded := s.Load(t.Context(), "a/b")
	_, listed := s.List(t.Context(), "a", true)
	_, described := s.Stat(t.Context(), "a/b")
	for operation, err := range map[string]error{"load": loaded, "list": listed, "stat": described} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", operation, err)
		}
	}
}

// What makes the order matter: the client breaks down after the first command.
func TestTheOrderDecidesWhatABrokenStoreLeaves(t *testing.T) {
	for name, indexFirst := range map[string]bool{"the value first": false, "the index first": true} {
		t.Run(name, func(t *testing.T) {
			s, server := newStorage(t, indexFirst)
			// Either the index or the value cannot be written: its key is of another type.
			if indexFirst {
				s.client.AddHook(failing("set"))
			} else {
				s.client.AddHook(failing("zadd"))
			}
			if err := s.Store(t.Context(), "a/b", []byte("x")); err == nil {
				t.Fatal("the store shall fail")
			}
			if got := server.Exists(index); got != indexFirst {
				t.Errorf("listed: %v", got)
			}
			if got := server.Exists(prefix + "a/b"); got == indexFirst {
				t.Errorf("stored: %v", got)
			}
		})
	}
}

func TestAServerThatIsAwayIsAnErrorOfAnotherKind(t *testing.T) {
	s, server := newStorage(t, true)
	server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := s.Load(ctx, "a/b"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load: %v", err)
	}
	if _, err := s.List(ctx, "a", true); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list: %v", err)
	}
}

func TestTheCaddyfileNamesAddressAndOrder(t *testing.T) {
	for text, want := range map[string]Storage{
		"test_redis 127.0.0.1:1":             {Address: "127.0.0.1:1"},
		"test_redis 127.0.0.1:1 index_first": {Address: "127.0.0.1:1", IndexFirst: true},
	} {
		var got Storage
		if err := got.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"test_redis", "test_redis 127.0.0.1:1 value_first"} {
		if err := new(Storage).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
