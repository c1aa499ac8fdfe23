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

// A flight is a token request under way, retries included.
type flight struct {
	// done is closed when token or err is there.
	done  chan struct{}
	token *Token
	err   error

	// wake ends the wait for a retry.
	wake       chan struct{}
	background bool
}

// await waits for the flight's end as long as ctx allows.
func (f *flight) await(ctx context.Context) (*Token, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// pause waits for some time, or until the flight is woken.
func (f *flight) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.wake:
	}
}

// fly makes the attempts of one flight. Its life is its own: not that of the
// request that caused it, and not that of a configuration (cases C02, L01).
func (m *Manager) fly(f *flight) {
	m.mu.Lock()
	known := m.failure
	wait := time.Duration(m.notBefore - m.clock.instant().mono)
	m.mu.Unlock()
	time.Sleep(wait)
	if known != nil && m.clock.instant().mono < known.until {
		if !m.secretsChanged(f, known) {
			return
		}
		known = nil
	}
	// After a known failure one attempt says enough.
	probe := known != nil

	for attempt := 1; ; attempt++ {
		m.mu.Lock()
		b, news := m.binding(), m.news
		m.mu.Unlock()

		started := m.clock.instant()
		token, digest, err := fetch(b, m.want(f))
		if err == nil {
			if m.keep(f, token, started) {
				return
			}
			err = expiredOnArrival()
		}
		failed := m.authenticationError(err, attempt)
		if failed != nil {
			err = failed
		}
		delay := firstRetryDelay << (attempt - 1)
		switch {
		case m.newsSince(news):
			// What failed is out of date: the present configuration has the word.
			attempt, probe = 0, false
			f.pause(time.Duration(started.mono + int64(minimumFetchInterval) - m.clock.instant().mono))
			continue
		case probe || attempt > b.Retries || !worthRetrying(failed, delay):
			m.fail(f, b, digest, err, failed)
			return
		}
		logFailure(b.Logger.Warn, "token request failed, trying again", m.provider, err, failed,
			zap.Int("attempt", attempt), zap.Int("retries", b.Retries), zap.Duration("delay", delay))
		if f.background {
			m.announce(f, err, failed, delay)
		}
		f.pause(delay)
		if m.newsSince(news) {
			attempt = 0
		}
	}
}

// want says what a flight's token is for.
func (m *Manager) want(f *flight) Want {
	return Want{InHand: m.current.Load(), Waiting: !f.background}
}

func (m *Manager) newsSince(news int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.news != news
}

// secretsChanged reports whether the secrets are others than those that a known
// failure was got with. If they are not, that failure ends the flight.
func (m *Manager) secretsChanged(f *flight, known *failure) bool {
	m.mu.Lock()
	b := m.binding()
	m.mu.Unlock()
	digest, err := secretsDigest(b)
	m.mu.Lock()
	if err != nil || m.failure != known || digest != known.digest {
		m.mu.Unlock()
		return true
	}
	known.lookedAt = m.clock.instant().mono
	m.land()
	m.mu.Unlock()
	f.err = known.err
	close(f.done)
	return false
}

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
// panic ends the attempt, not the process (case C08).
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

// logFailure writes one line about a failed attempt.
func logFailure(log func(string, ...zap.Field), message, provider string, err error, failed *AuthenticationError, more ...zap.Field) {
	fields := append([]zap.Field{zap.String("provider", provider)}, more...)
	if failed != nil {
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
	if failed == nil {
		fields = append(fields, zap.String("code", "unresolved_reference"))
	}
	log(message, append(fields, zap.Error(err))...)
}
