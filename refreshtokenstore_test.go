package oauth2llm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func TestARotatedRefreshTokenIsStoredForItsConfiguredOne(t *testing.T) {
	folder := t.TempDir()
	store := newRefreshTokenStore(&certmagic.FileStorage{Path: folder}, "identity")
	configured, rotated := tokens.NewSecret("configured-canary"), tokens.NewSecret("rotated-canary")

	unlock, err := store.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.Load(t.Context(), configured); err != nil || !got.Empty() {
		t.Errorf("a token that nobody saved: %v", err)
	}
	if err := store.Save(t.Context(), configured, rotated); err != nil {
		t.Fatal(err)
	}
	unlock()

	// Another process.
	store = newRefreshTokenStore(&certmagic.FileStorage{Path: folder}, "identity")
	if unlock, err = store.Lock(t.Context()); err != nil {
		t.Fatal("the lock was not given up:", err)
	}
	defer unlock()
	if got, err := store.Load(t.Context(), configured); err != nil || got.Reveal() != "rotated-canary" {
		t.Errorf("the stored token is lost: %v", err)
	}
	if got, err := store.Load(t.Context(), tokens.NewSecret("another")); err != nil || !got.Empty() {
		t.Errorf("another configured token gets what this one has become: %v", err)
	}
	path := filepath.Join(folder, "oauth2_llm", "refresh_tokens", "identity.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file can be read by others: %v, %v", info.Mode(), err)
	}
	if content, _ := os.ReadFile(path); strings.Contains(string(content), "configured-canary") {
		t.Error("the configured token is stored, too")
	}
	if err := os.WriteFile(path, []byte("garbage-canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(t.Context(), configured); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}
