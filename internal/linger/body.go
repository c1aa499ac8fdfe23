package linger

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// A Body is a client's body that is handed on to somebody who may close it
// before its end, as an http.Transport does when the upstream has answered.
// Closing it ends reading for them and leaves the client's own body open: what
// is left there is for Finish.
type Body struct {
	source                io.ReadCloser
	own                   io.Reader
	begun, ended, closing atomic.Bool
	reading               sync.Mutex
}

// NewBody returns a Body that reads source. What is left of it is read from own,
// if that is not nil: the client's body without what others have wrapped around
// it.
func NewBody(source io.ReadCloser, own io.Reader) *Body {
	if own == nil {
		own = source
	}
	return &Body{source: source, own: own}
}

// Read reads the client's body. It fails with http.ErrBodyReadAfterClose after
// Close.
func (b *Body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.closing.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.begun.Store(true)
	n, err := b.source.Read(p)
	if err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

// Close ends reading, but for a Read that waits. It returns nil.
func (b *Body) Close() error {
	b.closing.Store(true)
	return nil
}

// Begun reports whether something was read, or tried to be.
func (b *Body) Begun() bool { return b.begun.Load() }

// Rest closes the Body and returns what is left of the client's own.
func (b *Body) Rest() Rest {
	_ = b.Close()
	if b.ended.Load() {
		return Rest{}
	}
	return Rest{Body: (*remainder)(b), Begun: b.Begun()}
}

// A remainder is what is left of a Body. A Read that somebody else has begun
// before returns by the time that the remainder has ended: the server logs how
// much was read.
type remainder Body

func (r *remainder) Read(p []byte) (int, error) {
	n, err := r.own.Read(p)
	if err != nil {
		r.reading.Lock()
		defer r.reading.Unlock()
	}
	return n, err
}
