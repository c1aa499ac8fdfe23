package oauth2llm

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
)

func TestWhatMayBeRepeated(t *testing.T) {
	transport := newTransport(t, `{}`)
	for name, test := range map[string]struct {
		method, path string
		header       http.Header
		want         bool
	}{
		"a chat":                           {http.MethodPost, "/v1/chat/completions", nil, true},
		"a batch":                          {http.MethodPost, "/v1/batches", nil, false},
		"a file":                           {http.MethodPost, "/v1/files", nil, false},
		"fine-tuning":                      {http.MethodPost, "/v1/fine_tuning/jobs", nil, false},
		"what nobody knows":                {http.MethodPost, "/v1/x", nil, false},
		"a batch with a key of the client": {http.MethodPost, "/v1/batches", http.Header{"Idempotency-Key": {"1"}}, true},
		"a batch with another key":         {http.MethodPost, "/v1/batches", http.Header{"X-Idempotency-Key": {"1"}}, true},
		"a batch with a key of no value":   {http.MethodPost, "/v1/batches", http.Header{"Idempotency-Key": {}}, false},
		"a GET":                            {http.MethodGet, "/v1/files", nil, true},
		"a HEAD":                           {http.MethodHead, "/v1/files", nil, true},
		"a DELETE":                         {http.MethodDelete, "/v1/files/f", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lease{route: route{target: target{provider: new(provider)}}}
			gate := transport.gate(l, &http.Request{Method: test.method, URL: &url.URL{Path: test.path}, Header: test.header})
			if gate.Repeatable != test.want || gate.Concurrent {
				t.Errorf("it may be repeated: %v, want %v", gate.Repeatable, test.want)
			}
		})
	}
}

// net/http looks for the canonical names.
func TestNetHTTPSeesNoKeyOfTheClients(t *testing.T) {
	body := func() (io.ReadCloser, error) { return http.NoBody, nil }
	for name, test := range map[string]struct {
		getBody    func() (io.ReadCloser, error)
		repeatable bool
		header     http.Header
		want       http.Header
	}{
		"what may be repeated looks idempotent, and no key is sent": {body, true, http.Header{}, http.Header{"Idempotency-Key": {}}},
		"what may not does not":                          {body, false, http.Header{}, http.Header{}},
		"what streams does not":                          {nil, true, http.Header{}, http.Header{}},
		"a key of the client is sent":                    {body, true, http.Header{"Idempotency-Key": {"a"}}, http.Header{"idempotency-key": {"a"}, "Idempotency-Key": {}}},
		"a key of the client is sent with what streams":  {nil, true, http.Header{"Idempotency-Key": {"a"}}, http.Header{"idempotency-key": {"a"}}},
		"another key of the client is sent":              {body, false, http.Header{"X-Idempotency-Key": {"a", "b"}}, http.Header{"x-idempotency-key": {"a", "b"}}},
		"the LLM is not asked for a body that is held":   {body, false, http.Header{"Expect": {"100-continue"}}, http.Header{}},
		"it is asked for one that streams":               {nil, false, http.Header{"Expect": {"100-continue"}}, http.Header{"Expect": {"100-continue"}}},
		"a key without a value is none, and is not sent": {body, false, http.Header{"Idempotency-Key": {}}, http.Header{"Idempotency-Key": {}}},
	} {
		t.Run(name, func(t *testing.T) {
			out := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
			out.Header, out.GetBody = test.header, test.getBody
			if limitRepeats(out, &message.Gate{Repeatable: test.repeatable}) != nil {
				t.Error("it is taken for one without a body")
			}
			if !maps.EqualFunc(out.Header, test.want, slices.Equal) {
				t.Errorf("the header is %v, want %v", out.Header, test.want)
			}
		})
	}
}

// The hooks are called as net/http and x/net/http2 call them.
func TestARequestWithoutABodyIsSentOnce(t *testing.T) {
	overHTTP1 := func(trace *httptrace.ClientTrace) {
		trace.GetConn("")
		trace.GotConn(httptrace.GotConnInfo{})
		trace.WroteHeaderField("Host", nil)
		trace.WroteHeaders()
	}
	overHTTP2 := func(trace *httptrace.ClientTrace) {
		trace.GotConn(httptrace.GotConnInfo{})
		trace.WroteHeaderField(":method", nil)
		trace.WroteHeaders()
	}
	unused := func(trace *httptrace.ClientTrace) {
		trace.GetConn("")
		trace.GotConn(httptrace.GotConnInfo{})
	}
	for name, test := range map[string]struct {
		method string
		tries  []func(*httptrace.ClientTrace)
		// limited says that there is a limit at all, stopped that the last try ends
		// before it is sent, sent that the upstream may have got the request.
		limited, stopped, sent bool
	}{
		"once over HTTP/2":                               {http.MethodPost, []func(*httptrace.ClientTrace){overHTTP2}, true, false, true},
		"twice over HTTP/2":                              {http.MethodPost, []func(*httptrace.ClientTrace){overHTTP2, unused}, true, true, true},
		"over HTTP/2, whose connection was unusable":     {http.MethodPost, []func(*httptrace.ClientTrace){unused, overHTTP2}, true, false, true},
		"over HTTP/1.1, where nothing of it was written": {http.MethodPost, []func(*httptrace.ClientTrace){overHTTP1, overHTTP1}, true, false, true},
		"not at all":                                     {http.MethodDelete, []func(*httptrace.ClientTrace){unused}, true, false, false},
		"a GET, as ever":                                 {http.MethodGet, nil, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			out := httptest.NewRequest(test.method, "/", nil)
			out.Body = http.NoBody
			sent := limitRepeats(out, new(message.Gate))
			trace := httptrace.ContextClientTrace(out.Context())
			for _, try := range test.tries {
				try(trace)
			}
			if limited := sent != nil; limited != test.limited || limited && sent.Load() != test.sent {
				t.Errorf("limited: %v, want %v; sent, if so: %v", limited, test.limited, test.sent)
			}
			if stopped := errors.Is(context.Cause(out.Context()), message.ErrNoAnswer); stopped != test.stopped {
				t.Errorf("it is stopped: %v, want %v", stopped, test.stopped)
			}
		})
	}
}

// What is wrong is told apart from a connection that was lost.
func TestAnErrorThatSaysWhyIsLeftAlone(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"a timeout":             {os.ErrDeadlineExceeded, true},
		"an alert of TLS":       {&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, true},
		"no answer already":     {message.ErrNoAnswer, true},
		"an end":                {io.EOF, false},
		"a reset":               {&net.OpError{Op: "read", Err: os.NewSyscallError("read", errors.New("connection reset by peer"))}, false},
		"a body asked for":      {message.ErrAskedAgain, false},
		"something that failed": {errors.New("x"), false},
	} {
		if got := saysWhy(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// An idler is a transport of another module.
type idler struct {
	http.RoundTripper
	closed int
}

func (i *idler) CloseIdleConnections() { i.closed++ }

func TestARepeatUsesNoConnectionThatMayBeDead(t *testing.T) {
	own := newTransport(t, `{"dial_timeout":"3s","response_header_timeout":"7s"}`)
	fresh, ok := own.plain.fresh().(*http.Transport)
	if !ok || fresh == own.Transport || !fresh.DisableKeepAlives || own.Transport.DisableKeepAlives || fresh.ResponseHeaderTimeout != own.Transport.ResponseHeaderTimeout {
		t.Errorf("net/http's transport gives %T", own.plain.fresh())
	}
	if own.plain.fresh() != http.RoundTripper(fresh) {
		t.Error("each repeat has another transport")
	}
	other := &connections{RoundTripper: &idler{}}
	if other.fresh() != other.RoundTripper || other.RoundTripper.(*idler).closed != 1 || other.netHTTP() != nil {
		t.Error("another module's transport is not used, or keeps its idle connections")
	}
	quic := &connections{RoundTripper: &reverseproxy.HTTPTransport{Versions: []string{"3"}}}
	if quic.fresh() != quic.RoundTripper || quic.netHTTP() != nil {
		t.Error("HTTP/3 is taken for net/http's transport")
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
