package tokens

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/zap"
)

// wallJump returns now with its wall clock moved and its monotonic clock as it
// was, which is what time.Now returns after a machine slept.
func wallJump(now time.Time, by time.Duration) time.Time {
	// A time.Time with both clocks holds the wall seconds in bits 30 to 62 of
	// its first word.
	*(*uint64)(unsafe.Pointer(&now)) += uint64(by/time.Second) << 30
	return now
}

func TestAndC10ATokenHasExpiredWhenEitherClockSaysSo(t *testing.T) {
	start := time.Now()
	if jumped := wallJump(start, time.Hour); jumped.Sub(start) != 0 || jumped.Round(0).Sub(start.Round(0)) != time.Hour {
		t.Fatal("wallJump does not move the wall clock alone")
	}
	for _, test := range []struct {
		name    string
		now     time.Time
		expired bool
	}{
		{"at once", start, false},
		{"after its life on both clocks", start.Add(31 * time.Minute), true},
		{"suspended for two hours: the monotonic clock stood still", wallJump(start, 2*time.Hour), true},
		{"the wall clock was set back an hour", wallJump(start.Add(5*time.Minute), -time.Hour), false},
		{"the wall clock was set back and its life is over", wallJump(start.Add(31*time.Minute), -time.Hour), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := start
			m := NewManager("corp")
			m.clock = newClock(func() time.Time { return now })
			m.Bind(&Binding{Logger: zap.NewNop(), Fetcher: fetcherFunc(func(context.Context) (Token, error) {
				return Token{Value: NewSecret("x"), Lifetime: 30 * time.Minute}, nil
			})})
			mustToken(t, m)
			m.quietUntil.Store(never) // only expiry is looked at
			now = test.now
			if expired := m.Current() == nil; expired != test.expired {
				t.Errorf("expired: %v, want %v", expired, test.expired)
			}
		})
	}
}

// What passes before the token request does not shorten the token's life.
func TestATokenLivesFromTheMomentThatItsIssuerWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTestManager(fetcherFunc(func(context.Context) (Token, error) {
			time.Sleep(3 * time.Second)
			asked := time.Now()
			time.Sleep(time.Second)
			return Token{Value: NewSecret("t"), Lifetime: 10 * time.Second, ObtainedAt: asked}, nil
		}))
		token := mustToken(t, m)
		if left := time.Until(token.ExpiresAt()); left != 9*time.Second {
			t.Errorf("it lives for %v more", left)
		}
		time.Sleep(9*time.Second - time.Nanosecond)
		if m.Current() != token {
			t.Error("it is not used to its end")
		}
		time.Sleep(time.Nanosecond)
		if m.Current() == token {
			t.Error("it is used after its end")
		}
		time.Sleep(time.Minute)
	})
}
