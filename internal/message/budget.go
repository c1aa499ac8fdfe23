package message

import (
	"errors"
	"math"
	"sync/atomic"
)

// ErrOverloaded says that the bodies of all requests together would take more
// memory than their Budget allows.
var ErrOverloaded = errors.New("the bodies that are held take all the memory that held_bodies allows")

// A Budget bounds the memory that held bodies take together. It is shared by
// all messages that are given it, and safe for use by several goroutines. The
// zero value allows nothing; a nil one anything.
type Budget struct{ limit, used atomic.Int64 }

// SetLimit sets how many bytes may be held. What is held already stays.
func (b *Budget) SetLimit(bytes int64) { b.limit.Store(bytes) }

// Used is how many bytes are held.
func (b *Budget) Used() int64 { return b.used.Load() }

// take takes so many more bytes, or none and returns ErrOverloaded.
func (b *Budget) take(bytes int64) error {
	if b == nil {
		return nil
	}
	if b.used.Add(bytes) > b.limit.Load() && bytes > 0 {
		b.used.Add(-bytes)
		return ErrOverloaded
	}
	return nil
}

// A reservation is what one body takes of a Budget. It is given back when all
// that hold on to the body have let go: the message that has read it, messages
// that have taken it over, and copies that are being sent.
type reservation struct {
	budget  *Budget
	bytes   int64
	holders atomic.Int32
}

// grow makes the reservation one of so many bytes in all.
func (r *reservation) grow(total int64) error {
	more := min(total, math.MaxInt64/2) - r.bytes
	if more <= 0 {
		return nil
	}
	if err := r.budget.take(more); err != nil {
		return err
	}
	r.bytes += more
	return nil
}

func (r *reservation) hold() *reservation {
	r.holders.Add(1)
	return r
}

func (r *reservation) release() {
	if r.holders.Add(-1) == 0 && r.bytes != 0 {
		_ = r.budget.take(-r.bytes)
		r.bytes = 0
	}
}
