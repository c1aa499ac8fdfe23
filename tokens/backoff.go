package tokens

import (
	"crypto/sha256"
	"time"

	"go.uber.org/zap"
)

// How long a failure is remembered: from the first bound, doubling with each
// further failure of its kind, to the second.
const (
	outageBackoff, outageBackoffLimit   = 5 * time.Second, 30 * time.Second
	refusalBackoff, refusalBackoffLimit = 30 * time.Second, 5 * time.Minute

	// neededBackoff is for a failure that is another provider's: that provider
	// remembers it, and is cheap to ask.
	neededBackoff = time.Second
	// retryAfterLimit bounds what a server may ask for with Retry-After.
	retryAfterLimit = 5 * time.Minute
	// failureMemory is how long after its back-off a failure still counts as
	// the same one. A request that comes later finds a clean slate: it gets
	// all retries.
	failureMemory = time.Minute
	// digestInterval bounds how often files are read to see whether a secret
	// was rotated while a failure is remembered.
	digestInterval = time.Second
)

// A failure is what the Manager remembers of a flight that brought no token.
type failure struct {
	err       error
	temporary bool
	until     int64 // monotonic
	// streak counts the flights in a row that failed in this way; 0 while the
	// first of them still tries.
	streak int

	// digest names the secrets that the failure was got with.
	digest   [sha256.Size]byte
	lookedAt int64 // monotonic, when digest was last compared
}

// quietUntil is the time before which there is no use in asking again.
func (known *failure) quietUntil(b *Binding) int64 {
	if b == nil || b.SecretsDigest == nil {
		return known.until
	}
	// A rotated secret is noticed soon, the back-off's end at its time.
	return min(known.until, known.lookedAt+int64(digestInterval))
}

// backoff is the time that the streak-th failure in a row is remembered.
func backoff(temporary bool, streak int) time.Duration {
	first, limit := refusalBackoff, refusalBackoffLimit
	if temporary {
		first, limit = outageBackoff, outageBackoffLimit
	}
	return min(first<<min(streak-1, 10), limit)
}

// fail ends a flight that brought no token and remembers why.
func (m *Manager) fail(f *flight, b *Binding, digest [sha256.Size]byte, err error, failed *AuthenticationError) {
	m.mu.Lock()
	// Errors of the configuration, such as a file that is missing while it is
	// being replaced, can heal soon.
	temporary := failed == nil || failed.temporary
	streak := 1
	if m.failure != nil && m.failure.temporary == temporary {
		streak += m.failure.streak
	}
	delay := backoff(temporary, streak)
	switch {
	case failed != nil && failed.Needs != "":
		delay = neededBackoff
	case failed != nil:
		delay = max(delay, min(failed.RetryAfter, retryAfterLimit))
	}
	m.remember(err, failed, delay, streak)
	m.failure.digest = digest
	m.land()
	f.err = m.failure.err
	inHand := m.current.Load()
	now := m.clock.instant()
	m.mu.Unlock()
	close(f.done)
	if inHand != nil && !inHand.expired(now) {
		// Nobody has noticed yet.
		logFailure(b.Logger.Warn, "no new access token, the one in hand serves on", m.provider, err, failed,
			zap.Duration("next_attempt_in", delay), zap.Duration("token_ends_in", inHand.Lifetime-now.since(inHand.obtained)))
		return
	}
	logFailure(b.Logger.Error, "no access token", m.provider, err, failed, zap.Duration("next_attempt_in", delay))
}

// announce makes the failure of a background attempt known while its flight
// goes on: callers whose token ends meanwhile need not wait to learn of it.
func (m *Manager) announce(f *flight, err error, failed *AuthenticationError, delay time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight == f {
		m.remember(err, failed, delay, 0)
	}
}

// remember sets the failure that callers get until delay has passed. The
// caller holds the lock.
func (m *Manager) remember(err error, failed *AuthenticationError, delay time.Duration, streak int) {
	now := m.clock.now()
	if failed != nil && failed.Needs == "" {
		failed.RetryAt = now.Add(delay)
	}
	at := m.clock.at(now).mono
	m.failure = &failure{
		err: err, temporary: failed == nil || failed.temporary,
		until: at + int64(delay), streak: streak, lookedAt: at,
	}
	m.settle()
}

// mayAskAgain reports whether it is time to ask again although a failure is
// known: its back-off is over, or it is time to look whether a secret was
// rotated. The caller holds the lock.
func (m *Manager) mayAskAgain(now instant) bool {
	return now.mono >= m.failure.quietUntil(m.binding())
}

// forgetOldFailure ends the memory of a failure that is long over. The caller
// holds the lock.
func (m *Manager) forgetOldFailure(now instant) {
	if m.failure != nil && m.flight == nil && now.mono >= m.failure.until+int64(failureMemory) {
		m.failure = nil
	}
}

// forgetFailure ends the memory of a failure, and makes the failure of an
// attempt under way void. The caller holds the lock.
func (m *Manager) forgetFailure() {
	m.news++
	m.failure = nil
	if m.flight != nil {
		select {
		case m.flight.wake <- struct{}{}:
		default:
		}
	}
	m.settle()
}
