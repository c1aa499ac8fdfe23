package tokens

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// claims keep instances that share a storage from asking at the same time, without a
// lock: those of storages do nothing, end by themselves, or are granted twice. A
// claim is a key in a folder that says "I am asking now". Each instance writes its
// own before it looks for those of others. So of two, the one whose claim is there
// last sees the other's, whatever the delays, and at least one withdraws. One that
// looks after the other has finished loads what that one has stored, because a record
// is stored before the claim is deleted. That needs no clock, and of the storage only
// that a key can be listed once its Store has returned.
type claims struct {
	storage *SharedStorage
	folder  string

	mu sync.Mutex
	// seen are the claims of others, by name.
	seen map[string]*sighting
	// left are own claims under which nobody works any more, and from when on they are
	// deleted where they still stand: a Store that was given up may land later.
	left map[string]time.Time
	// window is how long after a claim the request must leave: longer for a storage
	// that has shown to be slow.
	window time.Duration
}

// A sighting is what is known of another's claim. Its own clock is not believed.
type sighting struct {
	promise time.Duration
	// watched is how long it was seen to stand.
	watched time.Duration
	at      time.Time
}

const (
	claimPrefix = "claim-"
	// A claim promises how long it takes at most: promiseLimit bounds what is
	// believed, unknownPromise is for a name without one.
	promiseLimit, unknownPromise = 10 * time.Minute, time.Minute
	// lookInterval is how often a claim must be looked at for the time between to
	// count: whoever sleeps longer has seen nothing.
	lookInterval = 2 * time.Second
	// leftMemory is how long an own claim is remembered that was deleted.
	leftMemory = 15 * time.Minute
)

func (s *SharedStorage) claims(folder string) *claims {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folders == nil {
		s.folders = make(map[string]*claims)
	}
	c := s.folders[folder]
	if c == nil {
		c = &claims{storage: s, folder: folder, seen: make(map[string]*sighting), left: make(map[string]time.Time), window: claimWindow}
		s.folders[folder] = c
	}
	return c
}

// A view is what a folder holds.
type view struct {
	// names are those of records, and of whatever else is there.
	names []string
	// live are the claims of others that may be at work, abandoned those that have
	// stood for longer than they promised.
	live, abandoned []string
	// own says that the own claim is listed.
	own bool
}

// A storedClaim is the content of a claim, for people who look into the storage.
type storedClaim struct {
	Host string    `json:"host"`
	At   time.Time `json:"at"`
}

// look lists the folder. own is the name of the own claim, if there is one.
func (c *claims) look(ctx context.Context, limit time.Duration, own string) (view, error) {
	names, err := c.storage.list(ctx, limit, c.folder)
	if err != nil {
		return view{}, err
	}
	v := view{}
	var stands []string
	for _, name := range names {
		switch {
		case !strings.HasPrefix(name, claimPrefix):
			v.names = append(v.names, name)
		case name == own:
			v.own = true
		case c.isLeft(name):
			c.removeLeft(ctx, limit, name)
		default:
			stands = append(stands, name)
		}
	}
	v.live, v.abandoned = c.watch(stands)
	return v, nil
}

// watch notes which claims stand, and tells those that are abandoned.
func (c *claims) watch(stands []string) (live, abandoned []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, name := range stands {
		s := c.seen[name]
		if s == nil {
			s = &sighting{promise: promiseOf(name), at: now}
			c.seen[name] = s
		}
		s.watched += min(now.Sub(s.at), lookInterval)
		s.at = now
		if s.watched < s.promise {
			live = append(live, name)
		} else {
			abandoned = append(abandoned, name)
		}
	}
	for name := range c.seen {
		if !slices.Contains(stands, name) {
			delete(c.seen, name)
		}
	}
	return live, abandoned
}

// claimName is a new name. It says what the claim promises, so that whoever lists it
// knows: a claim is passed also where its content was never written, or cannot be read.
func claimName(promise time.Duration) string {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	return fmt.Sprintf("%s%x-%d", claimPrefix, nonce, int(math.Ceil(promise.Seconds())))
}

// promiseOf reads how long a claim promises to take.
func promiseOf(name string) time.Duration {
	parts := strings.Split(name, "-")
	if len(parts) != 3 {
		return unknownPromise
	}
	promised, err := strconv.ParseUint(parts[2], 10, 32)
	if err != nil || promised == 0 {
		return unknownPromise
	}
	return min(time.Duration(promised)*time.Second, promiseLimit)
}

func (c *claims) isLeft(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.left[name].IsZero()
}

// removeLeft deletes an own claim that nobody works under, if its time has come.
func (c *claims) removeLeft(ctx context.Context, limit time.Duration, name string) {
	c.mu.Lock()
	due := !time.Now().Before(c.left[name])
	c.mu.Unlock()
	if due {
		c.remove(ctx, limit, name)
	}
}

// remove deletes a claim. An own one that cannot be deleted now is deleted when the
// folder is looked at again.
func (c *claims) remove(ctx context.Context, limit time.Duration, name string) {
	c.leave(name, time.Now())
	_ = c.storage.delete(context.WithoutCancel(ctx), limit, c.folder+"/"+name)
}

// leave ends the work under an own claim, and lets it stand until then.
func (c *claims) leave(name string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for other, at := range c.left {
		if now.Sub(at) > leftMemory {
			delete(c.left, other)
		}
	}
	c.left[name] = until
}
