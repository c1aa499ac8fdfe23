package tokens

import (
	"context"
	"errors"
	"time"
)

// attemptWait is the longest time that a request waits for an attempt where there
// is something else for it: a failure that is known, or a token that is suspect.
const attemptWait = time.Second

var errAttemptWait = errors.New("the attempt takes longer than a request waits for it")

// Token returns the token in hand, or waits for one as long as ctx allows, and in
// a known outage for at most a second. The error is an *AuthenticationError, the
// cause of ctx's end, or an error of the configuration.
func (m *Manager) Token(ctx context.Context) (*Token, error) {
	for {
		if t := m.Current(); t != nil {
			return t, nil
		}
		t, f, known, err := m.join()
		switch {
		case t != nil || err != nil:
		case known != nil:
			t, err = m.awaitAttempt(ctx, f, known)
		default:
			t, err = f.await(ctx)
		}
		// A caller that was held up may find that its token has ended already.
		if err != nil || !t.expired(m.clock.instant()) {
			return t, err
		}
	}
}

// TrustedToken is Token for a request that cannot be sent twice: if the token in
// hand is suspect, it waits for the one that is being asked for, at most a second.
func (m *Manager) TrustedToken(ctx context.Context) (*Token, error) {
	if f := m.replacing(m.Current()); f != nil {
		select {
		case <-f.done:
		case <-time.After(attemptWait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return m.Token(ctx)
}

// replacing is the flight that shall replace a suspect token, nil if the token is
// not suspect or nothing is under way.
func (m *Manager) replacing(t *Token) *flight {
	if !m.Suspects(t) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != nil {
		m.flight.waiting = true
	}
	return m.flight
}

// Refresh asks for a new token now, whatever is known of earlier failures, and
// waits for it as long as ctx allows. The old token serves meanwhile.
func (m *Manager) Refresh(ctx context.Context) (*Token, error) {
	m.mu.Lock()
	if m.binding() == nil {
		m.mu.Unlock()
		return nil, ErrNotBound
	}
	m.forgetFailure()
	f := m.flight
	if f == nil {
		f = m.launch(false)
	}
	f.waiting = true
	m.mu.Unlock()
	return f.await(ctx)
}

// join gives a caller without a token the one that has come meanwhile, the flight
// to wait for, or the failure that it gets at once. It waits for a flight only a
// short time where a failure is known.
func (m *Manager) join() (t *Token, f *flight, known *failure, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.binding() == nil {
		return nil, nil, nil, ErrNotBound
	}
	now := m.clock.instant()
	if h := m.usable(now); h != nil {
		return h.Token, nil, nil, nil
	}
	m.forgetOldFailure(now)
	f, known = m.flight, m.failure
	if known != nil && known.busy {
		// It is worth waiting for another instance.
		known = nil
	}
	switch {
	case f == nil && (known == nil || m.mayAskAgain(now)):
		// It is time for an attempt, or to look whether a secret was rotated.
		f = m.launch(false)
	case f == nil:
		m.tellOperator(now)
		return nil, nil, nil, m.tell(now)
	case known != nil && f.resting:
		if now.mono < m.nextAttempt(now) {
			return nil, nil, nil, m.tell(now)
		}
		f.attemptNow()
	}
	f.waiting = true
	return nil, f, known, nil
}

// awaitAttempt waits for an attempt that is made while a failure is known.
func (m *Manager) awaitAttempt(ctx context.Context, f *flight, known *failure) (*Token, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptWait, errAttemptWait)
	defer cancel()
	t, err := f.await(ctx)
	if errors.Is(err, errAttemptWait) {
		err = known.told(m.clock.now().Add(attemptWait))
	}
	return t, err
}
