package message

import (
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// A trailing body is one whose trailers net/http fills in at its end.
type trailingBody struct {
	io.Reader
	to, trailers http.Header
}

func (b *trailingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		maps.Copy(b.to, b.trailers)
	}
	return n, err
}

func (*trailingBody) Close() error { return nil }

// without is a filter of one name.
type without string

func (name without) FilterTrailer(trailer http.Header) { delete(trailer, string(name)) }

// trailing is a request with trailers that its server fills in.
func trailing(content string) *http.Request {
	announced := http.Header{"X-Secret": nil, "X-Other": nil, "X-Checksum": nil}
	return &http.Request{
		ProtoMajor: 1, Header: http.Header{}, ContentLength: -1, Trailer: announced,
		Body: &trailingBody{strings.NewReader(content), announced, http.Header{"X-Secret": {"s"}, "X-Other": {"o"}, "X-Checksum": {"1"}}},
	}
}

// sentTrailers are those that go with an attempt, which is read to its end.
func sentTrailers(t *testing.T, m *Message, content string) http.Header {
	t.Helper()
	out := &http.Request{Header: http.Header{}}
	if err := m.Attempt(out, new(Gate)); err != nil {
		t.Fatal(err)
	}
	if _, announced := out.Trailer["X-Secret"]; announced {
		t.Error("what is filtered is announced")
	}
	if got, err := all(out.Body); err != nil || got != content || out.ContentLength != -1 {
		t.Errorf("%q of length %d is sent, %v", got, out.ContentLength, err)
	}
	return out.Trailer
}

func TestTrailersFollowTheBodyEachTime(t *testing.T) {
	want := http.Header{"X-Other": {"o"}, "X-Checksum": {"1"}}
	for name, content := range map[string]string{"with a body": "body", "without one": ""} {
		for how, limit := range map[string]int64{"held": 1000, "streaming": 0} {
			if content == "" && how == "streaming" {
				continue
			}
			t.Run(name+", "+how, func(t *testing.T) {
				m, r := new(Message), trailing(content)
				m.Take(r, nil)
				if err := m.Hold(limit); err != nil {
					t.Fatal(err)
				}
				out := &http.Request{Header: http.Header{}, ContentLength: r.ContentLength}
				m.Forward(out, without("X-Secret"))
				if out.Body == http.NoBody {
					t.Error("nothing is forwarded, so that nothing can have trailers")
				}
				times := map[string]int{"held": 2, "streaming": 1}[how]
				for range times {
					if got := sentTrailers(t, m, content); !reflect.DeepEqual(got, want) {
						t.Errorf("the trailers are %v", got)
					}
				}
			})
		}
	}
}

// Each directive filters what it forwards, and takes nothing from what was sent
// before: it may be on its way.
func TestTheTrailersOfABodyThatWasTakenOverAreFilteredByBoth(t *testing.T) {
	for how, limit := range map[string]int64{"held": 1000, "streaming": 0} {
		t.Run(how, func(t *testing.T) {
			first, r := new(Message), trailing("body")
			first.Take(r, nil)
			if err := first.Hold(limit); err != nil {
				t.Fatal(err)
			}
			sent := &http.Request{Header: http.Header{}, ContentLength: -1}
			first.Forward(sent, without("X-Secret"))
			before := sent.Trailer
			second, next := new(Message), &http.Request{Header: http.Header{}, Body: sent.Body, ContentLength: -1, Trailer: sent.Trailer}
			second.Take(next, nil)
			second.Forward(&http.Request{Header: http.Header{}, ContentLength: -1}, without("X-Other"))
			if got := sentTrailers(t, second, "body"); !reflect.DeepEqual(got, http.Header{"X-Checksum": {"1"}}) {
				t.Errorf("the trailers are %v", got)
			}
			if how == "held" && !reflect.DeepEqual(before, http.Header{"X-Other": {"o"}, "X-Checksum": {"1"}}) {
				t.Errorf("those of the first are %v then", before)
			}
		})
	}
}

func TestARequestThatAnnouncesNoTrailersHasNone(t *testing.T) {
	for name, trailer := range map[string]http.Header{"none": nil, "an empty list": {}} {
		m, r := new(Message), &http.Request{Header: http.Header{}, Body: io.NopCloser(strings.NewReader("body")), ContentLength: 4, Trailer: trailer}
		m.Take(r, nil)
		if out := forwarded(m, r); out.Trailer != nil || r.Trailer != nil {
			t.Errorf("%s: the copy has trailers %v", name, out.Trailer)
		}
	}
}
