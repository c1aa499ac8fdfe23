package tokens

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// A sharedWorld is an hour of several instances that share access tokens.
type sharedWorld struct {
	instances int
	lifetime  time.Duration
	// oneLive says that a new token ends the one before.
	oneLive bool
	// clocks are how far the clocks of instances are ahead, in turn.
	clocks []time.Duration
	// unshared leaves the storage out.
	unshared bool
	// storage is how long its operations take.
	storage [2]time.Duration
	// events happen one after the other while the requests go on.
	events func(*sharedHour)
}

// A sharedHour is such a world while it runs.
type sharedHour struct {
	sharedWorld
	memory *slowStorage
	server *simulatedServer
	record sharedRecord

	mu                     sync.Mutex
	managers               []*Manager
	sent, failed, replayed int
	failures               map[string]int
	expired                int
	longest                time.Duration
}

// A simulatedServer is a token endpoint, and the LLM that takes its tokens.
type simulatedServer struct {
	mu       sync.Mutex
	world    *sharedWorld
	issued   map[string]time.Time
	last     string
	revoked  map[string]bool
	down     bool
	requests int
}

// Fetch is a token request.
func (s *simulatedServer) Fetch(context.Context, Want) (Token, error) {
	time.Sleep(150 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return Token{}, outage(0)
	}
	s.requests++
	s.last = fmt.Sprint("token-", s.requests)
	s.issued[s.last] = time.Now()
	return Token{Value: NewSecret(s.last), Lifetime: s.world.lifetime}, nil
}

// takes reports whether the LLM takes a token, and whether it has expired.
func (s *simulatedServer) takes(token *Token) (ok, expired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value := token.Value.Reveal()
	issued, known := s.issued[value]
	expired = known && time.Since(issued) >= s.world.lifetime
	return known && !expired && !s.revoked[value] && (!s.world.oneLive || value == s.last), expired
}

func (s *simulatedServer) set(change func(*simulatedServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// run lets the hour pass.
func (w sharedWorld) run(t *testing.T) *sharedHour {
	t.Helper()
	h := &sharedHour{sharedWorld: w, memory: newSlowStorage(), failures: make(map[string]int)}
	h.server = &simulatedServer{world: &h.sharedWorld, issued: make(map[string]time.Time), revoked: make(map[string]bool)}
	h.record = recordOf(t, newSharedOver(h.memory, nil, zap.NewNop()))
	if w.storage[1] != 0 {
		h.memory.latency = w.storage
	}
	var wg sync.WaitGroup
	for i := range w.instances {
		h.managers = append(h.managers, h.start(i))
	}
	for i := range w.instances {
		wg.Go(func() { h.send(t, i) })
	}
	if w.events != nil {
		w.events(h)
	}
	wg.Wait()
	// What is under way ends, and what was given up, too.
	time.Sleep(time.Minute)
	synctest.Wait()
	return h
}

// start makes an instance: a process with a memory of its own.
func (h *sharedHour) start(i int) *Manager {
	now := time.Now
	if len(h.clocks) > 0 {
		ahead := h.clocks[i%len(h.clocks)]
		now = func() time.Time { return time.Now().Add(ahead) }
	}
	m := NewManager("corp")
	m.clock = newClock(now)
	var fetcher Fetcher = h.server
	if !h.unshared {
		shared := newSharedOver(h.memory, fetcher, zap.NewNop())
		shared.now = now
		fetcher = shared
	}
	m.Bind(&Binding{Fetcher: fetcher, Retries: DefaultRetries, Logger: zap.NewNop()})
	return m
}

// restart ends an instance's memory.
func (h *sharedHour) restart(i int) {
	m := h.start(i)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.managers[i] = m
}

// send sends an LLM request each second, each instance at its own time.
func (h *sharedHour) send(t *testing.T, i int) {
	time.Sleep(time.Duration(i) * 17 * time.Millisecond)
	for end := time.Now().Add(time.Hour); time.Now().Before(end); time.Sleep(time.Second) {
		h.mu.Lock()
		m := h.managers[i]
		h.mu.Unlock()
		h.request(t.Context(), m)
	}
}

// request is one LLM request, which is sent again with another token after a 401.
func (h *sharedHour) request(ctx context.Context, m *Manager) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	start := time.Now()
	token, err := m.Token(ctx)
	replayed := false
	if err == nil {
		ok, expired := h.server.takes(token)
		h.noteExpired(expired)
		if !ok {
			replayed = true
			if token, err = m.Replacement(ctx, token); err == nil {
				if ok, expired = h.server.takes(token); !ok {
					err = errors.New("the LLM refuses the second token, too")
				}
				h.noteExpired(expired)
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent++
	h.longest = max(h.longest, time.Since(start))
	if replayed {
		h.replayed++
	}
	if err != nil {
		h.failed++
		h.failures[err.Error()]++
	}
}

func (h *sharedHour) noteExpired(expired bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if expired {
		h.expired++
	}
}
