package llm

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	// AcceptedEncodings is what Decode decodes, for the Accept-Encoding header
	// of a 415 (RFC 9110 §15.5.16).
	AcceptedEncodings = "gzip, deflate, zstd"

	// maxRatio is how many times its size a body may grow when it is decoded,
	// if it grows beyond freeSize: text that people and programs write does not
	// come near, bombs do.
	maxRatio = 128
	freeSize = 1 << 20
	// maxWindow is the zstd window that RFC 8878 §3.1.1.1.2 asks decoders to
	// support; it is allocated for the asking, so no larger one is.
	maxWindow = 8 << 20
)

// Decode undoes the content coding of a body, which is named by the
// values of its Content-Encoding fields (RFC 9110 §8.4). Several are refused
// before anything is decoded, in an error of the code unsupported_encoding;
// identity does not count. What is decoded may have limit bytes, and beyond 1 MiB
// 128 times those of the body, which makes bombs harmless; grow is asked as in
// ReadBody. A body without content, or without a coding, comes back as it is. A
// decoded body goes on without its Content-Encoding.
func Decode(body []byte, contentEncoding []string, limit int64, grow Grow) ([]byte, error) {
	if len(body) == 0 {
		return body, nil
	}
	coding, err := contentCoding(contentEncoding)
	switch {
	case err != nil:
		return nil, err
	case coding == "":
		return body, nil
	}
	return decode(body, coding, limit, grow)
}

// EncodingFault says why a body with such Content-Encoding fields cannot be decoded,
// nil if it can. It needs no body, so that a client learns it before it sends one.
func EncodingFault(contentEncoding []string) error {
	_, err := contentCoding(contentEncoding)
	return err
}

// contentCoding is the one content coding of a body, empty if there is none.
func contentCoding(contentEncoding []string) (coding string, err error) {
	for _, value := range contentEncoding {
		for name := range strings.SplitSeq(value, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "" || name == "identity" {
				continue
			}
			if coding != "" {
				return "", unsupportedEncoding("the body has several content encodings; send one of " + AcceptedEncodings + ", or none")
			}
			coding = name
		}
	}
	switch coding {
	case "", "gzip", "x-gzip", "deflate", "zstd":
		return coding, nil
	}
	return "", unsupportedEncoding("the content encoding of the body is not supported; send one of " + AcceptedEncodings + ", or none")
}

// decode undoes one coding.
func decode(body []byte, coding string, limit int64, grow Grow) ([]byte, error) {
	source := bytes.NewReader(body)
	decoder, err := newDecoder(source, body, coding)
	if err != nil {
		return nil, undecodable
	}
	defer decoder.Close()
	most := max(freeSize, maxRatio*int64(len(body)))
	// Whatever else fails is the client's fault.
	var refused error
	decoded, err := ReadBody(decoder, -1, min(limit, most), func(capacity int64) error {
		if grow != nil {
			refused = grow(capacity)
		}
		return refused
	})
	if err != nil {
		if refused != nil {
			return nil, refused
		}
		if _, tooLarge := errors.AsType[*RequestError](err); !tooLarge {
			return nil, undecodable
		}
		if most < limit {
			return nil, &RequestError{Code: CodeBodyTooLarge, Message: "the body grows to more than 128 times its size when it is decoded; send it without a content encoding"}
		}
		return nil, err
	}
	if source.Len() > 0 {
		return nil, invalidBody("the body goes on after its compressed content has ended")
	}
	return decoded, nil
}

var undecodable = invalidBody("the body is not what its content encoding says")

// newDecoder begins to decode source, whose bytes body are.
func newDecoder(source *bytes.Reader, body []byte, coding string) (io.ReadCloser, error) {
	switch coding {
	case "zstd":
		decoder, err := zstd.NewReader(source,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	case "deflate":
		// RFC 9110 §8.4.1.2 means zlib (RFC 1950), whose two first bytes check
		// each other; some clients never understood that and send raw deflate.
		if len(body) >= 2 && body[0]&0xf == 8 && (uint(body[0])<<8|uint(body[1]))%31 == 0 {
			return zlib.NewReader(source)
		}
		return flate.NewReader(source), nil
	default:
		return gzip.NewReader(source)
	}
}

func unsupportedEncoding(message string) error {
	return &RequestError{Code: CodeUnsupportedEncoding, Message: message}
}
