package message

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

func TestABudgetAllowsWhatItsLimitSays(t *testing.T) {
	var unlimited *Budget
	if err := unlimited.take(1 << 60); err != nil {
		t.Errorf("no budget: %v", err)
	}
	var b Budget
	if err := b.take(1); !errors.Is(err, ErrOverloaded) {
		t.Errorf("the zero value: %v", err)
	}
	b.SetLimit(100)
	for _, step := range []struct {
		bytes, used int64
		err         error
	}{{60, 60, nil}, {41, 60, ErrOverloaded}, {40, 100, nil}, {1, 100, ErrOverloaded}, {0, 100, nil}, {-60, 40, nil}, {60, 100, nil}} {
		if err := b.take(step.bytes); !errors.Is(err, step.err) || b.Used() != step.used {
			t.Errorf("taking %d: %v, %d are used", step.bytes, err, b.Used())
		}
	}
	// What is held already stays.
	b.SetLimit(10)
	if err := b.take(-100); err != nil || b.Used() != 0 {
		t.Errorf("giving back: %v, %d are used", err, b.Used())
	}
}

// What a body takes is given back, whatever has become of it.
func TestWhatABodyTakesIsGivenBack(t *testing.T) {
	json := `{"model":"corp/m","x":"` + strings.Repeat("x", largeBody) + `"}`
	for name, test := range map[string]struct {
		body io.Reader
		do   func(t *testing.T, m *Message, r *http.Request)
		// holds says that something is taken before the end.
		holds bool
	}{
		"unread":         {strings.NewReader(json), func(*testing.T, *Message, *http.Request) {}, false},
		"held":           {strings.NewReader(json), hold, true},
		"looked at":      {strings.NewReader(json), look, true},
		"of no object":   {strings.NewReader("[" + json), look, true},
		"too long":       {strings.NewReader(json), func(_ *testing.T, m *Message, _ *http.Request) { _ = m.Hold(100) }, true},
		"failed":         {io.MultiReader(strings.NewReader(json), iotest.ErrReader(errBroken)), func(_ *testing.T, m *Message, _ *http.Request) { _ = m.Hold(1 << 30) }, false},
		"over the limit": {strings.NewReader(json), func(_ *testing.T, m *Message, _ *http.Request) { _, _ = m.Look(true, 100) }, false},
		"dropped": {strings.NewReader(json), func(t *testing.T, m *Message, r *http.Request) {
			hold(t, m, r)
			m.Drop()
		}, false},
		"edited, and restored": {strings.NewReader(json), func(t *testing.T, m *Message, r *http.Request) {
			hold(t, m, r)
			_ = forwarded(m, r)
			if err := m.Edit(llm.Edit{Start: 0, End: 0, Text: []byte(" ")}); err != nil {
				t.Fatal(err)
			}
			if got, err := all(r.Body); err != nil || got != json {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		}, true},
		"decoded": {strings.NewReader(compressed(t, json)), func(t *testing.T, m *Message, r *http.Request) {
			hold(t, m, r)
			if err := m.Decode([]string{"gzip"}, 1<<30); err != nil {
				t.Fatal(err)
			}
		}, true},
		"not decodable": {strings.NewReader(json), func(t *testing.T, m *Message, r *http.Request) {
			hold(t, m, r)
			if err := m.Decode([]string{"gzip"}, 1<<30); err == nil {
				t.Error("it was decoded")
			}
		}, true},
		"sent twice": {strings.NewReader(json), func(t *testing.T, m *Message, r *http.Request) {
			hold(t, m, r)
			for range 2 {
				if got, err := attempted(m); err != nil || got != json {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var budget Budget
			budget.SetLimit(1 << 30)
			m, r := new(Message), &http.Request{Header: http.Header{}, Body: io.NopCloser(test.body), ContentLength: -1}
			m.Take(r, &budget)
			test.do(t, m, r)
			if used := budget.Used(); (used > 0) != test.holds {
				t.Errorf("%d bytes are taken", used)
			}
			for range 2 {
				m.Release()
				if used := budget.Used(); used != 0 {
					t.Errorf("%d bytes are left", used)
				}
			}
		})
	}
}

func hold(t *testing.T, m *Message, _ *http.Request) {
	t.Helper()
	if err := m.Hold(1 << 30); err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, m *Message, _ *http.Request) {
	t.Helper()
	if _, err := m.Look(false, 1<<30); err != nil {
		t.Fatal(err)
	}
}

// The last that holds on to a body gives back what it takes.
func TestTheLastHolderGivesBack(t *testing.T) {
	body := strings.Repeat("x", largeBody)
	var budget Budget
	budget.SetLimit(1 << 30)
	first, r := new(Message), &http.Request{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	first.Take(r, &budget)
	hold(t, first, r)
	second := new(Message)
	second.Take(forwarded(first, r), &budget)
	copied := &http.Request{Header: http.Header{}}
	if err := second.Attempt(copied, new(Gate)); err != nil {
		t.Fatal(err)
	}
	used := budget.Used()
	if used < int64(len(body)) || used > int64(2*len(body)) {
		t.Errorf("%d bytes are taken for one body of %d", used, len(body))
	}
	first.Release()
	second.Drop()
	if budget.Used() != used {
		t.Errorf("%d bytes are taken while the body is sent, want %d", budget.Used(), used)
	}
	if got, err := all(copied.Body); err != nil || got != body {
		t.Errorf("%d bytes are sent, %v", len(got), err)
	}
	second.Release()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are left", budget.Used())
	}
}

// Routes of intercept may read a request after the directive's end, when nobody
// would give anything back.
func TestWhatIsReadAfterTheEndIsNotTaken(t *testing.T) {
	var budget Budget
	budget.SetLimit(1 << 30)
	const body = `{"model":"corp/m"}`
	m, r := new(Message), &http.Request{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	m.Take(r, &budget)
	hold(t, m, r)
	if err := m.Edit(edits["a shorter name in place"].edit(t, m.Content())); err != nil {
		t.Fatal(err)
	}
	m.Release()
	second, next := new(Message), &http.Request{Header: http.Header{}, Body: r.Body, ContentLength: int64(len(body))}
	second.Take(next, &budget)
	if got, err := attempted(second); err != nil || got != body {
		t.Errorf("%q goes on, %v", got, err)
	}
	if got, err := all(r.Body); err != nil || got != body {
		t.Errorf("%q can be read, %v", got, err)
	}
	second.Release()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are left", budget.Used())
	}
}

// A budget that is used up is an error, and never a body that is cut.
func TestWithoutABudgetNothingIsHeldAndNothingIsCut(t *testing.T) {
	json := `{"model":"corp/m","x":"` + strings.Repeat("x", largeBody) + `"}`
	for name, do := range map[string]func(m *Message) error{
		"holding it":    func(m *Message) error { return m.Hold(1 << 30) },
		"looking at it": func(m *Message) error { _, err := m.Look(false, 1<<30); return err },
	} {
		t.Run(name, func(t *testing.T) {
			var budget Budget
			budget.SetLimit(10_000)
			m, r := new(Message), &http.Request{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(json)), ContentLength: -1}
			m.Take(r, &budget)
			if err := do(m); !errors.Is(err, ErrOverloaded) {
				t.Fatalf("%v", err)
			}
			for view, get := range views {
				if got, err := get(m, r); got != "" || err == nil {
					t.Errorf("%s gives %d bytes, %v", view, len(got), err)
				}
			}
			m.Release()
			if budget.Used() != 0 {
				t.Errorf("%d bytes are left", budget.Used())
			}
		})
	}
	for name, do := range map[string]func(m *Message) error{
		"editing it":  func(m *Message) error { return m.Edit(llm.Edit{Start: 0, End: 0, Text: []byte(" ")}) },
		"decoding it": func(m *Message) error { return m.Decode([]string{"gzip"}, 1<<30) },
	} {
		t.Run(name, func(t *testing.T) {
			sent := json
			if name == "decoding it" {
				sent = compressed(t, strings.Repeat(json, 20))
			}
			var budget Budget
			budget.SetLimit(1 << 30)
			m, r := new(Message), &http.Request{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(sent)), ContentLength: -1}
			m.Take(r, &budget)
			hold(t, m, r)
			budget.SetLimit(budget.Used())
			if err := do(m); !errors.Is(err, ErrOverloaded) {
				t.Fatalf("%v", err)
			}
			if got, err := all(r.Body); err != nil || got != sent {
				t.Errorf("the body is %d bytes, %v", len(got), err)
			}
		})
	}
}
