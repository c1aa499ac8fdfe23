package tokens

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecoveryAfterAnOutageTakesAtMostTwoAndAHalfSeconds(t *testing.T) {
	for name, answers := range map[string]time.Duration{"refused connections": 0, "slow errors": 800 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			var sum, worst time.Duration
			const runs = 40
			for range runs {
				synctest.Test(t, func(t *testing.T) {
					e := &fakeEndpoint{lifetime: time.Hour}
					m := inOutage(t, e)
					m.jitter = rand.Float64
					e.set(func(e *fakeEndpoint) { e.latency = answers })
					knock(t, m, 100*time.Millisecond, 20*time.Second+rand.N(10*time.Second))
					e.set(func(e *fakeEndpoint) { e.fail, e.latency = nil, 10*time.Millisecond })
					recovered, _ := knock(t, m, 100*time.Millisecond, time.Minute)
					if recovered == 0 {
						recovered = time.Hour
					}
					sum, worst = sum+recovered, max(worst, recovered)
				})
			}
			t.Logf("figure recovery: %s: first token after %v in the mean, %v at worst, in %d runs", name, (sum / runs).Round(time.Millisecond), worst, runs)
			if worst > 2500*time.Millisecond {
				t.Errorf("recovery took %v", worst)
			}
		})
	}
}

// The token of another provider comes no later than that provider's own.
func TestRecoveryOfANeededTokenTakesAtMostTwoAndAHalfSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := &fakeEndpoint{lifetime: time.Hour}
		needed := inOutage(t, other)
		needed.jitter = func() float64 { return 1 }
		m := newTestManager(fetcherFunc(func(ctx context.Context) (Token, error) {
			if _, err := needed.Token(ctx); err != nil {
				failed, _ := errors.AsType[*AuthenticationError](err)
				copied := *failed
				copied.Needs = "other"
				return Token{}, &copied
			}
			return Token{Value: NewSecret("x"), Lifetime: time.Hour}, nil
		}))
		for range 40 {
			knock(t, m, 70*time.Millisecond, rand.N(5*time.Second))
			other.set(func(e *fakeEndpoint) { e.fail = nil })
			if recovered, _ := knock(t, m, 70*time.Millisecond, time.Minute); recovered > 2500*time.Millisecond {
				t.Errorf("recovery took %v", recovered)
			}
			other.set(func(e *fakeEndpoint) { e.fail = outage })
			time.Sleep(2 * time.Hour)
			knock(t, m, time.Second, 20*time.Second)
		}
	})
}
