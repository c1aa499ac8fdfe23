package caddytest

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// What an LLM answers to one client is no reason to take the token from the others.
func TestA401ThatOneClientProvokesWhileTheTokenEndpointIsDownFailsNobodyElse(t *testing.T) {
	for where, site := range leaseSites() {
		t.Run(where, func(t *testing.T) {
			auth := newCorpAuth(t)
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Header.Get("X-Provoke") != "" {
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			site.provider = "token_request {\n retries 0\n}"
			g := site.start(t, &strictLLM{Server: up.Server, auth: auth})
			ask := func(more ...string) answer {
				return g.post("/v1/chat/completions", chat("corp/m"), append(more, withKey...)...)
			}
			ask().wantStatus(t, http.StatusOK)
			auth.stop()

			end := time.Now().Add(realTime(4*time.Second, time.Second))
			var others, provoked tally
			var all sync.WaitGroup
			all.Go(func() {
				for time.Now().Before(end) {
					start := time.Now()
					provoked.add(ask("X-Provoke", "1").status, time.Since(start))
					time.Sleep(10 * time.Millisecond)
				}
			})
			for range 4 {
				all.Go(func() {
					for time.Now().Before(end) {
						start := time.Now()
						others.add(ask().status, time.Since(start))
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			all.Wait()
			failed := len(others.took) - others.statuses[http.StatusOK]
			figure(t, "provoked_401", "%d of %d requests of others failed, the slowest took %v, beside %d requests that provoke a 401 while the token endpoint is down",
				failed, len(others.took), others.percentile(100), len(provoked.took))
			if failed != 0 || len(others.took) == 0 {
				t.Errorf("the others got %v", others.statuses)
			}
			if provoked.statuses[http.StatusServiceUnavailable] != len(provoked.took) {
				t.Errorf("whoever provokes it got %v, want 503", provoked.statuses)
			}
			auth.restart()
			ask().wantStatus(t, http.StatusOK)
		})
	}
}
