package message

import (
	"errors"
	"math"
	"sync"
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
// that have taken it over, and copies that are being sent. What is read of the
// body after that, in an error route of a client that has left, is not counted.
type reservation struct {
	budget *Budget
	bytes  atomic.Int64
	// earlier is the share of the message from which the body was taken over, nil if
	// there is none. It is held until this one is given back.
	earlier *reservation

	mu      sync.Mutex
	holders int
	ended   bool
}

// grow makes the reservation one of so many bytes in all.
func (r *reservation) grow(total int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	more := min(total, math.MaxInt64/2) - r.bytes.Load()
	if more <= 0 || r.ended {
		return nil
	}
	if err := r.budget.take(more); err != nil {
		return err
	}
	r.bytes.Add(more)
	return nil
}

func (r *reservation) hold() *reservation {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holders++
	return r
}

func (r *reservation) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders--; r.holders > 0 {
		return
	}
	_ = r.budget.take(-r.bytes.Swap(0))
	r.ended = true
	if r.earlier != nil {
		r.earlier.release()
		r.earlier = nil
	}
}
