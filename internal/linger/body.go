package linger

import (
	"io"
	"net/http"
	"sync/atomic"
)

// A Body is a client's body that is handed on to somebody who may close it
// before its end, as an http.Transport does when the upstream has answered.
// Closing it ends reading for them and leaves the client's own body open: what
// is left there is for Finish.
type Body struct {
	source                io.ReadCloser
	begun, ended, closing atomic.Bool
}

// NewBody returns a Body that reads source.
func NewBody(source io.ReadCloser) *Body { return &Body{source: source} }

// Read reads the client's body. It fails with http.ErrBodyReadAfterClose after
// Close.
func (b *Body) Read(p []byte) (int, error) {
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

// Close ends reading. It returns nil.
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
	return Rest{Body: b.source, Begun: b.Begun()}
}
