// Package message is the one custodian of a request's body on its way through
// the gateway. A Message takes the body of a request, reads as much of it as
// the gateway has to see, changes the model's name in it, and hands out views:
// to the request that came (the bytes as they came), to the handlers behind
// the gateway (the bytes as they are forwarded, or nothing at all), and to the
// transport (as often as the body can be given).
//
// No view of a body ever looks whole when it is not: a body that was begun
// elsewhere, broke off, or was let go reads as an error, never as a shorter
// one or as an empty one. Bytes that were handed out never change.
package message

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// Errors of views that cannot give what they are asked for.
var (
	// ErrSent: the body streams, and a part of it went elsewhere before.
	ErrSent = errors.New("a part of the request's body was sent before, and it is too long to be held for a second time")
	// ErrLetGo: the body was held until the LLM began to answer.
	ErrLetGo = errors.New("the request's body was let go when the LLM answered")
	// ErrLocked: the body is for the transport of a provider with a base_url.
	ErrLocked = errors.New("the request's body is for transport oauth2_llm alone")
)

// A state says what has become of a body.
type state uint32

const (
	// unread: nothing was read, or only the beginning, which is kept.
	unread state = iota
	// held: all of it is in memory.
	held
	// begun: somebody reads it as it comes.
	begun
	// ended: it was read to its end as it came.
	ended
	// failed: it cannot be had whole.
	failed
	// dropped: it was held, and let go.
	dropped
)

// A Message is the body of one request. Take makes it ready for use. Its
// methods are for the goroutine that runs the request; its views may be read
// and closed by others.
type Message struct {
	// came is the client's own body, nil if that was another message's.
	came io.ReadCloser
	// source is what was not read yet; length is the length of the whole body, below 0
	// if it is not known.
	source io.ReadCloser
	length int64
	// longer is a length that the body is known to have more than.
	longer int64
	// trailer is filled by the server at the end of the body; filter takes out of
	// it what must not be forwarded.
	trailer http.Header
	filter  TrailerFilter
	// multiplexed says that the client speaks HTTP/2 or HTTP/3.
	multiplexed bool

	state   atomic.Uint32
	failure atomic.Pointer[error]
	// whole says that the client's own body was read to its end; touched that
	// something of it was read, for which a client may wait to be asked.
	whole, touched atomic.Bool
	// reading is held while the client's own body is read for a view.
	reading sync.Mutex
	// reader is the view that reads a body as it comes.
	reader atomic.Pointer[stream]

	// content is the body as it is forwarded. It may be changed in place unless
	// it is shared with a view. encoded is what it was decoded from; identity says
	// that the header names codings which left nothing to undo.
	content  []byte
	encoded  []byte
	identity bool
	shared   bool
	undo     edit

	// reserved is what the body takes of the budget.
	reserved reservation
	released atomic.Bool

	// The views of which there is one each.
	originalView original
	forwardView  forward
	lockedView   locked
	streams      struct{ original, forward, attempt stream }
	// reached is set by a forward view that is asked for nothing. tunnels says that
	// there is a tunnel in place of a body, locks that it may not be read yet, tried
	// that a lock was tried.
	reached bool
	tunnels bool
	locks   atomic.Bool
	tried   atomic.Bool
}

// Take makes the message the holder of a request's body, and the request's body a
// view that gives it as it came. A body that is a view of another message is
// taken over without copying it. The budget counts what is held of it.
func (m *Message) Take(r *http.Request, budget *Budget) {
	m.reserved.budget, m.reserved.holders = budget, 1
	m.multiplexed = r.ProtoMajor > 1
	m.streams.original.of, m.streams.forward.of, m.streams.attempt.of = m, m, m
	switch body := r.Body.(type) {
	case nil:
		m.become(held)
		m.whole.Store(true)
		return
	case view:
		m.takeOver(body)
	default:
		m.source, m.length, m.trailer = body, r.ContentLength, r.Trailer
		if body != http.NoBody {
			m.came = body
		}
		if _, locks := r.Trailer[lockedName]; locks {
			// Something has put another body in the place of a locked one.
			m.trailer = nil
		}
	}
	if m.source == http.NoBody {
		m.become(held)
		m.whole.Store(true)
	}
	if len(m.trailer) == 0 {
		m.trailer = nil
	}
	if r.Body != http.NoBody {
		m.originalView.of = m
		r.Body, r.Trailer = &m.originalView, m.trailer
	}
}

func (m *Message) is(s state) bool { return state(m.state.Load()) == s }

func (m *Message) become(s state) { m.state.Store(uint32(s)) }

// fail notes why the body cannot be had.
func (m *Message) fail(err error) {
	m.failure.CompareAndSwap(nil, &err)
	m.become(failed)
}

// Failure is the error with which reading the body ended, nil if there was none.
func (m *Message) Failure() error {
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Empty reports whether the request is known to have no body.
func (m *Message) Empty() bool { return m.is(held) && len(m.content) == 0 && m.encoded == nil }

// Held reports whether the body is in memory, so that it can be sent again.
func (m *Message) Held() bool { return m.is(held) }

// Rest reports whether the client may still be sending, and whether something of
// its body was read: one that waits to be asked for the body still does if not.
func (m *Message) Rest() (remains, begun bool) {
	remains = !m.whole.Load() && m.source != nil
	return remains, remains && m.touched.Load()
}

// Whole reports whether the body can still be given whole.
func (m *Message) Whole() bool { return m.is(held) || m.is(unread) && m.reader.Load() == nil }

// TakeBack ends reading for whoever reads the body as it comes: what is left of it
// is for the server.
func (m *Message) TakeBack() {
	m.streams.original.closed.Store(true)
	m.streams.forward.closed.Store(true)
	m.streams.attempt.closed.Store(true)
}

// Settle waits until nobody reads the client's own body any more. It is for a body
// of which reading was ended by TakeBack, and cannot go on: Caddy counts its bytes
// as they are read, and looks at the sum when the request is over.
func (m *Message) Settle() {
	m.reading.Lock()
	defer m.reading.Unlock()
}

// Content is the body that is held, as it is forwarded, for the eyes of who asks
// only.
func (m *Message) Content() []byte { return m.content }

// reserve counts bytes that are held in addition. After Release nobody would give
// them back, so that they are counted no longer.
func (m *Message) reserve(more int64) error {
	if m.released.Load() {
		return nil
	}
	return m.reserved.grow(m.reserved.bytes.Load() + more)
}

// largeBody is the size from which a body is let go before the request ends.
// Smaller ones are lent as a kind of body that net/http knows to be in memory.
const largeBody = 64 << 10

// Drop lets a large body go: nobody will send it once more. Views that are
// being read keep theirs.
func (m *Message) Drop() {
	if m.is(held) && len(m.content)+len(m.encoded) >= largeBody {
		m.become(dropped)
		m.forwardView.drop()
		m.content, m.encoded, m.undo = nil, nil, edit{}
		m.Release()
	}
}

// Release gives back what the body takes of the budget, as soon as all views
// have let go. It is for the end of the request and changes nothing else.
func (m *Message) Release() {
	if m.released.CompareAndSwap(false, true) {
		m.reserved.release()
	}
}
