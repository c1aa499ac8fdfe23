package tokens

import (
	"testing"
	"time"
)

// Many instances that start at once must not ask at once, however short tokens live.
func TestTheRefreshPointSpreadsForTokensOfEveryLife(t *testing.T) {
	for _, life := range []time.Duration{
		100 * time.Millisecond, time.Second, 5 * time.Second, time.Minute, 119 * time.Second, 2 * time.Minute, 121 * time.Second,
		130 * time.Second, 5 * time.Minute, time.Hour, 24 * time.Hour,
	} {
		t.Run(life.String(), func(t *testing.T) {
			token := &Token{Lifetime: life}
			points := make(map[time.Duration]bool)
			earliest, latest := life, time.Duration(0)
			for i := range 100 {
				point := token.freshTime(0, float64(i)/99)
				points[point] = true
				earliest, latest = min(earliest, point), max(latest, point)
			}
			margin := life - latest
			if len(points) != 100 || latest-earliest < margin*9/100 {
				t.Errorf("%d points, between %v and %v", len(points), earliest, latest)
			}
			// A token serves for a good part of its life, and is replaced while it does.
			if earliest < life*45/100 {
				t.Errorf("replaced after %v", earliest)
			}
			if half := life / 2; life <= 2*time.Minute && latest > half {
				t.Errorf("replaced after %v, which is more than half", latest)
			}
		})
	}
}

func TestAConfiguredMarginDoesNotVary(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{time.Minute: 30 * time.Second, time.Hour: 55 * time.Minute} {
		for _, jitter := range []float64{0, 0.5, 1} {
			if got := (&Token{Lifetime: life}).freshTime(5*time.Minute, jitter); got != want {
				t.Errorf("%v with jitter %v: fresh for %v, want %v", life, jitter, got, want)
			}
		}
	}
}
