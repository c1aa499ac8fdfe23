package oauth2llm

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
)

// clientBody is the client's own body. Others may have wrapped it: `request_body
// max_size` lets nothing through behind its limit, so it is looked for below them.
func clientBody(r *http.Request) io.Reader {
	if reader, _ := caddyhttp.IdleTimeoutsFromContext(r.Context()); reader != nil {
		return reader
	}
	return r.Body
}

// unread is what is left of the client's body.
func (l *lease) unread() linger.Rest {
	remains, begun := l.message.Rest()
	if !remains {
		return linger.Rest{}
	}
	return linger.Rest{Body: l.upload, Begun: begun}
}

// takeBack ends reading for a transport that has not noticed yet that its
// request is over, and returns what is left of the client's body.
func (l *lease) takeBack() linger.Rest {
	l.message.TakeBack()
	return l.unread()
}

// leaveBody prepares a request for an error route, which answers it. A failure
// of an upstream or a token endpoint is one that the error route can mend, by
// sending the request elsewhere: it gets the body if that is still whole. What
// is wrong with the request itself stays wrong, so the body is thrown away.
func (l *lease) leaveBody(w http.ResponseWriter, r *http.Request, status int) {
	if l.message.Whole() && status >= http.StatusInternalServerError {
		linger.Leave(w, r, l.unread())
		return
	}
	linger.Discard(w, r, l.takeBack())
	l.settle(r)
}

// settle waits, over HTTP/1, for a transport that is still in the middle of reading
// the body: it gets the end, or the deadline that has ended the upload.
func (l *lease) settle(r *http.Request) {
	if r.ProtoMajor == 1 {
		l.message.Settle()
	}
}

// isBuffered reports whether an answer whose header was written stays with a
// ResponseRecorder of Caddy's, such as the one of `intercept`, until the handler
// returns.
func isBuffered(w http.ResponseWriter) bool {
	for {
		if recorder, ok := w.(interface{ Buffered() bool }); ok && recorder.Buffered() {
			return true
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = wrapper.Unwrap()
	}
}
