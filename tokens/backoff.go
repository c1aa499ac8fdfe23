package tokens

import (
	"crypto/sha256"
	"time"

	"go.uber.org/zap"
)

// How long a failure is remembered: from the first bound, doubling with each
// further failure of its kind, to the second. An outage is remembered so long only
// while the token in hand is usable.
const (
	outageBackoff, outageBackoffLimit   = 5 * time.Second, 30 * time.Second
	refusalBackoff, refusalBackoffLimit = 30 * time.Second, 5 * time.Minute

	// outageInterval is between two attempts in an outage that requests without a
	// usable token start, more or less by outageJitter of it.
	outageInterval = 2 * time.Second
	outageJitter   = 0.20

	// neededBackoff is for a failure that is another provider's: that provider
	// remembers it, and is cheap to ask. It is less, but not below its least, where
	// that provider asks again before.
	neededBackoff, neededBackoffLeast = time.Second, 100 * time.Millisecond
	// busyBackoff is for another instance that is asking.
	busyBackoff = time.Second
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

// troubleInterval is how often an outage that lasts is logged above DEBUG.
const troubleInterval = 30 * time.Second

// A failure is what the Manager remembers of a flight that brought no token.
type failure struct {
	err       error
	temporary bool
	// until is the monotonic time of the next attempt while the token in hand is
	// usable, onDemand of that which a request without a usable token starts.
	until, onDemand int64
	// streak counts the flights in a row that failed in this way; 0 while the
	// first of them still tries.
	streak int
	// logged is the monotonic time of the last log line above DEBUG, loggedAs its
	// message.
	logged   int64
	loggedAs string
	// busy says that nothing has failed: another instance is asking.
	busy bool

	// digest names the secrets that the failure was got with.
	digest   [sha256.Size]byte
	lookedAt int64 // monotonic, when digest was last compared
}

// told is the failure for a caller that gets it now and may try again at retryAt.
func (known *failure) told(retryAt time.Time) error {
	failed, ok := known.err.(*AuthenticationError) //nolint:errorlint // one that is wrapped is another's
	if !ok || failed.Needs != "" {
		return known.err
	}
	copied := *failed
	copied.RetryAt = retryAt
	return &copied
}

// tell is the known failure for a caller that gets it at once. The caller holds the
// lock.
func (m *Manager) tell(now instant) error {
	wait := max(m.nextAttempt(now)-now.mono, 0)
	return m.failure.told(m.clock.now().Add(time.Duration(wait)))
}

// nextAttempt is the monotonic time of the next attempt after the known failure.
// The caller holds the lock.
func (m *Manager) nextAttempt(now instant) int64 {
	if m.usable(now) != nil {
		return m.failure.until
	}
	return m.failure.onDemand
}

// quiet is the monotonic time before which there is no use in asking again, where
// the next attempt is due at some time: a rotated secret is noticed soon, that time
// when it comes. The caller holds the lock.
func (m *Manager) quiet(next int64) int64 {
	if b := m.binding(); b == nil || b.SecretsDigest == nil {
		return next
	}
	return min(next, m.failure.lookedAt+int64(digestInterval))
}

// mayAskAgain reports whether it is time to ask again although a failure is
// known: its back-off is over, or it is time to look whether a secret was
// rotated. The caller holds the lock.
func (m *Manager) mayAskAgain(now instant) bool {
	return now.mono >= m.quiet(m.nextAttempt(now))
}

// backoff is the time that the streak-th failure in a row is remembered.
func backoff(temporary bool, streak int) time.Duration {
	first, limit := refusalBackoff, refusalBackoffLimit
	if temporary {
		first, limit = outageBackoff, outageBackoffLimit
	}
	return min(first<<min(streak-1, 10), limit)
}

// remembered makes a failure of a failed attempt that is the streak-th in a row.
func (m *Manager) remembered(a *attempt, streak int) *failure {
	now := m.clock.instant()
	known := &failure{err: a.err, temporary: a.temporary(), streak: streak, digest: a.digest, lookedAt: now.mono}
	after := func(d time.Duration) int64 { return now.mono + int64(d) }
	switch failed := a.failed; {
	case a.busy():
		known.busy, known.until, known.onDemand = true, after(busyBackoff), now.mono
		return known
	case failed != nil && failed.Needs != "":
		known.until = after(neededBackoff)
		if !failed.RetryAt.IsZero() {
			known.until = after(min(max(failed.RetryAt.Sub(m.clock.now()), neededBackoffLeast), neededBackoff))
		}
		known.onDemand = known.until
		return known
	}
	known.until = after(backoff(known.temporary, max(streak, 1)))
	known.onDemand = known.until
	if known.temporary {
		known.onDemand = a.started.mono + int64((1+outageJitter*(2*m.jitter()-1))*float64(outageInterval))
	}
	if a.failed != nil {
		earliest := after(min(a.failed.RetryAfter, retryAfterLimit))
		known.until, known.onDemand = max(known.until, earliest), max(known.onDemand, earliest)
	}
	return known
}

// fail ends a flight that brought no token and remembers why.
func (m *Manager) fail(f *flight, a *attempt) {
	m.mu.Lock()
	streak := 1
	before := m.failure
	if before != nil && before.temporary == a.temporary() {
		streak += before.streak
	}
	if a.busy() {
		streak--
		m.notBefore = m.clock.instant().mono + int64(busyBackoff)
	}
	m.failure = m.remembered(a, streak)
	m.land()
	now := m.clock.instant()
	f.err = m.tell(now)
	next := zap.Duration("next_attempt_in", time.Duration(max(m.nextAttempt(now)-now.mono, 0)))
	inHand := m.usable(now)
	level, message := zap.ErrorLevel, noTokenMessage
	if inHand != nil {
		level, message = zap.WarnLevel, "no new access token, the one in hand serves on"
	}
	if !m.failure.newTrouble(before, message, now.mono, a.busy()) {
		level = zap.DebugLevel
	}
	m.mu.Unlock()
	close(f.done)
	if inHand == nil {
		a.log(level, message, m.provider, next)
		return
	}
	// Nobody has noticed yet.
	a.log(level, message, m.provider, next, zap.Duration("token_ends_in", inHand.Lifetime-now.since(inHand.obtained)))
}

const noTokenMessage = "no access token"

// tellOperator says that requests fail now by a failure that came while a token was in
// hand. The caller holds the lock.
func (m *Manager) tellOperator(now instant) {
	known := m.failure
	if known.busy || known.loggedAs == noTokenMessage || known.loggedAs == "" {
		return
	}
	known.logged, known.loggedAs = now.mono, noTokenMessage
	m.logger().Error(noTokenMessage, zap.String("provider", m.provider),
		zap.Duration("next_attempt_in", time.Duration(max(m.nextAttempt(now)-now.mono, 0))), zap.Error(known.err))
}

// newTrouble reports whether a failure has to be logged above DEBUG: not one of an
// outage of which the same was logged shortly before, and none that is no trouble.
func (known *failure) newTrouble(before *failure, message string, now int64, busy bool) bool {
	logged := before != nil && known.temporary && before.loggedAs == message && now < before.logged+int64(troubleInterval)
	if logged || busy {
		if before != nil {
			known.logged, known.loggedAs = before.logged, before.loggedAs
		}
		return false
	}
	known.logged, known.loggedAs = now, message
	return true
}

// announce makes the failure of a background attempt known while its flight
// goes on: callers whose token ends meanwhile need not wait to learn of it.
func (m *Manager) announce(f *flight, a *attempt, delay time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != f || a.busy() {
		return
	}
	known := m.remembered(a, 0)
	known.until = m.clock.instant().mono + int64(delay)
	known.onDemand = min(known.onDemand, known.until)
	m.failure = known
	m.settle()
}

// forgetOldFailure ends the memory of a failure that is long over. The caller
// holds the lock.
func (m *Manager) forgetOldFailure(now instant) {
	if m.failure != nil && m.flight == nil && now.mono >= max(m.failure.until, m.failure.onDemand)+int64(failureMemory) {
		m.failure = nil
	}
}

// forgetFailure ends the memory of a failure, and makes the failure of an
// attempt under way void. The caller holds the lock.
func (m *Manager) forgetFailure() {
	m.epoch++
	m.failure = nil
	if m.flight != nil {
		m.flight.attemptNow()
	}
	m.settle()
}
