package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

const invalidToken = `Bearer realm="llm", error="invalid_token", error_description="it has expired"`

// A challenger is an LLM that refuses a token in its own way: until it is fresh, or
// always.
type challenger struct {
	*upstream
	mu        sync.Mutex
	refused   map[string]bool
	status    int
	challenge string
	always    bool
}

// newChallenger starts one that accepts everything.
func newChallenger(t *testing.T) *challenger {
	t.Helper()
	c := &challenger{refused: map[string]bool{}}
	c.upstream = newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.status != 0 && (c.always || c.refused[r.Header.Get("Authorization")]) {
			if c.challenge != "" {
				w.Header().Set("WWW-Authenticate", c.challenge)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, "the LLM's own words")
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	return c
}

// refuse makes it refuse the token that it got last, or every one.
func (c *challenger) refuse(t *testing.T, status int, challenge string, always bool) {
	t.Helper()
	last := c.last(t).header.Get("Authorization")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[last], c.status, c.challenge, c.always = true, status, challenge, always
}

// tokens are the different ones that it got.
func (c *challenger) tokens() int {
	different := map[string]bool{}
	for _, got := range c.all() {
		different[got.header.Get("Authorization")] = true
	}
	return len(different)
}

// challengeSite is a way to a challenger.
func challengeSite(auth *authServer, c *challenger, where string) corpSite {
	site := corpSite{auth: auth, upstream: c.address(), directive: gatewayKey, proxy: "transport oauth2_llm"}
	switch where {
	case "bound":
		site.upstream, site.proxy, site.provider = "", site.proxy+"\ndynamic oauth2_llm", "base_url "+c.URL
	case "plain":
		site.proxy = ""
	}
	return site
}

func TestAChallengeIsTakenForARefusedToken(t *testing.T) {
	for name, test := range map[string]struct {
		status    int
		challenge string
		refuses   bool
	}{
		"401":                                {401, "", true},
		"401 with a challenge":               {401, invalidToken, true},
		"403 with a challenge":               {403, invalidToken, true},
		"400 with a challenge":               {400, invalidToken, true},
		"403 with a challenge behind others": {403, `Basic realm="x", ` + invalidToken, true},
		"403":                                {403, "", false},
		"400":                                {400, "", false},
		"403 for want of a scope":            {403, `Bearer error="insufficient_scope"`, false},
		"403 with the word in a text":        {403, `Bearer realm="error=invalid_token"`, false},
		"403 of another scheme":              {403, `DPoP error="invalid_token"`, false},
		"429 with a challenge for more":      {429, `Bearer error="insufficient_scope"`, false},
		"500 with a challenge":               {500, invalidToken, false},
	} {
		for _, where := range []string{"bound", "static", "plain"} {
			t.Run(name+", "+where, func(t *testing.T) {
				auth, llm := newCorpAuth(t), newChallenger(t)
				g := challengeSite(auth, llm, where).start(t)
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
				llm.refuse(t, test.status, test.challenge, false)
				first := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
				replayed := test.refuses && where != "plain"
				if replayed {
					first.wantStatus(t, http.StatusOK)
				} else if first.status != test.status || first.body != "the LLM's own words" || first.header.Get("Www-Authenticate") != test.challenge {
					t.Errorf("status %d, %s with %v, want the LLM's own answer", first.status, first.body, first.header)
				}
				second := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
				want := http.StatusOK
				if !test.refuses {
					want = test.status
				}
				second.wantStatus(t, want)
				tokens, requests := 1, 3
				if test.refuses {
					tokens = 2
				}
				if replayed {
					requests = 4
				}
				if llm.tokens() != tokens || llm.count() != requests || auth.tokenRequests.Load() != int64(tokens) {
					t.Errorf("%d tokens of %d token requests in %d requests, want %d in %d", llm.tokens(), auth.tokenRequests.Load(), llm.count(), tokens, requests)
				}
			})
		}
	}
}

// Only a new token that is refused, too, says that to try again is of no use.
func TestARefusalIsFinalOnlyWhereANewTokenWasRefused(t *testing.T) {
	for name, test := range map[string]struct {
		status    int
		challenge string
	}{"401": {401, ""}, "403 with a challenge": {403, invalidToken}, "400 with a challenge": {400, invalidToken}} {
		for _, where := range []string{"bound", "static"} {
			t.Run(name+", "+where, func(t *testing.T) {
				auth, llm := newCorpAuth(t), newChallenger(t)
				g := challengeSite(auth, llm, where).start(t)
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
				llm.refuse(t, test.status, test.challenge, true)
				a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
				a.wantError(t, http.StatusBadGateway, "upstream_error", "upstream_unauthorized")
				if a.header.Get("X-Should-Retry") != "false" || a.header.Get("Retry-After") != "" || a.header.Get("Www-Authenticate") != "" || strings.Contains(a.body, "own words") {
					t.Errorf("%s with %v", a.body, a.header)
				}
				if llm.tokens() != 2 || llm.count() != 3 {
					t.Errorf("%d tokens in %d requests, want 2 in 3", llm.tokens(), llm.count())
				}
			})
		}
	}
}

func TestARefusalDuringAnOutageOfTheTokenEndpointCanBeTriedAgain(t *testing.T) {
	for _, where := range []string{"bound", "static"} {
		for name, test := range map[string]struct {
			status    int
			challenge string
		}{"401": {401, ""}, "403 with a challenge": {403, invalidToken}} {
			t.Run(name+", "+where, func(t *testing.T) {
				auth, llm := newCorpAuth(t), newChallenger(t)
				site := challengeSite(auth, llm, where)
				site.provider += "\ntoken_request {\n retries 0\n}"
				g := site.start(t)
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
				llm.refuse(t, test.status, test.challenge, true)
				auth.setFault(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
				// The first finds out that there is an outage, the others are told of it.
				for range 3 {
					a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
					if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.header.Get("X-Should-Retry") == "false" {
						t.Errorf("status %d, %s with %v", a.status, a.body, a.header)
					}
				}
			})
		}
	}
}

func TestARefusedBodyThatCannotBeSentAgainCanBeTriedAgain(t *testing.T) {
	for _, where := range []string{"bound", "static"} {
		for name, status := range map[string]int{"401": 401, "403": 403} {
			t.Run(name+", "+where, func(t *testing.T) {
				auth, llm := newCorpAuth(t), newChallenger(t)
				site := challengeSite(auth, llm, where)
				site.fixed, site.directive = true, gatewayKey+"max_body 1KiB"
				g := site.start(t)
				body := sized(10_000)
				g.post("/v1/files", body, withKey...).wantStatus(t, http.StatusOK)
				llm.refuse(t, status, invalidToken, false)
				a := g.post("/v1/files", body, withKey...)
				a.wantError(t, http.StatusServiceUnavailable, "upstream_error", "upstream_unauthorized")
				if a.header.Get("Retry-After") == "" || a.header.Get("X-Should-Retry") == "false" {
					t.Errorf("the header is %v", a.header)
				}
				// The next has a new token.
				g.post("/v1/files", body, withKey...).wantStatus(t, http.StatusOK)
				if got := llm.last(t); string(got.body) != body || llm.count() != 3 {
					t.Errorf("%d bytes in request %d", len(got.body), llm.count())
				}
			})
		}
	}
}

// What clients can cause is one line in the log, which names the provider; and the
// error's request id is that of the access log.
func TestAnLLMThatIsDownIsNamedOnceInTheLog(t *testing.T) {
	for _, where := range []string{"bound", "static", "plain"} {
		t.Run(where, func(t *testing.T) {
			auth, llm := newCorpAuth(t), newChallenger(t)
			site := challengeSite(auth, llm, where)
			site.site = "log"
			g := site.start(t)
			llm.Close()
			ids := map[string]bool{}
			for range 20 {
				a := g.post("/v1/chat/completions", chat("corp/m"), withKey...)
				a.wantError(t, http.StatusBadGateway, "upstream_error", "upstream_unreachable")
				if !strings.Contains(a.body, "provider corp") || !strings.Contains(a.body, a.header.Get("X-Request-Id")) || a.header.Get("X-Should-Retry") != "" {
					t.Errorf("%s with %v", a.body, a.header)
				}
				ids[a.header.Get("X-Request-Id")] = true
			}
			for _, entry := range accessEntries(t, g, 20) {
				id := fmt.Sprint(entry["uuid"])
				if !ids[id] || entry["llm_provider"] != "corp" || entry["llm_error_code"] != "upstream_unreachable" {
					t.Errorf("the access log has %v", entry)
				}
				delete(ids, id)
			}
			if len(ids) != 0 {
				t.Errorf("%d request ids are not in the access log", len(ids))
			}
			lines := 0
			for line := range strings.Lines(g.log()) {
				if strings.Contains(line, `"level":"error"`) && strings.Contains(line, "upstream_unreachable") && strings.Contains(line, `"provider":"corp"`) {
					lines++
				}
			}
			if lines != 1 {
				t.Errorf("%d errors are logged, want 1", lines)
			}
		})
	}
}

// Another protocol would be a connection on which a client does as it likes, and an
// override another request than the one that was allowed.
func TestNeitherAnotherProtocolNorAnotherMethodIsForwarded(t *testing.T) {
	for _, where := range []string{"bound", "static", "plain", "passed on"} {
		t.Run(where, func(t *testing.T) {
			auth, llm := newCorpAuth(t), newChallenger(t)
			site := challengeSite(auth, llm, strings.Replace(where, "passed on", "plain", 1))
			model := "corp/gpt-4o"
			if where == "passed on" {
				site.directive += "unknown_model pass"
				model = "zzz/gpt-4o"
			}
			g := site.start(t)
			for _, upgrade := range []string{"h2c", "TLS/1.0", "websocket, h2c", "h2c, websocket", "websocket\nUpgrade: h2c", "connect-udp"} {
				body := chat(model)
				g.wire(t, fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\nConnection: Upgrade, HTTP2-Settings, X-Original-URL\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\nUpgrade: %s\n"+
					"X-HTTP-Method-Override: DELETE\nX-HTTP-Method: DELETE\nX-Method-Override: DELETE\nX_HTTP_Method_Override: DELETE\nX-Original-URL: /admin\nX-Rewrite-URL: /admin\nProxy: http://evil.test\nX-Other: stays\nContent-Length: %d\n\n%s",
					upgrade, len(body), body)).wantStatus(t, http.StatusOK)
				got := llm.last(t)
				if got.header.Get("X-Other") != "stays" || got.method != http.MethodPost {
					t.Errorf("%s with %v arrived", got.method, got.header)
				}
				for name, values := range got.header {
					switch plain := strings.ReplaceAll(name, "_", "-"); {
					case plain == "Upgrade", plain == "Proxy", strings.Contains(plain, "Override"), strings.Contains(plain, "Http-Method"), strings.Contains(plain, "Original-Url"), strings.Contains(plain, "Rewrite-Url"), strings.Contains(strings.Join(values, ","), "DELETE"):
						t.Errorf("%s: %q arrived for %s", name, values, upgrade)
					case name == "Connection" && strings.Contains(strings.Join(values, ","), "pgrade"):
						t.Errorf("Connection: %q arrived for %s", values, upgrade)
					}
				}
			}
		})
	}
}

func TestAWrongKeyIsNotToBeTriedAgain(t *testing.T) {
	auth, llm := newCorpAuth(t), newChallenger(t)
	g := challengeSite(auth, llm, "bound").start(t)
	for name, header := range map[string][]string{"none": nil, "a wrong one": {"Authorization", "Bearer wrong"}, "in another header": {"X-Api-Key", "wrong"}} {
		a := g.post("/v1/chat/completions", chat("corp/m"), header...)
		a.wantError(t, http.StatusUnauthorized, "authentication_error", "invalid_api_key")
		if a.header.Get("X-Should-Retry") != "false" || a.header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%s: the header is %v", name, a.header)
		}
	}
	if llm.count() != 0 || auth.tokenRequests.Load() != 0 {
		t.Error("a request was forwarded or a token fetched")
	}
}
