package tokens

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A Fetcher obtains a token: one attempt, bounded in time by itself.
type Fetcher interface {
	Fetch(ctx context.Context) (Token, error)
}

// A Binding is what a configuration lends to a Manager: all of it may end with
// that configuration, so the Manager holds nothing of it once a newer one is
// bound.
type Binding struct {
	Fetcher Fetcher
	// Retries counts the attempts after the first, 1 s, 2 s, 4 s … apart.
	Retries int
	// RefreshBefore is how long before its end a token is replaced; 0 chooses
	// by the token's life.
	RefreshBefore time.Duration
	// SecretsDigest, if not nil, names the present content of the files that
	// the token request is made of. A change ends the memory of a failure.
	SecretsDigest func() [sha256.Size]byte
	Logger        *zap.Logger
}

// minimumFetchInterval keeps a server that hands out tokens of no length, or
// the same token again and again, from being asked in a loop (cases T04, T32).
const minimumFetchInterval = time.Second

// A Manager keeps the access token of one provider. Any number of callers
// share one token request; none of them can end it for the others. A token is
// fresh, then stale (still used, while one background request replaces it),
// then expired (never used). An outage or a refusal is remembered, and callers
// get it at once instead of a token until it is time to ask again.
//
// A Manager has no goroutine or timer of its own: what nobody uses costs
// nothing.
type Manager struct {
	provider string

	// current and quietUntil are all that a request reads while a token is
	// usable. quietUntil is the monotonic time before which there is no use in
	// looking for a reason to refresh.
	current    atomic.Pointer[Token]
	quietUntil atomic.Int64

	mu         sync.Mutex
	bindings   []*Binding
	flight     *flight
	failure    *failure
	rejections rejectionBudget
	// notBefore is the monotonic time of the earliest next fetch.
	notBefore int64

	// Seams for tests.
	clock  clock
	jitter func() float64
}

// A flight is a token request under way, retries included.
type flight struct {
	done       chan struct{}
	background bool
	token      *Token
	err        error
}

const never = int64(1<<63 - 1)

// NewManager returns a Manager without a token. It needs a Binding before it
// can fetch one.
func NewManager(provider string) *Manager {
	return &Manager{provider: provider, clock: newClock(time.Now), jitter: rand.Float64}
}

// Bind makes a configuration's Binding the one in use and ends the memory of a
// failure: the configuration may have mended it. The returned function takes
// the Binding back, and the one before it, if any, is in use again. The last
// one stays: requests of a configuration that is gone still finish.
func (m *Manager) Bind(b *Binding) (unbind func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bindings = append(m.bindings, b)
	m.forgetFailure()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, bound := range m.bindings {
			if bound == b && len(m.bindings) > 1 {
				m.bindings = append(m.bindings[:i:i], m.bindings[i+1:]...)
				return
			}
		}
	}
}

func (m *Manager) binding() *Binding {
	if len(m.bindings) == 0 {
		return nil
	}
	return m.bindings[len(m.bindings)-1]
}

// Current returns the token in hand, or nil if there is none that may be used.
// It does not block. If the token is stale, one background request replaces it.
func (m *Manager) Current() *Token {
	t := m.current.Load()
	if t == nil {
		return nil
	}
	now := m.clock.instant()
	if t.expired(now) {
		return nil
	}
	if t.stale(now) && now.mono >= m.quietUntil.Load() {
		m.refreshInBackground(now)
	}
	return t
}

// Token returns the token in hand, or waits for one as long as ctx allows. The
// error is an *AuthenticationError, the cause of ctx's end, or an error of the
// configuration.
func (m *Manager) Token(ctx context.Context) (*Token, error) {
	if t := m.Current(); t != nil {
		return t, nil
	}
	f, err := m.join()
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Reject drops a token that an upstream has refused, if it is still the one in
// hand, so that the next caller gets a new one. It reports whether asking for
// a token is worthwhile: false means that the provider's tokens were refused
// so often that the next new one has to wait (case U02).
func (m *Manager) Reject(t *Token) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current.Load() != t {
		return true
	}
	if !m.rejections.spend(m.clock.instant().mono) {
		return false
	}
	m.current.Store(nil)
	m.notBefore = 0
	return true
}

// Refresh asks for a new token now, whatever is known of earlier failures, and
// waits for it as long as ctx allows. The old token serves meanwhile.
func (m *Manager) Refresh(ctx context.Context) (*Token, error) {
	m.mu.Lock()
	m.forgetFailure()
	f := m.flight
	if f == nil {
		b := m.binding()
		if b == nil {
			m.mu.Unlock()
			return nil, ErrNotBound
		}
		f = m.launch(false)
	}
	m.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// join finds the flight that a caller without a token waits for, or the
// failure that it gets at once.
func (m *Manager) join() (*flight, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.instant()
	if m.binding() == nil {
		return nil, ErrNotBound
	}
	if m.failure != nil {
		// An outage that is known is not worth waiting for: whoever finds the
		// back-off over waits for that one attempt, everyone else is told.
		if m.flight != nil || !m.mayAskAgain(now) {
			return nil, m.failure.err
		}
	}
	if t := m.current.Load(); t != nil && !t.expired(now) {
		return landed(t), nil
	}
	if m.flight != nil {
		return m.flight, nil
	}
	return m.launch(false), nil
}

// refreshInBackground starts a flight unless there is one or a failure says to
// wait.
func (m *Manager) refreshInBackground(now instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != nil || m.binding() == nil || now.mono < m.quietUntil.Load() {
		return
	}
	if m.failure != nil && !m.mayAskAgain(now) {
		return
	}
	if t := m.current.Load(); m.flight == nil && t != nil && t.stale(now) {
		m.launch(true)
	}
}

// launch starts a flight. The caller holds the lock.
func (m *Manager) launch(background bool) *flight {
	f := &flight{done: make(chan struct{}), background: background}
	m.flight = f
	m.quietUntil.Store(never)
	go m.fly(f)
	return f
}

// landed is the flight of a token that is there already.
func landed(t *Token) *flight {
	f := &flight{done: make(chan struct{}), token: t}
	close(f.done)
	return f
}

// keep makes a fetched token the one in hand.
func (m *Manager) keep(f *flight, fetched Token, started instant) {
	t := &fetched
	m.mu.Lock()
	b := m.binding()
	t.obtained = started
	t.freshFor = t.freshTime(b.RefreshBefore, m.jitter())
	recovered := m.failure != nil
	first := m.current.Swap(t) == nil
	m.failure = nil
	m.notBefore = started.mono + int64(minimumFetchInterval)
	m.quietUntil.Store(m.notBefore)
	m.flight = nil
	m.mu.Unlock()
	f.token = t
	close(f.done)

	log := b.Logger.Debug
	if first || recovered {
		log = b.Logger.Info
	}
	log("obtained an access token",
		zap.String("provider", m.provider),
		zap.Duration("lifetime", t.Lifetime),
		zap.Duration("fresh_for", t.freshFor),
		zap.Bool("after_failure", recovered))
}
