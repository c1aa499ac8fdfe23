package oauth2llm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/credentials"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
)

// attempted is what the transport is given to send.
func attempted(t *testing.T, m *message.Message) string {
	t.Helper()
	r := &http.Request{Header: http.Header{}}
	if err := m.Attempt(r, new(message.Gate)); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength != int64(len(content)) {
		t.Errorf("%d bytes are announced as %d, %v", len(content), r.ContentLength, err)
	}
	return string(content)
}

// A forwarded request of a bound provider is of no use to anyone but the
// transport, and the original is whole.
func TestTheForwardedRequestOfABoundProviderIsLocked(t *testing.T) {
	for name, directive := range map[string]string{"routed": routed, "fixed": decorating} {
		for _, content := range []string{"", string(chatBody(100))} {
			t.Run(name, func(t *testing.T) {
				if content == "" && directive == routed {
					directive = `{"client_keys":{"agents":{"key":"key"}},"default_provider":"corp"}`
				}
				h := mustHandler(t, corp(newTokenEndpoint(t).URL, `,"base_url":"https://llm.example.com/v1"`), directive)
				original := chatRequest([]byte(content))
				forwarded, _ := serve(t, h, original)
				if forwarded.Header.Get("Authorization") != "" {
					t.Error("the token is in the header")
				}
				if n, err := forwarded.Body.Read(make([]byte, 10)); n > 0 || !errors.Is(err, message.ErrLocked) {
					t.Errorf("%d bytes can be read, %v", n, err)
				}
				elsewhere := forwarded.WithContext(t.Context())
				elsewhere.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
				if _, err := http.DefaultTransport.RoundTrip(elsewhere); err == nil || !strings.Contains(err.Error(), "transport oauth2_llm alone") {
					t.Errorf("another transport says %v", err)
				}
				l := leaseOf(forwarded.Context())
				if got := attempted(t, &l.message); got != strings.Replace(content, `"corp/`, `     "`, 1) && got != content {
					t.Errorf("the transport gets %q", got)
				}
			})
		}
	}
}

// Something else behind the directive may answer 401; it is not about a token
// that never left.
func TestA401ThatIsNoLLMsMakesNoBoundTokenSuspect(t *testing.T) {
	for name, test := range map[string]struct {
		base    string
		refused bool
	}{
		"a provider with a base_url": {`,"base_url":"https://llm.example.com"`, false},
		"one without":                {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := mustHandler(t, corp(newTokenEndpoint(t).URL, test.base), decorating)
			next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				leaseOf(r.Context()).replacer.Set(upstreamStatus, http.StatusUnauthorized)
				return nil
			})
			refused := refusalOf(t, h.providers["corp"])
			if err := h.ServeHTTP(httptest.NewRecorder(), withCaddyContext(chatRequest(nil)), next); err != nil {
				t.Fatal(err)
			}
			if got := refused(); got != test.refused {
				t.Errorf("the token is suspect: %v, want %v", got, test.refused)
			}
		})
	}
}

// A request that the transport can send again goes on with a suspect token, one that
// it cannot, and one for a plain reverse_proxy, wait for the new one.
func TestWhoCannotBeSentTwiceWaitsForTheReplacementOfASuspectToken(t *testing.T) {
	for name, test := range map[string]struct {
		base  string
		waits bool
	}{
		"a provider with a base_url": {`,"base_url":"https://llm.example.com"`, false},
		"one without":                {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var issued atomic.Int64
			endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := issued.Add(1)
				if n > 1 {
					<-release
				}
				_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, n)
			}))
			t.Cleanup(endpoint.Close)
			free := sync.OnceFunc(func() { close(release) })
			t.Cleanup(free)
			h := mustHandler(t, corp(endpoint.URL, test.base), decorating)
			refusalOf(t, h.providers["corp"])
			h.providers["corp"].manager.Suspect(h.providers["corp"].manager.Current())
			want := "token-1"
			if test.waits {
				want = "token-2"
				time.AfterFunc(50*time.Millisecond, free)
			}
			next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				if got := leaseOf(r.Context()).walk.token.Value.Reveal(); got != want {
					t.Errorf("%s is sent, want %s", got, want)
				}
				return nil
			})
			if err := h.ServeHTTP(httptest.NewRecorder(), withCaddyContext(chatRequest(nil)), next); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A request asks once only: reverse_proxy may try it many times.
func TestARequestWaitsOnceForTheReplacementOfASuspectToken(t *testing.T) {
	release := make(chan struct{})
	var issued atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if issued.Add(1) > 1 {
			<-release
		}
		_, _ = io.WriteString(w, `{"access_token":"token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(endpoint.Close)
	t.Cleanup(func() { close(release) })
	h := mustHandler(t, corp(endpoint.URL, ""), decorating)
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		l := leaseOf(r.Context())
		l.provider().manager.Suspect(l.walk.token)
		for range 3 {
			if err := l.awaitToken(r.Context(), false); err != nil {
				return err
			}
		}
		if l.log.waited < time.Second || l.log.waited >= 2*time.Second || !l.provider().manager.Suspects(l.walk.token) {
			t.Errorf("waited %v in all, want a second, and the suspect token", l.log.waited)
		}
		return nil
	})
	if err := h.ServeHTTP(httptest.NewRecorder(), withCaddyContext(chatRequest(nil)), next); err != nil {
		t.Fatal(err)
	}
}

// A trailing body is one whose trailers net/http fills in at its end.
type trailingBody struct {
	io.Reader
	request  *http.Request
	trailers http.Header
	closed   bool
}

func (b *trailingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		maps.Copy(b.request.Trailer, b.trailers)
	}
	return n, err
}

func (b *trailingBody) Close() error {
	b.closed = true
	return nil
}

func TestNoCredentialIsForwardedInATrailer(t *testing.T) {
	for name, reader := range map[string]io.Reader{
		"of a body whose end comes by itself":       strings.NewReader("body"),
		"of a body whose end comes with the last":   iotest.DataErrReader(strings.NewReader("body")),
		"of a body that comes one byte at a time":   iotest.OneByteReader(strings.NewReader("body")),
		"of a body that has no bytes but an ending": strings.NewReader(""),
	} {
		t.Run(name, func(t *testing.T) {
			filter := credentials.NewFilter(nil, "X-Group")
			filter.Remove("X-Token")
			client := &http.Request{ProtoMajor: 1, Header: http.Header{}, ContentLength: -1, Trailer: http.Header{"Authorization": nil, "X-Checksum": nil}}
			body := &trailingBody{Reader: reader, request: client.WithContext(t.Context()), trailers: http.Header{
				"Authorization": {"evil"}, "X-Api-Key": {"evil"}, "X_api_key": {"evil"}, "X-Token": {"evil"}, "X-Group": {"evil"}, "cookie": {"evil"}, "X-Http-Method-Override": {"evil"}, "X-Checksum": {"1"},
			}}
			client.Body = body
			var m message.Message
			m.Take(client, nil)
			copied := client.WithContext(t.Context())
			m.Forward(copied, filter)
			if _, announced := copied.Trailer["Authorization"]; announced {
				t.Error("the announcement of a credential is left")
			}
			if _, err := io.ReadAll(copied.Body); err != nil {
				t.Fatal(err)
			}
			if want := (http.Header{"X-Checksum": {"1"}}); !reflect.DeepEqual(copied.Trailer, want) {
				t.Errorf("got %q, want %q", copied.Trailer, want)
			}
			if err := copied.Body.Close(); err != nil || body.closed {
				t.Error("the client's own body is closed, which is for the server to do")
			}
			if _, err := copied.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("reading on after the end gives %v", err)
			}
		})
	}
}

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
