package message

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newHeld is a message that holds a body, and the budget that counts it.
func newHeld(t *testing.T, body string, trailer http.Header) (*Message, *Budget) {
	t.Helper()
	budget := new(Budget)
	budget.SetLimit(1 << 30)
	m := new(Message)
	m.Take(&http.Request{Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1, Trailer: trailer}, budget)
	if err := m.Hold(1 << 30); err != nil {
		t.Fatal(err)
	}
	return m, budget
}

// attempt gives the body to a request with a context.
func attempt(ctx context.Context, t *testing.T, m *Message, gate *Gate) *http.Request {
	t.Helper()
	r := (&http.Request{Method: http.MethodPost}).WithContext(ctx)
	if err := m.Attempt(r, gate); err != nil {
		t.Fatal(err)
	}
	return r
}

// readMost reads so many bytes of a body, all of it and its end if there are too few.
func readMost(t *testing.T, body io.Reader, most int64) string {
	t.Helper()
	content, err := io.ReadAll(io.LimitReader(body, most))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

const everything = 1 << 40

func TestABodyIsGivenOnceMoreWhereThatIsRight(t *testing.T) {
	small, large := strings.Repeat("s", 1000), strings.Repeat("l", largeBody)
	for name, test := range map[string]struct {
		gate Gate
		// read is how much of each copy is read, after how long each fails.
		read  int64
		after time.Duration
		// given is how many copies are given in all.
		given int
	}{
		"a body that was handed over whole is not":                                 {Gate{}, everything, 0, 1},
		"one that may be repeated is, once":                                        {Gate{Repeatable: true}, everything, 0, 2},
		"one that may be repeated is not once an answer might have been under way": {Gate{Repeatable: true}, everything, repeatWithin + 1, 1},
		"one that may be repeated is at the last moment":                           {Gate{Repeatable: true}, everything, repeatWithin, 2},
		"one of which a part was handed over is, a few times":                      {Gate{}, 10, time.Minute, maxCopies},
		"one of which nothing was handed over is, a few times":                     {Gate{}, 0, time.Minute, maxCopies},
		"one that another transport has read whole is not":                         {Gate{Concurrent: true}, everything, 0, 1},
		"one that another transport has read in part is, a few times":              {Gate{Concurrent: true}, 10, 0, maxCopies},
	} {
		for size, body := range map[string]string{"small": small, "large": large} {
			t.Run(name+", "+size, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, _ := newHeld(t, body, nil)
					gate := test.gate
					r := attempt(t.Context(), t, m, &gate)
					given := 1
					for {
						if got := readMost(t, r.Body, test.read); !strings.HasPrefix(body, got) || int64(len(got)) != min(test.read, int64(len(body))) {
							t.Errorf("%d bytes came of %d", len(got), len(body))
						}
						if _, err := r.GetBody(); !errors.Is(err, ErrAskedAgain) {
							t.Errorf("the transport gets %v", err)
						}
						time.Sleep(test.after)
						if err := m.Again(r, &gate); err != nil {
							if !errors.Is(err, ErrNoAnswer) {
								t.Errorf("it is refused with %v", err)
							}
							break
						}
						given++
					}
					if given != test.given || gate.Delivered() != (test.read == everything) {
						t.Errorf("it is given %d times, want %d; delivered: %v", given, test.given, gate.Delivered())
					}
				})
			})
		}
	}
}

// The request is sent twice on purpose, with another token.
func TestARepeatBelongsToTheTargetAndNotToTheAttempt(t *testing.T) {
	m, _ := newHeld(t, "body", nil)
	gate := &Gate{Repeatable: true}
	again := func(r *http.Request) error {
		readMost(t, r.Body, everything)
		return m.Again(r, gate)
	}
	if err := again(attempt(t.Context(), t, m, gate)); err != nil {
		t.Errorf("the repeat is refused: %v", err)
	}
	if err := again(attempt(t.Context(), t, m, gate)); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a second repeat gives %v", err)
	}
}

func TestABodyIsNotGivenToARequestThatHasEnded(t *testing.T) {
	gone := errors.New("the client has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	m, _ := newHeld(t, "body", nil)
	gate := new(Gate)
	r := attempt(ctx, t, m, gate)
	cancel(gone)
	if err := m.Again(r, gate); !errors.Is(err, gone) {
		t.Errorf("it is given, or refused with %v", err)
	}
}

func TestABodyThatWasLetGoIsNotGiven(t *testing.T) {
	m, _ := newHeld(t, strings.Repeat("l", largeBody), nil)
	gate := new(Gate)
	r := attempt(t.Context(), t, m, gate)
	m.Drop()
	if err := m.Again(r, gate); !errors.Is(err, ErrLetGo) {
		t.Errorf("once more it gives %v", err)
	}
	if err := m.Attempt(r, gate); !errors.Is(err, ErrLetGo) {
		t.Errorf("another attempt gives %v", err)
	}
}

func TestAnAttemptSaysHowTheBodyIsSent(t *testing.T) {
	for name, test := range map[string]struct {
		body    string
		trailer http.Header
		length  int64
		known   bool
	}{
		"a body that net/http knows to be in memory": {"body", nil, 4, true},
		"a body with trailers comes in chunks":       {"body", http.Header{"X-Sum": {"1"}}, -1, true},
		"trailers alone come in chunks":              {"", http.Header{"X-Sum": {"1"}}, -1, true},
		"an empty body is none":                      {"", nil, 0, false},
		"a large body has its length":                {strings.Repeat("l", largeBody), nil, largeBody, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newHeld(t, test.body, test.trailer)
			r := attempt(t.Context(), t, m, new(Gate))
			if r.ContentLength != test.length || len(r.Trailer) != len(test.trailer) || (r.Body == http.NoBody) != (test.length == 0) || (r.GetBody == nil) != (test.length == 0) {
				t.Errorf("the length is %d, the trailers are %v, there is none: %v", r.ContentLength, r.Trailer, r.Body == http.NoBody)
			}
			if known := reflect.TypeOf(r.Body) == reflect.TypeOf(io.NopCloser(bytes.NewReader(nil))); known != test.known {
				t.Errorf("net/http knows it: %v, want %v", known, test.known)
			}
			if got := readMost(t, r.Body, everything); got != test.body {
				t.Errorf("%q is sent", got)
			}
		})
	}
}

func TestABodyThatStreamsIsAttemptedOnce(t *testing.T) {
	m := new(Message)
	m.Take(&http.Request{Body: io.NopCloser(strings.NewReader("body")), ContentLength: 4}, nil)
	gate := new(Gate)
	r := attempt(t.Context(), t, m, gate)
	if r.GetBody != nil || r.ContentLength != 4 {
		t.Errorf("it can be had again, its length is %d", r.ContentLength)
	}
	// Nothing was read of it.
	r = attempt(t.Context(), t, m, gate)
	if got := readMost(t, r.Body, 2); got != "bo" {
		t.Errorf("%q is sent", got)
	}
	if err := m.Attempt(r, gate); !errors.Is(err, ErrSent) || gate.Delivered() {
		t.Errorf("another attempt gives %v", err)
	}
	gate.Close()
}

// A copy that is being sent keeps the bytes, and what they take of the budget.
func TestWhatACopyTakesIsGivenBackAtItsEnd(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, r *http.Request, gate *Gate){
		"it was read":       func(t *testing.T, r *http.Request, _ *Gate) { t.Helper(); readMost(t, r.Body, everything) },
		"it was closed":     func(_ *testing.T, r *http.Request, _ *Gate) { r.Body.Close() },
		"its request fails": func(_ *testing.T, _ *http.Request, gate *Gate) { gate.Close() },
		"all of that": func(t *testing.T, r *http.Request, gate *Gate) {
			t.Helper()
			readMost(t, r.Body, everything)
			r.Body.Close()
			r.Body.Close()
			gate.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, budget := newHeld(t, strings.Repeat("l", largeBody), nil)
			gate := new(Gate)
			r := attempt(t.Context(), t, m, gate)
			readMost(t, r.Body, 10)
			m.Drop()
			if budget.Used() < largeBody {
				t.Errorf("%d bytes are counted while %d are held", budget.Used(), largeBody)
			}
			end(t, r, gate)
			if budget.Used() != 0 {
				t.Errorf("%d bytes are still counted", budget.Used())
			}
		})
	}
}

// The transport of a request that was repeated has not used its first copy.
func TestACopyThatIsReplacedIsLetGo(t *testing.T) {
	m, budget := newHeld(t, strings.Repeat("l", largeBody), nil)
	gate := new(Gate)
	r := attempt(t.Context(), t, m, gate)
	if err := m.Again(r, gate); err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	m.Release()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are still counted", budget.Used())
	}
}

func TestACopyThatWasClosedReadsAsAnError(t *testing.T) {
	m, _ := newHeld(t, strings.Repeat("l", largeBody), nil)
	r := attempt(t.Context(), t, m, new(Gate))
	readMost(t, r.Body, 10)
	r.Body.Close()
	if n, err := r.Body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("%d bytes come, %v", n, err)
	}
}

// net/http closes a body beside a Read of it.
func TestACopyMayBeClosedWhileItIsRead(t *testing.T) {
	for range 100 {
		m, budget := newHeld(t, strings.Repeat("l", 2*largeBody), nil)
		gate := &Gate{Concurrent: true}
		r := attempt(t.Context(), t, m, gate)
		done := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, r.Body)
			done <- err
		}()
		_ = m.Again(r.Clone(t.Context()), gate)
		m.Drop()
		if err := <-done; err != nil && !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("reading ends with %v", err)
		}
		gate.Close()
		if budget.Used() != 0 {
			t.Errorf("%d bytes are still counted", budget.Used())
		}
	}
}

// An error route may read the body of a client that has left, when nothing is
// counted for it any more.
func TestWhatIsHeldAfterTheEndIsNotCounted(t *testing.T) {
	m, budget := newHeld(t, "body", nil)
	m.Release()
	if err := m.reserve(1000); err != nil {
		t.Fatal(err)
	}
	m.Release()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are counted", budget.Used())
	}
}
