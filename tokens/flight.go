package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// firstRetryDelay doubles with each retry: 1 s, 2 s, 4 s.
const firstRetryDelay = time.Second

// fly makes the attempts of one flight. Its life is its own: not that of the
// request that caused it, and not that of a configuration (cases C02, L01).
func (m *Manager) fly(f *flight) {
	m.mu.Lock()
	wait := time.Duration(m.notBefore - m.clock.instant().mono)
	// After a known failure one attempt says enough.
	probe := m.failure != nil
	m.mu.Unlock()
	time.Sleep(wait)

	for attempt := 1; ; attempt++ {
		m.mu.Lock()
		b := m.binding()
		m.mu.Unlock()

		// Read before the attempt: a secret that is rotated during it counts
		// as a change.
		var digest [sha256.Size]byte
		if b.SecretsDigest != nil {
			digest = b.SecretsDigest()
		}
		started := m.clock.instant()
		token, err := fetch(b.Fetcher)
		if err == nil {
			m.keep(f, token, started)
			return
		}

		var failed *AuthenticationError
		if errors.As(err, &failed) {
			copied := *failed
			copied.Provider = m.provider
			copied.Attempts = attempt
			failed, err = &copied, &copied
		}
		delay := firstRetryDelay << (attempt - 1)
		if probe || attempt > b.Retries || !worthRetrying(failed, delay) {
			m.fail(f, b, digest, err, failed)
			return
		}
		logFailure(b.Logger.Warn, "token request failed, trying again", m.provider, err, failed,
			zap.Int("attempt", attempt), zap.Int("retries", b.Retries), zap.Duration("delay", delay))
		if f.background {
			m.announce(f, err, failed, delay)
		}
		time.Sleep(delay)
	}
}

// worthRetrying reports whether an attempt after delay can succeed: not after
// a refusal, not while the server says to wait longer (Retry-After wins over
// 1-2-4), and not where the attempt may have used up a refresh token.
func worthRetrying(failed *AuthenticationError, delay time.Duration) bool {
	return failed != nil && failed.temporary && !failed.once && failed.RetryAfter <= delay
}

// fetch makes one attempt. A panic ends the attempt, not the process (case C08).
func fetch(f Fetcher) (token Token, err error) {
	defer func() {
		if r := recover(); r != nil {
			// The value may be anything, a secret too: only its type is shown.
			err = &AuthenticationError{
				Code: CodeUnavailable, temporary: true,
				Err: fmt.Errorf("the token request panicked with a %T", r),
			}
		}
	}()
	return f.Fetch(context.Background())
}

// logFailure writes one line about a failed attempt.
func logFailure(log func(string, ...zap.Field), message, provider string, err error, failed *AuthenticationError, more ...zap.Field) {
	fields := append([]zap.Field{zap.String("provider", provider)}, more...)
	if failed != nil {
		fields = append(fields, zap.String("code", failed.Code))
		if failed.Status != 0 {
			fields = append(fields, zap.Int("status", failed.Status))
		}
	}
	log(message, append(fields, zap.Error(err))...)
}
