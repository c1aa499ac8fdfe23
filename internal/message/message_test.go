package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

var errBroken = errors.New("broken")

// A client's body says how often it was closed.
type clientBody struct {
	io.Reader
	closed int
}

func (b *clientBody) Close() error {
	b.closed++
	return nil
}

// taken is the message of a request with a body of a length, below 0 if it is not
// known.
func taken(body io.Reader, length int64) (*Message, *http.Request) {
	m, r := new(Message), &http.Request{ProtoMajor: 1, Header: http.Header{}, Body: &clientBody{Reader: body}, ContentLength: length}
	m.Take(r, nil)
	return m, r
}

// heldMessage is one whose body is in memory.
func heldMessage(t *testing.T, content string) (*Message, *http.Request) {
	t.Helper()
	m, r := taken(strings.NewReader(content), int64(len(content)))
	if err := m.Hold(1 << 30); err != nil || !m.Held() {
		t.Fatalf("held: %v, %v", m.Held(), err)
	}
	return m, r
}

// forwarded is the request that is forwarded in the place of one.
func forwarded(m *Message, r *http.Request) *http.Request {
	out := &http.Request{Header: r.Header.Clone(), ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding}
	m.Forward(out, nil)
	return out
}

// lockedOne is the request that is forwarded with a locked body.
func lockedOne(m *Message, r *http.Request) *http.Request {
	out := &http.Request{Header: r.Header.Clone(), ContentLength: r.ContentLength}
	m.Lock(out, nil)
	return out
}

// attempted is what one attempt sends.
func attempted(m *Message) (string, error) {
	r := &http.Request{Header: http.Header{}}
	if err := m.Attempt(r, new(Gate)); err != nil {
		return "", err
	}
	return all(r.Body)
}

// later is what one attempt sends of a message that has taken a body over.
func later(body io.ReadCloser) (string, error) {
	m := new(Message)
	m.Take(&http.Request{Header: http.Header{}, Body: body, ContentLength: -1}, nil)
	if err := m.Hold(1 << 30); err != nil {
		return "", err
	}
	return attempted(m)
}

func all(body io.Reader) (string, error) {
	content, err := io.ReadAll(body)
	return string(content), err
}

// views are all the ways to a body.
var views = map[string]func(m *Message, r *http.Request) (string, error){
	"the request that came":   func(_ *Message, r *http.Request) (string, error) { return all(r.Body) },
	"the forwarded request":   func(m *Message, r *http.Request) (string, error) { return all(forwarded(m, r).Body) },
	"a locked request":        func(m *Message, r *http.Request) (string, error) { return all(lockedOne(m, r).Body) },
	"an attempt":              func(m *Message, _ *http.Request) (string, error) { return attempted(m) },
	"a later one of the same": func(_ *Message, r *http.Request) (string, error) { return later(r.Body) },
	"a later one of the forwarded": func(m *Message, r *http.Request) (string, error) {
		return later(forwarded(m, r).Body)
	},
	"a later one of the locked": func(m *Message, r *http.Request) (string, error) { return later(lockedOne(m, r).Body) },
}

// What a view gives.
var errWhole = errors.New("the whole body")

// No view gives nothing, or less than all, in place of what it cannot give.
func TestEachViewGivesTheWholeBodyOrSaysWhyNot(t *testing.T) {
	body := strings.Repeat("0123456789", largeBody/10+1)
	for state, test := range map[string]struct {
		put  func(t *testing.T) (*Message, *http.Request)
		want error
	}{
		"unread": {func(*testing.T) (*Message, *http.Request) { return taken(strings.NewReader(body), -1) }, errWhole},
		"unread, but for its beginning": {func(t *testing.T) (*Message, *http.Request) {
			m, r := taken(strings.NewReader(body), -1)
			if object, err := m.Look(false, 1<<20); object || err != nil {
				t.Fatalf("an object: %v, %v", object, err)
			}
			return m, r
		}, errWhole},
		"too long to be held": {func(t *testing.T) (*Message, *http.Request) {
			m, r := taken(strings.NewReader(body), -1)
			if err := m.Hold(100); err != nil || m.Held() {
				t.Fatalf("held: %v, %v", m.Held(), err)
			}
			return m, r
		}, errWhole},
		"held": {func(t *testing.T) (*Message, *http.Request) { return heldMessage(t, body) }, errWhole},
		"held, and read by another before": {func(t *testing.T) (*Message, *http.Request) {
			m, r := heldMessage(t, body)
			_, _ = attempted(m)
			return m, r
		}, errWhole},
		"begun by another": {func(t *testing.T) (*Message, *http.Request) {
			m, r := taken(strings.NewReader(body), -1)
			readSome(t, &m.streams.attempt, 10)
			return m, r
		}, ErrSent},
		"begun by another, and closed": {func(t *testing.T) (*Message, *http.Request) {
			m, r := taken(strings.NewReader(body), -1)
			readSome(t, &m.streams.attempt, 10)
			_ = m.streams.attempt.Close()
			return m, r
		}, ErrSent},
		"ended": {func(t *testing.T) (*Message, *http.Request) {
			m, r := taken(strings.NewReader(body), -1)
			if got, err := attempted(m); err != nil || got != body {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			return m, r
		}, ErrSent},
		"failed while it was held": {func(*testing.T) (*Message, *http.Request) {
			m, r := taken(io.MultiReader(strings.NewReader(body), iotest.ErrReader(errBroken)), -1)
			_ = m.Hold(1 << 30)
			return m, r
		}, errBroken},
		"failed while it was sent": {func(*testing.T) (*Message, *http.Request) {
			m, r := taken(io.MultiReader(strings.NewReader(body), iotest.ErrReader(errBroken)), -1)
			_, _ = attempted(m)
			return m, r
		}, errBroken},
		"dropped": {func(t *testing.T) (*Message, *http.Request) {
			m, r := heldMessage(t, body)
			m.Drop()
			return m, r
		}, ErrLetGo},
	} {
		for name, view := range views {
			t.Run(state+", read by "+name, func(t *testing.T) {
				m, r := test.put(t)
				want := test.want
				if name == "a locked request" {
					want = ErrLocked
				}
				got, err := view(m, r)
				switch {
				case want == errWhole: //nolint:errorlint // it is no error
					if err != nil || got != body {
						t.Errorf("%d bytes of %d come, %v", len(got), len(body), err)
					}
				case !errors.Is(err, want) || got != "":
					t.Errorf("%d bytes come, %v, want %v", len(got), err, want)
				}
				if m.Tried() != (name == "a locked request") {
					t.Errorf("a lock was tried: %v", m.Tried())
				}
			})
		}
	}
}

func readSome(t *testing.T, body io.Reader, size int) string {
	t.Helper()
	some := make([]byte, size)
	if _, err := io.ReadFull(body, some); err != nil {
		t.Fatal(err)
	}
	return string(some)
}

func TestWhatIsKnownOfABodyBeforeItIsRead(t *testing.T) {
	for name, test := range map[string]struct {
		body        io.ReadCloser
		length      int64
		empty, held bool
		// rest says that more may come.
		rest bool
	}{
		"there is none":            {nil, 0, true, true, false},
		"there is none, said so":   {http.NoBody, 0, true, true, false},
		"one with a length":        {io.NopCloser(strings.NewReader("x")), 1, false, false, true},
		"one without":              {io.NopCloser(strings.NewReader("")), -1, false, false, true},
		"one that says it is none": {io.NopCloser(strings.NewReader("")), 0, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := new(Message), &http.Request{Header: http.Header{}, Body: test.body, ContentLength: test.length}
			m.Take(r, nil)
			rest, begun := m.Rest()
			if m.Empty() != test.empty || m.Held() != test.held || rest != test.rest || begun {
				t.Errorf("empty %v, held %v, rest %v, begun %v", m.Empty(), m.Held(), rest, begun)
			}
			if (r.Body == test.body) == test.rest {
				t.Errorf("the request has the body %T", r.Body)
			}
			out := forwarded(m, r)
			if (out.Body == http.NoBody) != test.empty {
				t.Errorf("the forwarded request has the body %T", out.Body)
			}
		})
	}
}

// A client that waits to be asked for its body is not asked unless somebody wants it.
func TestAClientThatWaitsToBeAskedIsAskedWhenItsBodyIsRead(t *testing.T) {
	body := strings.Repeat("x", 1000)
	for name, test := range map[string]struct {
		do func(m *Message, r *http.Request)
		// What Rest says then.
		rest, begun bool
	}{
		"nothing":                     {func(*Message, *http.Request) {}, true, false},
		"views":                       {func(m *Message, r *http.Request) { forwarded(m, r); lockedOne(m, r) }, true, false},
		"a look at what is too long":  {func(m *Message, _ *http.Request) { _, _ = m.Look(true, 10) }, true, false},
		"no wish to hold so much":     {func(m *Message, _ *http.Request) { _ = m.Hold(10) }, true, false},
		"an attempt that has no host": {func(m *Message, _ *http.Request) { _ = m.Attempt(new(http.Request), new(Gate)) }, true, false},
		"a look at the beginning":     {func(m *Message, _ *http.Request) { _, _ = m.Look(false, 1<<20) }, true, true},
		"a byte of an attempt": {func(m *Message, _ *http.Request) {
			_, _ = m.streams.attempt.Read(make([]byte, 1))
		}, true, true},
		"an attempt that is whole": {func(m *Message, _ *http.Request) { _, _ = attempted(m) }, false, false},
		"holding it":               {func(m *Message, _ *http.Request) { _ = m.Hold(1 << 20) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := taken(strings.NewReader(body), int64(len(body)))
			test.do(m, r)
			rest, begun := m.Rest()
			if rest != test.rest || begun != test.begun {
				t.Errorf("rest %v, begun %v", rest, begun)
			}
		})
	}
}

// Only large bodies are worth letting go.
func TestOnlyALargeBodyIsDropped(t *testing.T) {
	for size, want := range map[int]bool{100: false, largeBody - 1: false, largeBody: true, 1 << 20: true} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			m, _ := heldMessage(t, strings.Repeat("x", size))
			m.Drop()
			if got, err := attempted(m); errors.Is(err, ErrLetGo) != want || want == (len(got) == size) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if _, err := m.Look(false, 1<<30); errors.Is(err, ErrLetGo) != want {
				t.Errorf("looking at it: %v", err)
			}
			if err := m.Hold(1 << 30); errors.Is(err, ErrLetGo) != want {
				t.Errorf("holding it: %v", err)
			}
		})
	}
}

func TestContentIsForTheEyesOfWhoAsksOnly(t *testing.T) {
	m, _ := heldMessage(t, "body")
	if !bytes.Equal(m.Content(), []byte("body")) || m.shared {
		t.Errorf("%q, shared %v", m.Content(), m.shared)
	}
}
