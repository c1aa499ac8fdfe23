package oauth2llm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/caddyserver/certmagic"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A refreshTokenStore keeps what has become of a refresh token in Caddy's storage,
// which outlives the process and which several instances may share.
type refreshTokenStore struct {
	storage certmagic.Storage
	key     string
}

// newRefreshTokenStore is the store of one refresh token, by config's
// RefreshTokenFingerprint.
func newRefreshTokenStore(storage certmagic.Storage, identity string) tokens.RefreshTokenStore {
	return &refreshTokenStore{storage, appName + "/refresh_tokens/" + identity + ".json"}
}

// A storedRefreshToken is what is stored.
type storedRefreshToken struct {
	// Configured is the SHA-256 of the configured token. Another one, as in a file
	// that was replaced, begins anew.
	Configured   string `json:"configured"`
	RefreshToken string `json:"refresh_token"`
}

// Lock implements tokens.RefreshTokenStore.
func (s *refreshTokenStore) Lock(ctx context.Context) (unlock func(), err error) {
	if err := s.storage.Lock(ctx, s.key); err != nil {
		return nil, err
	}
	return func() {
		// The lock is given up even if the caller waits no longer; one that cannot be
		// goes stale.
		_ = s.storage.Unlock(context.WithoutCancel(ctx), s.key)
	}, nil
}

// Load implements tokens.RefreshTokenStore.
func (s *refreshTokenStore) Load(ctx context.Context, configured tokens.Secret) (tokens.Secret, error) {
	content, err := s.storage.Load(ctx, s.key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tokens.Secret{}, nil
	case err != nil:
		return tokens.Secret{}, err
	}
	var stored storedRefreshToken
	if err := json.Unmarshal(content, &stored); err != nil {
		// The cause may quote the content.
		return tokens.Secret{}, errors.New("the stored refresh token must be JSON; remove it from the storage: " + s.key)
	}
	if stored.Configured != digestOf(configured) {
		return tokens.Secret{}, nil
	}
	return tokens.NewSecret(stored.RefreshToken), nil
}

// Save implements tokens.RefreshTokenStore.
func (s *refreshTokenStore) Save(ctx context.Context, configured, rotated tokens.Secret) error {
	content, err := json.Marshal(storedRefreshToken{Configured: digestOf(configured), RefreshToken: rotated.Reveal()})
	if err != nil {
		return err
	}
	return s.storage.Store(ctx, s.key, content)
}

func digestOf(secret tokens.Secret) string {
	digest := sha256.Sum256([]byte(secret.Reveal()))
	return hex.EncodeToString(digest[:])
}

// Interface guard
var _ tokens.RefreshTokenStore = (*refreshTokenStore)(nil)
