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

// A storedToken is what is stored, sealed.
type storedToken struct {
	Token string `json:"token"`
	// ObtainedAt is by the wall clock of the instance that has asked.
	ObtainedAt time.Time `json:"obtained_at"`
	// Lifetime and RefreshIn are in seconds.
	Lifetime  float64 `json:"lifetime"`
	RefreshIn float64 `json:"refresh_in,omitempty"`
}

// Clocks of instances differ. By less than clockTolerance no token is sent that has
// ended: one that another has obtained ends so much earlier, or by clockShare of its
// life, if that is less.
const (
	clockTolerance = 10 * time.Second
	clockShare     = 10
)

func (r sharedRecord) folder() string { return "oauth2_llm/tokens/" + r.identity.ID() }

func (r sharedRecord) key() string { return r.folder() + "/token" }

// load gives the stored token, nil if there is none of use. The error is a
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
	token := r.judge(stored)
	if token != nil {
		r.shared.Storage.resume()
		r.shared.Logger.Debug("adopted an access token", zap.String("provider", r.shared.Provider), zap.String("token_source", "storage"))
	}
	return token, nil
}

// judge gives a stored token if it is of use: another one than that in hand, and with
// enough of its life left.
func (r sharedRecord) judge(stored storedToken) *Token {
	lifetime := seconds(stored.Lifetime)
	margin := min(clockTolerance, lifetime/clockShare)
	token := &Token{
		Value:      NewSecret(stored.Token),
		Lifetime:   lifetime - margin,
		RefreshIn:  seconds(stored.RefreshIn),
		ObtainedAt: stored.ObtainedAt,
	}
	age := r.shared.wallClock().Sub(stored.ObtainedAt)
	switch {
	case age < -clockTolerance:
		r.warn("the clocks of instances differ: a stored access token comes from the future and is not taken", zap.Duration("ahead", -age))
		return nil
	case token.Value.Empty(), r.shared.wasRefused(token.Value), r.want.InHand != nil && r.want.InHand.Value.Equal(token.Value):
		return nil
	case !r.want.Waiting && !r.want.Refused && age > lifetime/2:
		// There is time to obtain one that lasts longer.
		return nil
	case age >= token.Lifetime-margin:
		return nil
	}
	return token
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
	content, err := r.identity.seal(r.key(), storedToken{
		Token: token.Value.Reveal(), ObtainedAt: asked.Round(0).UTC(), Lifetime: token.Lifetime.Seconds(), RefreshIn: token.RefreshIn.Seconds(),
	})
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
