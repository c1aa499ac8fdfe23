package tokens

import (
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

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
	// Logger gets what the operator must know. Default: nothing is logged.
	Logger *zap.Logger
}

// minimumFetchInterval keeps a server that hands out tokens of no length, or
// the same token again and again, from being asked in a loop.
const minimumFetchInterval = time.Second

// A Manager keeps the access token of one provider. Any number of callers
// share one token request; none of them can end it for the others. A token is
// fresh, then stale (still used, while one background request replaces it),
// then expired (never used). One that an upstream has refused is suspect, which
// is stale too. An outage or a refusal is remembered, and callers get it at once
// instead of a token until it is time to ask again.
//
// A Manager has no goroutine or timer of its own: what nobody uses costs
// nothing.
type Manager struct {
	provider string

	// current and quietUntil are all that a request reads while a token is
	// usable. quietUntil is the monotonic time before which whoever holds a
	// stale token has nothing to do; see settle.
	current    atomic.Pointer[inHand]
	quietUntil atomic.Int64

	mu       sync.Mutex
	bindings []*Binding
	flight   *flight
	failure  *failure
	// rejections limits the token requests that refused tokens cause, rejectionLines the
	// log lines about those that are not made.
	rejections, rejectionLines *rate.Limiter
	refusals                   refusalPace
	// notBefore is the monotonic time of the earliest next fetch.
	notBefore int64
	// epoch counts what makes an older failure void: a configuration that was
	// loaded, an operator who asked for a token.
	epoch int

	// Seams for tests.
	clock  clock
	jitter func() float64
}

// An inHand is the token in hand. It is replaced, never changed: requests read it
// without a lock.
type inHand struct {
	*Token
	// suspect says that an upstream has refused it.
	suspect bool
}

func (h *inHand) stale(now instant) bool { return h.suspect || h.Token.stale(now) }

const never = int64(1<<63 - 1)

// NewManager returns a Manager without a token. It needs a Binding before it
// can fetch one.
func NewManager(provider string) *Manager {
	return &Manager{
		provider: provider, clock: newClock(time.Now), jitter: rand.Float64,
		rejections:     rate.NewLimiter(rate.Every(rejectionInterval), rejectionBurst),
		rejectionLines: rate.NewLimiter(rate.Every(rejectionInterval), 1),
	}
}

// Bind makes a configuration's Binding the one in use and ends the memory of a
// failure: the configuration may have mended it. The returned function takes
// the Binding back, and the one before it, if any, is in use again. The last
// one stays: requests of a configuration that is gone still finish.
func (m *Manager) Bind(b *Binding) (unbind func()) {
	if b.Logger == nil {
		b.Logger = zap.NewNop()
	}
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
	h := m.current.Load()
	if h == nil {
		return nil
	}
	now := m.clock.instant()
	if h.expired(now) {
		return nil
	}
	if h.stale(now) && now.mono >= m.quietUntil.Load() {
		m.refreshInBackground(now)
	}
	return h.Token
}

// usable is the token in hand, nil if it has ended.
func (m *Manager) usable(now instant) *inHand {
	if h := m.current.Load(); h != nil && !h.expired(now) {
		return h
	}
	return nil
}

// refreshInBackground starts a flight unless there is one or a failure says to
// wait.
func (m *Manager) refreshInBackground(now instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != nil || m.binding() == nil || now.mono < m.quietUntil.Load() {
		return
	}
	m.forgetOldFailure(now)
	if m.failure != nil && !m.mayAskAgain(now) {
		return
	}
	if h := m.usable(now); h != nil && h.stale(now) {
		m.launch(true)
	}
}

// launch starts a flight. The caller holds the lock.
func (m *Manager) launch(background bool) *flight {
	now := m.clock.instant()
	m.flight = &flight{
		done: make(chan struct{}), wake: make(chan struct{}, 1),
		background: background, waiting: !background,
		resting: m.failure != nil && now.mono < m.nextAttempt(now),
	}
	m.settle()
	go m.fly(m.flight)
	return m.flight
}

// land ends a flight. The caller holds the lock, and closes done without it.
func (m *Manager) land() {
	m.flight = nil
	m.settle()
}

// settle says until when whoever holds a stale token has nothing to do. It is
// called whenever what it looks at has changed. The caller holds the lock.
func (m *Manager) settle() {
	switch {
	case m.flight != nil:
		m.quietUntil.Store(never)
	case m.failure != nil:
		m.quietUntil.Store(m.quiet(m.failure.until))
	default:
		m.quietUntil.Store(m.notBefore)
	}
}

// keep makes a fetched token the one in hand. It reports false for one that has
// ended already.
func (m *Manager) keep(f *flight, fetched Token, started instant) bool {
	t := &fetched
	t.obtained = m.clock.obtained(t.ObtainedAt, started)
	t.ObtainedAt = time.Unix(0, t.obtained.wall)
	now := m.clock.instant()
	if t.expired(now) {
		return false
	}
	m.mu.Lock()
	b := m.binding()
	t.freshFor = t.freshTime(b.RefreshBefore, m.jitter())
	recovered := m.failure != nil
	replaced := m.usable(now)
	m.current.Store(&inHand{Token: t})
	m.failure = nil
	m.notBefore = started.mono + int64(minimumFetchInterval)
	m.land()
	m.mu.Unlock()
	f.token = t
	close(f.done)

	log := b.Logger.Debug
	if replaced == nil || replaced.suspect || recovered {
		log = b.Logger.Info
	}
	log("obtained an access token",
		zap.String("provider", m.provider),
		zap.Duration("lifetime", t.Lifetime),
		zap.Duration("fresh_for", t.freshFor),
		zap.Bool("after_failure", recovered))
	return true
}
