package oauth2llm

import (
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// An answerWriter passes an answer on to the client without what an LLM echoes of
// the request that is the provider's: headers and trailers of a credential's name,
// and those that hold a token that was sent.
type answerWriter struct {
	caddyhttp.ResponseWriterWrapper
	lease *lease
	// begun says that the header has left, switched that the connection is no longer
	// HTTP.
	begun, switched bool
}

// WriteHeader cleans the header of each 1xx answer, too.
func (w *answerWriter) WriteHeader(status int) {
	w.clean()
	w.switched = status == http.StatusSwitchingProtocols
	w.begun = w.begun || status >= http.StatusOK || status == http.StatusSwitchingProtocols
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (w *answerWriter) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError implements what http.ResponseController flushes with.
func (w *answerWriter) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// begin cleans a header that leaves without a WriteHeader.
func (w *answerWriter) begin() {
	if !w.begun {
		w.begun = true
		w.clean()
	}
}

// clean removes from the header, and from trailers that are in it, what is not for
// the client.
func (w *answerWriter) clean() {
	p := w.lease.provider()
	if p == nil {
		return
	}
	header := w.Header()
	for name, values := range header {
		field := canonicalField(textproto.CanonicalMIMEHeaderKey(strings.TrimPrefix(name, http.TrailerPrefix)))
		if isCredentialAnswer(field) || p.place.Query == "" && field == canonicalField(p.place.Header) || w.echoes(values) {
			delete(header, name)
		}
	}
}

// isCredentialAnswer reports whether an answer's field has the name of one in which
// clients send credentials.
func isCredentialAnswer(field string) bool {
	switch field {
	case "Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key":
		return true
	}
	return false
}

// shortToken is the length under which a token may be part of any text.
const shortToken = 16

// echoes reports whether one of the values holds a token that was sent.
func (w *answerWriter) echoes(values []string) bool {
	for _, token := range w.lease.walk.sent {
		if token == nil {
			continue
		}
		text := token.Value.Reveal()
		if len(text) < shortToken {
			continue
		}
		for _, value := range values {
			if len(value) >= len(text) && (strings.Contains(value, text) || strings.Contains(percentDecoded(value), text)) {
				return true
			}
		}
	}
	return false
}

// percentDecoded undoes the percent-encoding of a text, in which there may be
// percent signs that encode nothing.
func percentDecoded(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if high, low := hexDigit(text, i+1), hexDigit(text, i+2); text[i] == '%' && high >= 0 && low >= 0 {
			decoded = append(decoded, byte(high<<4|low))
			i += 2
			continue
		}
		decoded = append(decoded, text[i])
	}
	return string(decoded)
}

// hexDigit is the value of a hexadecimal digit, -1 if there is none.
func hexDigit(text string, at int) int {
	if at >= len(text) {
		return -1
	}
	return strings.IndexByte("0123456789abcdef", text[at]|0x20)
}

// Interface guards
var (
	_ http.ResponseWriter                       = (*answerWriter)(nil)
	_ io.ReaderFrom                             = (*answerWriter)(nil)
	_ interface{ FlushError() error }           = (*answerWriter)(nil)
	_ interface{ Unwrap() http.ResponseWriter } = (*answerWriter)(nil)
)
