package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// balancedTransports are the ways to several static upstreams.
var balancedTransports = map[string]string{
	"with the transport":                         "transport oauth2_llm\n",
	"with the transport and the upstream source": "transport oauth2_llm\ndynamic oauth2_llm\n",
}

func TestRoundRobinSendsOneProvidersRequestsToAllItsUpstreams(t *testing.T) {
	for name, transport := range balancedTransports {
		t.Run(name, func(t *testing.T) {
			auth := newCorpAuth(t)
			ups := []*upstream{newUpstream(t, nil), newUpstream(t, nil), newUpstream(t, nil)}
			g := corpSite{auth: auth, directive: gatewayKey, upstream: ups[0].address() + " " + ups[1].address() + " " + ups[2].address(), proxy: transport + "lb_policy round_robin"}.start(t)
			for range 12 {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			}
			for i, up := range ups {
				if up.count() != 4 {
					t.Errorf("upstream %d got %d requests of 12, want 4", i, up.count())
				}
				for _, got := range up.all() {
					wantToken(t, auth, got.header, "Authorization", "Bearer ")
					if string(got.body) != withoutPrefix(chat("corp/m")) {
						t.Errorf("%s arrived", got.body)
					}
				}
			}
			if auth.tokenRequests.Load() != 1 {
				t.Errorf("%d token requests, want 1", auth.tokenRequests.Load())
			}
		})
	}
}

func TestPassiveHealthTakesABrokenUpstreamOut(t *testing.T) {
	for name, transport := range balancedTransports {
		t.Run(name, func(t *testing.T) {
			auth, broken, fine := newCorpAuth(t), breaking(t), newUpstream(t, nil)
			g := corpSite{auth: auth, directive: gatewayKey, upstream: broken.address() + " " + fine.address(), proxy: transport + "lb_policy first\nfail_duration 1m"}.start(t)
			g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantError(t, http.StatusBadGateway, "upstream_error", "upstream_unreachable")
			for range 5 {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			}
			if broken.count() != 1 || fine.count() != 5 {
				t.Errorf("%d and %d requests arrived, want 1 and 5", broken.count(), fine.count())
			}
		})
	}
}

// What clients and authorization servers do wrong takes no upstream out.
func TestPassiveHealthCountsOnlyTheUpstreamsFaults(t *testing.T) {
	for name, transport := range balancedTransports {
		for _, bound := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, bound: %v", name, bound), func(t *testing.T) {
				if bound && !strings.Contains(transport, "dynamic") {
					transport += "dynamic oauth2_llm\n"
				}
				auth := newCorpAuth(t)
				llm := newStrictLLM(t, auth, nil, nil)
				site := corpSite{auth: auth, fixed: true, directive: gatewayKey + "token_wait 5s", provider: "token_request {\n retries 0\n}", upstream: strings.TrimPrefix(llm.URL, "http://"), proxy: transport + "fail_duration 1m\nmax_fails 1"}
				if bound {
					site.upstream, site.provider = "", site.provider+"\nbase_url "+llm.URL
				}
				g := site.start(t)
				ask := func() answer { return g.post("/v1/chat/completions", chat("corp/m"), withKey...) }
				ask().wantStatus(t, http.StatusOK)
				for range 3 {
					g.cutOff(t, "Content-Length: 1000", "cut off").wantError(t, 400, "invalid_request_error", "invalid_body")
					g.cutOff(t, "Transfer-Encoding: chunked", "ZZ\r\n").wantError(t, 400, "invalid_request_error", "invalid_body")
				}
				ask().wantStatus(t, http.StatusOK)
				llm.revoke(t)
				auth.setFault(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusUnauthorized)
					_, _ = io.WriteString(w, `{"error":"invalid_scope"}`)
				})
				ask().wantError(t, 502, "oauth2_authentication_error", "invalid_scope")
				ask().wantError(t, 502, "oauth2_authentication_error", "invalid_scope")
				if strings.Contains(g.log(), "upstream_unreachable") {
					t.Error("the log blames the upstream")
				}
			})
		}
	}
}

func TestActiveHealthChecksGoThroughTheTransportWithoutAToken(t *testing.T) {
	for name, transport := range balancedTransports {
		t.Run(name, func(t *testing.T) {
			auth := newCorpAuth(t)
			var sick atomic.Bool
			var checks, withToken atomic.Int64
			sick.Store(true)
			upstreamOf := func(mayBeSick bool) (*httptest.Server, *atomic.Int64) {
				requests := new(atomic.Int64)
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/health" {
						requests.Add(1)
						return
					}
					checks.Add(1)
					if r.Header.Get("Authorization") != "" {
						withToken.Add(1)
					}
					if mayBeSick && sick.Load() {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				}))
				t.Cleanup(server.Close)
				return server, requests
			}
			one, toOne := upstreamOf(true)
			two, toTwo := upstreamOf(false)
			g := corpSite{
				auth: auth, directive: gatewayKey,
				upstream: strings.TrimPrefix(one.URL, "http://") + " " + strings.TrimPrefix(two.URL, "http://"),
				proxy:    transport + "lb_policy round_robin\nhealth_uri /health\nhealth_interval 50ms",
			}.start(t)
			waitFor(t, 10*time.Second, func() bool { return strings.Contains(g.log(), `"name":"unhealthy"`) })
			for range 10 {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			}
			if toOne.Load() != 0 || toTwo.Load() != 10 {
				t.Errorf("%d and %d requests arrived, want 0 and 10", toOne.Load(), toTwo.Load())
			}
			sick.Store(false)
			waitFor(t, 10*time.Second, func() bool { return strings.Contains(g.log(), `"name":"healthy"`) })
			for range 10 {
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			}
			if toOne.Load() != 5 || toTwo.Load() != 15 {
				t.Errorf("%d and %d requests arrived, want 5 and 15", toOne.Load(), toTwo.Load())
			}
			if checks.Load() < 4 || withToken.Load() != 0 || strings.Contains(g.log(), "refuses a request") {
				t.Errorf("%d health checks, %d of them with a token", checks.Load(), withToken.Load())
			}
			if strings.Contains(g.log(), "active health checker panicked") {
				t.Error("a health check panicked")
			}
		})
	}
}
