package tokens

import (
	"testing"
	"time"
)

func TestAStoredTokenServesWhileItIsSureToBeGood(t *testing.T) {
	now := time.Now()
	inHand := &Token{Value: NewSecret("t")}
	for _, test := range []struct {
		name          string
		age, lifetime time.Duration
		token         string
		want          Want
		serves        bool
	}{
		{"a new one", 0, time.Hour, "t", waiting, true},
		{"one in its second half, for a request", 40 * time.Minute, time.Hour, "t", waiting, true},
		{"one in its second half, for later", 40 * time.Minute, time.Hour, "t", Want{}, false},
		{"one in its first half, for later", 20 * time.Minute, time.Hour, "t", Want{}, true},
		{"one whose early end is in less than 1 s", time.Hour - 10*time.Second - 999*time.Millisecond, time.Hour, "t", waiting, false},
		{"one that ends in 9 s", time.Hour - 9*time.Second, time.Hour, "t", waiting, false},
		{"one that ends in 12 s", time.Hour - 12*time.Second, time.Hour, "t", waiting, true},
		{"a short one, of which a tenth is left", 19 * time.Second, 20 * time.Second, "t", waiting, false},
		{"a short one, of which more is left", 16 * time.Second, 20 * time.Second, "t", waiting, true},
		{"one of 9 s in the future", -9 * time.Second, time.Hour, "t", waiting, true},
		{"one of 11 s in the future", -11 * time.Second, time.Hour, "t", waiting, false},
		{"the one that is to be replaced", 0, time.Hour, "t", Want{InHand: inHand, Waiting: true}, false},
		{"another than the one that is to be replaced", 0, time.Hour, "u", Want{InHand: inHand, Waiting: true}, true},
		{"none", 0, time.Hour, "", waiting, false},
		{"one that no header may carry", 0, time.Hour, "t\n", waiting, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := storedToken{Token: test.token, ObtainedAt: now.Add(-test.age), Lifetime: test.lifetime.Seconds()}
			if got := s.serves(test.want, now); got != test.serves {
				t.Errorf("it serves: %v", got)
			}
		})
	}
}
