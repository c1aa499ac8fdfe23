// Package linger lets an answer arrive that is given before the request's body
// has come.
//
// A server that closes a TCP connection on which data is still coming makes its
// kernel reset it, and a client that learns of the reset drops the answer that
// it has received. RFC 9112 §9.6 therefore asks a server to go on reading after
// its last answer. net/http does so for 256 KiB and half a second. This package
// takes more off the connection, within bounds: at most 64 MiB, for at most 30 s,
// and for 5 s in which nothing comes; 256 connections at once in this process.
// What goes beyond them is closed the way net/http does it.
//
// All of this is for HTTP/1. Over HTTP/2 and HTTP/3 a stream is reset without
// harm to its answer, and the functions do nothing but answer.
package linger

import (
	"io"
	"net/http"
)

// A Rest is what is left of a client's body.
type Rest struct {
	// Body is where the client's own body goes on. It is nil if there is none, or
	// if it was read to its end. Something that fails before the end, such as an
	// http.MaxBytesReader, keeps the connection from being used again and the
	// answer from being safe: what it wraps is better.
	Body io.Reader
	// Begun says that something of the body was read. net/http asks a client that
	// has sent `Expect: 100-continue` for the body when it is first read.
	Begun bool
}

// Respond answers a request that may not have come to its end. write sets the
// header and writes the whole answer, which should have a Content-Length. The
// answer is on its way before the rest of the body is read and thrown away;
// Respond returns when that is done. The connection stays good for another
// request if the body's end was reached, and is closed if not.
//
// A client that holds its body back (`Expect: 100-continue`) is not asked for it.
func Respond(w http.ResponseWriter, r *http.Request, rest Rest, write func()) {
	deadline, bounded := find[readDeadline](w)
	switch {
	case !rest.remains(r):
		write()
		return
	case rest.heldBack(r):
		hangUp(w)
		write()
		return
	case !bounded:
		write()
		return
	case !enter():
		hangUp(w)
		write()
		return
	}
	defer leave()
	if rest.endless(r) {
		w.Header().Set("Connection", "close")
	}
	controller := http.NewResponseController(w)
	if controller.EnableFullDuplex() != nil {
		if rest.endless(r) || !drain(rest.Body, deadline) {
			hangUp(w)
		}
		write()
		return
	}
	write()
	if controller.Flush() != nil || !drain(rest.Body, deadline) {
		hangUp(w)
	}
}

// Discard reads the rest of a body and throws it away before the request is
// answered by somebody else, such as an error route. The request's body fails
// from then on, so that nobody takes it for an empty one.
func Discard(w http.ResponseWriter, r *http.Request, rest Rest) {
	if !rest.remains(r) {
		return
	}
	deadline, bounded := find[readDeadline](w)
	if !bounded {
		return
	}
	r.Body = goneBody{}
	if rest.heldBack(r) || rest.endless(r) || !enter() {
		hangUp(w)
		return
	}
	defer leave()
	if !drain(rest.Body, deadline) {
		hangUp(w)
	}
}

// Leave leaves the rest of a body to somebody else, who may still send the
// request elsewhere before it is answered. Nobody looks after what they leave of
// it, so the connection is closed behind the answer, the way net/http does it by
// itself after a long body.
func Leave(w http.ResponseWriter, r *http.Request, rest Rest) {
	if rest.remains(r) {
		closeBehind(w)
	}
}

// Overlap is called for a request that is passed on, before the answer's header
// is written: before the next handler, or by a transport before it returns the
// answer. The answer then passes while the body still comes. Without it
// net/http takes up to 256 KiB of the body for itself before it lets the header
// through, and the upstream gets a body with a hole. Finish has to follow.
func Overlap(w http.ResponseWriter, r *http.Request) {
	if !hasBody(r) {
		return
	}
	if _, bounded := find[readDeadline](w); bounded {
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
}

// Finish is called after Overlap, when the next handler has returned and the
// whole answer is written, unless the protocol was switched (101). If the
// handler returned an error instead of an answer, Respond, Discard or Leave takes
// its place.
//
// Finish sends what is left in buffers, and then does what Respond does behind
// its answer. Nobody else may go on reading the body.
func Finish(w http.ResponseWriter, r *http.Request, rest Rest) {
	if !rest.remains(r) {
		return
	}
	deadline, bounded := find[readDeadline](w)
	if !bounded {
		return
	}
	if rest.heldBack(r) || http.NewResponseController(w).Flush() != nil || !enter() {
		hangUp(w)
		return
	}
	defer leave()
	if !drain(rest.Body, deadline) {
		hangUp(w)
	}
}

// remains reports whether there is something to take off a connection.
func (rest Rest) remains(r *http.Request) bool {
	return rest.Body != nil && rest.Body != http.NoBody && hasBody(r)
}

// heldBack reports whether the client waits to be asked for the body.
func (rest Rest) heldBack(r *http.Request) bool {
	return !rest.Begun && r.Header.Get("Expect") != ""
}

// endless reports whether the body is known to go on behind what is read of it.
func (rest Rest) endless(r *http.Request) bool {
	return !rest.Begun && r.ContentLength > mostBytes
}

func hasBody(r *http.Request) bool { return r.ProtoMajor == 1 && r.ContentLength != 0 }

// A goneBody stands in for a body that was thrown away.
type goneBody struct{}

func (goneBody) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }
func (goneBody) Close() error             { return nil }
