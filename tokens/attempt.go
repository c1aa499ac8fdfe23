package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// An attempt is one token request and what came of it.
type attempt struct {
	binding *Binding
	started instant
	// digest names the secrets that it was made with.
	digest [sha256.Size]byte
	err    error
	// failed is err, nil for an error of the configuration.
	failed *AuthenticationError
}

// temporary reports whether what failed can heal. Errors of the configuration,
// such as a file that is missing while it is being replaced, can heal soon.
func (a *attempt) temporary() bool { return a.failed == nil || a.failed.temporary }

// busy reports whether it failed only because another instance is asking.
func (a *attempt) busy() bool { return a.failed != nil && a.failed.busy }

// authenticationError gives a failure of an attempt its provider and number. It
// is nil for an error of the configuration.
func (m *Manager) authenticationError(err error, attempt int) *AuthenticationError {
	failed, ok := errors.AsType[*AuthenticationError](err)
	switch {
	case ok:
		copied := *failed
		failed = &copied
	case errors.Is(err, context.DeadlineExceeded):
		// The token of another provider, or the turn of a refresh token, did
		// not come in time.
		failed = &AuthenticationError{Code: CodeTimeout, Err: err, temporary: true}
	default:
		return nil
	}
	failed.Provider, failed.Attempts = m.provider, attempt
	return failed
}

func expiredOnArrival() error {
	return &AuthenticationError{
		Code: CodeInvalidResponse, temporary: true,
		Err: errors.New("the token had ended before its answer was read: its lifetime is too short, or the clock was set"),
	}
}

// worthRetrying reports whether an attempt after delay can succeed: not after
// a refusal, not while the server says to wait longer (Retry-After wins over
// 1-2-4), not where the attempt may have used up a refresh token, and not where
// another provider's token is missing, which that provider has tried to get.
func worthRetrying(failed *AuthenticationError, delay time.Duration) bool {
	return failed != nil && failed.temporary && !failed.once && failed.Needs == "" && failed.RetryAfter <= delay
}

// fetch makes one attempt. The digest names the secrets that it is made with:
// it is read before, so that one that is rotated meanwhile counts as changed. A
// panic ends the attempt, not the process.
func fetch(b *Binding, want Want) (token Token, digest [sha256.Size]byte, err error) {
	defer recovered(&err)
	if digest, err = secretsDigest(b); err != nil {
		return Token{}, digest, err
	}
	token, err = b.Fetcher.Fetch(context.Background(), want)
	return token, digest, err
}

// secretsDigest is the binding's digest of secrets, if it has one.
func secretsDigest(b *Binding) (digest [sha256.Size]byte, err error) {
	defer recovered(&err)
	if b.SecretsDigest != nil {
		digest = b.SecretsDigest()
	}
	return digest, nil
}

func recovered(err *error) {
	if r := recover(); r != nil {
		// The value may be anything, a secret too: only its type is shown.
		*err = &AuthenticationError{
			Code: CodeUnavailable, temporary: true,
			Err: fmt.Errorf("the token request panicked with a %T", r),
		}
	}
}

// log writes one line about a failed attempt: at DEBUG if all that is
// wrong is that another instance is asking.
func (a *attempt) log(level zapcore.Level, message, provider string, more ...zap.Field) {
	if a.busy() {
		level = zap.DebugLevel
	}
	fields := append([]zap.Field{zap.String("provider", provider)}, more...)
	if failed := a.failed; failed == nil {
		fields = append(fields, zap.String("code", "unresolved_reference"))
	} else {
		fields = append(fields, zap.String("code", failed.Code))
		if failed.Status != 0 {
			fields = append(fields, zap.Int("status", failed.Status))
		}
		if failed.Endpoint != "" {
			fields = append(fields, zap.String("token_endpoint", failed.Endpoint))
		}
		if failed.ServerClockOffset != 0 {
			fields = append(fields, zap.Duration("server_clock_offset", failed.ServerClockOffset))
		}
	}
	a.binding.Logger.Log(level, message, append(fields, zap.Error(a.err))...)
}
