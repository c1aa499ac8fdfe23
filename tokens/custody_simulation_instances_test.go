package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"
)

// A simulatedInstance is a process: all that it remembers ends with it.
type simulatedInstance struct {
	s       *simulation
	name    string
	slot    int
	random  *rand.Rand
	manager *Manager
	context context.Context
	end     context.CancelFunc

	alive       bool
	frozenUntil time.Time
	// own are the keys that it has stored, unsaved is the answer that it has not.
	own          map[string]bool
	unsaved      *rotation
	faultsInARow int
}

var errDead = errors.New("the process is dead")

// occupy keeps one instance running: a new one some seconds after one has died.
func (s *simulation) occupy(slot int) {
	for generation := 0; !s.ended(); generation++ {
		var i *simulatedInstance
		s.do(func() { i = s.newInstance(slot, generation) })
		i.live()
		var pause time.Duration
		s.do(func() { pause = between(i.random, 2*time.Second, 8*time.Second) })
		sleep(context.Background(), pause)
	}
}

func (s *simulation) newInstance(slot, generation int) *simulatedInstance {
	i := &simulatedInstance{
		s: s, name: fmt.Sprintf("%d.%d", slot, generation), slot: slot,
		random: s.generator(), alive: true, own: make(map[string]bool),
	}
	i.context, i.end = context.WithCancel(context.Background())
	shared := &SharedStorage{}
	shared.Bind(storageView{i}, zap.NewNop())
	var fetcher Fetcher = &Client{
		Provider: "corp", TokenURL: Literal("https://as.example/token"), GrantType: GrantRefreshToken,
		ClientID: Literal("id"), ClientSecret: Literal("secret"),
		RefreshToken: configuredToken{s}, Storage: shared, Transport: i,
		Identity: func(context.Context) (Identity, error) {
			return NewIdentity("token request", NewSecret("secret"), "corp")
		},
	}
	if s.world.fetcher != nil {
		fetcher = s.world.fetcher(i)
	}
	i.manager = NewManager("corp")
	i.manager.Bind(&Binding{
		Fetcher: fetcher, Retries: DefaultRetries, Logger: zap.NewNop(),
		SecretsDigest: func() [sha256.Size]byte { return sha256.Sum256([]byte(configuredToken{s}.now())) },
	})
	s.note(i.name, "start", "", "", nil)
	return i
}

// A configuredToken is what the operator has configured now.
type configuredToken struct{ s *simulation }

func (c configuredToken) now() (token string) {
	c.s.do(func() { token = c.s.server.configured })
	return token
}

func (c configuredToken) Read(context.Context) (Secret, error) { return NewSecret(c.now()), nil }

// live sends requests until the instance dies or the simulation is over.
func (i *simulatedInstance) live() {
	defer i.end()
	for {
		if !sleep(i.context, i.pause()) || i.s.ended() {
			return
		}
		i.thaw()
		i.request()
	}
}

// raceTime is how long clients ask as before when the faults have ended: whoever has
// waited for that goes on now.
const raceTime = 30 * time.Second

// pause is the time between two requests of clients: about a second. While everything
// heals there are few, and so little is simulated for it.
func (i *simulatedInstance) pause() (d time.Duration) {
	i.s.do(func() {
		d = between(i.random, 500*time.Millisecond, 1500*time.Millisecond)
		if i.s.healed && time.Since(i.s.healedAt) > raceTime {
			d = min(20*d, max(d, time.Until(i.s.wellFrom)))
		}
	})
	return d
}

// request is that of a client.
func (i *simulatedInstance) request() {
	ctx, cancel := context.WithTimeout(i.context, tokenWait)
	defer cancel()
	token, err := i.manager.Token(ctx)
	i.s.do(func() { i.check(token, err) })
}

// check looks at what a client's request got.
func (i *simulatedInstance) check(token *Token, err error) {
	now := time.Now()
	switch {
	case !i.alive:
	case err != nil:
		i.s.note(i.name, "request", "", err.Error(), nil)
		if i.s.world.well || i.s.healed && now.After(i.s.wellFrom.Add(tokenWait)) {
			i.s.breach(i.name, "a request fails although all is well")
		}
	case !now.Before(i.s.server.accessTokens[token.Value.Reveal()]) && now.After(i.frozenUntil):
		i.s.breach(i.name, token.Value.Reveal()+" is used after its end")
	}
}

// dies kills the instance at a share of its steps. Nothing that it has begun takes
// effect any more.
func (i *simulatedInstance) dies(share float64) bool {
	if !i.alive || !i.s.chance(i.random, share) {
		return false
	}
	i.alive = false
	i.end()
	i.s.note(i.name, "KILL", "", "", nil)
	return true
}

// thaw waits while the instance is frozen.
func (i *simulatedInstance) thaw() {
	var left time.Duration
	i.s.do(func() { left = time.Until(i.frozenUntil) })
	time.Sleep(left)
}
