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
	"strconv"
	"sync/atomic"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
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

// A TrailerFilter takes out of trailers what must not be forwarded.
type TrailerFilter interface{ FilterTrailer(trailer http.Header) }

// A Message is the body of one request. Take makes it ready for use. Its
// methods are for the goroutine that runs the request; its views may be read
// and closed by others.
type Message struct {
	// source is what was not read yet; length is that of the whole body, below 0
	// if it is not known.
	source io.ReadCloser
	length int64
	// trailer is filled by the server at the end of the body; filter takes out of
	// it what must not be forwarded.
	trailer http.Header
	filter  TrailerFilter
	// multiplexed says that the client speaks HTTP/2 or HTTP/3.
	multiplexed bool

	state   atomic.Uint32
	failure atomic.Pointer[error]
	// whole says that the client's own body was read to its end; untouched that
	// nothing of it was read, which matters to a client that waits to be asked.
	whole, touched atomic.Bool
	// reader is the view that reads a body as it comes.
	reader atomic.Pointer[stream]

	// content is the body as it is forwarded. It may be changed in place unless
	// it is shared with a view. encoded is what it was decoded from.
	content []byte
	encoded []byte
	shared  bool
	undo    edit

	reserved *reservation
	own      reservation
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

// An edit is a change of content: there are length bytes at a place where the
// old ones were.
type edit struct {
	at, length int
	old        []byte
	// space is where most old bytes find room.
	space [64]byte
}

// Take makes the message that of a request's body, and the request's body a
// view that gives it as it came. A body that is a view of another message is
// taken over without copying it. The budget counts what is held of it.
func (m *Message) Take(r *http.Request, budget *Budget) {
	m.own.budget, m.own.holders = budget, 1
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

// takeOver takes the body from a view of another message.
func (m *Message) takeOver(body view) {
	from := body.message()
	m.length, m.trailer = from.length, from.trailer
	content, source, err := body.lend()
	switch {
	case err != nil:
		m.fail(err)
	case source != nil:
		m.source = source
	default:
		// What this body takes is counted where it was read.
		m.content, m.length, m.shared = content, int64(len(content)), true
		m.reserved = from.reserved
		if m.reserved != nil {
			m.reserved.hold()
		}
		m.whole.Store(true)
		m.become(held)
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

// Empty reports whether it is known that there is no body.
func (m *Message) Empty() bool { return m.is(held) && len(m.content) == 0 && m.encoded == nil }

// Held reports whether the body is in memory, so that it can be sent again.
func (m *Message) Held() bool { return m.is(held) }

// Untouched reports whether nothing of a body was read or handed out.
func (m *Message) Untouched() bool { return m.is(unread) }

// Rest is what the client may still be sending, nil if all has come. Begun says
// whether something of it was read.
func (m *Message) Rest() (rest io.Reader, begun bool) {
	if m.whole.Load() || m.source == nil {
		return nil, false
	}
	return m.source, m.touched.Load()
}

// Content is the body that is held, as it is forwarded, for the eyes of who asks
// only.
func (m *Message) Content() []byte { return m.content }

// Edit changes the body that is held. It does so in place unless somebody has
// been given it.
func (m *Message) Edit(e llm.Edit) error {
	old := append(m.undo.space[:0], m.content[e.Start:e.End]...)
	if !m.shared && len(e.Text) <= len(old) {
		at := e.Start + copy(m.content[e.Start:], e.Text)
		m.content = append(m.content[:at], m.content[e.End:]...)
	} else {
		if err := m.reserve(int64(len(m.content) + len(e.Text))); err != nil {
			return err
		}
		changed := make([]byte, 0, len(m.content)-len(old)+len(e.Text))
		changed = append(append(append(changed, m.content[:e.Start]...), e.Text...), m.content[e.End:]...)
		m.content, m.shared = changed, false
	}
	m.undo.at, m.undo.length, m.undo.old = e.Start, len(e.Text), old
	return nil
}

// edited reports whether the body was changed.
func (m *Message) edited() bool { return m.undo.old != nil }

// AsItCame takes back what was done to read the body.
func (m *Message) AsItCame() error {
	if !m.is(held) {
		return nil
	}
	content, err := m.original()
	if err == nil {
		m.content, m.encoded, m.undo = content, nil, edit{}
	}
	return err
}

// guard makes the filter the one of the body's trailers.
func (m *Message) guard(filter TrailerFilter) {
	m.filter = filter
	m.filterTrailer()
}

// filterTrailer filters the trailers, or their announcement, as they are now.
func (m *Message) filterTrailer() {
	if m.filter != nil && len(m.trailer) > 0 {
		m.filter.FilterTrailer(m.trailer)
	}
}

// original is the body that is held, as it came.
func (m *Message) original() ([]byte, error) {
	switch {
	case m.encoded != nil:
		return m.encoded, nil
	case !m.edited():
		m.shared = true
		return m.content, nil
	}
	if err := m.reserve(int64(len(m.content))); err != nil {
		return nil, err
	}
	restored := make([]byte, 0, len(m.content)-m.undo.length+len(m.undo.old))
	restored = append(append(restored, m.content[:m.undo.at]...), m.undo.old...)
	return append(restored, m.content[m.undo.at+m.undo.length:]...), nil
}

// reserve counts bytes that are held in addition.
func (m *Message) reserve(more int64) error {
	r := m.reservation()
	return r.grow(r.bytes.Load() + more)
}

// reservation is the message's own, which counts what it allocates.
func (m *Message) reservation() *reservation {
	if m.reserved == nil {
		m.reserved = &m.own
	}
	return &m.own
}

// digestFields describe a body's bytes (RFC 9530, and what came before it).
var digestFields = [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5"}

// describe makes the header say what is forwarded.
func (m *Message) describe(r *http.Request) {
	if !m.is(held) {
		return
	}
	if length := int64(len(m.content)); length != r.ContentLength {
		r.ContentLength, r.TransferEncoding = length, nil
		r.Header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if m.encoded != nil {
		delete(r.Header, "Content-Encoding")
	}
	if m.encoded != nil || m.edited() {
		for _, name := range digestFields {
			delete(r.Header, name)
		}
	}
}

// largeBody is the size from which a body is let go before the request ends.
// Smaller ones are lent as a kind of body that net/http knows to be in memory.
const largeBody = 64 << 10

// Drop lets a large body go: nobody will send it once more. Views that are
// being read keep theirs.
func (m *Message) Drop() {
	if m.is(held) && len(m.content)+len(m.encoded) >= largeBody {
		m.become(dropped)
		m.content, m.encoded, m.undo = nil, nil, edit{}
		m.forwardView.reader.Reset(nil)
		m.Release()
	}
}

// Release gives back what the body takes of the budget, as soon as all views
// have let go. It is for the end of the request and changes nothing else.
func (m *Message) Release() {
	if !m.released.CompareAndSwap(false, true) {
		return
	}
	if m.reserved != nil && m.reserved != &m.own {
		m.reserved.release()
	}
	m.own.release()
}
