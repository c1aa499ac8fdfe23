package tokens

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// A custodyWorld is what a simulation takes place in. Its faults end with its
// duration: what is not lost for good must then work again.
type custodyWorld struct {
	name      string
	instances int
	// duration is how long the faults last at most.
	duration time.Duration
	// well says that storage and server work: no request may fail.
	well bool

	storage storageFaults
	server  serverFaults
	outages outages

	// kills is the share of the steps of an instance (operations of the storage,
	// requests, answers) at which it is killed; killsAtAnswers is that of the answers
	// that are not saved yet.
	kills, killsAtAnswers float64
	// freezes are how long an instance may stand still between its last check and
	// its request.
	freezes []time.Duration
	// fetcher replaces the Client, for tests of the simulation itself.
	fetcher func(*simulatedInstance) Fetcher
}

const (
	// healingTime is how long it takes at most until everything works again: a custody
	// that is not certain stays away for 5 minutes at most.
	healingTime = 8 * time.Minute
	// wellTime is the last part of it, in which no request may fail.
	wellTime = time.Minute
	// endTime is how long it takes at most until nothing is under way.
	endTime = 15 * time.Minute
	// tokenWait is how long a request waits for a token.
	tokenWait = 15 * time.Second
)

// A simulation is one run of a world. Everything in it is guarded by one lock, which
// is never held for any time.
type simulation struct {
	world   custodyWorld
	seed    uint64
	started time.Time
	running sync.WaitGroup

	mu      sync.Mutex
	storage *simulatedStorage
	server  *custodyServer
	// random is the generator of what belongs to no instance.
	random *rand.Rand
	actors uint64
	// healed ends the faults, over the demand.
	healed, over bool
	// healedAt is when they did, wellFrom from when on no request may fail.
	healedAt, wellFrom time.Time
	outage             storageOutage
	history            []happening
	breaches           []string
}

// A happening is a line of the history.
type happening struct {
	at                         time.Duration
	who, what, subject, result string
	names                      []string
}

func (h happening) String() string {
	return strings.TrimSpace(fmt.Sprintf("%9.3f  %-6s %-8s %s  %s %s",
		h.at.Seconds(), h.who, h.what, h.subject, h.result, strings.Join(h.names, " ")))
}

// simulate runs a world. It must be called in a bubble of synctest, and what it
// returns is read when the bubble has ended.
func (w custodyWorld) simulate(seed uint64) *simulation {
	s := &simulation{world: w, seed: seed, started: time.Now()}
	s.random = s.generator()
	s.storage = newSimulatedStorage(s)
	s.server = newCustodyServer(s)
	s.outage.nextFrom = s.started.Add(10 * time.Second)
	for slot := range w.instances {
		s.running.Go(func() { s.occupy(slot) })
	}
	if w.storage.loses != nil {
		s.running.Go(s.lose)
	}
	time.Sleep(min(*simulatedTime, orDefault(w.duration, *simulatedTime)))
	s.do(func() {
		s.healed, s.healedAt = true, time.Now()
		s.wellFrom = time.Now().Add(healingTime - wellTime)
		s.note("", "heal", "", "", nil)
	})
	if w.well {
		// There is nothing to heal.
		time.Sleep(time.Second)
	} else {
		time.Sleep(healingTime)
	}
	s.do(func() { s.over = true })
	s.running.Wait()
	// Time stops when this returns: what is under way must have come to its end.
	time.Sleep(endTime)
	return s
}

// generator gives an actor its own random numbers: what one does changes nothing
// for the others.
func (s *simulation) generator() *rand.Rand {
	s.actors++
	return rand.New(rand.NewPCG(s.seed, s.actors))
}

func (s *simulation) do(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

func (s *simulation) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// The methods below are called with the lock held.

func (s *simulation) note(who, what, subject, result string, names []string) {
	s.history = append(s.history, happening{time.Since(s.started), who, what, subject, result, names})
}

// breach notes that an invariant is broken. It ends the simulation.
func (s *simulation) breach(who, what string) {
	if s.over {
		return
	}
	s.note(who, "BREACH", what, "", nil)
	s.breaches = append(s.breaches, what)
	s.healed, s.over = true, true
}

// chance draws whether something happens that does in a share of all cases.
func (s *simulation) chance(random *rand.Rand, share float64) bool {
	return share > 0 && !s.healed && random.Float64() < share
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(random.Int64N(int64(most-least)))
}

// story is the whole history, for whoever looks for the cause of a breach.
func (s *simulation) story() string {
	var story strings.Builder
	fmt.Fprintf(&story, "%s, seed %d: %s\n", s.world.name, s.seed, strings.Join(s.breaches, "; "))
	for _, h := range s.history {
		fmt.Fprintln(&story, h)
	}
	return story.String()
}
