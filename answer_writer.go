package oauth2llm

import (
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/credentials"
)

// An answerWriter passes an answer on to the client, less the headers and trailers in
// which an LLM may echo the provider's credentials: those of the names in which keys and
// its token are sent, and those that hold a token that was sent.
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
		field := credentials.CanonicalField(textproto.CanonicalMIMEHeaderKey(strings.TrimPrefix(name, http.TrailerPrefix)))
		if slices.Contains(credentials.KeyFields[:], field) || p.place.Query == "" && field == credentials.CanonicalField(p.place.Header) || w.echoes(values) {
			delete(header, name)
		}
	}
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
		if text[i] == '%' && i+2 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				decoded = append(decoded, byte(c))
				i += 2
				continue
			}
		}
		decoded = append(decoded, text[i])
	}
	return string(decoded)
}

// Interface guards
var (
	_ http.ResponseWriter                       = (*answerWriter)(nil)
	_ io.ReaderFrom                             = (*answerWriter)(nil)
	_ interface{ FlushError() error }           = (*answerWriter)(nil)
	_ interface{ Unwrap() http.ResponseWriter } = (*answerWriter)(nil)
)
