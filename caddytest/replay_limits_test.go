package caddytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestABodyOverMaxBodyIsNotSentTwiceAndTheNextRequestIsFine(t *testing.T) {
	const maxBody = 64 << 10
	for name, test := range map[string]struct {
		size            int
		chunked, stream bool
	}{
		"one byte over":            {size: maxBody + 1},
		"one byte over, in chunks": {size: maxBody + 1, chunked: true},
		"far over":                 {size: 4 << 20},
		"far over, in chunks":      {size: 4 << 20, chunked: true},
	} {
		for where, site := range leaseSites() {
			for _, early := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, refused early: %v", name, where, early), func(t *testing.T) {
					auth := newCorpAuth(t)
					llm := newStrictLLM(t, auth, nil, nil)
					site.directive = fmt.Sprintf("default_provider corp\nmax_body %d", maxBody)
					g := site.start(t, llm)
					body := strings.Repeat("R", test.size)
					long := replayedRequest{path: "/v1/files", contentType: "audio/wav", body: body, chunked: test.chunked}
					long.send(t, g).wantStatus(t, http.StatusOK)
					llm.revoke(t)
					llm.early.Store(early)
					a := long.send(t, g)
					a.wantError(t, http.StatusServiceUnavailable, "upstream_error", "upstream_unauthorized")
					if a.header.Get("X-Should-Retry") == "false" || a.header.Get("Retry-After") == "" {
						t.Errorf("the client is not told to try again, which would help: %v", a.header)
					}
					if llm.refused.Load() != 1 {
						t.Errorf("%d requests were refused, want 1", llm.refused.Load())
					}
					for range 2 {
						long.send(t, g).wantStatus(t, http.StatusOK)
					}
					if llm.refused.Load() != 1 || auth.tokenRequests.Load() != 2 {
						t.Errorf("%d requests were refused, after %d token requests, want 1 and 2", llm.refused.Load(), auth.tokenRequests.Load())
					}
					if got, _ := llm.last(t); got.contentLength != int64(test.size) {
						t.Errorf("%d bytes arrived, want %d", got.contentLength, test.size)
					}
				})
			}
		}
	}
}

// An LLM that refuses every token is the operator's business: clients learn
// that it is not their key, and cannot cause token requests or log lines.
func TestAnLLMThatRefusesEveryTokenCausesThreeTokenRequests(t *testing.T) {
	total := 2000
	if testing.Short() {
		total = 300
	}
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			llm := newStrictLLM(t, auth, nil, nil)
			llm.auth = newCorpAuth(t) // knows nothing of the tokens
			g := site.start(t, &strictLLM{Server: llm.Server, auth: auth})
			refused := func() answer { return g.post("/v1/chat/completions", chat("corp/m"), withKey...) }
			// A new token that is refused, too, is final; where none was asked for,
			// nothing says so.
			for i := range 10 {
				a := refused()
				retry := "false"
				if refusedStatus(i) != http.StatusBadGateway {
					retry = ""
				}
				a.wantError(t, refusedStatus(i), "upstream_error", "upstream_unauthorized")
				var body struct {
					RequestID string `json:"request_id"`
				}
				if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.RequestID == "" || body.RequestID != a.header.Get("X-Request-Id") {
					t.Errorf("the body is %s with X-Request-Id %s", a.body, a.header.Get("X-Request-Id"))
				}
				if a.header.Get("X-Should-Retry") != retry || (retry == "") != (a.header.Get("Retry-After") != "") || a.header.Get("Content-Type") != "application/json" || a.header.Get("Www-Authenticate") != "" || strings.Contains(a.body, "revoked") {
					t.Errorf("got %v %s", a.header, a.body)
				}
			}
			lines := g.linesAboveDebug()
			start := time.Now()
			var all sync.WaitGroup
			for worker := range 16 {
				all.Go(func() {
					for i := worker; i < total; i += 16 {
						a := refused()
						final := a.status == http.StatusBadGateway && a.header.Get("X-Should-Retry") == "false"
						if again := a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""; !final && !again {
							t.Errorf("status %d with %v", a.status, a.header)
						}
					}
				})
			}
			all.Wait()
			// One more is due every 30 s.
			limit := 3 + int64(time.Since(start)/(30*time.Second))
			n := auth.tokenRequests.Load() - 1
			figure(t, "refusing_llm", "%d requests to an LLM that refuses every token, %d extra token requests", total, n)
			if n > limit || n < 3 {
				t.Errorf("%d extra token requests, want 3", n)
			}
			if sent := llm.refused.Load(); sent > int64(total)+10+n {
				t.Errorf("the LLM got %d requests for %d", sent, total+10)
			}
			if more := g.linesAboveDebug() - lines; more > 2 && limit == 3 {
				t.Errorf("%d more log lines for %d more requests", more, total)
			}
			if !strings.Contains(g.log(), "the token is revoked") {
				t.Error("what the LLM says is not in the log")
			}
		})
	}
}

// refusedStatus is the status of the answer to a request that an LLM refuses, after
// so many others: 502 where a new token was tried, 503 where none may be asked for.
func refusedStatus(before int) int {
	if before < 3 {
		return http.StatusBadGateway
	}
	return http.StatusServiceUnavailable
}

// linesAboveDebug is how many lines were logged at INFO and above.
func (g *gateway) linesAboveDebug() int {
	lines := 0
	for line := range strings.Lines(g.log()) {
		if !strings.Contains(line, `"level":"debug"`) {
			lines++
		}
	}
	return lines
}

func TestAnLLMThatRepeatsTheTokenShowsItToNobody(t *testing.T) {
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]any{"access_token": tokenCanary, "token_type": "Bearer", "expires_in": 3600})
			})
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Echo", r.Header.Get("Authorization"))
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, "wrong audience\n")
				for _, form := range encodings(tokenCanary) {
					_, _ = io.WriteString(w, form+"\n")
				}
			})
			g := site.start(t, &strictLLM{Server: up.Server, auth: auth})
			for i := range 5 {
				a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
				a.wantError(t, refusedStatus(i), "upstream_error", "upstream_unauthorized")
				wantNoCanaries(t, "the answer", fmt.Sprint(a))
			}
			if got := up.last(t).header.Get("Authorization"); got != "Bearer "+tokenCanary {
				t.Fatalf("the LLM got %q", got)
			}
			wantNoCanaries(t, "the log", g.log())
			if !strings.Contains(g.log(), "wrong audience") {
				t.Error("what the LLM says is not in the log")
			}
		})
	}
}

// Nothing is gained by sending a request again with the token that was refused.
func TestTheSameTokenIsNotSentTwice(t *testing.T) {
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"access_token":"always-the-same","token_type":"Bearer","expires_in":3600}`)
			})
			llm := newStrictLLM(t, auth, nil, nil)
			g := site.start(t, llm)
			for i := range int64(10) {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantError(t, refusedStatus(int(i)), "upstream_error", "upstream_unauthorized")
				if llm.refused.Load() != i+1 {
					t.Fatalf("the LLM got %d requests for %d", llm.refused.Load(), i+1)
				}
			}
			if n := auth.tokenRequests.Load(); n != 4 {
				t.Errorf("%d token requests, want 1 and 3 more", n)
			}
		})
	}
}

func TestATokenThatCannotBeReplacedIsTheTokenEndpointsTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		fault      http.HandlerFunc
		wait       string
		status     int
		kind, code string
		retryAfter bool
	}{
		"an outage": {
			fault:  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
			status: 503, kind: "oauth2_authentication_error", code: "token_endpoint_unavailable", retryAfter: true,
		},
		"a refusal": {
			fault: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			},
			status: 502, kind: "oauth2_authentication_error", code: "invalid_client",
		},
		"a wait that is too long": {
			fault: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, wait: "token_wait 100ms",
			status: 504, kind: "oauth2_authentication_error", code: "token_endpoint_timeout", retryAfter: true,
		},
	} {
		for where, site := range leaseSites() {
			t.Run(name+", "+where, func(t *testing.T) {
				auth := newCorpAuth(t)
				llm := newStrictLLM(t, auth, nil, nil)
				site.provider, site.directive, site.site = "token_request {\n retries 0\n}", test.wait, "log"
				g := site.start(t, llm)
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
				llm.revoke(t)
				auth.setFault(test.fault)
				a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
				a.wantError(t, test.status, test.kind, test.code)
				if (a.header.Get("Retry-After") != "") != test.retryAfter || (a.header.Get("X-Should-Retry") == "false") == test.retryAfter || a.header.Get("X-Request-Id") == "" {
					t.Errorf("the header is %v", a.header)
				}
				if llm.refused.Load() != 1 {
					t.Errorf("the LLM got %d requests with a token that it refuses, want 1", llm.refused.Load())
				}
				if entry := accessEntries(t, g, 2)[1]; entry["llm_error_code"] != test.code || entry["llm_replayed"] != nil {
					t.Errorf("the access log has %v", entry)
				}
			})
		}
	}
}

func TestOtherAnswersPassTheTransport(t *testing.T) {
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			status := 0
			llm := newStrictLLM(t, auth, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Of-The-Llm", "1")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "the LLM's own words")
			}, nil)
			g := site.start(t, llm)
			for i, s := range []int{400, 402, 403, 404, 407, 429, 500, 503, 529} {
				status = s
				a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
				if a.status != s || a.body != "the LLM's own words" || a.header.Get("X-Of-The-Llm") != "1" {
					t.Errorf("status %d with %v %s, want %d as it came", a.status, a.header, a.body, s)
				}
				if len(llm.accepted) != i+1 || auth.tokenRequests.Load() != 1 {
					t.Errorf("%d requests and %d token requests, want %d and 1", len(llm.accepted), auth.tokenRequests.Load(), i+1)
				}
			}
		})
	}
}

func TestErrorRoutesLearnThatTheLLMRefusesTheToken(t *testing.T) {
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, "wrong audience")
			})
			site.directive = "errors handle"
			site.site = "handle_errors {\n header X-Message {err.message}\n respond `{http.oauth2_llm.error.type} {http.oauth2_llm.error.code} [{http.oauth2_llm.provider}]` {err.status_code}\n}"
			g := site.start(t, &strictLLM{Server: up.Server, auth: auth})
			a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
			if a.status != http.StatusBadGateway || a.body != "upstream_error upstream_unauthorized [corp]" || a.header.Get("X-Should-Retry") != "false" {
				t.Errorf("status %d, %q with %v", a.status, a.body, a.header)
			}
			if message := a.header.Get("X-Message"); message == "" || strings.Contains(message, "audience") {
				t.Errorf("the message is %q", message)
			}
		})
	}
}
