package caddytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/linger"
)

func init() {
	caddy.RegisterModule(overlapping{})
	httpcaddyfile.RegisterHandlerDirective("test_overlap", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return overlapping{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("test_overlap", httpcaddyfile.Before, "reverse_proxy")
}

// overlapping lets the answer of the next handler pass while the body comes.
type overlapping struct{}

func (overlapping) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_overlap", New: func() caddy.Module { return overlapping{} }}
}

func (overlapping) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	var own io.Reader
	if reader, _ := caddyhttp.IdleTimeoutsFromContext(r.Context()); reader != nil {
		own = reader
	}
	body := linger.NewBody(r.Body, own)
	r.Body = body
	linger.Overlap(w, r)
	if err := next.ServeHTTP(w, r); err != nil {
		linger.Discard(w, r, body.Rest())
		return err
	}
	linger.Finish(w, r, body.Rest())
	return nil
}

// newEarlyUpstream starts an upstream that answers after 64 KiB of a body, and
// reads on. It returns the upstream's address.
func newEarlyUpstream(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go answerEarly(connection)
		}
	}()
	return listener.Addr().String()
}

func answerEarly(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, r.Body, 64<<10)
		const text = `{"error":{"message":"too long for this model"}}`
		fmt.Fprintf(connection, "HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
	}
}

func TestAnUpstreamsAnswerBeforeTheEndOfAnUploadArrives(t *testing.T) {
	up := newEarlyUpstream(t)
	g := startGateway(t, "{\n{{global}}\n}\n{{site}} {\nlog\ntest_overlap\nreverse_proxy "+up+"\n}\n")
	for _, size := range []int{100 << 10, 3 << 20, 40 << 20} {
		for client, prepare := range uploads {
			t.Run(fmt.Sprintf("%d bytes, %s", size, client), func(t *testing.T) {
				wantNoneLost(t, http.StatusRequestEntityTooLarge, prepare(g, earlyCase{method: http.MethodPost, path: "/v1/x", size: size}))
			})
		}
	}
}

// Behind a reverse_proxy alone, it may be one.
func TestWhatIsLeftOfAnUploadIsNoRequestBehindAnUpstreamsAnswer(t *testing.T) {
	g := startGateway(t, "{\n{{global}}\n}\n{{site}} {\nlog\ntest_overlap\nreverse_proxy "+newEarlyUpstream(t)+"\n}\n")
	for name, sent := range smuggling {
		t.Run(name, func(t *testing.T) { wantOneAnswerAtMost(t, g, sent) })
	}
}
