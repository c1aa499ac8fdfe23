package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// An earlyCase is an upload that is refused before all of it has come.
type earlyCase struct {
	method, path string
	header       []string
	size         int
	status       int
	// unannounced says that a length would be refused by somebody else.
	unannounced bool
}

// earlyCases are for the site of startEarly.
var earlyCases = map[string]earlyCase{
	"413 at 2.2 MiB":             {"POST", "/v1/chat/completions", withKey, 22 << 20 / 10, 413, false},
	"413 at 3 MiB":               {"POST", "/v1/chat/completions", withKey, 3 << 20, 413, false},
	"413 at 40 MiB":              {"POST", "/v1/chat/completions", withKey, 40 << 20, 413, false},
	"401 at 1 MiB":               {"POST", "/v1/chat/completions", nil, 1 << 20, 401, false},
	"401 at 10 MiB":              {"POST", "/v1/chat/completions", nil, 10 << 20, 401, false},
	"403 at 3 MiB":               {"POST", "/fixed/v1/secret", withKey, 3 << 20, 403, false},
	"415 at 1 MiB":               {"POST", "/v1/chat/completions", append([]string{"Content-Encoding", "br"}, withKey...), 1 << 20, 415, false},
	"404 at 3 MiB":               {"POST", "/v1/files?model=zzz%2Fm", withKey, 3 << 20, 404, false},
	"405 at 3 MiB":               {"TRACE", "/v1/chat/completions", withKey, 3 << 20, 405, false},
	"502 at 3 MiB":               {"POST", "/broken/v1/files", withKey, 3 << 20, 502, false},
	"a list of models, at 3 MiB": {"GET", "/v1/models", withKey, 3 << 20, 200, false},
	"413 of request_body, 3 MiB": {"POST", "/limited/v1/chat/completions", withKey, 3 << 20, 413, true},
	"401 behind request_body":    {"POST", "/limited/v1/chat/completions", nil, 3 << 20, 401, true},
	"413 that may be compressed": {"POST", "/compressed/v1/chat/completions", append([]string{"Accept-Encoding", "gzip"}, withKey...), 3 << 20, 413, false},
	"413 that is intercepted":    {"POST", "/intercepted/v1/chat/completions", withKey, 3 << 20, 413, false},
}

// startEarly starts a gateway that refuses the uploads of earlyCases.
func startEarly(t *testing.T, errors string) *gateway {
	t.Helper()
	auth, broken := newCorpAuth(t), newCorpAuth(t)
	broken.setFault(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	up := newUpstream(t, nil)
	directive := func(provider string) string {
		return fmt.Sprintf("oauth2_llm %s {\n%s\nmax_body 2MiB\nerrors %s\n}\nreverse_proxy %s\n", provider, gatewayKey, errors, up.address())
	}
	provider := func(name, more string, auth *authServer) string {
		return fmt.Sprintf("provider %s {\nclient_id corp-client\nclient_secret corp-secret\ntoken_url %s\n%s\n}\n", name, auth.tokenURL(), more)
	}
	return startGateway(t, "{\n{{global}}\noauth2_llm {\n"+
		provider("corp", "", auth)+provider("narrow", "paths /v1/chat/*", auth)+provider("broken", "", broken)+"}\n}\n"+
		"{{site}} {\nlog\n"+
		"handle_path /fixed/* {\n"+directive("narrow")+"}\n"+
		"handle_path /broken/* {\n"+directive("broken")+"}\n"+
		"handle_path /limited/* {\nrequest_body {\nmax_size 1MiB\n}\n"+directive("")+"}\n"+
		"handle_path /compressed/* {\nencode {\ngzip\nminimum_length 1\nmatch {\nstatus 413\n}\n}\n"+directive("")+"}\n"+
		"handle_path /intercepted/* {\nintercept {\n@refused status 413\nhandle_response @refused {\nrespond kept 413\n}\n}\n"+directive("")+"}\n"+
		"handle {\n"+directive("")+"}\n"+
		"handle_errors {\nrespond `an error route: {err.status_code}` {err.status_code}\n}\n}\n")
}

// uploads prepare a case's upload. What they return sends it, and returns the
// status of the answer.
var uploads = map[string]func(g *gateway, c earlyCase) func(*testing.T) (int, error){
	"a Go client, with a length": func(g *gateway, c earlyCase) func(*testing.T) (int, error) { return g.upload(c, int64(c.size)) },
	"a Go client, in chunks":     func(g *gateway, c earlyCase) func(*testing.T) (int, error) { return g.upload(c, -1) },
	"a client that sends everything before it reads": func(g *gateway, c earlyCase) func(*testing.T) (int, error) {
		return g.uploadRaw(c, fmt.Sprintf("Content-Length: %d\r\n\r\n", c.size)+sized(c.size))
	},
	"a client that sends all chunks before it reads": func(g *gateway, c earlyCase) func(*testing.T) (int, error) {
		return g.uploadRaw(c, "Transfer-Encoding: chunked\r\n\r\n"+chunks(sized(c.size), 100_000))
	},
}

func (g *gateway) upload(c earlyCase, length int64) func(*testing.T) (int, error) {
	body := sized(c.size)
	return func(t *testing.T) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), c.method, g.url(c.path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength, r.GetBody = length, nil
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		response, err := g.client.Do(r)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, err
	}
}

func (g *gateway) uploadRaw(c earlyCase, body string) func(*testing.T) (int, error) {
	var request strings.Builder
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.method, c.path, g.address)
	for i := 0; i < len(c.header); i += 2 {
		fmt.Fprintf(&request, "%s: %s\r\n", c.header[i], c.header[i+1])
	}
	request.WriteString(body)
	return func(t *testing.T) (int, error) {
		connection := g.dial(t)
		defer connection.Close()
		if _, err := io.WriteString(connection, request.String()); err != nil {
			return 0, err
		}
		response, err := http.ReadResponse(connection.reader, &http.Request{Method: c.method})
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, err
	}
}

// wantNoneLost sends an upload again and again.
func wantNoneLost(t *testing.T, status int, upload func(*testing.T) (int, error)) {
	t.Helper()
	tries := 20
	if testing.Short() {
		tries = 3
	}
	var lost []error
	for range tries {
		got, err := upload(t)
		if err != nil {
			lost = append(lost, err)
		} else if got != status {
			t.Fatalf("status %d, want %d", got, status)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d answers are lost: %v", len(lost), tries, lost[0])
	}
}

func TestAnAnswerBeforeTheEndOfAnUploadArrives(t *testing.T) {
	for _, errors := range []string{"respond", "handle"} {
		g := startEarly(t, errors)
		for name, test := range earlyCases {
			if errors == "handle" && test.status >= 500 {
				// The error route may still send this body elsewhere.
				continue
			}
			for client, prepare := range uploads {
				if test.unannounced && !strings.Contains(client, "chunks") {
					continue
				}
				t.Run(fmt.Sprintf("errors %s, %s, %s", errors, name, client), func(t *testing.T) {
					wantNoneLost(t, test.status, prepare(g, test))
				})
			}
		}
	}
}

// A body may hold what looks like requests.
func TestWhatIsLeftOfAnUploadIsNoRequest(t *testing.T) {
	for _, errors := range []string{"respond", "handle"} {
		g := startEarly(t, errors)
		for name, test := range smuggling {
			for client, header := range map[string]string{"without a key": "", "with a key": "Api-Key: gateway-key\r\n"} {
				t.Run(fmt.Sprintf("errors %s, %s, %s", errors, client, name), func(t *testing.T) {
					wantOneAnswerAtMost(t, g, header+test)
				})
			}
		}
	}
}

// smuggling are headers, and beginnings of bodies that never end or are
// malformed. The beginning is long enough for every upstream to answer.
var smuggling = map[string]string{
	"a length":                  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 100<<30, strings.Repeat("x", 70_000)),
	"chunks":                    "Transfer-Encoding: chunked\r\n\r\n1111111111\r\n" + strings.Repeat("x", 70_000),
	"chunks that are malformed": "Transfer-Encoding: chunked\r\n\r\n11170\r\n" + strings.Repeat("x", 70_000) + "\r\nzz\r\n",
}

// wantOneAnswerAtMost sends a request that goes on with one request after another,
// until the connection ends.
func wantOneAnswerAtMost(t *testing.T, g *gateway, sent string) {
	t.Helper()
	connection := g.dial(t)
	defer connection.Close()
	smuggled := strings.Repeat("GET /v1/models HTTP/1.1\r\nHost: "+g.address+"\r\nApi-Key: gateway-key\r\n\r\n", 1000)
	go func() {
		_, err := io.WriteString(connection, "POST /v1/chat/completions HTTP/1.1\r\nHost: "+g.address+"\r\n"+sent)
		for err == nil {
			_, err = io.WriteString(connection, smuggled)
		}
	}()
	// The connection may well be reset.
	all, _ := io.ReadAll(connection.reader)
	answers := strings.Count(string(all), "HTTP/1.1 ")
	if answers > 1 || strings.Contains(string(all), "HTTP/1.1 2") {
		t.Errorf("%d answers came, the first is %.40q; want a refusal alone", answers, all)
	}
}

// Caddy alone holds a connection for a minute.
func TestAClientThatFallsSilentIsNotWaitedForLong(t *testing.T) {
	for _, errors := range []string{"respond", "handle"} {
		t.Run("errors "+errors, func(t *testing.T) {
			g := startEarly(t, errors)
			var all sync.WaitGroup
			for _, sent := range []string{
				"Content-Length: 10000000\r\n\r\nx",
				"Content-Length: 1000\r\n\r\nx",
				"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
				"Api-Key: gateway-key\r\nContent-Length: 10000000\r\n\r\nx",
			} {
				connection := g.dial(t)
				defer connection.Close()
				_ = connection.SetDeadline(time.Now().Add(40 * time.Second))
				all.Go(func() {
					_, _ = io.WriteString(connection, "POST /v1/chat/completions HTTP/1.1\r\nHost: "+g.address+"\r\n"+sent)
					response, err := io.ReadAll(connection.reader)
					if err != nil || !strings.HasPrefix(string(response), "HTTP/1.1 4") {
						t.Errorf("%q: the answer is %q, its end %v", sent, response, err)
					}
				})
			}
			all.Wait()
		})
	}
}
