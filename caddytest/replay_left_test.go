package caddytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// newHastyHost answers each connection's first request once it has its header,
// and reads nothing of its body.
func newHastyHost(t *testing.T, status int, arrived chan<- string) string {
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
			go func() {
				defer connection.Close()
				r, err := http.ReadRequest(bufio.NewReader(connection))
				if err != nil {
					return
				}
				arrived <- r.URL.Path
				fmt.Fprintf(connection, "HTTP/1.1 %d Early\r\nContent-Length: 0\r\n\r\n", status)
				<-t.Context().Done()
			}()
		}
	}()
	return listener.Addr().String()
}

// An LLM that answers before it has read a long body leaves the rest of it on the
// client's connection. Whoever reads on there takes it for further requests.
func TestWhatIsLeftOfABodyIsNotTakenForTheNextRequest(t *testing.T) {
	const size = 16 << 20
	hidden := "GET /hidden HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\n\r\n"
	hidden = strings.Repeat(hidden, size/len(hidden))
	for where, site := range map[string]corpSite{
		"a plain reverse_proxy, fixed":     {fixed: true},
		"a plain reverse_proxy, by model":  {directive: "default_provider corp"},
		"transport oauth2_llm, fixed":      {fixed: true, proxy: "transport oauth2_llm"},
		"transport oauth2_llm, by model":   {directive: "default_provider corp", proxy: "transport oauth2_llm"},
		"a base_url, fixed":                {fixed: true, provider: "base_url"},
		"a base_url, by model":             {directive: "default_provider corp", provider: "base_url"},
		"no provider's, and unknown_model": {directive: "unknown_model pass"},
	} {
		for _, status := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusForbidden} {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d, in chunks: %v", where, status, chunked), func(t *testing.T) {
					arrived := make(chan string, 1000)
					host := newHastyHost(t, status, arrived)
					site := site
					site.auth, site.upstream = newCorpAuth(t), host
					if site.provider != "" {
						site.provider, site.upstream, site.proxy = "base_url http://"+host, "", "dynamic oauth2_llm\ntransport oauth2_llm"
					}
					site.directive = gatewayKey + "max_body 64KiB\n" + site.directive
					g := site.start(t)
					connection, err := net.Dial("tcp", g.address)
					if err != nil {
						t.Fatal(err)
					}
					defer connection.Close()
					_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
					framing, body := fmt.Sprintf("Content-Length: %d", len(hidden)), hidden
					if chunked {
						framing, body = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
					}
					go func() {
						_, _ = io.WriteString(connection, "POST /v1/files HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\n"+framing+"\r\n\r\n"+body)
						// Nothing follows: what is answered from here on stood in the body.
						_ = connection.(*net.TCPConn).CloseWrite()
					}()
					reader := bufio.NewReader(connection)
					response, err := http.ReadResponse(reader, nil)
					if err != nil {
						t.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, response.Body)
					want := status
					if status == http.StatusUnauthorized && site.proxy != "" {
						want = http.StatusServiceUnavailable
					}
					if response.StatusCode != want {
						t.Errorf("status %d, want %d", response.StatusCode, want)
					}
					if second, err := http.ReadResponse(reader, nil); err == nil {
						t.Errorf("there is a second answer, with status %d", second.StatusCode)
					}
					for len(arrived) > 0 {
						if path := <-arrived; path != "/v1/files" {
							t.Errorf("a request for %s arrived", path)
						}
					}
				})
			}
		}
	}
}
