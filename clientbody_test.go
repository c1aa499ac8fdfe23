package oauth2llm

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

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

func TestH05TheFilterTakesCredentialsOffTrailers(t *testing.T) {
	for name, reader := range map[string]io.Reader{
		"H05 whose end comes by itself":       strings.NewReader("body"),
		"H05 whose end comes with the last":   iotest.DataErrReader(strings.NewReader("body")),
		"H05 that comes one byte at a time":   iotest.OneByteReader(strings.NewReader("body")),
		"H05 that has no bytes but an ending": strings.NewReader(""),
	} {
		t.Run(name, func(t *testing.T) {
			filter := newCredentialFilter(nil, "X-Group")
			filter.remove("X-Token")
			original := &http.Request{Trailer: http.Header{"Authorization": nil, "X-Checksum": nil}}
			body := &trailingBody{Reader: reader, request: original, trailers: http.Header{
				"Authorization": {"evil"}, "X-Api-Key": {"evil"}, "X_api_key": {"evil"}, "X-Token": {"evil"}, "X-Group": {"evil"}, "cookie": {"evil"}, "X-Checksum": {"1"},
			}}
			original.Body = body
			copied := original.WithContext(t.Context())
			watchBody(original, copied, filter)
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
	t.Run("H05 a request that announces none", func(t *testing.T) {
		original := &http.Request{Body: io.NopCloser(strings.NewReader("body"))}
		copied := original.WithContext(t.Context())
		if watchBody(original, copied, newCredentialFilter(nil)); copied.Trailer != nil {
			t.Errorf("the copy has trailers %v", copied.Trailer)
		}
	})
	t.Run("a request without a body", func(t *testing.T) {
		for _, body := range []io.ReadCloser{nil, http.NoBody} {
			original := &http.Request{Body: body}
			copied := original.WithContext(t.Context())
			watched := watchBody(original, copied, newCredentialFilter(nil))
			if watched != nil || copied.Body != body || watched.clientError() != nil || watched.read() {
				t.Errorf("the copy has the body %T", copied.Body)
			}
		}
	})
}

func TestABodyRemembersHowItEnded(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		body io.Reader
		err  error
		read bool
	}{
		"one that is whole":                      {strings.NewReader("body"), nil, true},
		"one that breaks off":                    {io.MultiReader(strings.NewReader("bo"), iotest.ErrReader(broken)), broken, false},
		"one that the gateway has closed before": {iotest.ErrReader(http.ErrBodyReadAfterClose), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			original := &http.Request{Body: io.NopCloser(test.body)}
			copied := original.WithContext(t.Context())
			watched := watchBody(original, copied, newCredentialFilter(nil))
			if watched.clientError() != nil || watched.read() {
				t.Error("it has ended before it was read")
			}
			_, _ = io.ReadAll(copied.Body)
			if !errors.Is(watched.clientError(), test.err) || watched.read() != test.read {
				t.Errorf("got %v, read %v", watched.clientError(), watched.read())
			}
		})
	}
}
