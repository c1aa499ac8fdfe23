package message

import (
	"net/http"
	"strconv"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// An edit is a change of content: there are length bytes at a place where the
// old ones were.
type edit struct {
	at, length int
	old        []byte
	// space is where most old bytes find room.
	space [64]byte
}

// Edit changes the body that is held, once. It does so in place unless somebody
// has been given it.
func (m *Message) Edit(e llm.Edit) error {
	old := append(m.undo.space[:0], m.content[e.Start:e.End]...)
	switch {
	case m.shared || len(e.Text) > len(old):
		if err := m.reserve(int64(len(m.content) + len(e.Text))); err != nil {
			return err
		}
		changed := make([]byte, 0, len(m.content)-len(old)+len(e.Text))
		changed = append(append(append(changed, m.content[:e.Start]...), e.Text...), m.content[e.End:]...)
		m.content, m.shared = changed, false
	case len(e.Text) == len(old):
		copy(m.content[e.Start:], e.Text)
	default:
		at := e.Start + copy(m.content[e.Start:], e.Text)
		m.content = append(m.content[:at], m.content[e.End:]...)
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
		m.content, m.encoded, m.identity, m.undo = content, nil, false, edit{}
	}
	return err
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
	if m.encoded != nil || m.identity {
		delete(r.Header, "Content-Encoding")
	}
	if m.encoded != nil || m.edited() {
		for _, name := range digestFields {
			delete(r.Header, name)
		}
	}
}
