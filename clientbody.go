package oauth2llm

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// A clientBody is a client's body on its way to an upstream. It remembers
// whether the client broke off, which is not the upstream's fault, and takes
// guarded fields out of the trailers before anyone learns that it has ended.
type clientBody struct {
	io.ReadCloser
	filter  *credentialFilter
	trailer http.Header
	// multiplexed says that the client speaks HTTP/2 or HTTP/3.
	multiplexed bool

	begun, ended, closed atomic.Bool
	failed               atomic.Pointer[error]
}

// watchBody makes a request's body a clientBody. The request is a copy of
// another, whose trailers net/http fills at the end of the body.
func watchBody(original, copied *http.Request, filter *credentialFilter) *clientBody {
	copied.Trailer = nil
	_, held := copied.Body.(*memoryBody)
	if copied.Body == nil || copied.Body == http.NoBody || held && len(original.Trailer) == 0 {
		return nil
	}
	b := &clientBody{ReadCloser: copied.Body, filter: filter, multiplexed: original.ProtoMajor > 1}
	if !held {
		// Whoever goes on with the original must not take what is left for all.
		original.Body = b
	}
	if len(original.Trailer) > 0 {
		filter.filterTrailer(original.Trailer)
		b.trailer, copied.Trailer = original.Trailer, original.Trailer
	}
	copied.Body = b
	return b
}

func (b *clientBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.finish()
	case !errors.Is(err, http.ErrBodyReadAfterClose):
		b.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close ends a body of which something was read; one that is untouched can still
// be sent. Over HTTP/1.1 it leaves the client's own body open: net/http takes one
// that was closed before its end, behind Caddy's, for one that was read, and what
// is left of it for the next request. Over HTTP/2 it closes that too: a transport
// waits for the end of a Read before it lets go of a request.
func (b *clientBody) Close() error {
	if !b.begun.Load() {
		return nil
	}
	b.closed.Store(true)
	if b.multiplexed {
		return b.ReadCloser.Close()
	}
	return nil
}

// fail ends a body that could not be read to its end: what is left of it is no
// body.
func (b *clientBody) fail(err error) {
	b.failed.CompareAndSwap(nil, &err)
	b.begun.Store(true)
	b.closed.Store(true)
}

// finish notes that the body has been read to its end.
func (b *clientBody) finish() {
	b.filter.filterTrailer(b.trailer)
	b.ended.Store(true)
}

// clientError is the error that reading the body ended with, nil if there was none.
func (b *clientBody) clientError() error {
	if b == nil {
		return nil
	}
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// read reports whether the body was read to its end.
func (b *clientBody) read() bool { return b != nil && b.ended.Load() }
