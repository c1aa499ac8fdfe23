package llm

import (
	"bytes"
	"fmt"
	"io"
	"math"
)

// Sizes of the buffer that a body is read into.
const (
	// firstRead is enough for most of what has no length.
	firstRead = 4 << 10
	// trustedLength is how much is allocated because a Content-Length says so.
	trustedLength = 16 << 10
	// growth is how much more is allocated, of a length that is known, when what
	// was allocated has come.
	growth = 4
	// maxIdleReads is how often in a row a reader may return nothing.
	maxIdleReads = 100
)

// Grow is asked before a buffer of so many bytes in all is allocated, in which
// those of the one before it find room; its error ends the reading. nil means no
// bound but the limit.
type Grow func(capacity int64) error

// ReadBody reads a whole request body of at most limit bytes. A contentLength
// over the limit is refused before anything is read, so that a client that
// sends `Expect: 100-continue` keeps its body; one below 0 is
// not known. A client gets 16 KiB for a promise, and four times of what it has
// sent: a liar has to send the rest before it gets more memory. Errors of grow
// come back as they are, and those of the reader stay recognisable by errors.As.
func ReadBody(r io.Reader, contentLength, limit int64, grow Grow) ([]byte, error) {
	return read(r, contentLength, limit, grow, func([]byte) bool { return true })
}

// ReadObject is ReadBody for a body that may be none of the gateway's business:
// it stops reading one that does not begin as a JSON object. Then object is
// false, and what it has read is the beginning of the body: r goes on behind
// it, unless it has ended.
func ReadObject(r io.Reader, contentLength, limit int64, grow Grow) (body []byte, object bool, err error) {
	decided := false
	body, err = read(r, contentLength, limit, grow, func(beginning []byte) bool {
		if !decided {
			object, decided = BeginsObject(beginning)
			// So much white space is looked at once more, not byte for byte.
			if !decided && len(beginning) >= firstRead {
				object, decided = true, true
			}
		}
		return object || !decided
	})
	if err != nil {
		return nil, false, err
	}
	if !decided {
		object, _ = BeginsObject(body)
	}
	return body, object, nil
}

// read reads r to its end, or for as long as goOn, asked after each read, says.
func read(r io.Reader, contentLength, limit int64, grow Grow, goOn func([]byte) bool) ([]byte, error) {
	if contentLength > limit {
		return nil, BodyTooLarge(limit)
	}
	var body []byte
	for idle := 0; ; {
		if len(body) == cap(body) {
			capacity := nextCapacity(int64(cap(body)), contentLength, limit)
			if grow != nil {
				if err := grow(capacity); err != nil {
					return nil, err
				}
			}
			grown := make([]byte, len(body), capacity)
			copy(grown, body)
			body = grown
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > limit {
			return nil, BodyTooLarge(limit)
		}
		// Not errors.Is: an error that wraps EOF says that something has failed.
		if err == io.EOF {
			return body, nil
		}
		if idle++; n > 0 {
			idle = 0
		} else if err == nil && idle == maxIdleReads {
			err = io.ErrNoProgress
		}
		if err != nil {
			return nil, fmt.Errorf("reading the request body: %w", err)
		}
		if n > 0 && !goOn(body) {
			return body, nil
		}
	}
}

// nextCapacity is the size of the buffer that takes the place of one that is
// full, of the first one if that is 0.
func nextCapacity(capacity, contentLength, limit int64) int64 {
	// One byte more than may come, so that the end is seen without growing.
	most := min(limit, math.MaxInt-1) + 1
	promised := min(contentLength, most-1) + 1
	switch {
	case capacity == 0 && contentLength < 0:
		return min(firstRead, most)
	case capacity == 0:
		return min(promised, trustedLength, most)
	case promised <= capacity:
		return min(2*capacity, most)
	case promised <= growth*capacity+trustedLength:
		return min(promised, most)
	}
	return min(growth*capacity, most)
}

// BeginsObject says whether a body of which this is the beginning is to be read
// as a JSON object, and whether the beginning is enough to decide: white space
// or half a byte order mark alone is not. A byte order mark, UTF-16 or UTF-32 in
// front of the brace makes no difference: such a body is no JSON, but Python
// reads it, so it is for FindModel to refuse and not for the
// gateway to overlook.
func BeginsObject(beginning []byte) (object, decided bool) {
	for _, mark := range byteOrderMarks {
		if rest, marked := bytes.CutPrefix(beginning, mark); marked {
			beginning = rest
			break
		}
		if bytes.HasPrefix(mark, beginning) {
			return false, false
		}
	}
	beginning = bytes.TrimLeft(beginning, "\x00 \t\r\n")
	if len(beginning) == 0 {
		return false, false
	}
	return beginning[0] == '{', true
}

// byteOrderMarks are those of UTF-8, UTF-16 and UTF-32; the zeros at the end of
// the little one of UTF-32 are trimmed like those of a character.
var byteOrderMarks = [...][]byte{{0xef, 0xbb, 0xbf}, {0xfe, 0xff}, {0xff, 0xfe}, {0, 0, 0xfe, 0xff}}

// sizeText writes a size as people do.
func sizeText(size int64) string {
	switch {
	case size > 0 && size%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", size>>20)
	case size > 0 && size%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d bytes", size)
}

// BodyTooLarge is the error about a body of more bytes than the limit.
func BodyTooLarge(limit int64) error {
	return &RequestError{
		Code:    CodeBodyTooLarge,
		Message: "the body is larger than the " + sizeText(limit) + " that this gateway accepts (max_body)",
	}
}
