package message

import (
	"bytes"
	"io"
	"math"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// Look reads as much of a body as it takes to know whether a model may be
// named in it: all of it if it is to be read whole, or begins as a JSON object.
// Another body streams on, and object is false. A body of more than limit bytes
// is an error, and so is one that breaks off.
func (m *Message) Look(whole bool, limit int64) (object bool, err error) {
	switch {
	case m.is(failed):
		return false, m.Failure()
	case m.is(held):
		if int64(len(m.content)) > limit {
			return false, llm.BodyTooLarge(limit)
		}
		object, _ = llm.BeginsObject(m.content)
		return object || whole, nil
	case !m.is(unread):
		return false, m.unavailable()
	}
	// A length over the limit is refused before anything is read.
	refused := m.length > limit
	m.touched.Store(m.touched.Load() || !refused)
	// Written out, and not returned by a method, so that it stays on the stack.
	before := m.reserved.bytes.Load()
	grow := func(capacity int64) error { return m.reserved.grow(before + capacity) }
	var content []byte
	if whole {
		content, err = llm.ReadBody(m.source, m.length, limit, grow)
		object = true
	} else {
		content, object, err = llm.ReadObject(m.source, m.length, limit, grow)
	}
	if err != nil {
		if !refused {
			m.fail(err)
			m.Release()
		}
		return false, err
	}
	if !object && len(content) > 0 {
		m.prepend(content)
		return false, nil
	}
	m.keep(content)
	return object, nil
}

// Hold reads a body of at most limit bytes into memory; a longer one streams.
func (m *Message) Hold(limit int64) error {
	switch {
	case m.is(held):
		return nil
	case !m.is(unread):
		return m.unavailable()
	case m.length > limit, m.longer > 0 && m.longer >= limit:
		return nil
	}
	m.touched.Store(true)
	limit = min(limit, math.MaxInt64-1)
	before := m.reserved.bytes.Load()
	content, err := llm.ReadBody(io.LimitReader(m.source, limit+1), min(m.length, limit), limit+1,
		func(capacity int64) error { return m.reserved.grow(before + capacity) })
	if err != nil {
		m.fail(err)
		m.Release()
		return err
	}
	if int64(len(content)) > limit {
		m.longer = limit
		m.prepend(content)
		return nil
	}
	m.keep(content)
	return nil
}

// Decode undoes the content coding of a body that is held; see llm.Decode.
func (m *Message) Decode(contentEncoding []string, limit int64) error {
	before := m.reserved.bytes.Load()
	decoded, err := llm.Decode(m.content, contentEncoding, limit,
		func(capacity int64) error { return m.reserved.grow(before + capacity) })
	if err != nil {
		return err
	}
	if len(decoded) == len(m.content) && (len(decoded) == 0 || &decoded[0] == &m.content[0]) {
		m.identity = len(contentEncoding) > 0
		return nil
	}
	m.encoded, m.content, m.shared = m.content, decoded, false
	return nil
}

// keep makes bytes that are in memory the body.
func (m *Message) keep(content []byte) {
	m.content = content
	// What was forwarded before is the whole body, too.
	m.forwardView.reader.Reset(content)
	m.finish()
	m.become(held)
}

// prepend puts what was read of a body back before the rest.
func (m *Message) prepend(beginning []byte) {
	m.source = &resumed{Reader: io.MultiReader(bytes.NewReader(beginning), m.source), Closer: m.source}
}

// finish notes that the client's body was read to its end.
func (m *Message) finish() {
	m.whole.Store(true)
	m.filterTrailer()
}

// A resumed body is one of which the beginning was read.
type resumed struct {
	io.Reader
	io.Closer
}
