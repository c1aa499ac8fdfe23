package tokens

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// Tokens that live for ten minutes are replaced after eight, less the jitter that
// chooses who asks.
const tenMinutes = 10 * time.Minute

// fromTo lets something begin and end while the requests go on.
func fromTo(from, to time.Duration, begin, end func(*sharedHour)) func(*sharedHour) {
	return func(h *sharedHour) {
		time.Sleep(from)
		begin(h)
		time.Sleep(to - from)
		end(h)
	}
}

func storageDown(h *sharedHour) {
	h.memory.breaks(func(string, string) error { return errDown })
}

func storageUp(h *sharedHour) { h.memory.breaks(nil) }

// often does something each few minutes.
func often(do func(h *sharedHour, turn int)) func(*sharedHour) {
	return func(h *sharedHour) {
		for turn := range 11 {
			time.Sleep(5 * time.Minute)
			do(h, turn)
		}
	}
}

// torn breaks what is stored.
func torn(h *sharedHour, _ int) {
	h.memory.change("", func(content []byte) []byte { return content[:len(content)/2] })
}

// killed leaves the claim of an instance behind that is gone.
func killed(h *sharedHour, _ int) {
	record := h.record
	_, _ = newSharedOver(h.memory, nil, zap.NewNop()).Storage.claims(record.folder()).stand(context.Background(), sharedTerms, nil)
}

func endpointDown(h *sharedHour) { h.server.set(func(s *simulatedServer) { s.down = true }) }

func endpointUp(h *sharedHour) { h.server.set(func(s *simulatedServer) { s.down = false }) }

func oneInTenFails(h *sharedHour) {
	random := rand.New(rand.NewPCG(3, 4))
	var mu sync.Mutex
	h.memory.breaks(func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		return onlyFor(random.IntN(10) == 0)
	})
}

// setBack gives the storage the content again that it had first, as from a backup.
func setBack() func(*sharedHour, int) {
	var first []byte
	return func(h *sharedHour, _ int) {
		h.memory.change("token", func(content []byte) []byte {
			if first == nil {
				first = content
			}
			return first
		})
	}
}

// A sharedBound is what a world must keep to.
type sharedBound struct {
	// requests are the most token requests, replays the most LLM requests that were sent
	// twice, failed the most that failed, longest how long one waited at most.
	requests, replays, failed int
	longest                   time.Duration
	// expired are the most expired tokens that were sent, left the most claims that are
	// left in the storage.
	expired, left int
}

const (
	// Whoever meets the claim of another, which could not be deleted, waits for it as
	// long as the protocol allows, and then asks.
	patienceAndRequest = sharedPatience + time.Second
	// What is lost at the moment at which it is replaced is asked for once more. Changes
	// each five minutes meet refreshes each eight at the fortieth, or beside it.
	lostInFlight = 2
)

var sharedWorlds = map[string]struct {
	world sharedWorld
	bound sharedBound
}{
	"fifty instances ask once for each token": {
		sharedWorld{instances: 50, lifetime: tenMinutes}, sharedBound{requests: 8, longest: time.Second},
	},
	"two instances share one live token": {
		sharedWorld{instances: 2, lifetime: tenMinutes, oneLive: true}, sharedBound{requests: 8, replays: 8, longest: time.Second},
	},
	"ten instances share one live token": {
		sharedWorld{instances: 10, lifetime: tenMinutes, oneLive: true}, sharedBound{requests: 8, replays: 72, longest: time.Second},
	},
	"three instances share one live token of ten seconds": {
		sharedWorld{instances: 3, lifetime: 10 * time.Second, oneLive: true}, sharedBound{requests: 820, replays: 1640, longest: time.Second},
	},
	"a storage that is down for 20 minutes costs tokens only": {
		sharedWorld{instances: 5, lifetime: tenMinutes, events: fromTo(20*time.Minute, 40*time.Minute, storageDown, storageUp)},
		sharedBound{requests: 20, longest: time.Second},
	},
	"a storage that takes up to four seconds costs tokens only": {
		sharedWorld{instances: 5, lifetime: tenMinutes, storage: [2]time.Duration{0, 4 * time.Second}}, sharedBound{requests: 40, longest: 4 * time.Second, left: 5},
	},
	"a storage on another continent costs few tokens more": {
		sharedWorld{instances: 5, lifetime: tenMinutes, storage: [2]time.Duration{100 * time.Millisecond, 250 * time.Millisecond}},
		sharedBound{requests: 20, longest: 4 * time.Second},
	},
	"a storage in which one of ten operations fails costs tokens only": {
		sharedWorld{instances: 5, lifetime: tenMinutes, events: oneInTenFails}, sharedBound{requests: 40, longest: patienceAndRequest, left: 3},
	},
	"a storage that is emptied fails nobody": {
		sharedWorld{instances: 5, lifetime: tenMinutes, events: often(func(h *sharedHour, _ int) { h.memory.change("", func([]byte) []byte { return nil }) })},
		sharedBound{requests: 8 + lostInFlight, longest: time.Second},
	},
	"a storage that is set back fails nobody": {
		sharedWorld{instances: 5, lifetime: tenMinutes, oneLive: true, events: often(setBack())}, sharedBound{requests: 20, replays: 60, longest: time.Second},
	},
	"a torn record fails nobody": {
		sharedWorld{instances: 5, lifetime: tenMinutes, events: often(torn)},
		sharedBound{requests: 8 + lostInFlight, longest: time.Second},
	},
	"an instance that starts has the token of the others": {
		sharedWorld{instances: 5, lifetime: tenMinutes, events: often(func(h *sharedHour, turn int) { h.restart(turn % h.instances) })},
		sharedBound{requests: 8, longest: time.Second},
	},
	"an instance that is killed while it asks holds nobody up": {
		sharedWorld{instances: 5, lifetime: tenMinutes, events: often(killed)}, sharedBound{requests: 16, longest: time.Second, left: 2},
	},
	"a revoked token is replaced once": {
		sharedWorld{instances: 10, lifetime: tenMinutes, events: func(h *sharedHour) {
			time.Sleep(20 * time.Minute)
			h.server.set(func(s *simulatedServer) { s.revoked[s.last] = true })
		}}, sharedBound{requests: 9, replays: 10, longest: time.Second},
	},
	"an endpoint that is down for a minute before a token ends fails nobody": {
		sharedWorld{instances: 10, lifetime: tenMinutes, events: fromTo(7*time.Minute+30*time.Second, 8*time.Minute+30*time.Second, endpointDown, endpointUp)},
		sharedBound{requests: 9, longest: time.Second},
	},
	"clocks that differ by eight seconds cost nothing": {
		sharedWorld{instances: 6, lifetime: tenMinutes, clocks: []time.Duration{0, 8 * time.Second}}, sharedBound{requests: 8, longest: time.Second},
	},
	"clocks that differ by two minutes cost tokens only": {
		sharedWorld{instances: 6, lifetime: tenMinutes, clocks: []time.Duration{-time.Minute, 0, time.Minute}},
		sharedBound{requests: 36, replays: 6, longest: time.Second, expired: 6},
	},
	"without a storage instances end each other's only live token": {
		sharedWorld{instances: 2, lifetime: tenMinutes, oneLive: true, unshared: true}, sharedBound{requests: 500, replays: 3600, failed: 7200, longest: 15 * time.Second},
	},
}

// TestSimulationOfSharing lets worlds run for an hour each, with the Manager that
// requests use. No expired token is sent while clocks differ by less than ten seconds,
// and nothing but the token is left in the storage.
func TestSimulationOfSharing(t *testing.T) {
	t.Parallel()
	for name, test := range sharedWorlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := test.world.run(t)
				t.Logf("figure %s: %d token requests, %d of %d LLM requests failed, %d sent twice, the longest waited %v",
					name, h.server.requests, h.failed, h.sent, h.replayed, h.longest.Round(time.Millisecond))
				bound := test.bound
				if h.expired > bound.expired || h.failed > bound.failed || h.server.requests > bound.requests || h.replayed > bound.replays || h.longest > bound.longest {
					t.Errorf("%d expired tokens were sent; want at most %+v; failures: %v", h.expired, bound, h.failures)
				}
				names := h.memory.names()
				if claims := strings.Count(names, "a claim"); claims > bound.left || strings.Count(names, ", ") > claims {
					t.Errorf("the storage holds %s", names)
				}
			})
		})
	}
}
