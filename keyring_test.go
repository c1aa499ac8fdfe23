package oauth2llm

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

func writeKey(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func knows(k *keyring, key string) bool {
	client, _ := k.current().authenticate(http.Header{"X-Api-Key": {key}})
	return client != nil
}

func TestAKeyInAFileIsIssuedAndRevokedWithoutAReload(t *testing.T) {
	folder := t.TempDir()
	first, second := filepath.Join(folder, "first"), filepath.Join(folder, "second")
	writeKey(t, first, "one\n")
	writeKey(t, second, "two\n")
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		k, err := newKeyring(map[string]ClientKey{
			"first":  {Key: config.Template("{file." + first + "}")},
			"second": {Key: config.Template("{file." + second + "}")},
			"fixed":  {Key: "three"},
		}, config.DefaultEnvironment(), zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		want := func(when string, one, uno, two bool) {
			t.Helper()
			if knows(k, "one") != one || knows(k, "uno") != uno || knows(k, "two") != two || !knows(k, "three") {
				t.Errorf("%s: one %t, uno %t, two %t, three %t", when, knows(k, "one"), knows(k, "uno"), knows(k, "two"), knows(k, "three"))
			}
		}
		want("at first", true, false, true)
		writeKey(t, first, "uno\n")
		time.Sleep(keyInterval)
		want("after a rotation", false, true, true)
		if err := os.Remove(second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keyInterval)
		want("after a file has gone", false, true, false)
		time.Sleep(10 * keyInterval)
		want("long after", false, true, false)
		if n := logs.FilterMessageSnippet("a client is refused").Len(); n != 1 {
			t.Errorf("%d lines about the missing key, want 1", n)
		}
		writeKey(t, second, "two\n")
		time.Sleep(keyInterval)
		want("when it is back", false, true, true)
		// Nobody is taken for another, and what is revoked is revoked.
		writeKey(t, second, "uno\n")
		time.Sleep(keyInterval)
		want("with one key for two", false, true, false)
		for _, entry := range logs.All() {
			if text := entry.Message + entry.ContextMap()["error"].(string); strings.Contains(text, "uno") || strings.Contains(text, "two\n") {
				t.Errorf("the log shows a key: %s", text)
			}
		}
	})
}

func TestAKeyMayBeGivenByItsHash(t *testing.T) {
	key, hash := newClientKey()
	if !regexp.MustCompile(`^gw-[A-Za-z0-9_-]{43}$`).MatchString(key) || !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(hash) {
		t.Errorf("got %s and %s", key, hash)
	}
	other, _ := newClientKey()
	k, err := newKeyring(map[string]ClientKey{"a": {Key: config.Template(hash)}}, config.DefaultEnvironment(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if !knows(k, key) || knows(k, hash) || knows(k, other) || knows(k, "") {
		t.Error("the key is not known by its hash, or something else is")
	}
	if _, err := newKeyring(map[string]ClientKey{"a": {Key: config.Template(hash)}, "b": {Key: config.Template(key)}}, config.DefaultEnvironment(), zap.NewNop()); err == nil {
		t.Error("a key and its hash are two clients")
	}
	if _, err := newKeyring(map[string]ClientKey{"a": {Key: config.Template(strings.ToUpper(hash[:7]) + hash[7:])}}, config.DefaultEnvironment(), zap.NewNop()); err != nil {
		t.Errorf("another prefix is a key like any other: %v", err)
	}
}
