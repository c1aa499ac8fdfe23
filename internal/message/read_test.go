package message

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

func compressed(t *testing.T, text string) string {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	_, _ = io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

// readers are the ways in which a body may come.
var readers = map[string]func(io.Reader) io.Reader{
	"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "the end with the last": iotest.DataErrReader,
}

func TestABodyUpToTheLimitIsHeldAndALongerOneStreams(t *testing.T) {
	const limit = 1000
	for name, test := range map[string]struct {
		size   int
		length int64
		held   bool
	}{
		"nothing":                         {0, -1, true},
		"nothing, and that is said":       {0, 0, true},
		"exactly the limit":               {limit, limit, true},
		"exactly the limit, in chunks":    {limit, -1, true},
		"one byte more":                   {limit + 1, limit + 1, false},
		"one byte more, in chunks":        {limit + 1, -1, false},
		"far more, in chunks":             {100 * limit, -1, false},
		"less than its length says":       {10, limit, true},
		"more than its length says":       {limit, 10, true},
		"more than its length and limits": {limit + 1, 10, false},
	} {
		for how, reader := range readers {
			t.Run(name+", "+how, func(t *testing.T) {
				want := strings.Repeat("x", test.size)
				m, _ := taken(reader(strings.NewReader(want)), test.length)
				if err := m.Hold(limit); err != nil {
					t.Fatal(err)
				}
				if rest, _ := m.Rest(); m.Held() != test.held || rest == test.held {
					t.Fatalf("held %v, more may come %v, want %v", m.Held(), rest, test.held)
				}
				source := m.source
				if err := m.Hold(limit); err != nil || m.source != source {
					t.Errorf("it is read once more to hold it: %v", err)
				}
				attempts := 1
				if test.held {
					attempts = 3
				}
				for range attempts {
					r := &http.Request{Header: http.Header{}, TransferEncoding: []string{"chunked"}}
					if err := m.Attempt(r, new(Gate)); err != nil {
						t.Fatal(err)
					}
					got, err := all(r.Body)
					if err != nil || got != want || r.TransferEncoding != nil || test.held && r.ContentLength != int64(len(want)) {
						t.Errorf("%d bytes of length %d are sent, want %d; %v", len(got), r.ContentLength, len(want), err)
					}
				}
				if !test.held {
					if _, err := attempted(m); !errors.Is(err, ErrSent) {
						t.Errorf("a second attempt gives %v", err)
					}
				}
			})
		}
	}
}

func TestTheLargestLimitIsNone(t *testing.T) {
	m, _ := taken(strings.NewReader("body"), -1)
	if err := m.Hold(math.MaxInt64); err != nil || string(m.Content()) != "body" {
		t.Errorf("%q is held, %v", m.Content(), err)
	}
}

func TestABodyIsReadAsFarAsItsModelMayStand(t *testing.T) {
	for name, test := range map[string]struct {
		body         string
		whole        bool
		object, held bool
	}{
		"an object":                   {`{"model":"m"}`, false, true, true},
		"an object behind spaces":     {"  \r\n" + `{"model":"m"}`, false, true, true},
		"a list":                      {`[{"model":"m"}]`, false, false, false},
		"a recording":                 {"RIFF", false, false, false},
		"nothing":                     {"", false, false, true},
		"a form, which is read whole": {formOf("m"), true, true, true},
		"nothing, read whole":         {"", true, true, true},
	} {
		for how, reader := range readers {
			for _, length := range []int64{-1, int64(len(test.body))} {
				t.Run(name+", "+how, func(t *testing.T) {
					m, _ := taken(reader(strings.NewReader(test.body)), length)
					object, err := m.Look(test.whole, 1000)
					if err != nil || object != test.object || m.Held() != test.held {
						t.Errorf("an object %v, held %v, %v", object, m.Held(), err)
					}
					if got, err := attempted(m); err != nil || got != test.body {
						t.Errorf("%q is sent, %v", got, err)
					}
				})
			}
		}
	}
}

func TestABodyOverTheLimitIsRefusedAndNeverCut(t *testing.T) {
	const limit = 1000
	body := `{"model":"m","x":"` + strings.Repeat("x", limit) + `"}`
	for name, test := range map[string]struct {
		length int64
		// read says that something is read before it is refused.
		read bool
	}{
		"with its length": {int64(len(body)), false},
		"in chunks":       {-1, true},
		"that lies":       {10, true},
	} {
		for _, whole := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				m, r := taken(strings.NewReader(body), test.length)
				_, err := m.Look(whole, limit)
				refused, ok := errors.AsType[*llm.RequestError](err)
				if !ok || refused.Code != llm.CodeBodyTooLarge {
					t.Fatalf("looking at it: %v", err)
				}
				if rest, begun := m.Rest(); !rest || begun != test.read {
					t.Errorf("more may come %v, begun %v", rest, begun)
				}
				got, err := all(r.Body)
				if test.read && (got != "" || !errors.As(err, new(*llm.RequestError))) || !test.read && (got != body || err != nil) {
					t.Errorf("%d bytes can be read, %v", len(got), err)
				}
			})
		}
	}
}

// A body that was decoded has the limit, too.
func TestADecodedBodyHasTheLimit(t *testing.T) {
	m, _ := heldMessage(t, compressed(t, strings.Repeat("x", 1001)))
	if err := m.Decode([]string{"gzip"}, 1000); !errors.As(err, new(*llm.RequestError)) {
		t.Errorf("decoding it: %v", err)
	}
	if err := m.Decode([]string{"gzip"}, 1001); err != nil || len(m.Content()) != 1001 {
		t.Errorf("%d bytes, %v", len(m.Content()), err)
	}
}

// What is left of a body that broke off is no body, however often it is asked for.
func TestABodyThatBreaksOffIsOverForAll(t *testing.T) {
	for name, read := range map[string]func(m *Message) error{
		"while it is held":               func(m *Message) error { return m.Hold(1000) },
		"while it is held, at the limit": func(m *Message) error { return m.Hold(10) },
		"while it is looked at":          func(m *Message) error { _, err := m.Look(true, 1000); return err },
		"while its model is looked for":  func(m *Message) error { _, err := m.Look(false, 1000); return err },
		"while it is sent":               func(m *Message) error { _, err := attempted(m); return err },
		"while another is given it":      func(m *Message) error { _, err := later(&m.originalView); return err },
		"while it is forwarded as it streams": func(m *Message) error {
			_, err := all(forwarded(m, &http.Request{Header: http.Header{}, ContentLength: -1}).Body)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			// It would go on after the error.
			m, r := taken(io.MultiReader(strings.NewReader(`{"model":"`), errorOnce(errBroken), strings.NewReader(`m"}`)), -1)
			if err := read(m); !errors.Is(err, errBroken) {
				t.Fatalf("the error is %v", err)
			}
			if !errors.Is(m.Failure(), errBroken) {
				t.Errorf("the client's error is %v", m.Failure())
			}
			for view, get := range views {
				if view == "a locked request" {
					continue
				}
				if got, err := get(m, r); got != "" || !errors.Is(err, errBroken) {
					t.Errorf("%q can be read by %s, %v", got, view, err)
				}
			}
			if _, err := m.Look(false, 1000); !errors.Is(err, errBroken) {
				t.Errorf("looking at it gives %v", err)
			}
			if err := m.Hold(1000); !errors.Is(err, errBroken) {
				t.Errorf("holding it gives %v", err)
			}
		})
	}
}

// errorOnce is a reader that fails, and has then come to its end.
func errorOnce(err error) io.Reader {
	failed := false
	return readerFunc(func([]byte) (int, error) {
		if failed {
			return 0, io.EOF
		}
		failed = true
		return 0, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestABodyRemembersHowItEnded(t *testing.T) {
	for name, test := range map[string]struct {
		body    io.Reader
		failure error
		whole   bool
	}{
		"one that is whole":                      {strings.NewReader("body"), nil, true},
		"one that breaks off":                    {io.MultiReader(strings.NewReader("bo"), iotest.ErrReader(errBroken)), errBroken, false},
		"one that the gateway has closed before": {iotest.ErrReader(http.ErrBodyReadAfterClose), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := taken(test.body, -1)
			if rest, _ := m.Rest(); m.Failure() != nil || !rest {
				t.Error("it has ended before it was read")
			}
			_, _ = all(forwarded(m, r).Body)
			if rest, _ := m.Rest(); !errors.Is(m.Failure(), test.failure) || rest == test.whole {
				t.Errorf("got %v, more may come %v", m.Failure(), rest)
			}
		})
	}
}
