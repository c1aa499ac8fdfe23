package tokens

import (
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// A sending watches whether a token request leaves.
type sending struct {
	// traced says that the transport tells what it does, wrote that it has written the
	// request's header. refused says that it was too late to send the request.
	traced, wrote, refused atomic.Bool
}

// watchSending watches a request that must not leave if it is late. That is looked at
// when its body is read, which is after a connection is there and before anything is
// written to it: the machine may have slept in between.
func watchSending(p *prepared, late func() bool) *sending {
	s := &sending{}
	r := p.request
	p.request = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { s.traced.Store(true) },
		GotConn: func(info httptrace.GotConnInfo) {
			// What has no body to be looked at when it is read is all in the URL.
			if late != nil && r.GetBody == nil && late() {
				s.refused.Store(true)
				_ = info.Conn.Close()
			}
		},
		WroteHeaders: func() { s.wrote.Store(true) },
	}))
	if late == nil || r.GetBody == nil {
		return s
	}
	getBody := r.GetBody
	p.request.Body = &gatedBody{r.Body, s, late}
	p.request.GetBody = func() (io.ReadCloser, error) {
		body, err := getBody()
		if err != nil {
			return nil, err
		}
		return &gatedBody{body, s, late}, nil
	}
	return s
}

// began reports whether a request may have arrived whose exchange ended in an error.
// A transport that tells nothing may have sent it.
func (s *sending) began(err error) bool {
	if s.refused.Load() {
		return false
	}
	if network, ok := errors.AsType[*net.OpError](err); ok && network.Op == "dial" {
		return false
	}
	return !s.traced.Load() || s.wrote.Load()
}

// A gatedBody is a request's body that is not read if it is too late.
type gatedBody struct {
	io.ReadCloser
	sending *sending
	late    func() bool
}

func (b *gatedBody) Read(into []byte) (int, error) {
	if b.late() {
		b.sending.refused.Store(true)
		return 0, errLate
	}
	return b.ReadCloser.Read(into)
}
