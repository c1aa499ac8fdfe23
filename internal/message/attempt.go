package message

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

var (
	// ErrAskedAgain is what a transport gets that asks for a body once more. Again
	// gives it, if it may be given.
	ErrAskedAgain = errors.New("the transport asks for the request's body once more")
	// ErrNoAnswer says that a body was handed over and no answer came, as often as
	// that may happen to it.
	ErrNoAnswer = errors.New("the connection was lost before an answer came, and the request may have been run")
)

const (
	// repeatWithin is how long after it was lent a body that was handed over whole
	// may be given once more. A connection that had died before is noticed at once.
	repeatWithin = time.Second
	// maxCopies is how often a body is given for one target, whatever happens.
	maxCopies = 4
)

// A Gate decides how often the body of a request is given for one target. net/http
// repeats a request on another connection if one that was kept alive turns out to
// be dead, and over HTTP/2 also after errors that do not say whether the request
// was run. It does so without end, but asks for the body each time: it never gets
// it, and whoever sends the request asks the Gate.
type Gate struct {
	// Repeatable says that the body may be given once more after it was handed
	// over whole: running the request twice does no harm.
	Repeatable bool
	// Concurrent says that the transport may return while it still reads the body.
	// net/http and x/net/http2 do so only at a timeout, and when the request's
	// context ends.
	Concurrent bool

	copies   int
	repeated bool
	lent     time.Time
	last     lentCopy
}

// A lentCopy is a copy of a body that is given to a transport.
type lentCopy interface {
	// whole reports whether the copy was read to its end.
	whole() bool
	// Close lets go of the body.
	Close() error
}

// lends notes that a copy is given.
func (g *Gate) lends(given lentCopy) {
	g.copies, g.lent, g.last = g.copies+1, time.Now(), given
}

// Delivered reports whether the body was handed over whole. It is for a request
// that has failed, and not because of its context or a timeout.
func (g *Gate) Delivered() bool {
	return g.repeated || g.last != nil && g.last.whole()
}

// Close lets go of what was lent last, for a request that has failed.
func (g *Gate) Close() {
	if g.last != nil {
		_ = g.last.Close()
	}
}

// again decides whether the body is given once more.
func (g *Gate) again() error {
	switch {
	case g.copies >= maxCopies:
		return ErrNoAnswer
	case !g.last.whole():
		// Nothing can have run.
		return nil
	case !g.Repeatable || g.repeated || time.Since(g.lent) > repeatWithin:
		return ErrNoAnswer
	}
	g.repeated = true
	return nil
}

// Attempt gives a request the body: one that is held as often as it is asked for,
// one that streams once. The Gate is the request's target's.
func (m *Message) Attempt(r *http.Request, gate *Gate) error {
	r.TransferEncoding, r.GetBody, r.Trailer = nil, nil, nil
	switch {
	case !m.is(held) && !m.is(unread) || m.is(unread) && m.reader.Load() != nil:
		return m.unavailable()
	case m.is(unread):
		r.Body, r.ContentLength, r.Trailer = &m.streams.attempt, m.length, m.trailer
		return nil
	case len(m.content) == 0 && len(m.trailer) == 0:
		r.Body, r.ContentLength = http.NoBody, 0
		return nil
	}
	m.shared = true
	r.Body, r.GetBody = m.copy(gate), askedAgain
	if r.ContentLength = int64(len(m.content)); len(m.trailer) > 0 {
		// Trailers need chunks.
		r.ContentLength, r.Trailer = -1, m.trailer
	}
	return nil
}

func askedAgain() (io.ReadCloser, error) { return nil, ErrAskedAgain }

// Again gives a request that Attempt has prepared the body once more, where its
// transport has returned ErrAskedAgain. The error is ErrNoAnswer if it may not.
func (m *Message) Again(r *http.Request, gate *Gate) error {
	if ctx := r.Context(); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !m.is(held) {
		return m.unavailable()
	}
	if err := gate.again(); err != nil {
		return err
	}
	gate.Close()
	r.Body = m.copy(gate)
	return nil
}

// copy makes a copy of the body for one attempt.
func (m *Message) copy(gate *Gate) io.ReadCloser {
	if len(m.content) < largeBody && !gate.Concurrent {
		// net/http knows this kind of body as one that needs no waiting.
		small := bytes.NewReader(m.content)
		gate.lends((*smallCopy)(small))
		return io.NopCloser(small)
	}
	content := m.content
	l := &largeCopy{reserved: m.reserved.hold()}
	l.content.Store(&content)
	gate.lends(l)
	return l
}

// A smallCopy is the reader of a small body. It may be asked only when nobody reads
// it any more: see Gate.
type smallCopy bytes.Reader

func (s *smallCopy) whole() bool { return (*bytes.Reader)(s).Len() == 0 }

func (*smallCopy) Close() error { return nil }

// A largeCopy gives a body that is held, and lets go of it at its end or when it
// is closed: net/http keeps a request until its answer has ended. Close may be
// called beside a Read.
type largeCopy struct {
	content  atomic.Pointer[[]byte]
	at       int
	reserved *reservation
	handed   atomic.Bool
}

func (l *largeCopy) Read(p []byte) (int, error) {
	content := l.content.Load()
	switch {
	case content == nil && l.handed.Load():
		return 0, io.EOF
	case content == nil:
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, (*content)[l.at:])
	if l.at += n; l.at < len(*content) {
		return n, nil
	}
	l.handed.Store(true)
	l.letGo()
	return n, io.EOF
}

func (l *largeCopy) Close() error {
	l.letGo()
	return nil
}

func (l *largeCopy) letGo() {
	if l.content.Swap(nil) != nil {
		l.reserved.release()
	}
}

func (l *largeCopy) whole() bool { return l.handed.Load() }
