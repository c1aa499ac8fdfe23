package linger

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// readDeadline is what ends a Read that waits for a client.
type readDeadline interface {
	SetReadDeadline(deadline time.Time) error
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// hangUp has net/http close the connection after the answer, and read nothing
// more of the body.
func hangUp(w http.ResponseWriter) {
	closeBehind(w)
	if deadline, ok := find[readDeadline](w); ok {
		_ = deadline.SetReadDeadline(past)
	}
}

// closeBehind has net/http close the connection after the answer, whether that
// is written already or not: it sends the answer and a FIN, gives the client half
// a second to read them, and closes.
//
// This cannot be left to net/http itself. Once full duplex is on it takes a body
// that was closed, or that failed, for one that was read, and what comes next on
// the connection for a new request; behind a body that somebody has wrapped it
// does so even if the body has not ended.
func closeBehind(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	// A body that is too long is what tells net/http, even behind the header. It
	// does not unwrap the ResponseWriter.
	tooLong := http.MaxBytesReader(innermost(w), io.NopCloser(strings.NewReader("x")), 0)
	_, _ = tooLong.Read(make([]byte, 1))
}

// An unwrapper is a ResponseWriter around another.
type unwrapper interface {
	Unwrap() http.ResponseWriter
}

// find looks for what can do something else among a ResponseWriter and those
// that it wraps, as http.ResponseController does.
func find[T any](w http.ResponseWriter) (T, bool) {
	for {
		if found, ok := w.(T); ok {
			return found, true
		}
		wrapper, ok := w.(unwrapper)
		if !ok {
			var none T
			return none, false
		}
		w = wrapper.Unwrap()
	}
}

// innermost is the server's own ResponseWriter.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(unwrapper)
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}
