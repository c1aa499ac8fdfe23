package llm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// deliveries are the ways in which a reader may hand out the same bytes.
var deliveries = map[string]func(io.Reader) io.Reader{
	"at once":              func(r io.Reader) io.Reader { return r },
	"byte for byte":        iotest.OneByteReader,
	"with its end at once": iotest.DataErrReader,
	"half and half":        iotest.HalfReader,
	"haltingly":            func(r io.Reader) io.Reader { return &haltingReader{r: r} },
}

// A haltingReader returns nothing, and no error, before every byte, as often as
// a reader may.
type haltingReader struct {
	r      io.Reader
	halted int
}

func (h *haltingReader) Read(p []byte) (int, error) {
	if h.halted++; h.halted%maxIdleReads != 0 {
		return 0, nil
	}
	return h.r.Read(p[:1])
}

// A readerFunc is a reader that is just one function.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestReadBody(t *testing.T) {
	for name, c := range map[string]struct {
		size, contentLength, limit int64
		code                       string
	}{
		"an empty body":                                  {0, 0, 100, ""},
		"an empty body of unknown length":                {0, -1, 100, ""},
		"an empty body where nothing is accepted":        {0, 0, 0, ""},
		"one byte where nothing is accepted":             {1, -1, 0, CodeBodyTooLarge},
		"a body of exactly the limit":                    {100, 100, 100, ""},
		"a body of exactly the limit, length unknown":    {100, -1, 100, ""},
		"one byte over the limit":                        {101, 101, 100, CodeBodyTooLarge},
		"one byte over the limit, length unknown":        {101, -1, 100, CodeBodyTooLarge},
		"a length that hides the byte too much":          {101, 100, 100, CodeBodyTooLarge},
		"a length that promises nothing":                 {101, 0, 100, CodeBodyTooLarge},
		"more than was promised, but not too much":       {99, 5, 100, ""},
		"less than was promised":                         {5, 99, 100, ""},
		"a length over what is allocated for asking":     {10, 1 << 40, 1 << 50, ""},
		"no limit to speak of":                           {10, 10, math.MaxInt64, ""},
		"no limit to speak of, length unknown":           {10, -1, math.MaxInt64, ""},
		"a body of unknown length in several reads":      {3*firstRead + 1, -1, 1 << 20, ""},
		"a first buffer that is just full":               {firstRead, -1, 1 << 20, ""},
		"a limit just above the first buffer":            {firstRead + 1, -1, firstRead + 1, ""},
		"a limit just at the first buffer, and one over": {firstRead + 1, -1, firstRead, CodeBodyTooLarge},
	} {
		for delivery, deliver := range deliveries {
			t.Run(name+" "+delivery, func(t *testing.T) {
				want := bytes.Repeat([]byte("0123456789abcde"), int(c.size)/15+1)[:c.size]
				body, err := ReadBody(deliver(bytes.NewReader(want)), c.contentLength, c.limit, nil)
				wantCode(t, err, c.code)
				if err == nil && !bytes.Equal(body, want) {
					t.Errorf("read %d bytes, not the %d that were sent", len(body), len(want))
				}
				if err != nil && body != nil {
					t.Errorf("got %d bytes besides the error", len(body))
				}
			})
		}
	}
}

func TestALengthOverTheLimitIsRefusedUnread(t *testing.T) {
	untouched := readerFunc(func([]byte) (int, error) {
		t.Error("the body has been asked for")
		return 0, io.EOF
	})
	_, err := ReadBody(untouched, 101, 100, nil)
	wantCode(t, err, CodeBodyTooLarge)
	_, object, err := ReadObject(untouched, 101, 100, nil)
	wantCode(t, err, CodeBodyTooLarge)
	if object {
		t.Error("what has not been read is called an object")
	}
}

func TestReadBodyGrowsWithWhatArrives(t *testing.T) {
	const limit = 3<<20 + 7
	for _, contentLength := range []int64{-1, 0, 1 << 20, limit} {
		sent := 0
		endless := readerFunc(func(p []byte) (int, error) {
			if most := max(growth*sent, trustedLength); len(p) > most {
				t.Errorf("length %d: room for %d bytes after %d", contentLength, len(p), sent)
			}
			sent += len(p)
			return len(p), nil
		})
		_, err := ReadBody(endless, contentLength, limit, nil)
		wantCode(t, err, CodeBodyTooLarge)
		if sent != limit+1 {
			t.Errorf("length %d: %d bytes were read", contentLength, sent)
		}
	}
}

func TestReadingAsksBeforeEveryBuffer(t *testing.T) {
	errFull := errors.New("no room")
	for name, c := range map[string]struct {
		size, contentLength, limit int64
		want                       []int64
	}{
		"nothing":                             {0, 0, 100, []int64{1}},
		"a short body":                        {100, 100, 1 << 20, []int64{101}},
		"a short body of unknown length":      {100, -1, 1 << 20, []int64{4 << 10}},
		"a longer body of unknown length":     {9 << 10, -1, 1 << 20, []int64{4 << 10, 8 << 10, 16 << 10}},
		"a body of 64 KiB":                    {64 << 10, 64 << 10, 1 << 20, []int64{16 << 10, 64<<10 + 1}},
		"a body of 1 MiB":                     {1 << 20, 1 << 20, 1 << 20, []int64{16 << 10, 64 << 10, 256 << 10, 1<<20 + 1}},
		"a body of 300 KiB":                   {300 << 10, 300 << 10, 1 << 20, []int64{16 << 10, 64 << 10, 256 << 10, 300<<10 + 1}},
		"less than was promised":              {20 << 10, 1 << 40, 1 << 50, []int64{16 << 10, 64 << 10}},
		"more than was promised":              {20 << 10, 10, 1 << 20, []int64{11, 22, 44, 88, 176, 352, 704, 1408, 2816, 5632, 11264, 22528}},
		"the limit, of unknown length":        {5 << 10, -1, 5 << 10, []int64{4 << 10, 5<<10 + 1}},
		"the greatest length that there is":   {0, math.MaxInt64, math.MaxInt64, []int64{16 << 10}},
		"a body that is longer than its room": {16 << 10, 16 << 10, 1 << 20, []int64{16 << 10, 16<<10 + 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []int64
			body, err := ReadBody(bytes.NewReader(make([]byte, c.size)), c.contentLength, c.limit, func(capacity int64) error {
				asked = append(asked, capacity)
				return nil
			})
			if err != nil || int64(len(body)) != c.size || !slices.Equal(asked, c.want) {
				t.Errorf("read %d bytes, %v, and asked for %d", len(body), err, asked)
			}
			for _, most := range asked {
				refuse := func(capacity int64) error {
					if capacity >= most {
						return errFull
					}
					return nil
				}
				body, err := ReadBody(bytes.NewReader(make([]byte, c.size)), c.contentLength, c.limit, refuse)
				if err != errFull || body != nil { //nolint:errorlint // It must be the very same.
					t.Errorf("%d bytes were refused: got %d, %v", most, len(body), err)
				}
				body, object, err := ReadObject(strings.NewReader(strings.Repeat("{", int(c.size))), c.contentLength, c.limit, refuse)
				if err != errFull || body != nil || object { //nolint:errorlint // It must be the very same.
					t.Errorf("%d bytes of an object were refused: got %d, %v", most, len(body), err)
				}
			}
		})
	}
}

func TestReadBodyAllocatesLittleForAPromise(t *testing.T) {
	body, err := ReadBody(strings.NewReader("short"), 1<<40, 1<<50, nil)
	if err != nil || string(body) != "short" {
		t.Fatalf("read %q, %v", body, err)
	}
	if cap(body) > trustedLength {
		t.Errorf("%d bytes were allocated", cap(body))
	}
}

func TestReadBodyAllocations(t *testing.T) {
	for name, c := range map[string]struct {
		size, contentLength int64
		most                float64
	}{
		"a known length":             {1 << 10, 1 << 10, 1},
		"a known length of 0":        {0, 0, 1},
		"a known length of 16 KiB":   {16<<10 - 1, 16<<10 - 1, 1},
		"a known length of 64 KiB":   {64 << 10, 64 << 10, 2},
		"a known length of 1 MiB":    {1 << 20, 1 << 20, 4},
		"a known length of 3 MiB":    {3 << 20, 3 << 20, 5},
		"an unknown length of 2 KiB": {2 << 10, -1, 1},
		"an unknown length of 1 MiB": {1 << 20, -1, 10},
	} {
		content := make([]byte, c.size)
		reader := bytes.NewReader(nil)
		allocations := testing.AllocsPerRun(10, func() {
			reader.Reset(content)
			if body, err := ReadBody(reader, c.contentLength, 32<<20, nil); err != nil || len(body) != len(content) {
				t.Fatal(len(body), err)
			}
		})
		if allocations > c.most {
			t.Errorf("%s: %v allocations, at most %v are needed", name, allocations, c.most)
		}
	}
}

func TestErrorsOfTheReaderStayRecognisable(t *testing.T) {
	for name, read := range map[string]func(io.Reader) ([]byte, error){
		"ReadBody": func(r io.Reader) ([]byte, error) { return ReadBody(r, -1, 100, nil) },
		"ReadObject": func(r io.Reader) ([]byte, error) {
			body, object, err := ReadObject(r, -1, 100, nil)
			if object {
				t.Error("what could not be read is called an object")
			}
			return body, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken := &http.MaxBytesError{Limit: 10}
			body, err := read(io.MultiReader(strings.NewReader(`{"mo`), iotest.ErrReader(broken)))
			var tooLarge *http.MaxBytesError
			if !errors.As(err, &tooLarge) || tooLarge != broken || body != nil {
				t.Errorf("got %q, %v", body, err)
			}
			if _, refused := errors.AsType[*RequestError](err); refused {
				t.Errorf("the request is blamed: %v", err)
			}
			if _, err = read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %v", err)
			}
			withData := readerFunc(func(p []byte) (int, error) { return copy(p, "{}"), broken })
			if _, err = read(withData); !errors.As(err, &tooLarge) {
				t.Errorf("an error that came with bytes: got %v", err)
			}
		})
	}
}

func TestAnErrorThatWrapsTheEndIsNoEnd(t *testing.T) {
	cut := fmt.Errorf("connection lost: %w", io.EOF)
	body, err := ReadBody(io.MultiReader(strings.NewReader("{}"), iotest.ErrReader(cut)), -1, 100, nil)
	if !errors.Is(err, cut) || body != nil {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestAReaderThatReturnsNothingForEverIsLeft(t *testing.T) {
	for _, beginning := range []string{"", "{", "x", " "} {
		reads := 0
		idle := readerFunc(func(p []byte) (int, error) {
			if reads++; reads == 1 {
				return copy(p, beginning), nil
			}
			return 0, nil
		})
		if _, err := ReadBody(idle, -1, 100, nil); !errors.Is(err, io.ErrNoProgress) || reads > maxIdleReads+1 {
			t.Errorf("after %q: %v in %d reads", beginning, err, reads)
		}
	}
}

func TestReadObject(t *testing.T) {
	blank := strings.Repeat(" ", firstRead)
	for name, c := range map[string]struct {
		body   string
		object bool
	}{
		"an object":                               {`{"model":"a/x"}`, true},
		"an object after white space":             {" \r\n\t{}", true},
		"an object that is cut":                   {`{"model`, true},
		"an object after a byte order mark":       {"\ufeff{}", true},
		"an object in UTF-16, little end":         {"{\x00}\x00", true},
		"an object in UTF-16, big end":            {"\x00{\x00}", true},
		"an object in marked UTF-16, little":      {"\xff\xfe{\x00}\x00", true},
		"an object in marked UTF-16, big":         {"\xfe\xff\x00{\x00}", true},
		"an object in marked UTF-32, little":      {"\xff\xfe\x00\x00{\x00\x00\x00}\x00\x00\x00", true},
		"an object in marked UTF-32, big":         {"\x00\x00\xfe\xff\x00\x00\x00{\x00\x00\x00}", true},
		"an object in UTF-32 after a blank":       {"\x00\x00\x00 \x00\x00\x00{", true},
		"an object after more blanks than matter": {blank + "{}", true},
		"an empty body":                           {"", false},
		"white space":                             {" \n", false},
		"an array":                                {`[{"model":"a/x"}]`, false},
		"a string":                                {`"{"`, false},
		"a form":                                  {"--x\r\n{", false},
		"half a byte order mark":                  {"\xef\xbb", false},
		"half a byte order mark and a brace":      {"\xef\xbb{", false},
		"a byte order mark alone":                 {"\ufeff", false},
		"two byte order marks":                    {"\ufeff\xfe\xff{}", false},
		"a byte that is no white space in JSON":   {"\v{}", false},
	} {
		for delivery, deliver := range deliveries {
			t.Run(name+" "+delivery, func(t *testing.T) {
				source := deliver(strings.NewReader(c.body))
				body, object, err := ReadObject(source, -1, 1<<20, nil)
				if err != nil || object != c.object {
					t.Fatalf("object is %v, %v; want %v", object, err, c.object)
				}
				rest, _ := io.ReadAll(source)
				if string(body)+string(rest) != c.body {
					t.Errorf("read %q and left %q", body, rest)
				}
				if object && len(rest) > 0 {
					t.Errorf("left %q of an object", rest)
				}
			})
		}
	}
}

func TestReadObjectStopsAtTheFirstReadOfWhatIsNoObject(t *testing.T) {
	source := strings.NewReader(strings.Repeat("RIFF", 1<<20))
	size := int64(source.Len())
	body, object, err := ReadObject(iotest.OneByteReader(source), -1, 100, nil)
	if err != nil || object || string(body) != "R" || int64(source.Len()) != size-1 {
		t.Errorf("read %d bytes, %v, %v", len(body), object, err)
	}
	// What is left is larger than the limit, which is only for what is held.
	body, object, err = ReadObject(io.MultiReader(strings.NewReader(" \n"), source), -1, 1<<20, nil)
	if err != nil || object || len(body) > firstRead {
		t.Errorf("read %d bytes, %v, %v", len(body), object, err)
	}
}

func TestReadObjectLimitsObjectsAndBlanks(t *testing.T) {
	for _, endless := range []string{"{", " ", "\x00"} {
		_, object, err := ReadObject(readerFunc(func(p []byte) (int, error) {
			return copy(p, strings.Repeat(endless, len(p))), nil
		}), -1, 1<<16, nil)
		wantCode(t, err, CodeBodyTooLarge)
		if object {
			t.Errorf("%q: what is too large is called an object", endless)
		}
	}
}

func TestBeginsObjectWaitsForWhatDecides(t *testing.T) {
	for beginning, decided := range map[string]bool{
		"": false, " \t\r\n": false, "\x00": false, "\x00\x00\xfe": false, "\xef": false, "\xef\xbb": false, "\xfe": false,
		"\xff": false, "\ufeff": false, "\ufeff ": false, "{": true, "\xef{": true, "\xff\xff": true, "x": true, "\ufeffx": true,
	} {
		if object, got := BeginsObject([]byte(beginning)); got != decided || object && !decided {
			t.Errorf("%q: object is %v, decided is %v", beginning, object, got)
		}
	}
}

func BenchmarkReadBody(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20, 8 << 20} {
		for name, contentLength := range map[string]int64{"known": int64(size), "unknown": -1} {
			b.Run(name+"/"+strconv.Itoa(size>>10)+"KB", func(b *testing.B) {
				content := make([]byte, size)
				reader := bytes.NewReader(nil)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					reader.Reset(content)
					if _, err := ReadBody(reader, contentLength, 32<<20, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
