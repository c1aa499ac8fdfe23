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

	// maxCodings is how many content codings may lie on top of each other.
	maxCodings = 3
	// maxWindow is the zstd window that RFC 8878 §3.1.1.1.2 asks decoders to
	// support; it is allocated for the asking, so no larger one is.
	maxWindow = 8 << 20
)

// Decode undoes the content codings of a body (case B21). The header's values,
// joined by commas if there are several, name them in the order in which they
// were applied (RFC 9110 §8.4); no layer may exceed limit bytes, which makes
// bombs harmless. A body without content, or without a coding, comes back as it
// is. A decoded body goes on without its Content-Encoding.
func Decode(body []byte, contentEncoding string, limit int64) ([]byte, error) {
	if contentEncoding == "" || len(body) == 0 {
		return body, nil
	}
	var codings []string
	for coding := range strings.SplitSeq(contentEncoding, ",") {
		switch coding = strings.ToLower(strings.TrimSpace(coding)); coding {
		case "", "identity":
		case "gzip", "x-gzip", "deflate", "zstd":
			codings = append(codings, coding)
		default:
			return nil, unsupportedEncoding("the content encoding of the body is not supported; send one of " + AcceptedEncodings + ", or none")
		}
		if len(codings) > maxCodings {
			return nil, unsupportedEncoding("the body has too many content encodings; send one or none")
		}
	}
	for len(codings) > 0 {
		last := len(codings) - 1
		var err error
		if body, err = decode(body, codings[last], limit); err != nil {
			return nil, err
		}
		codings = codings[:last]
	}
	return body, nil
}

// decode undoes one coding.
func decode(body []byte, coding string, limit int64) ([]byte, error) {
	source := bytes.NewReader(body)
	decoder, err := newDecoder(source, body, coding)
	if err != nil {
		return nil, undecodable
	}
	defer decoder.Close()
	decoded, err := ReadBody(decoder, -1, limit)
	if err != nil {
		if _, tooLarge := errors.AsType[*RequestError](err); tooLarge {
			return nil, err
		}
		return nil, undecodable
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
