package linger

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is read of a body that nobody wants.
const (
	mostBytes = 64 << 20
	// mostTime is for the whole of it, mostSilence for each piece.
	mostTime    = 30 * time.Second
	mostSilence = 5 * time.Second
	// mostConnections is for all handlers of this process, whatever is reloaded.
	mostConnections = 256
)

// connections is how many are being drained.
var connections atomic.Int64

// enter reports whether one more connection may be drained; then leave follows.
func enter() bool {
	if connections.Add(1) > mostConnections {
		leave()
		return false
	}
	return true
}

func leave() { connections.Add(-1) }

// drain reads a body to its end, and reports whether it got there in time.
//
// A timer bounds it, instead of a deadline for each Read: the server may have
// set a deadline of its own, which can be cut short without knowing it but not
// be put back. net/http clears it itself at the end of a body.
func drain(body io.Reader, deadline readDeadline) bool {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	end := time.Now().Add(mostTime)
	expired := make(chan struct{})
	timer := time.AfterFunc(mostSilence, func() {
		_ = deadline.SetReadDeadline(past)
		close(expired)
	})
	for left := mostBytes; left > 0; {
		n, err := body.Read(buffer[:min(left, bufferSize)])
		left -= n
		if n > 0 || err != nil {
			if !timer.Stop() {
				// The deadline must not be set once the next request is there.
				<-expired
				return false
			}
			// Not errors.Is: an error that wraps EOF says that something has failed.
			if err != nil {
				return err == io.EOF
			}
			timer.Reset(min(mostSilence, time.Until(end)))
		}
	}
	if !timer.Stop() {
		<-expired
	}
	return false
}

const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
