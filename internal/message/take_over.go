package message

import (
	"io"
	"reflect"
)

// A view is a body that a message has handed out.
type view interface {
	io.ReadCloser
	message() *Message
	// lend gives another message what the view holds: bytes that must not be
	// changed, or a source of them, or why it can be had no longer. What is held is
	// lent whole, however much of it the view itself has given.
	lend() (content []byte, source io.ReadCloser, err error)
}

// InPlaceOf gives a request that still has the client's own body, because a handler
// has made a copy of it before Take, the body as it came: of the client's own nothing
// may be left. Another body is returned as it is.
func (m *Message) InPlaceOf(body io.ReadCloser) io.ReadCloser {
	if m.came == nil || body == nil || !reflect.ValueOf(body).Comparable() || body != m.came {
		return body
	}
	return &m.originalView
}

// takeOver takes the body from a view of another message.
func (m *Message) takeOver(body view) {
	from := body.message()
	m.length, m.trailer = from.length, from.trailer
	m.touched.Store(from.touched.Load())
	content, source, err := body.lend()
	switch {
	case err != nil:
		m.fail(err)
	case source != nil:
		m.source = source
	default:
		// What was sent with them may still be read, and another filter changes them.
		m.trailer = from.trailer.Clone()
		m.content, m.length, m.shared = content, int64(len(content)), true
		// The bytes are counted where they were read, for as long as they are here.
		m.reserved.earlier = from.reserved.hold()
		m.whole.Store(true)
		m.become(held)
	}
}
