package tokens

import "time"

// An instant is one reading of both clocks of the machine. The monotonic one
// stops while the machine sleeps, the wall clock can be set back: a token has
// expired as soon as either of them says so.
type instant struct {
	wall int64 // nanoseconds since the Unix epoch
	mono int64 // nanoseconds since the clock was made
}

// A clock tells the time as instants.
type clock struct {
	now   func() time.Time
	start time.Time
}

func newClock(now func() time.Time) clock { return clock{now: now, start: now()} }

func (c *clock) instant() instant { return c.at(c.now()) }

// at splits a time.Now reading, which holds both clocks, in its parts.
func (c *clock) at(now time.Time) instant {
	return instant{wall: now.UnixNano(), mono: int64(now.Sub(c.start))}
}

// obtained is when a token was obtained that was fetched from started on: then, or
// when its issuer was asked, which may have been earlier, by another instance's wall
// clock. It is not in the future.
func (c *clock) obtained(at time.Time, started instant) instant {
	if at.IsZero() {
		return started
	}
	now := c.instant()
	return instant{wall: at.UnixNano(), mono: now.mono - max(now.wall-at.UnixNano(), 0)}
}

// since returns the time that has passed since an earlier instant on the clock
// that says more has passed.
func (now instant) since(earlier instant) time.Duration {
	return time.Duration(max(now.mono-earlier.mono, now.wall-earlier.wall))
}

// elapsed is the time since a time.Now reading, on the clock that says more has
// passed.
func elapsed(since time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}
