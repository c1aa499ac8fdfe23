package caddytest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
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

// uploads sends a case's upload in one way, and returns the status.
var uploads = map[string]func(t *testing.T, g *gateway, c earlyCase) (int, error){
	"a Go client, with a length": func(t *testing.T, g *gateway, c earlyCase) (int, error) { return g.upload(t, c, int64(c.size)) },
	"a Go client, in chunks":     func(t *testing.T, g *gateway, c earlyCase) (int, error) { return g.upload(t, c, -1) },
	"a client that sends everything before it reads": func(t *testing.T, g *gateway, c earlyCase) (int, error) {
		return g.uploadRaw(t, c, fmt.Sprintf("Content-Length: %d\r\n\r\n", c.size)+sized(c.size))
	},
	"a client that sends all chunks before it reads": func(t *testing.T, g *gateway, c earlyCase) (int, error) {
		return g.uploadRaw(t, c, "Transfer-Encoding: chunked\r\n\r\n"+chunks(sized(c.size), 100_000))
	},
}

func (g *gateway) upload(t *testing.T, c earlyCase, length int64) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, g.url(c.path), strings.NewReader(sized(c.size)))
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
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	return response.StatusCode, nil
}

func (g *gateway) uploadRaw(t *testing.T, c earlyCase, body string) (int, error) {
	t.Helper()
	var request bytes.Buffer
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.method, c.path, g.address)
	for i := 0; i < len(c.header); i += 2 {
		fmt.Fprintf(&request, "%s: %s\r\n", c.header[i], c.header[i+1])
	}
	connection := g.dial(t)
	defer connection.Close()
	if _, err := connection.Write(request.Bytes()); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(connection, body); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(connection.reader, &http.Request{Method: c.method})
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	return response.StatusCode, nil
}

func TestAnAnswerBeforeTheEndOfAnUploadArrives(t *testing.T) {
	tries := 20
	if testing.Short() {
		tries = 3
	}
	for _, errors := range []string{"respond", "handle"} {
		g := startEarly(t, errors)
		for name, test := range earlyCases {
			if errors == "handle" && test.status >= 500 {
				// The error route may still send this body elsewhere.
				continue
			}
			for client, upload := range uploads {
				if test.unannounced && !strings.Contains(client, "chunks") {
					continue
				}
				t.Run(fmt.Sprintf("errors %s, %s, %s", errors, name, client), func(t *testing.T) {
					var lost []error
					for range tries {
						status, err := upload(t, g, test)
						if err != nil {
							lost = append(lost, err)
						} else if status != test.status {
							t.Fatalf("status %d, want %d", status, test.status)
						}
					}
					if len(lost) > 0 {
						t.Errorf("%d of %d answers are lost: %v", len(lost), tries, lost[0])
					}
				})
			}
		}
	}
}
