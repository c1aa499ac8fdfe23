package caddytest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// sized is a chat completion request of exactly so many bytes.
func sized(length int) string {
	const begin, end = `{"model":"corp/m","x":"`, `"}`
	return begin + strings.Repeat("x", length-len(begin)-len(end)) + end
}

// withoutPrefix is what arrives of a JSON body whose model is corp's.
func withoutPrefix(body string) string {
	return strings.Replace(body, `"corp/`, `     "`, 1)
}

// flood sends a request whose body the gateway may refuse before its end, and
// returns the answer.
func (g *gateway) flood(t *testing.T, head, body string) answer {
	t.Helper()
	connection, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		_, _ = io.WriteString(connection, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\n"+head+"\r\n\r\n")
		_, _ = io.WriteString(connection, body)
	}()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}
}

func length(body string) string { return fmt.Sprintf("Content-Length: %d", len(body)) }

// chunks is a body in chunks of a size, without trailers.
func chunks(body string, size int) string {
	var all strings.Builder
	for at := 0; at < len(body); at += size {
		piece := body[at:min(at+size, len(body))]
		fmt.Fprintf(&all, "%x\r\n%s\r\n", len(piece), piece)
	}
	all.WriteString("0\r\n\r\n")
	return all.String()
}

func TestDeepNestingIsRefusedAndTheNextRequestIsServed(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey}.start(t)
	deep := strings.Repeat("[", 10<<20)
	for name, test := range map[string]struct{ body, code string }{
		"behind the model":  {`{"model":"corp/m","x":` + deep, "invalid_body"},
		"in front of it":    {`{"x":` + deep, "invalid_body"},
		"objects":           {strings.Repeat(`{"a":`, 2<<20), "invalid_body"},
		"that closes again": {`{"model":"corp/m","x":` + deep[:5<<20] + strings.Repeat("]", 5<<20) + "}", "invalid_body"},
		"nothing but that":  {deep, "model_required"},
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			g.flood(t, length(test.body), test.body).wantError(t, 400, "invalid_request_error", test.code)
			// The sanctioned bound is 100 ms without the transfer; this is a
			// bound against quadratic work, on a slow machine.
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	if up.count() != 0 {
		t.Error("a request was forwarded")
	}
	g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
}

func TestABodyOverTheLimitIsRefused(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	long := sized(64 << 20)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey}.start(t)
	t.Run("64 MiB with a length", func(t *testing.T) {
		g.flood(t, length(long), long).wantError(t, 413, "invalid_request_error", "body_too_large")
	})
	t.Run("64 MiB in chunks", func(t *testing.T) {
		g.flood(t, "Transfer-Encoding: chunked", chunks(long, 1<<20)).wantError(t, 413, "invalid_request_error", "body_too_large")
	})
	if up.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Error("a request was forwarded or a token fetched")
	}
}

func TestMaxBodyIsTheLargestBodyThatPasses(t *testing.T) {
	const limit = 64 << 10
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "max_body 64KiB"}.start(t)
	form := func(length int) string {
		const begin, end = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ncorp/m\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n", "\r\n--b--\r\n"
		return begin + strings.Repeat("x", length-len(begin)-len(end)) + end
	}
	for name, test := range map[string]struct {
		body func(int) string
		head string
		send func(string) string
	}{
		"JSON":             {sized, "", nil},
		"JSON in chunks":   {sized, "Transfer-Encoding: chunked", func(body string) string { return chunks(body, 1000) }},
		"a form":           {form, "Content-Type: multipart/form-data; boundary=b", nil},
		"JSON, compressed": {sized, "Content-Encoding: gzip", func(body string) string { return gzipped(t, body) }},
	} {
		for _, over := range []int{-1, 0, 1} {
			t.Run(fmt.Sprintf("%s, %d over it", name, over), func(t *testing.T) {
				before := up.count()
				body, head := test.body(limit+over), test.head
				if test.send != nil {
					body = test.send(body)
				}
				if !strings.Contains(head, "chunked") {
					head = strings.TrimPrefix(head+"\r\n"+length(body), "\r\n")
				}
				a := g.flood(t, head, body)
				if over > 0 {
					a.wantError(t, 413, "invalid_request_error", "body_too_large")
				} else {
					a.wantStatus(t, http.StatusOK)
				}
				if forwarded := up.count() - before; (forwarded == 1) != (over <= 0) {
					t.Errorf("%d requests were forwarded", forwarded)
				}
			})
		}
	}
}

func TestOddModelNamesNeverGetAToken(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp"}.start(t)
	for _, model := range []string{
		"corp/../b", "corp/.", "corp/", "/x", "corp//x", "//", "/", "", `corp/x\u0000`, `\u0000corp/x`, "corp/" + strings.Repeat("x", 4<<10),
		" corp/x", "corp /x", "corp/ x", "corp/x ", `corp/x\n`, `corp\r\n/x`, `corp/x\u007f`, "corp/%2e%2e/x", `corp/..\\x`,
		strings.Repeat("x", 4<<10), `corp/\ud800`,
	} {
		t.Run(model[:min(len(model), 20)], func(t *testing.T) {
			g.post("/v1/chat/completions", `{"model":"`+model+`"}`, withKey...).wantError(t, 400, "invalid_request_error", "invalid_body")
		})
	}
	if up.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Errorf("%d requests were forwarded, %d tokens fetched", up.count(), auth.tokenRequests.Load())
	}
	t.Setenv("TEST_SECRET", "secret-value")
	for _, name := range []string{"{env.TEST_SECRET}", "{http.request.host}", "{file./etc/hostname}", "é/ü", "a b", "ft:gpt:org::id", "x@y"} {
		t.Run("a name that is taken literally: "+name, func(t *testing.T) {
			g.post("/v1/chat/completions", chat("corp/"+name), withKey...).wantStatus(t, http.StatusOK)
			if got := string(up.last(t).body); got != withoutPrefix(chat("corp/"+name)) {
				t.Errorf("%s arrived", got)
			}
		})
	}
}

func TestChunksOfOneByteArriveAsTheSameBody(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp"}.start(t)
	body := sized(5000)
	for name, test := range map[string]struct{ sent, want string }{
		"JSON":                       {body, withoutPrefix(body)},
		"JSON behind spaces":         {strings.Repeat(" ", 5000) + body, strings.Repeat(" ", 5000) + withoutPrefix(body)},
		"no JSON":                    {strings.Repeat("RIFF", 1000), strings.Repeat("RIFF", 1000)},
		"JSON that is not an object": {"[" + body + "]", "[" + body + "]"},
	} {
		t.Run(name, func(t *testing.T) {
			g.flood(t, "Transfer-Encoding: chunked", chunks(test.sent, 1)).wantStatus(t, http.StatusOK)
			got := up.last(t)
			if sha256.Sum256(got.body) != sha256.Sum256([]byte(test.want)) {
				t.Errorf("%d bytes arrived, want others, %d of them", len(got.body), len(test.want))
			}
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
		})
	}
}

func TestAddressesAndKeysInABodyAreNotUsed(t *testing.T) {
	auth, up, evil := newCorpAuth(t), newUpstream(t, nil), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp"}.start(t)
	for _, field := range []string{"api_base", "base_url", "api_key", "token_url", "custom_llm_provider", "provider", "litellm_params"} {
		for _, value := range []string{`"` + evil.URL + `"`, `{"api_base":"` + evil.URL + `","model":"zzz/x"}`} {
			t.Run(field+" "+value[:2], func(t *testing.T) {
				before := up.count()
				body := fmt.Sprintf(`{"%s":%s,"model":"corp/m"}`, field, value)
				g.post("/v1/chat/completions", body, withKey...).wantStatus(t, http.StatusOK)
				got := up.last(t)
				wantToken(t, auth, got.header, "Authorization", "Bearer ")
				if string(got.body) != withoutPrefix(body) || up.count() != before+1 {
					t.Errorf("%s arrived, in %d requests", got.body, up.count()-before)
				}
			})
		}
	}
	if evil.count() != 0 {
		t.Errorf("%d requests went where a body pointed", evil.count())
	}
}

func TestABodyThatIsCutOffIsNotForwardedAsAWholeOne(t *testing.T) {
	auth := newCorpAuth(t)
	ends := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ends <- err
	}))
	defer server.Close()
	g := corpSite{auth: auth, upstream: strings.TrimPrefix(server.URL, "http://"), directive: gatewayKey + "default_provider corp"}.start(t)
	const form = "Content-Type: multipart/form-data; boundary=b\r\n"
	for name, test := range map[string]struct {
		head, body string
		// streams says that the upstream sees the beginning.
		streams bool
	}{
		"JSON with a length":   {"Content-Length: 1000", `{"model":"corp/m","messages":[`, false},
		"JSON in chunks":       {"Transfer-Encoding: chunked", "1f\r\n{\"model\":\"corp/m\"} ", false},
		"whole JSON, no end":   {"Transfer-Encoding: chunked", "12\r\n{\"model\":\"corp/m\"}\r\n", false},
		"a form":               {form + "Content-Length: 1000", "--b\r\n", false},
		"no JSON with length":  {"Content-Length: 1000", "RIFF", true},
		"no JSON, in chunks":   {"Transfer-Encoding: chunked", "4\r\nRIFF\r\n", true},
		"nothing of its bytes": {"Content-Length: 1000", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			response := g.cutOff(t, test.head, test.body)
			if test.streams {
				if err := <-ends; err == nil {
					t.Error("the upstream got a whole body")
				}
				return
			}
			response.wantError(t, 400, "invalid_request_error", "invalid_body")
			if len(ends) > 0 {
				t.Error("a request was forwarded")
			}
		})
	}
}

// cutOff sends the beginning of a request and no more, and returns the answer if
// there is one.
func (g *gateway) cutOff(t *testing.T, head, body string) answer {
	t.Helper()
	connection, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(connection, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\n"+head+"\r\n\r\n"+body)
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.(*net.TCPConn).CloseWrite()
	all, _ := io.ReadAll(connection)
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), nil)
	if err != nil {
		return answer{}
	}
	text, _ := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}
}

// Bodies that are no JSON object, and uploads whatever they are, are not held:
// max_body does not apply, and the first half arrives before the second is sent.
func TestBodiesWithoutAModelStreamToTheDefaultProvider(t *testing.T) {
	auth := newCorpAuth(t)
	const half = 300_000
	arrived, sums := make(chan struct{}, 1), make(chan [sha256.Size]byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		_, _ = io.CopyN(sum, r.Body, half)
		arrived <- struct{}{}
		_, _ = io.Copy(sum, r.Body)
		sums <- [sha256.Size]byte(sum.Sum(nil))
	}))
	defer server.Close()
	g := corpSite{auth: auth, upstream: strings.TrimPrefix(server.URL, "http://"), directive: gatewayKey + "default_provider corp\nmax_body 64KiB"}.start(t)
	form := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nzzz/x\r\n--b\r\n"
	for name, test := range map[string]struct{ path, contentType, begin string }{
		"a recording":       {"/v1/audio", "audio/wav", "RIFF"},
		"a JSON array":      {"/v1/x", "application/json", "[ {}"},
		"a form of a file":  {"/v1/files", "multipart/form-data; boundary=b", form},
		"JSON of a file":    {"/v1/files", "application/json", `{"model":"zzz/x"`},
		"a part of a file":  {"/v1/uploads/u/parts", "multipart/form-data; boundary=b", form},
		"lines with models": {"/v1/files/f/content", "application/jsonl", "{\"model\":\"zzz/x\"}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			body := test.begin + strings.Repeat("x", 2*half-len(test.begin))
			reader, writer := io.Pipe()
			go func() {
				_, _ = io.WriteString(writer, body[:half])
				select {
				case <-arrived:
				case <-time.After(10 * time.Second):
					t.Error("the first half did not arrive before the second was sent")
				}
				_, _ = io.WriteString(writer, body[half:])
				writer.Close()
			}()
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url(test.path), reader)
			r.Header.Set("Content-Type", test.contentType)
			g.send(r, withKey...).wantStatus(t, http.StatusOK)
			if <-sums != sha256.Sum256([]byte(body)) {
				t.Error("another body arrived")
			}
		})
	}
}

// A body that breaks the protocol is its client's fault, not the LLM's.
func TestABodyThatBreaksOffIsTheClientsFault(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	for name, fixed := range map[string]bool{"with a fixed provider": true, "routed by model": false} {
		t.Run(name, func(t *testing.T) {
			g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey, fixed: fixed}.start(t)
			response, _, _ := g.exchange(t, http.MethodPost, []byte("POST /v1/x HTTP/1.1\r\nHost: gateway.test\r\nApi-Key: gateway-key\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n"))
			body, _ := io.ReadAll(response.Body)
			answer{response.StatusCode, response.Header, string(body)}.wantError(t, http.StatusBadRequest, "invalid_request_error", "invalid_body")
			if strings.Contains(g.log(), "upstream_unreachable") {
				t.Error("the log blames the upstream")
			}
		})
	}
}
