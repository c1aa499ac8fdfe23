package oauth2llm

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// clientBodyOf is a client's body without a length.
func clientBodyOf(reader io.Reader) *clientBody {
	return &clientBody{ReadCloser: io.NopCloser(reader), filter: newCredentialFilter(nil)}
}

func TestABodyUpToMaxBodyIsHeldAndALongerOneStreams(t *testing.T) {
	const limit = 1000
	for name, test := range map[string]struct {
		size   int
		length int64
		held   bool
	}{
		"nothing":                         {0, -1, true},
		"nothing, and that is said":       {0, 0, true},
		"exactly max_body":                {limit, limit, true},
		"exactly max_body, in chunks":     {limit, -1, true},
		"one byte more":                   {limit + 1, limit + 1, false},
		"one byte more, in chunks":        {limit + 1, -1, false},
		"far more, in chunks":             {100 * limit, -1, false},
		"less than its length says":       {10, limit, true},
		"more than its length says":       {limit, 10, true},
		"more than its length and limits": {limit + 1, 10, false},
	} {
		for how, reader := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "the end with the last": iotest.DataErrReader} {
			t.Run(name+", "+how, func(t *testing.T) {
				want := strings.Repeat("x", test.size)
				body := clientBodyOf(reader(strings.NewReader(want)))
				var b leasedBody
				if err := b.hold(body, test.length, limit); err != nil {
					t.Fatal(err)
				}
				if b.held != test.held || b.replayable() != test.held || body.read() != test.held {
					t.Fatalf("held %v, replayable %v, read to its end %v, want %v", b.held, b.replayable(), body.read(), test.held)
				}
				attempts := 1
				if test.held {
					attempts = 3
				}
				for range attempts {
					if got := wantPut(t, &b); got != want {
						t.Errorf("%d bytes are sent, want %d", len(got), len(want))
					}
				}
				if !test.held {
					if err := b.put(new(http.Request)); !errors.Is(err, errBodySent) {
						t.Errorf("a second attempt gives %v", err)
					}
				}
			})
		}
	}
}

// wantPut gives a request the body and returns what is sent.
func wantPut(t *testing.T, b *leasedBody) string {
	t.Helper()
	r := &http.Request{Header: http.Header{}, TransferEncoding: []string{"chunked"}}
	if err := b.put(r); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b.held && r.ContentLength != int64(len(content)) && len(b.trailer) == 0 || r.TransferEncoding != nil {
		t.Errorf("Content-Length %d and Transfer-Encoding %v for %d bytes", r.ContentLength, r.TransferEncoding, len(content))
	}
	if r.GetBody != nil {
		again, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if second, err := io.ReadAll(again); err != nil || !bytes.Equal(second, content) {
			t.Errorf("GetBody gives %d bytes and %v", len(second), err)
		}
	}
	return string(content)
}

func TestMaxBodyHasNoLimitOfItsOwn(t *testing.T) {
	var b leasedBody
	if err := b.hold(clientBodyOf(strings.NewReader("body")), -1, math.MaxInt64); err != nil || string(b.content) != "body" {
		t.Errorf("%q is held, %v", b.content, err)
	}
}

// What is left of a body that broke off is no body, however often it is asked for.
func TestABodyThatBreaksOffIsOverForAll(t *testing.T) {
	broken := errors.New("broken")
	for name, limit := range map[string]int64{"within max_body": 1000, "within max_body to the byte": 4} {
		t.Run(name, func(t *testing.T) {
			// It would go on after the error.
			body := clientBodyOf(io.MultiReader(strings.NewReader("bo"), errorOnce(broken), strings.NewReader("dy")))
			var b leasedBody
			if err := b.hold(body, -1, limit); !errors.Is(err, broken) {
				t.Fatalf("the error is %v", err)
			}
			if !errors.Is(body.clientError(), broken) {
				t.Errorf("the client's error is %v", body.clientError())
			}
			if n, err := body.Read(make([]byte, 10)); n > 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%d more bytes can be read, %v", n, err)
			}
			if err := b.put(new(http.Request)); !errors.Is(err, errBodySent) {
				t.Errorf("putting it gives %v", err)
			}
		})
	}
}

// errorOnce is a reader that fails, and has then come to its end.
func errorOnce(err error) io.Reader {
	failed := false
	return readerFunc(func([]byte) (int, error) {
		if failed {
			return 0, io.EOF
		}
		failed = true
		return 0, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestABodyThatIsTooLongIsTheClientsFault(t *testing.T) {
	var b leasedBody
	body := clientBodyOf(http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("body")), 2))
	p, ok := errors.AsType[*problem](requestProblem(b.hold(body, -1, 1000)))
	if !ok || p.status != http.StatusRequestEntityTooLarge || p.code != llm.CodeBodyTooLarge {
		t.Errorf("got %v", p)
	}
}

func TestTrailersOfAHeldBodyAreSentEachTime(t *testing.T) {
	for name, content := range map[string]string{"with a body": "body", "without one": ""} {
		t.Run(name, func(t *testing.T) {
			body := clientBodyOf(strings.NewReader(content))
			body.trailer = http.Header{"X-Checksum": {"1"}, "Authorization": {"evil"}}
			var b leasedBody
			if err := b.hold(body, -1, 1000); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r := &http.Request{Header: http.Header{}}
				if err := b.put(r); err != nil {
					t.Fatal(err)
				}
				sent, _ := io.ReadAll(r.Body)
				if string(sent) != content || r.ContentLength != -1 || len(r.Trailer) != 1 || r.Trailer.Get("X-Checksum") != "1" {
					t.Errorf("%q is sent with Content-Length %d and the trailers %v", sent, r.ContentLength, r.Trailer)
				}
			}
		})
	}
}

func TestABodyThatIsNotTouchedCanBeSentAfterADialError(t *testing.T) {
	var b leasedBody
	if err := b.hold(clientBodyOf(strings.NewReader("a long body")), -1, 2); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r := &http.Request{Header: http.Header{}}
		if err := b.put(r); err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
	}
	if got := wantPut(t, &b); got != "a long body" {
		t.Errorf("%q is sent", got)
	}
}

func TestOnlyAFreshBodyIsSentAfterOneThatWasBegun(t *testing.T) {
	l := new(lease)
	body := io.NopCloser(strings.NewReader("body"))
	for range 2 {
		if err := l.send(&http.Request{Body: body}); err != nil {
			t.Fatalf("a body that is not begun: %v", err)
		}
	}
	_, _ = l.sent.Read(make([]byte, 1))
	if err := l.send(&http.Request{Body: body}); !errors.Is(err, errBodySent) {
		t.Errorf("one that is: %v", err)
	}
	if err := l.send(&http.Request{Body: io.NopCloser(strings.NewReader("body"))}); err != nil {
		t.Errorf("a fresh one: %v", err)
	}
	if err := l.send(new(http.Request)); err != nil {
		t.Errorf("none: %v", err)
	}
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
				if n, err := forwarded.Body.Read(make([]byte, 10)); n > 0 || !errors.Is(err, errLocked) {
					t.Errorf("%d bytes can be read, %v", n, err)
				}
				elsewhere := forwarded.WithContext(t.Context())
				elsewhere.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
				if _, err := http.DefaultTransport.RoundTrip(elsewhere); err == nil || !strings.Contains(err.Error(), "transport oauth2_llm alone") {
					t.Errorf("another transport says %v", err)
				}
				l := leaseOf(forwarded.Context())
				if got := wantPut(t, &l.body); got != strings.Replace(content, `"corp/`, `     "`, 1) && got != content {
					t.Errorf("the transport gets %q", got)
				}
			})
		}
	}
}

// Something else behind the directive may answer 401; it is not about a token
// that never left.
func TestU01A401ThatIsNoLLMsDropsNoBoundToken(t *testing.T) {
	for name, test := range map[string]struct {
		base    string
		dropped bool
	}{
		"U01 a provider with a base_url": {`,"base_url":"https://llm.example.com"`, false},
		"U01 one without":                {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := mustHandler(t, corp(newTokenEndpoint(t).URL, test.base), decorating)
			next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				leaseOf(r.Context()).replacer.Set(upstreamStatus, http.StatusUnauthorized)
				return nil
			})
			if err := h.ServeHTTP(nil, withCaddyContext(chatRequest(nil)), next); err != nil {
				t.Fatal(err)
			}
			if dropped := h.providers["corp"].manager.Current() == nil; dropped != test.dropped {
				t.Errorf("the token is dropped: %v, want %v", dropped, test.dropped)
			}
		})
	}
}
