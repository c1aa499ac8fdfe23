package message

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
)

// A stream gives a body as it comes. The first of a message's streams that is
// read has it; the others cannot be read from then on.
type stream struct {
	of     *Message
	closed atomic.Bool
}

func (s *stream) Read(p []byte) (int, error) {
	m := s.of
	if s.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if !m.reader.CompareAndSwap(nil, s) && m.reader.Load() != s {
		return 0, m.unavailable()
	}
	switch {
	case m.is(unread):
		m.become(begun)
	case m.is(ended):
		return 0, io.EOF
	case !m.is(begun):
		return 0, m.unavailable()
	}
	m.touched.Store(true)
	n, err := m.readSource(p)
	switch {
	case err == nil:
	case err == io.EOF: //nolint:errorlint // an error that wraps EOF says that something has failed
		m.finish()
		m.become(ended)
	case err != http.ErrBodyReadAfterClose: //nolint:errorlint // it is returned as it is
		m.fail(err)
	}
	return n, err
}

// readSource reads the client's own body. Settle waits for it.
func (m *Message) readSource(p []byte) (int, error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	return m.source.Read(p)
}

// Close ends a body of which something was read; one that is untouched can still
// be sent. Over HTTP/1.1 it leaves the client's own body open: net/http takes one
// that was closed before its end, behind Caddy's, for one that was read, and what
// is left of it for the next request. Over HTTP/2 it closes that too: a transport
// waits for the end of a Read before it lets go of a request.
func (s *stream) Close() error {
	if s.of.reader.Load() != s {
		return nil
	}
	s.closed.Store(true)
	if s.of.multiplexed {
		return s.of.source.Close()
	}
	return nil
}

// lendStream gives another message the body as it comes, if nothing of it was
// read.
func (s *stream) lendStream() ([]byte, io.ReadCloser, error) {
	if s.of.is(unread) && s.of.reader.Load() == nil {
		return nil, s, nil
	}
	return nil, nil, s.of.unavailable()
}

// unavailable says why a body cannot be had.
func (m *Message) unavailable() error {
	switch {
	case m.is(dropped):
		return ErrLetGo
	case m.is(failed):
		return m.Failure()
	}
	return ErrSent
}

// original is what the request that came has as its body: the bytes as they came,
// made when they are asked for.
type original struct {
	of     *Message
	reader *bytes.Reader
	closed atomic.Bool
}

func (o *original) message() *Message { return o.of }

func (o *original) Read(p []byte) (int, error) {
	switch {
	case o.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case o.reader == nil && !o.of.is(held):
		return o.of.streams.original.Read(p)
	case o.reader == nil:
		content, err := o.of.original()
		if err != nil {
			return 0, err
		}
		o.reader = bytes.NewReader(content)
	}
	return o.reader.Read(p)
}

// Close ends it, unless nothing was read of it.
func (o *original) Close() error {
	if o.reader == nil {
		return o.of.streams.original.Close()
	}
	o.closed.Store(true)
	return nil
}

func (o *original) lend() ([]byte, io.ReadCloser, error) {
	if !o.of.is(held) {
		return o.of.streams.original.lendStream()
	}
	content, err := o.of.original()
	return content, nil, err
}

// forward is the body of the request that is forwarded, once. It fails once it is
// closed, even if all of it had been read: a body without a length would be sent
// once more as an empty one by reverse_proxy's retries, and the upstream would
// answer that.
type forward struct {
	of     *Message
	reader bytes.Reader
	closed atomic.Bool
	// use says whether the bytes are still the message's to let go.
	use atomic.Uint32
}

// What has become of the bytes of a forward view.
const (
	forwardUnused uint32 = iota
	// forwardRead: something reads them, and has them to their end.
	forwardRead
	// forwardDropped: the message has let them go before.
	forwardDropped
)

// begin reports whether the bytes are the view's, once it is read.
func (f *forward) begin() bool {
	return f.use.Load() == forwardRead || f.of.is(held) && f.use.CompareAndSwap(forwardUnused, forwardRead)
}

// drop lets the bytes go unless something reads them.
func (f *forward) drop() {
	if f.use.CompareAndSwap(forwardUnused, forwardDropped) {
		f.reader.Reset(nil)
	}
}

func (f *forward) message() *Message { return f.of }

func (f *forward) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		// See Message.LeadsHere.
		f.of.reached = true
		return 0, nil
	case f.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case f.begin():
		return f.reader.Read(p)
	}
	return f.of.streams.forward.Read(p)
}

func (f *forward) Close() error {
	if !f.of.is(held) && f.use.Load() != forwardRead {
		return f.of.streams.forward.Close()
	}
	f.closed.Store(true)
	return nil
}

func (f *forward) lend() ([]byte, io.ReadCloser, error) {
	if !f.of.is(held) {
		return f.of.streams.forward.lendStream()
	}
	return f.of.content, nil, nil
}

// Forward gives a request, which is a copy of the one that came and whose header
// is its own, the body as it is forwarded. The filter, if there is one, is for its
// trailers.
func (m *Message) Forward(r *http.Request, filter TrailerFilter) {
	m.guard(filter)
	m.describe(r)
	r.Trailer = m.trailer
	if m.Empty() && len(m.trailer) == 0 {
		r.Body = http.NoBody
		return
	}
	m.shared = true
	m.forwardView.of = m
	m.forwardView.reader.Reset(m.content)
	r.Body = &m.forwardView
}

// LeadsHere reports whether a body is the one that Forward or Lock has given,
// wrapped in whatever keeps to the bytes of it. A body that another handler has made
// does not.
func (m *Message) LeadsHere(body io.Reader) bool {
	m.reached = false
	_, _ = body.Read(nil)
	return m.reached
}

// locked stands in for the body of a request whose provider has a base_url:
// whatever else forwards the request fails before it has sent a byte of the body.
type locked struct{ of *Message }

func (l *locked) message() *Message { return l.of }

func (l *locked) Read(p []byte) (int, error) {
	if len(p) == 0 {
		// See Message.LeadsHere.
		l.of.reached = true
		return 0, nil
	}
	l.of.tried.Store(true)
	return 0, ErrLocked
}

func (*locked) Close() error { return nil }

func (l *locked) lend() ([]byte, io.ReadCloser, error) {
	if l.of.is(held) {
		l.of.shared = true
		return l.of.content, nil, nil
	}
	return l.of.streams.attempt.lendStream()
}

// lockedTrailer goes with a locked body. net/http refuses a request with such a
// name before it connects: no other host sees the provider's headers, or can
// answer before the body is read.
var lockedTrailer = http.Header{lockedName: nil}

const lockedName = "(for transport oauth2_llm alone)"

// Lock gives a request a body that only Attempt can open. A request without a
// body gets one, too: nothing else may forward it.
func (m *Message) Lock(r *http.Request, filter TrailerFilter) {
	m.guard(filter)
	m.describe(r)
	m.lockedView.of = m
	r.Body, r.ContentLength, r.Trailer = &m.lockedView, -1, lockedTrailer
}

// Tried reports whether something has tried to read a locked body.
func (m *Message) Tried() bool { return m.tried.Load() }

// tunnel is what a client sends after a CONNECT. It is not a body but a WebSocket
// over HTTP/2 or HTTP/3: it has no end to wait for, and reverse_proxy closes it to
// end it. A locked one can be read when the transport has opened the other end.
type tunnel struct {
	io.ReadCloser
	of *Message
}

func (t *tunnel) message() *Message { return t.of }

func (t *tunnel) Read(p []byte) (int, error) {
	if t.of.locks.Load() {
		return t.of.lockedView.Read(p)
	}
	return t.ReadCloser.Read(p)
}

func (t *tunnel) lend() ([]byte, io.ReadCloser, error) { return nil, t.ReadCloser, nil }

// Tunnel gives a CONNECT request what follows it, locked or not.
func (m *Message) Tunnel(r *http.Request, locks bool) {
	r.Trailer = nil
	if m.source == nil {
		r.Body = http.NoBody
		return
	}
	m.lockedView.of, m.tunnels = m, true
	m.locks.Store(locks)
	r.Body = &tunnel{m.source, m}
	if locks {
		r.Trailer = lockedTrailer
	}
}

// Tunnels reports whether what follows the request is a tunnel, and no body.
func (m *Message) Tunnels() bool { return m.tunnels }

// Unlock opens a locked tunnel.
func (m *Message) Unlock() { m.locks.Store(false) }
