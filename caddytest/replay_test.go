package caddytest

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const replayedMaxBody = 2 << 20

// jsonOf is a chat completion of so many bytes.
func jsonOf(size int) string {
	const start, end = `{"model":"corp/gpt-4o","x":"`, `"}`
	return start + strings.Repeat("x", size-len(start)-len(end)) + end
}

// A replayedRequest is a request whose token is refused at first.
type replayedRequest struct {
	method, path, contentType, body string
	chunked                         bool
	trailer                         http.Header
	// routed is the body as it arrives if it is routed by its model.
	routed string
}

func replayedRequests() map[string]replayedRequest {
	const form = "multipart/form-data; boundary=b"
	file := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n%sgpt-4o\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" + strings.Repeat("RIFF", 20_000) + "\r\n--b--\r\n"
	requests := map[string]replayedRequest{
		"a request without a body":        {method: http.MethodGet, path: "/v1/models/corp%2Fgpt-4o"},
		"a form":                          {path: "/v1/audio/transcriptions", contentType: form, body: fmt.Sprintf(file, "corp/"), routed: fmt.Sprintf(file, "")},
		"JSON in chunks":                  {body: jsonOf(100_000), chunked: true},
		"JSON with trailers":              {body: jsonOf(100_000), chunked: true, trailer: http.Header{"X-Checksum": {"1"}}},
		"no JSON, for a default provider": {path: "/v1/x", contentType: "audio/wav", body: strings.Repeat("RIFF", 30_000)},
		// A server of HTTP/2 that refuses a body early may end the connection when the
		// trailers come: only a request that may be repeated survives that.
		"no JSON, in chunks with trailers": {path: "/v1/audio/transcriptions", contentType: "audio/wav", body: strings.Repeat("RIFF", 30_000), chunked: true, trailer: http.Header{"X-Checksum": {"1"}}},
	}
	for name, size := range map[string]int{"JSON of 1 KB": 1 << 10, "JSON of 64 KB": 64 << 10, "JSON of 1 MB": 1 << 20, "JSON of exactly max_body": replayedMaxBody} {
		requests[name] = replayedRequest{body: jsonOf(size)}
	}
	return requests
}

// request is the request. Nothing repeats it: its first answer counts.
func (q replayedRequest) request(t *testing.T, g *gateway) *http.Request {
	t.Helper()
	method, path, contentType := q.method, q.path, q.contentType
	if method == "" {
		method = http.MethodPost
	}
	if path == "" {
		path = "/v1/chat/completions"
	}
	if contentType == "" {
		contentType = "application/json"
	}
	r, err := http.NewRequestWithContext(t.Context(), method, g.url(path), strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = nil
	if q.chunked {
		r.ContentLength = -1
	}
	r.Trailer = q.trailer
	r.Header.Set("Api-Key", "gateway-key")
	r.Header.Set("Content-Type", contentType)
	return r
}

func (q replayedRequest) send(t *testing.T, g *gateway) answer {
	t.Helper()
	return g.send(q.request(t, g))
}

// try sends the request and returns the answer, an empty one if the connection
// broke: a gateway that wants no more of a long body closes it.
func (q replayedRequest) try(t *testing.T, g *gateway) answer {
	t.Helper()
	response, err := g.client.Do(q.request(t, g))
	if err != nil {
		return answer{}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}
}

// arrives is the body that the LLM must get.
func (q replayedRequest) arrives(fixed bool) string {
	switch {
	case fixed:
		return q.body
	case q.routed != "":
		return q.routed
	}
	return withoutPrefix(q.body)
}

func TestARevokedTokenIsNoticedByNoClient(t *testing.T) {
	ca := newAuthority(t)
	auth := newCorpAuth(t)
	requests, failures, extra := 0, 0, int64(0)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		var config *tls.Config
		if protocol == "HTTP/2.0" {
			config = ca.plainConfig()
		}
		llm := newStrictLLM(t, auth, nil, config)
		for where, site := range leaseSites() {
			site.directive = fmt.Sprintf("default_provider corp\nmax_body %d", replayedMaxBody)
			if config != nil {
				site.ca = ca.file(t)
			}
			for what, request := range replayedRequests() {
				for _, early := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, %s: %s, refused early: %v", where, protocol, what, early), func(t *testing.T) {
						llm.early.Store(early)
						g := site.start(t, llm)
						g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
						llm.revoke(t)
						tokens, refused := auth.tokenRequests.Load(), llm.refused.Load()
						requests++
						a := request.send(t, g)
						if a.status != http.StatusOK {
							failures++
							t.Fatalf("status %d, body %s", a.status, a.body)
						}
						got, sum := llm.last(t)
						want := request.arrives(site.fixed)
						if sum != sha256.Sum256([]byte(want)) || got.contentLength != int64(len(want)) || got.proto != protocol {
							t.Errorf("%d bytes arrived over %s, want %d of others over %s", got.contentLength, got.proto, len(want), protocol)
						}
						if request.trailer.Get("X-Checksum") != got.trailer.Get("X-Checksum") {
							t.Errorf("the trailers are %v, want %v", got.trailer, request.trailer)
						}
						extra += auth.tokenRequests.Load() - tokens
						if n := auth.tokenRequests.Load() - tokens; n != 1 || llm.refused.Load()-refused != 1 {
							t.Errorf("%d more token requests and %d more refusals, want 1 and 1", n, llm.refused.Load()-refused)
						}
					})
				}
			}
		}
	}
	figure(t, "revoked_token", "%d requests met a revoked token, %d visible failures, %d extra token requests", requests, failures, extra)
}
