package message

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// What can be closed, and what of it can be read then.
func TestWhatWasClosedIsReadNoMore(t *testing.T) {
	body := strings.Repeat("0123456789", largeBody/10+1)
	for name, test := range map[string]struct {
		held bool
		open func(m *Message, r *http.Request) io.ReadCloser
		read int
		// want is what reading on gives, then what another attempt does.
		want, attempt error
	}{
		"the request that came, untouched":    {false, original1, 0, nil, ErrSent},
		"the request that came, begun":        {false, original1, 10, http.ErrBodyReadAfterClose, ErrSent},
		"the request that came, held":         {true, original1, 0, nil, nil},
		"the request that came, held, begun":  {true, original1, 10, http.ErrBodyReadAfterClose, nil},
		"the forwarded request, untouched":    {false, forwarded1, 0, nil, ErrSent},
		"the forwarded request, begun":        {false, forwarded1, 10, http.ErrBodyReadAfterClose, ErrSent},
		"the forwarded request, held":         {true, forwarded1, 0, http.ErrBodyReadAfterClose, nil},
		"the forwarded request, held, begun":  {true, forwarded1, 10, http.ErrBodyReadAfterClose, nil},
		"the forwarded request, held, all":    {true, forwarded1, len(body), http.ErrBodyReadAfterClose, nil},
		"an attempt that streams":             {false, attempt1, 0, nil, ErrSent},
		"an attempt that streams, begun":      {false, attempt1, 10, http.ErrBodyReadAfterClose, ErrSent},
		"an attempt of what is held":          {true, attempt1, 0, http.ErrBodyReadAfterClose, nil},
		"an attempt of what is held, begun":   {true, attempt1, 10, http.ErrBodyReadAfterClose, nil},
		"an attempt of what is held, all":     {true, attempt1, len(body), io.EOF, nil},
		"a locked request":                    {false, locked1, 0, ErrLocked, nil},
		"a locked request, held":              {true, locked1, 0, ErrLocked, nil},
		"the forwarded request, all, and all": {false, forwarded1, len(body), http.ErrBodyReadAfterClose, ErrSent},
	} {
		t.Run(name, func(t *testing.T) {
			source := &clientBody{Reader: strings.NewReader(body)}
			m, r := new(Message), &http.Request{ProtoMajor: 1, Header: http.Header{}, Body: source, ContentLength: -1}
			m.Take(r, nil)
			if test.held {
				if err := m.Hold(1 << 30); err != nil {
					t.Fatal(err)
				}
			}
			view := test.open(m, r)
			got := readSome(t, view, test.read)
			for range 2 {
				if err := view.Close(); err != nil {
					t.Errorf("closing it: %v", err)
				}
			}
			rest, err := all(view)
			switch {
			case test.want == nil || errors.Is(test.want, io.EOF):
				if got+rest != body || err != nil {
					t.Errorf("%d bytes can be read, %v", len(got+rest), err)
				}
			case !errors.Is(err, test.want) || rest != "":
				t.Errorf("%d more bytes can be read, %v, want %v", len(rest), err, test.want)
			}
			if source.closed != 0 {
				t.Error("the client's own body is closed, which is for the server to do")
			}
			if got, err := attempted(m); !errors.Is(err, test.attempt) || test.attempt == nil && got != body {
				t.Errorf("another attempt gives %d bytes, %v, want %v", len(got), err, test.attempt)
			}
		})
	}
}

func original1(_ *Message, r *http.Request) io.ReadCloser { return r.Body }

func forwarded1(m *Message, r *http.Request) io.ReadCloser { return forwarded(m, r).Body }

func locked1(m *Message, r *http.Request) io.ReadCloser { return lockedOne(m, r).Body }

func attempt1(m *Message, _ *http.Request) io.ReadCloser {
	r := &http.Request{Header: http.Header{}}
	if err := m.Attempt(r, new(Gate)); err != nil {
		return io.NopCloser(iotest.ErrReader(err))
	}
	return r.Body
}

// A transport of HTTP/2 waits for the end of a Read before it lets go of a request.
func TestOverHTTP2AStreamThatIsClosedClosesTheClientsBody(t *testing.T) {
	for major, want := range map[int]int{1: 0, 2: 1, 3: 1} {
		source := &clientBody{Reader: strings.NewReader("body")}
		m, r := new(Message), &http.Request{ProtoMajor: major, Header: http.Header{}, Body: source, ContentLength: -1}
		m.Take(r, nil)
		view := attempt1(m, r)
		_ = view.Close()
		if source.closed != 0 {
			t.Errorf("HTTP/%d: what was not begun is closed", major)
		}
		readSome(t, view, 1)
		_ = view.Close()
		if source.closed != want {
			t.Errorf("HTTP/%d: closed %d times, want %d", major, source.closed, want)
		}
	}
}

func TestABodyThatIsNotTouchedCanBeSentAfterADialError(t *testing.T) {
	m, r := taken(strings.NewReader("a long body"), -1)
	if err := m.Hold(2); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_ = attempt1(m, r).Close()
	}
	if got, err := attempted(m); err != nil || got != "a long body" {
		t.Errorf("%q is sent, %v", got, err)
	}
}

// A transport that holds a body after it was forwarded leaves no empty one behind.
func TestWhatWasForwardedBeforeItWasHeldIsWhole(t *testing.T) {
	m, r := taken(strings.NewReader("body"), 4)
	out := forwarded(m, r)
	if err := m.Hold(1000); err != nil {
		t.Fatal(err)
	}
	if got, err := later(out.Body); err != nil || got != "body" {
		t.Errorf("%q goes on, %v", got, err)
	}
	if got, err := all(out.Body); err != nil || got != "body" {
		t.Errorf("%q can be read, %v", got, err)
	}
}

func TestABodyThatLeadsHereIsKnownThroughItsWrappers(t *testing.T) {
	m, r := taken(strings.NewReader("body"), 4)
	body := forwarded(m, r).Body
	for name, test := range map[string]struct {
		body io.Reader
		want bool
	}{
		"itself":            {body, true},
		"in a wrapper":      {struct{ io.ReadCloser }{body}, true},
		"in two":            {io.NopCloser(struct{ io.Reader }{body}), true},
		"another one's":     {strings.NewReader("other"), false},
		"that of no client": {http.NoBody, false},
		"a locked one":      {lockedOne(m, r).Body, true},
		"another's locked":  {&locked{new(Message)}, false},
	} {
		if got := m.LeadsHere(test.body); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got, err := all(body); err != nil || got != "body" {
		t.Errorf("%q can be read then, %v", got, err)
	}
}

func TestALockedBodyIsOpenToAttemptsOnly(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{"with a body": io.NopCloser(strings.NewReader("body")), "with none": nil} {
		m, r := new(Message), &http.Request{Header: http.Header{}, Body: body, ContentLength: 4}
		m.Take(r, nil)
		out := lockedOne(m, r)
		if out.ContentLength != -1 || len(out.Trailer) != 1 {
			t.Errorf("%s: length %d, trailers %v", name, out.ContentLength, out.Trailer)
		}
		if n, err := out.Body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrLocked) || !m.Tried() {
			t.Errorf("%s: %d bytes, %v, tried %v", name, n, err, m.Tried())
		}
		sent := &http.Request{Header: http.Header{}}
		if err := m.Attempt(sent, new(Gate)); err != nil || sent.Trailer != nil {
			t.Errorf("%s: %v, trailers %v", name, err, sent.Trailer)
		}
	}
}

func TestATunnelIsReadWhenItsOtherEndIsOpen(t *testing.T) {
	for name, test := range map[string]struct {
		body  io.Reader
		locks bool
		want  string
	}{
		"a locked one":             {strings.NewReader("hello"), true, "hello"},
		"one that is open":         {strings.NewReader("hello"), false, "hello"},
		"one of nothing":           {strings.NewReader(""), true, ""},
		"one that comes in pieces": {iotest.OneByteReader(strings.NewReader("hello")), false, "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := taken(test.body, -1)
			out := &http.Request{Header: http.Header{}, Trailer: http.Header{"X-T": nil}}
			m.Tunnel(out, test.locks)
			if !m.Tunnels() || (len(out.Trailer) > 0) != test.locks {
				t.Errorf("tunnels %v, trailers %v", m.Tunnels(), out.Trailer)
			}
			if test.locks {
				if _, err := all(out.Body); !errors.Is(err, ErrLocked) {
					t.Errorf("locked, it gives %v", err)
				}
			}
			m.Unlock()
			// A later message goes on with the same tunnel.
			second := new(Message)
			second.Take(out, nil)
			next := &http.Request{Header: http.Header{}}
			second.Tunnel(next, false)
			if got, err := all(next.Body); err != nil || got != test.want {
				t.Errorf("%q comes, %v", got, err)
			}
			_ = next.Body.Close()
			if r.Body == nil {
				t.Error("the request that came has lost its body")
			}
		})
	}
	m, out := new(Message), &http.Request{Header: http.Header{}}
	m.Take(&http.Request{Header: http.Header{}}, nil)
	if m.Tunnel(out, true); out.Body != http.NoBody || m.Tunnels() {
		t.Errorf("a request without a body tunnels %T", out.Body)
	}
}

// net/http closes a body while another goroutine reads it, and the answer may have
// come by then.
func TestAViewMayBeClosedAndDroppedBesideARead(t *testing.T) {
	body := strings.Repeat("0123456789", 200_000)
	for name, open := range map[string]func(m *Message, r *http.Request) io.ReadCloser{
		"the request that came": original1, "the forwarded request": forwarded1, "an attempt": attempt1,
	} {
		for state, limit := range map[string]int64{"held": 1 << 30, "streaming": 0} {
			for range 20 {
				var budget Budget
				budget.SetLimit(1 << 30)
				m, r := new(Message), &http.Request{ProtoMajor: 2, Header: http.Header{}, Body: &lockedReader{Reader: strings.NewReader(body)}, ContentLength: -1}
				m.Take(r, &budget)
				if err := m.Hold(limit); err != nil {
					t.Fatal(err)
				}
				view := open(m, r)
				if name == "the request that came" {
					// The message's own goroutine makes its bytes.
					readSome(t, view, 1)
				}
				var both sync.WaitGroup
				var got string
				var err error
				both.Go(func() { got, err = all(view) })
				both.Go(func() {
					m.Drop()
					_ = view.Close()
				})
				both.Wait()
				left := len(body)
				if name == "the request that came" {
					left--
				}
				if err == nil && len(got) != left {
					t.Errorf("%s, %s: %d bytes look like all", name, state, len(got))
				}
				_ = view.Close()
				m.Release()
				if budget.Used() != 0 {
					t.Errorf("%s, %s: %d bytes are held", name, state, budget.Used())
				}
			}
		}
	}
}

// A lockedReader is a body as servers have them, which may be closed beside a Read.
type lockedReader struct {
	io.Reader
	mu     sync.Mutex
	closed bool
}

func (b *lockedReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

func (b *lockedReader) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}
