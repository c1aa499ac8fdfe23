package linger

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// An openBody notes whether it was closed.
type openBody struct {
	io.Reader
	closed bool
}

func (b *openBody) Close() error {
	b.closed = true
	return nil
}

func TestABodyKnowsWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		read  int64
		begun bool
		left  string
	}{
		"one that nobody has read":        {0, false, "hello"},
		"one that was begun":              {2, true, "llo"},
		"one whose end nobody has seen":   {5, true, ""},
		"one that was read to its end":    {6, false, "none"},
		"one that was read several times": {100, false, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			source := &openBody{Reader: strings.NewReader("hello")}
			body := NewBody(source)
			_, _ = io.CopyN(io.Discard, body, test.read)
			rest := body.Rest()
			left := "none"
			if rest.Body != nil {
				all, _ := io.ReadAll(rest.Body)
				left = string(all)
			}
			if rest.Begun != test.begun || left != test.left {
				t.Errorf("%q is left, begun: %t; want %q, %t", left, rest.Begun, test.left, test.begun)
			}
		})
	}
}

func TestClosingABodyEndsReadingAndLeavesTheClientsOwnOpen(t *testing.T) {
	for name, end := range map[string]func(*Body){
		"Close": func(b *Body) { b.Close() },
		"Rest":  func(b *Body) { b.Rest() },
	} {
		t.Run(name, func(t *testing.T) {
			source := &openBody{Reader: strings.NewReader("hello")}
			body := NewBody(source)
			end(body)
			if n, err := body.Read(make([]byte, 8)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("reading gives %d bytes and %v", n, err)
			}
			if source.closed || body.Rest().Begun {
				t.Error("the client's own body was closed or begun")
			}
		})
	}
}
