package tokens

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simulationSeeds = flag.Int("seeds", 200, "how many seeds each world of a simulation runs with")
	simulationSeed  = flag.Uint64("seed", 0, "the only seed that simulations run with")
	simulatedTime   = flag.Duration("simulated", 2*time.Minute, "how long the faults of a simulation last")
)

// TestCustodySimulation lets instances share a refresh token in worlds where much
// goes wrong. No grant may be lost, and no spent token sent, unless nothing could
// have prevented it: see excuse. A seed repeats the faults, but not always the order
// of goroutines, so a breach comes with its history.
func TestCustodySimulation(t *testing.T) {
	t.Parallel()
	for _, world := range custodyWorlds {
		t.Run(world.name, func(t *testing.T) {
			t.Parallel()
			breached, seeds := 0, simulatedSeeds()
			for _, seed := range seeds {
				var s *simulation
				synctest.Test(t, func(*testing.T) { s = world.simulate(seed) })
				if len(s.breaches) == 0 {
					continue
				}
				if breached++; breached == 1 {
					t.Error(s.story())
				}
			}
			if breached > 0 {
				t.Errorf("%d of %d seeds break an invariant", breached, len(seeds))
			}
		})
	}
}

func simulatedSeeds() []uint64 {
	if *simulationSeed != 0 {
		return []uint64{*simulationSeed}
	}
	n := *simulationSeeds
	if testing.Short() {
		// The race detector makes it slow, and finds what it finds in a few.
		n = min(n, 5)
	}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	return seeds
}
