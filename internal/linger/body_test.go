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
			body := NewBody(source, nil)
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
			body := NewBody(source, nil)
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

func TestWhatIsLeftIsReadBelowWhatOthersHaveWrapped(t *testing.T) {
	own := strings.NewReader("hello")
	body := NewBody(io.NopCloser(io.LimitReader(own, 2)), own)
	first, _ := io.ReadAll(io.LimitReader(body, 2))
	left, err := io.ReadAll(body.Rest().Body)
	if string(first) != "he" || string(left) != "llo" || err != nil {
		t.Errorf("%q was read and %q, %v is left", first, left, err)
	}
}

// A blockedBody gives nothing until it is released.
type blockedBody struct {
	begun, released chan struct{}
	returned        bool
}

func (b *blockedBody) Read([]byte) (int, error) {
	close(b.begun)
	<-b.released
	b.returned = true
	return 0, io.ErrUnexpectedEOF
}

func (*blockedBody) Close() error { return nil }

func TestWhatIsLeftEndsAfterAReadThatWasBegunBefore(t *testing.T) {
	source := &blockedBody{begun: make(chan struct{}), released: make(chan struct{})}
	body := NewBody(source, strings.NewReader(""))
	go func() { _, _ = body.Read(make([]byte, 1)) }()
	<-source.begun
	rest := body.Rest()
	go close(source.released)
	if _, err := rest.Body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || !source.returned {
		t.Errorf("%v came, the Read before has returned: %t", err, source.returned)
	}
}
