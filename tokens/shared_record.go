package tokens

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"go.uber.org/zap"
)

// A sharedRecord is the record of a shared token in the storage, for one attempt to
// obtain a token.
type sharedRecord struct {
	shared   *Shared
	identity Identity
	want     Want
}

func (r sharedRecord) folder() string { return "oauth2_llm/tokens/" + r.identity.ID() }

func (r sharedRecord) key() string { return r.folder() + "/token" }

// load returns the stored token, nil if there is none of use. The error is a
// *StorageError.
func (r sharedRecord) load(ctx context.Context) (*Token, error) {
	content, err := r.shared.Storage.load(ctx, sharedTerms.operation, r.key())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // no token is no error
	case err != nil:
		return nil, err
	}
	var stored storedToken
	if err := r.identity.open(r.key(), content, &stored); err != nil {
		r.warn("a stored access token cannot be read: another one takes its place")
		return nil, nil //nolint:nilnil // no token is no error
	}
	now := r.shared.wallClock()
	switch {
	case stored.inFuture(now):
		r.warn("the clocks of instances differ: a stored access token comes from the future and is not taken",
			zap.Duration("ahead", stored.ObtainedAt.Sub(now)))
		return nil, nil //nolint:nilnil // no token is no error
	case !stored.serves(r.want, now) || r.shared.wasRefused(NewSecret(stored.Token)):
		return nil, nil //nolint:nilnil // no token is no error
	}
	r.shared.Storage.resume()
	r.shared.Logger.Debug("adopted an access token", zap.String("provider", r.shared.Provider), zap.String("token_source", "storage"))
	token := stored.token()
	return &token, nil
}

// store keeps a token for the others.
func (r sharedRecord) store(ctx context.Context, token Token, asked time.Time) {
	storage := r.shared.Storage
	if !storage.usable() {
		return
	}
	if !token.ObtainedAt.IsZero() {
		asked = token.ObtainedAt
	}
	content, err := r.identity.seal(r.key(), newStoredToken(token, asked))
	if err != nil {
		r.warn("an access token cannot be sealed, and is not stored", zap.Error(err))
		return
	}
	if err := storage.store(context.WithoutCancel(ctx), sharedTerms.operation, r.key(), content); err != nil {
		storage.pause(err)
		return
	}
	storage.resume()
}

func (r sharedRecord) warn(message string, fields ...zap.Field) {
	r.shared.Logger.Warn(message, append([]zap.Field{zap.String("provider", r.shared.Provider), zap.String("key", r.key())}, fields...)...)
}
