package caddytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

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

// startBeforeEarlyUpstream starts a gateway that passes everything on to such an
// upstream, as it comes.
func startBeforeEarlyUpstream(t *testing.T) *gateway {
	t.Helper()
	return startGateway(t, "{\n{{global}}\n}\n{{site}} {\nlog\noauth2_llm {\nprovider corp {\nclient_id i\nclient_secret s\ntoken_url https://auth.example.com/token\n}\nclient_key off\nunknown_model pass\n}\nreverse_proxy "+newEarlyUpstream(t)+"\n}\n")
}

func TestAnUpstreamsAnswerBeforeTheEndOfAnUploadArrives(t *testing.T) {
	g := startBeforeEarlyUpstream(t)
	for _, size := range []int{100 << 10, 3 << 20, 40 << 20} {
		for client, prepare := range uploads {
			t.Run(fmt.Sprintf("%d bytes, %s", size, client), func(t *testing.T) {
				wantNoneLost(t, http.StatusRequestEntityTooLarge, prepare(g, earlyCase{method: http.MethodPost, path: "/v1/files", size: size}))
			})
		}
	}
}

// Behind a reverse_proxy alone, it may be one.
func TestWhatIsLeftOfAnUploadIsNoRequestBehindAnUpstreamsAnswer(t *testing.T) {
	g := startBeforeEarlyUpstream(t)
	for name, sent := range smuggling {
		t.Run(name, func(t *testing.T) { wantOneAnswerAtMost(t, g, sent) })
	}
}
