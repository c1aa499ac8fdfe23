package message

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// A later message has the body, whatever becomes of the first, and the other way
// round.
func TestABodyThatWasTakenOverIsTheLaterOnesToo(t *testing.T) {
	padding := strings.Repeat(" ", largeBody)
	came, want := `{"model":"corp/m"}`+padding, `{"model":     "m"}`+padding
	for _, open := range []string{"the forwarded request", "a locked request", "the request that came"} {
		t.Run(open, func(t *testing.T) {
			first, r := heldMessage(t, came)
			if err := first.Edit(edits["a shorter name in place"].edit(t, first.Content())); err != nil {
				t.Fatal(err)
			}
			body, lent := r.Body, came
			switch open {
			case "the forwarded request":
				body, lent = forwarded(first, r).Body, want
			case "a locked request":
				body, lent = lockedOne(first, r).Body, want
			}
			second := new(Message)
			next := &http.Request{Header: http.Header{}, Body: body, ContentLength: -1}
			second.Take(next, nil)
			if object, err := second.Look(false, 1<<20); !object || err != nil || string(second.Content()) != lent {
				t.Fatalf("the second has %.30q, an object: %v, %v", second.Content(), object, err)
			}
			if _, err := second.Look(false, 100); !errors.As(err, new(*llm.RequestError)) {
				t.Errorf("a lower limit: %v", err)
			}
			if err := second.Edit(llm.Edit{Start: 0, End: 1, Text: []byte("[[")}); err != nil {
				t.Fatal(err)
			}
			if got, err := attempted(first); err != nil || got != want {
				t.Errorf("the first sends %.30q, %v", got, err)
			}
			first.Drop()
			first.Release()
			if got, err := attempted(second); err != nil || got != "["+"["+lent[1:] {
				t.Errorf("the second sends %.30q, %v", got, err)
			}
			if got, err := all(next.Body); err != nil || got != lent {
				t.Errorf("the second restores %.30q, %v", got, err)
			}
			second.Drop()
			if got, err := attempted(second); got != "" || !errors.Is(err, ErrLetGo) {
				t.Errorf("dropped, the second sends %.30q, %v", got, err)
			}
		})
	}
}

// Of two that could read a body as it comes, one has it.
func TestABodyThatStreamsIsThatOfWhoReadsItFirst(t *testing.T) {
	body := strings.Repeat("0123456789", 1000)
	first, r := taken(strings.NewReader(body), -1)
	second, third := new(Message), new(Message)
	second.Take(&http.Request{Header: http.Header{}, Body: forwarded(first, r).Body, ContentLength: -1}, nil)
	third.Take(&http.Request{Header: http.Header{}, Body: r.Body, ContentLength: -1}, nil)
	if got, err := attempted(third); err != nil || got != body {
		t.Errorf("%d bytes are sent, %v", len(got), err)
	}
	if rest, _ := first.Rest(); rest {
		t.Error("the first does not know that all has come")
	}
	if got, err := attempted(second); got != "" || !errors.Is(err, ErrSent) {
		t.Errorf("another sends %d bytes, %v", len(got), err)
	}
	if err := second.Failure(); !errors.Is(err, ErrSent) {
		t.Errorf("it fails with %v", err)
	}
}

// A request that was copied before has the client's own body, of which nothing is left.
func TestTheClientsOwnBodyIsReplacedByTheOneThatCame(t *testing.T) {
	source := io.NopCloser(strings.NewReader("body"))
	m, r := new(Message), &http.Request{Header: http.Header{}, Body: source, ContentLength: 4}
	m.Take(r, nil)
	hold(t, m, r)
	if got, err := all(m.InPlaceOf(source)); err != nil || got != "body" {
		t.Errorf("%q comes, %v", got, err)
	}
	type uncomparable struct {
		io.ReadCloser
		_ []byte
	}
	empty := new(Message)
	empty.Take(&http.Request{Header: http.Header{}, Body: http.NoBody}, nil)
	for name, body := range map[string]io.ReadCloser{
		"another one": io.NopCloser(strings.NewReader("other")), "none": nil, "none, said so": http.NoBody, "its own view": r.Body,
	} {
		if m.InPlaceOf(body) != body || empty.InPlaceOf(body) != body {
			t.Errorf("%s is replaced", name)
		}
	}
	if _, kept := m.InPlaceOf(uncomparable{ReadCloser: source}).(uncomparable); !kept {
		t.Error("one that cannot be compared is replaced")
	}
}

func TestALaterMessageKnowsThatTheClientWasAsked(t *testing.T) {
	first, r := taken(strings.NewReader("RIFF"), -1)
	if _, err := first.Look(false, 1<<20); err != nil {
		t.Fatal(err)
	}
	second := new(Message)
	second.Take(forwarded(first, r), nil)
	if rest, begun := second.Rest(); !rest || !begun {
		t.Errorf("rest %v, begun %v", rest, begun)
	}
}

// Whoever was given bytes reads those, whatever becomes of the message.
func TestBytesThatWereHandedOutNeverChange(t *testing.T) {
	padding := strings.Repeat(" ", largeBody)
	editing := func(text string) func(t *testing.T, m *Message) {
		return func(t *testing.T, m *Message) {
			t.Helper()
			if err := m.Edit(llm.Edit{Start: 1, End: 5, Text: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	changes := map[string]func(t *testing.T, m *Message){
		"dropping it": func(_ *testing.T, m *Message) { m.Drop() }, "a shorter text": editing("ab"), "a longer text": editing("0123456789"),
	}
	for _, before := range []string{"as it came", "edited once"} {
		for name, open := range map[string]func(m *Message, r *http.Request) io.Reader{
			"the request that came": func(_ *Message, r *http.Request) io.Reader { return r.Body },
			"the forwarded request": func(m *Message, r *http.Request) io.Reader { return forwarded(m, r).Body },
			"an attempt": func(m *Message, _ *http.Request) io.Reader {
				r := &http.Request{Header: http.Header{}}
				_ = m.Attempt(r, new(Gate))
				return r.Body
			},
			"a later one": func(m *Message, r *http.Request) io.Reader {
				next := new(Message)
				next.Take(&http.Request{Header: http.Header{}, Body: forwarded(m, r).Body}, nil)
				out := &http.Request{Header: http.Header{}}
				_ = next.Attempt(out, new(Gate))
				return out.Body
			},
		} {
			for change, apply := range changes {
				if before == "edited once" && change != "dropping it" {
					continue
				}
				t.Run(name+", "+before+", then "+change, func(t *testing.T) {
					m, r := heldMessage(t, `{"model":"corp/m"}`+padding)
					want := `{"model":"corp/m"}` + padding
					if before == "edited once" {
						if err := m.Edit(edits["a shorter name in place"].edit(t, m.Content())); err != nil {
							t.Fatal(err)
						}
						if name != "the request that came" {
							want = string(m.Content())
						}
					}
					view := open(m, r)
					got := readSome(t, view, 3)
					apply(t, m)
					rest, err := all(view)
					if got += rest; err != nil || got != want {
						t.Errorf("%.30q of %d bytes were read, %v; want %.30q of %d", got, len(got), err, want, len(want))
					}
				})
			}
		}
	}
}

// What a later message has made of the body is counted while it is being sent, and
// what it was made of too.
func TestWhatALaterMessageSendsIsCountedUntilItIsSent(t *testing.T) {
	for name, change := range map[string]func(*Message) error{
		"as it is": func(*Message) error { return nil },
		"edited": func(m *Message) error {
			return m.Edit(llm.Edit{Start: 0, End: 1, Text: []byte("longer")})
		},
		"as it came": func(m *Message) error {
			if err := m.Edit(llm.Edit{Start: 0, End: 1, Text: []byte("longer")}); err != nil {
				return err
			}
			return m.AsItCame()
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, budget := newHeld(t, strings.Repeat("l", largeBody), nil)
			second := new(Message)
			second.Take(forwarded(first, &http.Request{Header: http.Header{}}), budget)
			if err := change(second); err != nil {
				t.Fatal(err)
			}
			counted := budget.Used()
			sent := attempt(t.Context(), t, second, new(Gate))
			second.Release()
			first.Release()
			if budget.Used() != counted || counted < largeBody {
				t.Errorf("%d bytes are counted while the body is sent, %d before", budget.Used(), counted)
			}
			sent.Body.Close()
			if budget.Used() != 0 {
				t.Errorf("%d bytes are still counted", budget.Used())
			}
		})
	}
}
