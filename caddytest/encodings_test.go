package caddytest

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// compressed is a text as a writer of compress makes it.
func compressed(t *testing.T, text string, compress func(io.Writer) (io.WriteCloser, error)) string {
	t.Helper()
	var buffer bytes.Buffer
	w, err := compress(&buffer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

func deflated(t *testing.T, text string) string {
	t.Helper()
	return compressed(t, text, func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil })
}

func rawDeflated(t *testing.T, text string) string {
	t.Helper()
	return compressed(t, text, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
}

func zstandard(t *testing.T, text string) string {
	t.Helper()
	return compressed(t, text, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
}

// digests describe the bytes that the client sent, which do not arrive.
var digests = []string{"Content-Digest", "sha-256=:eA==:", "Repr-Digest", "sha-256=:eA==:", "Digest", "sha-256=eA==", "Content-MD5", "eA=="}

func TestCompressedBodiesAreForwardedDecoded(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp"}.start(t)
	body, plain := sized(3000), `["no model in here"]`
	form := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ncorp/x\r\n--b--\r\n"
	const formType = "multipart/form-data; boundary=b"
	for name, test := range map[string]struct{ encoding, sent, want, contentType string }{
		"gzip":                     {"gzip", gzipped(t, body), withoutPrefix(body), ""},
		"GZIP":                     {"GZIP", gzipped(t, body), withoutPrefix(body), ""},
		"x-gzip":                   {"x-gzip", gzipped(t, body), withoutPrefix(body), ""},
		"deflate":                  {"deflate", deflated(t, body), withoutPrefix(body), ""},
		"deflate without zlib":     {"deflate", rawDeflated(t, body), withoutPrefix(body), ""},
		"zstd":                     {"zstd", zstandard(t, body), withoutPrefix(body), ""},
		"identity":                 {"identity", body, withoutPrefix(body), ""},
		"a body without a model":   {"gzip", gzipped(t, plain), plain, ""},
		"a form":                   {"gzip", gzipped(t, form), strings.Replace(form, "corp/", "", 1), formType},
		"gzip of what is not JSON": {"gzip", gzipped(t, "RIFF"), "RIFF", "audio/wav"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url("/v1/chat/completions"), strings.NewReader(test.sent))
			r.Header.Set("Content-Type", test.contentType)
			g.send(r, append(append([]string{"Content-Encoding", test.encoding}, digests...), withKey...)...).wantStatus(t, http.StatusOK)
			got := up.last(t)
			if string(got.body) != test.want || got.contentLength != int64(len(test.want)) {
				t.Errorf("%d bytes arrived, Content-Length %d, want %d", len(got.body), got.contentLength, len(test.want))
			}
			if got.header["Content-Encoding"] != nil {
				t.Errorf("Content-Encoding arrived as %q", got.header["Content-Encoding"])
			}
			for i := 0; i < len(digests); i += 2 {
				if values := got.header[http.CanonicalHeaderKey(digests[i])]; values != nil {
					t.Errorf("%s arrived as %q", digests[i], values)
				}
			}
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
		})
	}
}

func TestBodiesThatCannotBeDecodedAreNotForwarded(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp\nmax_body 64KiB"}.start(t)
	small := gzipped(t, chat("corp/m"))
	for name, test := range map[string]struct {
		encoding, sent string
		status         int
		code           string
	}{
		"brotli":                           {"br", chat("corp/m"), 415, "unsupported_encoding"},
		"brotli below gzip":                {"br, gzip", small, 415, "unsupported_encoding"},
		"two layers":                       {"gzip, zstd", zstandard(t, gzipped(t, chat("corp/m"))), 415, "unsupported_encoding"},
		"one coding twice":                 {"gzip, gzip", gzipped(t, small), 415, "unsupported_encoding"},
		"an encoding that nobody knows":    {"aes128gcm", chat("corp/m"), 415, "unsupported_encoding"},
		"no gzip":                          {"gzip", chat("corp/m"), 400, "invalid_body"},
		"gzip that ends early":             {"gzip", small[:len(small)-9], 400, "invalid_body"},
		"gzip and something behind it":     {"gzip", small + "x", 400, "invalid_body"},
		"no zstd":                          {"zstd", small, 400, "invalid_body"},
		"a bomb":                           {"gzip", gzipped(t, sized(40<<20)), 413, "body_too_large"},
		"a bomb in a bomb":                 {"gzip, zstd", zstandard(t, gzipped(t, sized(40<<20))), 415, "unsupported_encoding"},
		"ambiguous below the compression":  {"gzip", gzipped(t, `{"model":"corp/a","model":"corp/b"}`), 400, "ambiguous_model"},
		"another model below what is seen": {"gzip", gzipped(t, chat("zzz/m")), 404, "model_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.post("/v1/chat/completions", test.sent, append([]string{"Content-Encoding", test.encoding}, withKey...)...)
			a.wantError(t, test.status, "invalid_request_error", test.code)
			if accepted := a.header.Get("Accept-Encoding"); (test.status == 415) != (accepted == "gzip, deflate, zstd") {
				t.Errorf("Accept-Encoding is %q", accepted)
			}
		})
	}
	if up.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Error("a request was forwarded or a token fetched")
	}
}

func TestDigestsStayOnABodyThatStaysAsItIs(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	for name, test := range map[string]struct {
		options string
		fixed   bool
		body    string
		stay    bool
	}{
		"a fixed provider":        {fixed: true, body: chat("corp/m"), stay: true},
		"keep_prefix":             {options: "keep_prefix", body: chat("corp/m"), stay: true},
		"no model":                {body: `{"input":"corp/m"}`, stay: true},
		"no JSON":                 {body: "RIFF", stay: true},
		"a model without a slash": {body: chat("m"), stay: true},
		"a prefix that is gone":   {body: chat("corp/m"), stay: false},
	} {
		t.Run(name, func(t *testing.T) {
			g := corpSite{auth: auth, upstream: up.address(), fixed: test.fixed, directive: gatewayKey + "default_provider corp\n" + test.options}.start(t)
			g.post("/v1/chat/completions", test.body, append(digests, withKey...)...).wantStatus(t, http.StatusOK)
			got := up.last(t)
			for i := 0; i < len(digests); i += 2 {
				if stayed := got.header.Get(digests[i]) == digests[i+1]; stayed != test.stay {
					t.Errorf("%s arrived as %q", digests[i], got.header[http.CanonicalHeaderKey(digests[i])])
				}
			}
			if (string(got.body) == test.body) != test.stay {
				t.Errorf("%s arrived", got.body)
			}
		})
	}
}
