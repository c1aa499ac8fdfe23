package oauth2llm

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// upload is a POST with a body, as Caddy's server hands it on: what it has
// wrapped around the body is in the context.
func upload(t *testing.T, fields ...string) (*http.Request, *caddyhttp.IdleTimeoutReader) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader("0123456789"))
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	own := &caddyhttp.IdleTimeoutReader{ReadCloser: r.Body, Ctrl: http.NewResponseController(noDeadlines{httptest.NewRecorder()})}
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), own, 4)
	return r.WithContext(caddyhttp.ContextWithIdleTimeouts(r.Context(), own, nil)), own
}

// noDeadlines takes deadlines and does nothing.
type noDeadlines struct{ http.ResponseWriter }

func (noDeadlines) SetReadDeadline(time.Time) error { return nil }

// leaseFor is a lease that has taken the body of a request.
func leaseFor(r *http.Request) *lease { return new(Handler).newLease(httptest.NewRecorder(), r) }

func TestWhatIsLeftOfAnUploadIsBelowWhatOthersHaveWrapped(t *testing.T) {
	r, own := upload(t)
	l := leaseFor(r)
	if _, err := io.ReadAll(r.Body); err == nil {
		t.Fatal("nothing limits the body")
	}
	// The MaxBytesReader has taken one byte more than it lets through.
	rest := l.unread()
	if left, err := io.ReadAll(rest.Body); string(left) != "56789" || err != nil || rest.Body != own {
		t.Errorf("%q is left, then %v", left, err)
	}
}

func TestNothingIsLeftOfABodyThatWasRead(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader("0123456789"))
	l := leaseFor(r)
	if l.unread().Body == nil {
		t.Error("nothing is left of a body that nobody has read")
	}
	if _, err := io.ReadAll(r.Body); err != nil || l.unread().Body != nil {
		t.Errorf("something is left of a body that was read, %v", err)
	}
}

func TestARequestWithoutABodyHasNothingLeft(t *testing.T) {
	r := &http.Request{Method: http.MethodGet, ProtoMajor: 1, Header: http.Header{"Expect": {"100-continue"}}}
	if l := leaseFor(r); l.unread().Body != nil || r.Body != nil {
		t.Error("a body is there")
	}
}

func TestABodyThatIsHeldBackIsBegunWhenItIsRead(t *testing.T) {
	r, _ := upload(t, "Expect", "100-continue")
	l := leaseFor(r)
	if l.unread().Begun {
		t.Error("the body has begun before anyone has read it")
	}
	_, _ = r.Body.Read(make([]byte, 1))
	if !l.unread().Begun {
		t.Error("the body has not begun although it was read")
	}
}

func TestAnErrorRouteGetsABodyThatItCanSendElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		begun  bool
		usable bool
	}{
		"a request that is wrong":               {http.StatusForbidden, false, false},
		"an upstream that is down":              {http.StatusBadGateway, false, true},
		"one that has seen some of the request": {http.StatusBadGateway, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, own := upload(t)
			l := leaseFor(r)
			forwarded := r.Clone(r.Context())
			l.message.Forward(forwarded, nil)
			if test.begun {
				_, _ = forwarded.Body.Read(make([]byte, 1))
			}
			l.leaveBody(noDeadlines{httptest.NewRecorder()}, r, test.status)
			_, err := r.Body.Read(make([]byte, 1))
			if usable := err == nil; usable != test.usable || !usable && !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("reading the body gives %v", err)
			}
			if left, _ := io.ReadAll(own); (len(left) > 0) != test.usable {
				t.Errorf("%d bytes are left on the connection", len(left))
			}
		})
	}
}

func TestAnAnswerIsBufferedWhileSomebodyDecidesWhatBecomesOfIt(t *testing.T) {
	buffering := func(w http.ResponseWriter) http.ResponseWriter {
		return caddyhttp.NewResponseRecorder(w, new(bytes.Buffer), func(int, http.Header) bool { return true })
	}
	logging := func(w http.ResponseWriter) http.ResponseWriter { return caddyhttp.NewResponseRecorder(w, nil, nil) }
	for name, test := range map[string]struct {
		w    http.ResponseWriter
		want bool
	}{
		"nobody":                       {httptest.NewRecorder(), false},
		"the access log":               {logging(httptest.NewRecorder()), false},
		"intercept":                    {buffering(httptest.NewRecorder()), true},
		"intercept below another":      {logging(buffering(httptest.NewRecorder())), true},
		"intercept and the access log": {buffering(logging(httptest.NewRecorder())), true},
	} {
		t.Run(name, func(t *testing.T) {
			test.w.WriteHeader(http.StatusForbidden)
			if got := isBuffered(test.w); got != test.want {
				t.Errorf("it is buffered: %t", got)
			}
		})
	}
}
