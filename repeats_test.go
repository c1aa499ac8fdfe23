package oauth2llm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
)

// What is said of a lost connection is not said of what has its own words.
func TestAnErrorThatSaysWhyIsNotALostConnection(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"a timeout":                         {os.ErrDeadlineExceeded, true},
		"a timeout of a connection":         {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true},
		"a server that wants a certificate": {fmt.Errorf("reading: %w", &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}), true},
		"what has been said already":        {message.ErrNoAnswer, true},
		"a reset":                           {&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, false},
		"an end":                            {io.ErrUnexpectedEOF, false},
		"an unknown CA":                     {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := saysWhy(test.err); got != test.want {
				t.Errorf("%v says why: %v", test.err, got)
			}
		})
	}
}

func TestARequestIsRepeatableIfThatDoesNoHarm(t *testing.T) {
	transport := newTransport(t, `{}`)
	for name, test := range map[string]struct {
		method, path, key string
		want              bool
	}{
		"one that runs a model":              {http.MethodPost, "/v1/chat/completions", "", true},
		"one that leaves something behind":   {http.MethodPost, "/v1/batches", "", false},
		"that one with a key of the client":  {http.MethodPost, "/v1/batches", "Idempotency-Key", true},
		"that one with another key":          {http.MethodPost, "/v1/batches", "X-Idempotency-Key", true},
		"one that changes nothing":           {http.MethodGet, "/v1/batches", "", true},
		"one that deletes":                   {http.MethodDelete, "/v1/files/1", "", false},
		"one whose path only ends like that": {http.MethodPost, "/x/chat/completions", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := new(lease)
			l.route.target.provider = &provider{name: "corp"}
			r := httptest.NewRequest(test.method, test.path, http.NoBody)
			if test.key != "" {
				r.Header.Set(test.key, "key")
			}
			if gate := transport.gate(l, r); gate.Repeatable != test.want || gate.Concurrent {
				t.Errorf("got %+v", gate)
			}
		})
	}
}

func TestNetHTTPIsToldWhatItMayRepeat(t *testing.T) {
	again := func() (io.ReadCloser, error) { return nil, message.ErrAskedAgain }
	for name, test := range map[string]struct {
		method     string
		again      func() (io.ReadCloser, error)
		repeatable bool
		header     http.Header
		want       http.Header
		watched    bool
	}{
		"a body that may be repeated": {http.MethodPost, again, true, http.Header{"Expect": {"100-continue"}}, http.Header{"Idempotency-Key": {}}, false},
		"a body that may not":         {http.MethodPost, again, false, http.Header{"Expect": {"100-continue"}}, http.Header{}, false},
		"a client's own key":          {http.MethodPost, again, true, http.Header{"Idempotency-Key": {"key"}}, http.Header{"Idempotency-Key": {}, "idempotency-key": {"key"}}, false},
		"another key, and no body":    {http.MethodPost, nil, true, http.Header{"X-Idempotency-Key": {"key"}}, http.Header{"x-idempotency-key": {"key"}}, true},
		"no body":                     {http.MethodDelete, nil, false, http.Header{}, http.Header{}, true},
		"no body, nothing changes":    {http.MethodGet, nil, true, http.Header{"Expect": {"100-continue"}}, http.Header{"Expect": {"100-continue"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			out := httptest.NewRequest(test.method, "/", http.NoBody)
			out.Header, out.GetBody = test.header, test.again
			sent := limitRepeats(out, &message.Gate{Repeatable: test.repeatable})
			if fmt.Sprint(out.Header) != fmt.Sprint(test.want) || (sent != nil) != test.watched {
				t.Errorf("the header is %v, whether it was sent is watched: %v", out.Header, sent != nil)
			}
		})
	}
}

// Over HTTP/2 a second connection means a second time.
func TestARequestWithoutABodyIsStoppedOnlyBeforeItsSecondTimeOverHTTP2(t *testing.T) {
	for name, test := range map[string]struct {
		field string
		sent  bool
		want  error
	}{
		"HTTP/1.1":                   {"Host", true, nil},
		"HTTP/2":                     {":method", true, message.ErrNoAnswer},
		"HTTP/2, nothing was sent":   {":method", false, nil},
		"HTTP/1.1, nothing was sent": {"Host", false, nil},
	} {
		for _, next := range []string{"another is wanted", "another is there"} {
			t.Run(name+", "+next, func(t *testing.T) {
				out := httptest.NewRequest(http.MethodDelete, "/", http.NoBody)
				sent := sendOnce(out)
				trace := httptrace.ContextClientTrace(out.Context())
				trace.GetConn("llm.example.com:443")
				trace.GotConn(httptrace.GotConnInfo{})
				trace.WroteHeaderField(test.field, nil)
				if test.sent {
					trace.WroteHeaders()
				}
				if out.Context().Err() != nil || sent.Load() != test.sent {
					t.Fatalf("it ends with %v, sent: %v", context.Cause(out.Context()), sent.Load())
				}
				if next == "another is wanted" {
					trace.GetConn("llm.example.com:443")
				} else {
					trace.GotConn(httptrace.GotConnInfo{})
				}
				if cause := context.Cause(out.Context()); !errors.Is(cause, test.want) {
					t.Errorf("it ends with %v, want %v", cause, test.want)
				}
			})
		}
	}
}

// A closer is a transport of somebody else's.
type closer struct {
	http.RoundTripper
	closed int
}

func (c *closer) CloseIdleConnections() { c.closed++ }

func TestAFreshConnectionIsNoneThatWasKept(t *testing.T) {
	kept := newTransport(t, `{}`)
	single, ok := kept.plain.fresh().(*http.Transport)
	if !ok || !single.DisableKeepAlives || kept.plain.fresh() != single || kept.plain.netHTTP().DisableKeepAlives {
		t.Errorf("got %v", single)
	}
	another := new(closer)
	if c := (&connections{RoundTripper: another}); c.fresh() != another || another.closed != 1 || c.netHTTP() != nil {
		t.Errorf("another transport was asked %d times to close what it keeps", another.closed)
	}
	if c := (&connections{RoundTripper: &reverseproxy.HTTPTransport{Versions: []string{"1.1", "2", "3"}}}); c.netHTTP() != nil {
		t.Error("HTTP/3 is taken for a transport of net/http's")
	}
}

func TestTheMethodsThatChangeNothing(t *testing.T) {
	var safe []string
	for method := range strings.FieldsSeq("GET HEAD OPTIONS TRACE POST PUT PATCH DELETE CONNECT get") {
		if isSafe(method) {
			safe = append(safe, method)
		}
	}
	if want := []string{"GET", "HEAD", "OPTIONS", "TRACE"}; !slices.Equal(safe, want) {
		t.Errorf("%v, want %v", safe, want)
	}
}
