package standin

import (
	"testing"
	"time"
)

func TestARefreshTokenIsTakenOnceAndInGraceAgain(t *testing.T) {
	for name, test := range map[string]struct {
		grace     time.Duration
		sameAgain bool
		// use says after what times the first token is sent again, and whether what
		// replaced it is sent before the last of them.
		again    []time.Duration
		usedNext bool
		want     GrantReport
	}{
		"strict":                          {0, false, []time.Duration{0}, false, GrantReport{false, 1, 0, 1}},
		"in grace, with another":          {time.Minute, false, []time.Duration{59 * time.Second}, false, GrantReport{true, 1, 1, 0}},
		"in grace, with the same":         {time.Minute, true, []time.Duration{59 * time.Second}, false, GrantReport{true, 1, 1, 0}},
		"twice in grace":                  {time.Minute, false, []time.Duration{time.Second, time.Second}, false, GrantReport{true, 1, 2, 0}},
		"after the grace":                 {time.Minute, false, []time.Duration{time.Minute}, false, GrantReport{false, 1, 0, 1}},
		"in grace, but it is not last":    {time.Minute, false, []time.Duration{time.Second}, true, GrantReport{false, 2, 0, 1}},
		"the grace counts from the first": {time.Minute, false, []time.Duration{40 * time.Second, 40 * time.Second}, false, GrantReport{false, 1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			g := &Grant{Grace: test.grace, SameAgain: test.sameAgain, now: func() time.Time { return now }}
			first := g.Begin()
			next := g.redeem(first)
			if next == "" || next == first {
				t.Fatal("the first use shall give another refresh token")
			}
			if test.usedNext {
				g.redeem(next)
			}
			var last string
			for _, later := range test.again {
				now = now.Add(later)
				last = g.redeem(first)
			}
			if got := g.Report(); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			if test.want.Lives && (last == next) != test.sameAgain {
				t.Errorf("the same again: %v", last == next)
			}
			if test.want.Lives == (g.redeem(next) == "") {
				t.Error("what replaced it is taken if and only if the grant lives")
			}
		})
	}
}

func TestAnUnknownRefreshTokenEndsNothing(t *testing.T) {
	g := new(Grant)
	first := g.Begin()
	if g.redeem("unknown") != "" || g.redeem(first) == "" {
		t.Errorf("%+v", g.Report())
	}
}
