package message

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// ErrNoAnswer says that a body was handed over and no answer came, as often as
// that may happen to it.
var ErrNoAnswer = errors.New("the connection was lost before an answer came, and the request may have been run")

const (
	// repeatWithin is how long after it was lent a body that was handed over whole
	// may be given once more. A connection that had died before is noticed at once.
	repeatWithin = time.Second
	// maxCopies is how often a body is given for one target, whatever happens.
	maxCopies = 8
)

// A Gate decides how often the body of a request is given for one target. net/http
// repeats a request on another connection if one that was kept alive turns out to
// be dead, and over HTTP/2 also after errors that do not say whether the request
// was run; it does so without end, but asks for the body each time.
type Gate struct {
	// Repeatable says that the body may be given once more after it was handed
	// over whole: running the request twice does no harm.
	Repeatable bool
	// Connections, if not nil, are renewed before a body is given again: more of
	// those that are idle may be dead.
	Connections interface{ Renew() }

	copies   int
	repeated bool
	lent     time.Time
	handed   interface{ whole() bool }
}

// begin notes that a request is sent once more, on purpose.
func (g *Gate) begin(handed interface{ whole() bool }) {
	g.copies, g.lent, g.handed = g.copies+1, time.Now(), handed
}

// again decides whether the body is given once more.
func (g *Gate) again() error {
	if g.copies >= maxCopies {
		return ErrNoAnswer
	}
	if g.handed.whole() {
		if !g.Repeatable || g.repeated || time.Since(g.lent) > repeatWithin {
			return ErrNoAnswer
		}
		g.repeated = true
	}
	if g.Connections != nil {
		g.Connections.Renew()
	}
	return nil
}

// Attempt gives a request the body: as often as it is asked for one that is held,
// once for one that streams. The Gate is that of the request's target.
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
	r.Body = m.copy(gate)
	// net/http keeps GetBody until the answer has ended, so that it may not hold
	// the bytes itself.
	r.GetBody = func() (io.ReadCloser, error) {
		if !m.is(held) {
			return nil, m.unavailable()
		}
		if err := gate.again(); err != nil {
			return nil, err
		}
		return m.copy(gate), nil
	}
	if r.ContentLength = int64(len(m.content)); len(m.trailer) > 0 {
		// Trailers need chunks.
		r.ContentLength, r.Trailer = -1, m.trailer
	}
	return nil
}

// copy makes a copy of the body for one attempt.
func (m *Message) copy(gate *Gate) io.ReadCloser {
	if len(m.content) < largeBody {
		// net/http knows this kind of body as one that needs no waiting.
		small := bytes.NewReader(m.content)
		gate.begin((*smallCopy)(small))
		return io.NopCloser(small)
	}
	content := m.content
	l := new(largeCopy)
	l.content.Store(&content)
	if m.reserved != nil {
		l.reserved = m.reserved.hold()
	}
	gate.begin(l)
	return l
}

// A smallCopy is the reader of a small body.
type smallCopy bytes.Reader

func (s *smallCopy) whole() bool { return (*bytes.Reader)(s).Len() == 0 }

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
	if l.content.Swap(nil) != nil && l.reserved != nil {
		l.reserved.release()
	}
}

func (l *largeCopy) whole() bool { return l.handed.Load() }
