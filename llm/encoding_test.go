package llm

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// encoders are what a client may have encoded its body with.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"zlib": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"raw": func(w io.Writer) io.WriteCloser {
		deflater, _ := flate.NewWriter(w, flate.DefaultCompression)
		return deflater
	},
	"zstd": func(w io.Writer) io.WriteCloser {
		encoder, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		return encoder
	},
}

// codingOf is what the header calls an encoder.
var codingOf = map[string]string{"gzip": "gzip", "zlib": "deflate", "raw": "deflate", "zstd": "zstd"}

func encode(t *testing.T, content []byte, with ...string) []byte {
	t.Helper()
	for _, name := range with {
		var encoded bytes.Buffer
		w := encoders[name](&encoded)
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		content = encoded.Bytes()
	}
	return content
}

const plainBody = `{"model":"a/x","messages":[{"role":"user","content":"say it again, say it again"}]}`

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		contentEncoding string
		with            []string
	}{
		"no coding":             {"", nil},
		"identity":              {"identity", nil},
		"nothing but commas":    {" , ,", nil},
		"gzip":                  {"gzip", []string{"gzip"}},
		"x-gzip in capitals":    {"X-GZIP", []string{"gzip"}},
		"deflate as zlib":       {"deflate", []string{"zlib"}},
		"deflate without zlib":  {"deflate", []string{"raw"}},
		"zstd":                  {"zstd", []string{"zstd"}},
		"identity among others": {"identity , gzip,, identity", []string{"gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := Decode(encode(t, []byte(plainBody), c.with...), []string{c.contentEncoding}, 1<<10, nil)
			if err != nil || string(body) != plainBody {
				t.Errorf("decoded %q, %v", body, err)
			}
		})
	}
}

func TestWhatCannotBeDecodedIsRefused(t *testing.T) {
	gzipped := encode(t, []byte(plainBody), "gzip")
	for name, c := range map[string]struct {
		body            []byte
		contentEncoding string
		code            string
	}{
		"an unknown coding":                         {gzipped, "br", CodeUnsupportedEncoding},
		"a coding with a weight":                    {gzipped, "gzip;q=1", CodeUnsupportedEncoding},
		"chunks of AWS":                             {gzipped, "aws-chunked", CodeUnsupportedEncoding},
		"two codings":                               {encode(t, []byte(plainBody), "gzip", "zstd"), "gzip, zstd", CodeUnsupportedEncoding},
		"two codings of which one is not known":     {gzipped, "br, gzip", CodeUnsupportedEncoding},
		"two codings around what cannot be decoded": {[]byte(plainBody), "gzip, gzip", CodeUnsupportedEncoding},
		"two codings without a comma":               {gzipped, "gzip deflate", CodeUnsupportedEncoding},
		"any coding":                                {gzipped, "*", CodeUnsupportedEncoding},
		"more codings than can be":                  {gzipped, strings.Repeat("gzip,", 10000), CodeUnsupportedEncoding},
		"plain text that is called gzip":            {[]byte(plainBody), "gzip", CodeInvalidBody},
		"plain text that is called zstd":            {[]byte(plainBody), "zstd", CodeInvalidBody},
		"plain text that is called zlib":            {[]byte(plainBody), "deflate", CodeInvalidBody},
		"gzip that is called zstd":                  {gzipped, "zstd", CodeInvalidBody},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := Decode(c.body, []string{c.contentEncoding}, 1<<20, nil)
			wantCode(t, err, c.code)
			if body != nil {
				t.Errorf("got %q besides the error", body)
			}
		})
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	for name, coding := range codingOf {
		t.Run(name, func(t *testing.T) {
			encoded := encode(t, []byte(plainBody), name)
			for cut := 1; cut < len(encoded); cut++ {
				if _, err := Decode(encoded[:cut], []string{coding}, 1<<20, nil); err == nil {
					t.Errorf("%d of %d bytes were accepted", cut, len(encoded))
				}
			}
			for _, garbage := range []string{"\x00", "{", plainBody} {
				_, err := Decode(append(bytes.Clone(encoded), garbage...), []string{coding}, 1<<20, nil)
				wantCode(t, err, CodeInvalidBody)
			}
			if name == "raw" {
				return // It has no checksum.
			}
			encoded[len(encoded)-1] ^= 1
			_, err := Decode(encoded, []string{coding}, 1<<20, nil)
			wantCode(t, err, CodeInvalidBody)
		})
	}
}

func TestDecodeKeepsABodyWithoutContent(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd", "br", "identity"} {
		if body, err := Decode(nil, []string{coding}, 10, nil); err != nil || body != nil {
			t.Errorf("%s: got %q, %v", coding, body, err)
		}
	}
	for name, coding := range codingOf {
		body, err := Decode(encode(t, nil, name), []string{coding}, 10, nil)
		if err != nil || len(body) != 0 {
			t.Errorf("nothing in %s: got %q, %v", name, body, err)
		}
	}
}

func TestDecodeJoinsTheMembersOfOneCoding(t *testing.T) {
	for _, name := range []string{"gzip", "zstd"} {
		body, err := Decode(append(encode(t, []byte(`{"a":`), name), encode(t, []byte(`1}`), name)...), []string{name}, 7, nil)
		if err != nil || string(body) != `{"a":1}` {
			t.Errorf("%s: decoded %q, %v", name, body, err)
		}
	}
}

func TestSeveralFieldsOfContentEncodingAreOneList(t *testing.T) {
	gzipped := encode(t, []byte(plainBody), "gzip")
	body, err := Decode(gzipped, []string{"identity", "gzip"}, 1<<10, nil)
	if err != nil || string(body) != plainBody {
		t.Errorf("decoded %q, %v", body, err)
	}
	_, err = Decode(gzipped, []string{"gzip", "gzip"}, 1<<10, nil)
	wantCode(t, err, CodeUnsupportedEncoding)
}

func TestDecodeLimitsWhatComesOut(t *testing.T) {
	const size = 1000
	content := bytes.Repeat([]byte{'a'}, size)
	for name, coding := range codingOf {
		body, err := Decode(encode(t, content, name), []string{coding}, size, nil)
		if err != nil || len(body) != size {
			t.Errorf("%s of exactly the limit: got %d bytes, %v", name, len(body), err)
		}
		_, err = Decode(encode(t, content, name), []string{coding}, size-1, nil)
		wantCode(t, err, CodeBodyTooLarge)
	}
}

func TestABodyMayNotGrowTooMuch(t *testing.T) {
	for name, coding := range codingOf {
		t.Run(name, func(t *testing.T) {
			small := encode(t, make([]byte, freeSize), name)
			if body, err := Decode(small, []string{coding}, 64<<20, nil); err != nil || len(body) != freeSize {
				t.Errorf("1 MiB: got %d bytes, %v", len(body), err)
			}
			for _, over := range [][]byte{encode(t, make([]byte, freeSize+1), name), bombOf(t, name, 32<<20)} {
				_, err := Decode(over, []string{coding}, 64<<20, nil)
				wantCode(t, err, CodeBodyTooLarge)
				if !strings.Contains(err.Error(), "128 times") {
					t.Errorf("%d bytes: %v", len(over), err)
				}
			}
		})
	}
	// A text that shrinks as texts do.
	content := append(noise(64<<10), strings.Repeat(plainBody, 2<<20/len(plainBody))...)
	if body, err := Decode(encode(t, content, "gzip"), []string{"gzip"}, 64<<20, nil); err != nil || !bytes.Equal(body, content) {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
}

func TestDecodeAsksBeforeItGrows(t *testing.T) {
	errFull := errors.New("no room")
	for name, coding := range codingOf {
		t.Run(name, func(t *testing.T) {
			encoded := encode(t, make([]byte, 100<<10), name)
			var asked []int64
			body, err := Decode(encoded, []string{coding}, 1<<20, func(capacity int64) error {
				asked = append(asked, capacity)
				return nil
			})
			if err != nil || len(asked) < 2 || asked[0] != firstRead || asked[len(asked)-1] != int64(cap(body)) {
				t.Errorf("got a buffer of %d bytes, %v; was asked for %d", cap(body), err, asked)
			}
			for refusedAt := range len(asked) {
				body, err := Decode(encoded, []string{coding}, 1<<20, func(capacity int64) error {
					if capacity == asked[refusedAt] {
						return errFull
					}
					return nil
				})
				if !errors.Is(err, errFull) || body != nil {
					t.Errorf("refused %d bytes: got %d, %v", asked[refusedAt], len(body), err)
				}
			}
		})
	}
}

func TestABombIsDefusedWithoutItsMemory(t *testing.T) {
	const limit, size = 1 << 20, 100 << 20
	for name, coding := range codingOf {
		t.Run(name, func(t *testing.T) {
			bomb := bombOf(t, name, size)
			if len(bomb) >= limit {
				t.Fatalf("no bomb: %d bytes", len(bomb))
			}
			used := allocated(func() {
				_, err := Decode(bomb, []string{coding}, limit, nil)
				wantCode(t, err, CodeBodyTooLarge)
			})
			// The buffer grows to the limit by doubling; zstd has a window.
			if most := uint64(4*limit + maxWindow + maxWindow/2); used > most {
				t.Errorf("%d bytes were allocated, at most %d are needed", used, most)
			}
		})
	}
}

// bombOf is the beginning of what encodes so many zeros. After the first MiB
// every other one looks alike, so that compressing two is enough.
func bombOf(t *testing.T, name string, size int) []byte {
	t.Helper()
	zeros := make([]byte, 1<<20)
	var encoded bytes.Buffer
	w := encoders[name](&encoded)
	first := 0
	for range 2 {
		first = encoded.Len()
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
		if err := w.(interface{ Flush() error }).Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return append(encoded.Bytes()[:first:first], bytes.Repeat(encoded.Bytes()[first:], size/len(zeros)-1)...)
}

// noise is so many bytes that nothing compresses.
func noise(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	return content
}

// allocated is how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestDecodeRefusesAWindowThatNobodyHasToSupport(t *testing.T) {
	for window, code := range map[int]string{maxWindow: "", 2 * maxWindow: CodeInvalidBody} {
		var encoded bytes.Buffer
		w, err := zstd.NewWriter(&encoded, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
		if err != nil {
			t.Fatal(err)
		}
		// More than one write, or the content's size would be the window.
		content := noise(2 * window)
		for len(content) > 0 {
			n := min(len(content), 1<<20)
			if _, err := w.Write(content[:n]); err != nil {
				t.Fatal(err)
			}
			content = content[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		body, err := Decode(encoded.Bytes(), []string{"zstd"}, 64<<20, nil)
		wantCode(t, err, code)
		if err == nil && len(body) != 2*window {
			t.Errorf("decoded %d bytes of %d", len(body), 2*window)
		}
	}
	// A header alone, which asks for 2 GiB.
	used := allocated(func() {
		_, err := Decode([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00}, []string{"zstd"}, 64<<20, nil)
		wantCode(t, err, CodeInvalidBody)
	})
	if used > 2*maxWindow {
		t.Errorf("%d bytes were allocated for a header", used)
	}
}

func TestAcceptedEncodingsAreAccepted(t *testing.T) {
	for coding := range strings.SplitSeq(AcceptedEncodings, ", ") {
		encoded := encode(t, []byte(plainBody), map[string]string{"gzip": "gzip", "deflate": "zlib", "zstd": "zstd"}[coding])
		if body, err := Decode(encoded, []string{coding}, 1<<10, nil); err != nil || string(body) != plainBody {
			t.Errorf("%s: got %q, %v", coding, body, err)
		}
	}
}
