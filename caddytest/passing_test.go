package caddytest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return compressed.String()
}

func TestUnknownModelPassForwardsTheClientsOwnRequest(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "unknown_model pass"}.start(t)
	form := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nzzz/x\r\n--b--\r\n"
	for name, test := range map[string]struct {
		body, contentType string
		header            []string
	}{
		"a prefix that names no provider": {body: chat("zzz/x")},
		"a name that begins like one":     {body: chat("corpus/x")},
		"a provider's name in other case": {body: chat("Corp/x")},
		"a model without a slash":         {body: chat("gpt-4o")},
		"no model at all":                 {body: `{ "messages" : [] }`},
		"no JSON":                         {body: "RIFF\x00\xff", contentType: "audio/wav"},
		"a form":                          {body: form, contentType: "multipart/form-data; boundary=b"},
		"a compressed body":               {body: gzipped(t, chat("zzz/x")), header: []string{"Content-Encoding", "gzip", "Content-Digest", "sha-256=:eA==:"}},
		"a compressed body of no JSON":    {body: gzipped(t, "text"), header: []string{"Content-Encoding", "gzip"}},
		"no body":                         {},
	} {
		t.Run(name, func(t *testing.T) {
			if test.contentType == "" {
				test.contentType = "application/json"
			}
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url("/v1/chat/completions?key=own&a=%2f"), strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.contentType)
			own := []string{"X-Api-Key", "own-key", "Cookie", "a=b", "Xi-Api-Key", "own-too"}
			g.send(r, append(append(test.header, own...), "Authorization", "Bearer gateway-key")...).wantStatus(t, http.StatusOK)
			got := up.last(t)
			if string(got.body) != test.body || got.contentLength != int64(len(test.body)) || got.uri != "/v1/chat/completions?key=own&a=%2f" {
				t.Errorf("%s with %q (%d bytes) arrived", got.uri, got.body, got.contentLength)
			}
			for i := 0; i < len(own); i += 2 {
				if got.header.Get(own[i]) != own[i+1] {
					t.Errorf("%s arrived as %q, want the client's own", own[i], got.header[own[i]])
				}
			}
			for i := 0; i < len(test.header); i += 2 {
				if got.header.Get(test.header[i]) != test.header[i+1] {
					t.Errorf("%s arrived as %q", test.header[i], got.header[test.header[i]])
				}
			}
			if got.header["Authorization"] != nil {
				t.Errorf("the gateway's key or a token arrived: %q", got.header["Authorization"])
			}
		})
	}
	if auth.tokenRequests.Load() != 0 {
		t.Error("a token was fetched")
	}
}

func TestUnknownModelPassRemovesTheKeyWhereverItStands(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "unknown_model pass"}.start(t)
	for name, test := range map[string]struct{ key, own []string }{
		"in X-Api-Key":     {[]string{"X-Api-Key", "gateway-key"}, []string{"Authorization", "Bearer own"}},
		"in Api-Key":       {[]string{"Api-Key", "gateway-key"}, []string{"Authorization", "Basic b3du"}},
		"in Authorization": {[]string{"Authorization", "bearer gateway-key"}, []string{"Api-Key", "own"}},
		"in two headers":   {[]string{"Authorization", "Bearer gateway-key", "X-Api-Key", "gateway-key"}, []string{"Api-Key", "own"}},
	} {
		t.Run(name, func(t *testing.T) {
			g.post("/v1/chat/completions", chat("zzz/x"), append(test.key, test.own...)...).wantStatus(t, http.StatusOK)
			got := up.last(t).header
			for field, values := range got {
				if strings.Contains(strings.Join(values, " "), "gateway-key") {
					t.Errorf("the gateway's key arrived in %s", field)
				}
			}
			if got.Get(test.own[0]) != test.own[1] {
				t.Errorf("%s arrived as %q", test.own[0], got[test.own[0]])
			}
		})
	}
}

func TestUnknownModelDefaultSendsTheModelAsItIs(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp\nunknown_model default"}.start(t)
	for _, model := range []string{"zzz/x", "Corp/x", "x", "zzz/corp/x"} {
		t.Run(model, func(t *testing.T) {
			g.post("/v1/chat/completions", chat(model), withKey...).wantStatus(t, http.StatusOK)
			got := up.last(t)
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
			if string(got.body) != chat(model) {
				t.Errorf("%s arrived", got.body)
			}
		})
	}
}

func TestUnknownModelRejectForwardsNothing(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp"}.start(t)
	for _, model := range []string{"zzz/x", "Corp/x", "corpus/x", "corp.example/x", " corp/x"} {
		t.Run(model, func(t *testing.T) {
			if a := g.post("/v1/chat/completions", chat(model), withKey...); a.status != 404 && a.status != 400 {
				t.Errorf("status %d, body %s", a.status, a.body)
			}
		})
	}
	if up.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Error("a request was forwarded or a token fetched")
	}
}

func TestOnlyA401ReplacesTheToken(t *testing.T) {
	auth := newCorpAuth(t)
	for _, test := range []struct {
		status        int
		tokenRequests int64
	}{{400, 1}, {403, 1}, {407, 1}, {429, 1}, {500, 1}, {503, 1}, {401, 3}} {
		t.Run(fmt.Sprintf("%d", test.status), func(t *testing.T) {
			up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.status) })
			g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey}.start(t)
			before := auth.tokenRequests.Load()
			for range 2 {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, test.status)
			}
			// A refused token is replaced in the background.
			waitFor(t, 10*time.Second, func() bool { return auth.tokenRequests.Load()-before >= test.tokenRequests })
			if n := auth.tokenRequests.Load() - before; n != test.tokenRequests {
				t.Errorf("%d token requests, want %d", n, test.tokenRequests)
			}
		})
	}
}

// All upstreams of one reverse_proxy are the provider's: Caddy may send a
// request to any of them, and to several, with the token.
func TestARetryCarriesTheTokenToEveryUpstreamOfTheSameProxy(t *testing.T) {
	const retry = "lb_policy round_robin\nlb_retries 1\nlb_retry_match {\n expression `{rp.status_code} == 503`\n}\n"
	trailers := "POST /v1/chat/completions HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\nTrailer: X-Checksum\nTransfer-Encoding: chunked\n\n%x\n%s\n0\nX-Checksum: 1\n\n"
	long := `{"model":"corp/m","x":"` + strings.Repeat("x", 100_000) + `"}`
	for name, test := range map[string]struct {
		proxy, request string
		// body is what each upstream must get, if it gets one to its end: one
		// that is cut off would be answered like a whole one.
		body string
		// retried says whether the second upstream gets the request.
		retried bool
	}{
		"a request without a body": {
			request: "GET /v1/responses HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n\n", retried: true,
		},
		"a body that Caddy buffers": {
			proxy: "request_buffers 1MiB", request: chatWith(), body: strings.Replace(chat("corp/gpt-4o"), `"corp/`, `     "`, 1), retried: true,
		},
		"a body that is held": {
			request: chatWith(), body: strings.Replace(chat("corp/gpt-4o"), `"corp/`, `     "`, 1),
		},
		"a body that is held and has trailers": {
			request: fmt.Sprintf(trailers, len(long), long), body: strings.Replace(long, `"corp/`, `     "`, 1),
		},
		"a body that streams": {
			request: fmt.Sprintf(trailers, 10, "0123456789"), body: "0123456789",
		},
	} {
		t.Run(name, func(t *testing.T) {
			auth, attempts := newCorpAuth(t), atomic.Int64{}
			answer := func(w http.ResponseWriter, _ *http.Request) {
				if attempts.Add(1) == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}
			one, two := newUpstream(t, answer), newUpstream(t, answer)
			g := corpSite{
				auth: auth, upstream: one.address() + " " + two.address(),
				directive: gatewayKey + "default_provider corp", proxy: retry + test.proxy,
			}.start(t)
			a := g.wire(t, test.request)
			seen := slices.Concat(one.all(), two.all())
			for _, got := range seen {
				wantToken(t, auth, got.header, "Authorization", "Bearer ")
				if string(got.body) != test.body {
					t.Errorf("%d bytes of %d arrived", len(got.body), len(test.body))
				}
			}
			if test.retried && (a.status != http.StatusOK || one.count() != 1 || two.count() != 1) {
				t.Errorf("status %d with %d and %d requests, want 200 with 1 and 1", a.status, one.count(), two.count())
			}
			if !test.retried && (a.status != http.StatusBadGateway || len(seen) != 1) {
				t.Errorf("status %d after %d requests, want 502", a.status, len(seen))
			}
		})
	}
}

// Caddy keeps nothing of an answer that it has retried.
func TestAStatusThatWasRetriedInVainReachesTheClientInAReadableBody(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	const retry = "request_buffers 1MiB\nlb_retries 1\nlb_retry_match {\n expression `{rp.status_code} == 429`\n}"
	g := corpSite{auth: newCorpAuth(t), upstream: up.address(), directive: gatewayKey, proxy: retry}.start(t)
	a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
	a.wantError(t, http.StatusTooManyRequests, "upstream_error", "upstream_error")
	if up.count() != 2 || !strings.Contains(a.body, "status 429") {
		t.Errorf("%d requests, %s", up.count(), a.body)
	}
}
