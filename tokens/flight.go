package tokens

import (
	"context"
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

	// The Manager's lock guards these. waiting says that a request waits for the
	// token; resting that no attempt is under way: the flight waits for a retry, or
	// looks whether a secret was rotated.
	waiting, resting bool
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

// attemptNow ends the wait for a retry. The caller holds the Manager's lock.
func (f *flight) attemptNow() {
	f.resting = false
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// pause waits for some time, or until the flight is woken.
func (m *Manager) pause(f *flight, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	m.rests(f, true)
	select {
	case <-timer.C:
	case <-f.wake:
	}
	m.rests(f, false)
}

// rests says whether the flight waits for a retry.
func (m *Manager) rests(f *flight, resting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.resting = resting
	if !resting {
		// Whoever woke it as its time came is served already.
		select {
		case <-f.wake:
		default:
		}
	}
}

// fly makes the attempts of one flight. It outlives the
// request that caused it, and its configuration.
func (m *Manager) fly(f *flight) {
	m.mu.Lock()
	wait := time.Duration(m.notBefore - m.clock.instant().mono)
	m.mu.Unlock()
	time.Sleep(wait)
	m.mu.Lock()
	known := m.failure
	looks := known != nil && f.resting
	m.mu.Unlock()
	if looks {
		if !m.secretsChanged(f, known) {
			return
		}
		known = nil
	}
	m.rests(f, false)
	// After a known failure one attempt says enough.
	probe := known != nil

	for number := 1; ; number++ {
		m.mu.Lock()
		a, epoch := attempt{binding: m.binding(), started: m.clock.instant()}, m.epoch
		m.mu.Unlock()

		var token Token
		want := m.want(f)
		token, a.digest, a.err = fetch(a.binding, want)
		if a.err == nil {
			if m.keep(f, token, a.started) {
				return
			}
			a.err = expiredOnArrival()
		}
		a.failed = m.authenticationError(a.err, number)
		if a.failed != nil {
			a.err = a.failed
		}
		delay := firstRetryDelay << (number - 1)
		switch {
		case a.busy() && !want.Waiting && m.want(f).Waiting:
			// A request has come meanwhile: another instance is worth waiting for now.
			number--
			continue
		case m.newerThan(epoch):
			// What failed is out of date: the present configuration has the word.
			number, probe = 0, false
			m.pause(f, time.Duration(a.started.mono+int64(minimumFetchInterval)-m.clock.instant().mono))
			continue
		case probe || number > a.binding.Retries || !worthRetrying(a.failed, delay):
			m.fail(f, &a)
			return
		}
		a.log(zap.WarnLevel, "token request failed, trying again", m.provider,
			zap.Int("attempt", number), zap.Int("retries", a.binding.Retries), zap.Duration("delay", delay))
		if f.background {
			m.announce(f, &a, delay)
		}
		m.pause(f, delay)
		if m.newerThan(epoch) {
			number = 0
		}
	}
}

// want says what a flight's token is for.
func (m *Manager) want(f *flight) Want {
	m.mu.Lock()
	defer m.mu.Unlock()
	want := Want{Waiting: f.waiting}
	if h := m.current.Load(); h != nil {
		want.InHand, want.Refused = h.Token, h.suspect
	}
	return want
}

func (m *Manager) newerThan(epoch int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch != epoch
}

// secretsChanged reports whether the secrets are others than those that a known
// failure was got with, which ends its memory. If they are not, that failure ends
// the flight.
func (m *Manager) secretsChanged(f *flight, known *failure) bool {
	m.mu.Lock()
	b := m.binding()
	m.mu.Unlock()
	digest, err := secretsDigest(b)
	m.mu.Lock()
	switch {
	case err != nil || m.failure != known:
		m.mu.Unlock()
		return true
	case digest != known.digest:
		m.failure = nil
		m.settle()
		m.mu.Unlock()
		return true
	}
	now := m.clock.instant()
	known.lookedAt = now.mono
	f.err = m.tell(now)
	m.land()
	m.mu.Unlock()
	close(f.done)
	return false
}
