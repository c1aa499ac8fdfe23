package caddytest

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A droppedRequest is one whose upstream never answers it. It may arrive so often.
type droppedRequest struct {
	replayedRequest
	header []string
	most   int
}

// droppedRequests are those that differ in how often they may arrive.
func droppedRequests() map[string]droppedRequest {
	requests := make(map[string]droppedRequest)
	keys := map[string][]string{
		"": nil, ", with an Idempotency-Key": {"Idempotency-Key", "key-of-the-client"}, ", with an X-Idempotency-Key": {"X-Idempotency-Key", "key-of-the-client"},
	}
	for key, header := range keys {
		unlessKeyed := 2
		if header == nil {
			unlessKeyed = 1
		}
		for name, request := range map[string]replayedRequest{
			"100 bytes":               {body: jsonOf(100)},
			"300 kB":                  {body: jsonOf(300_000)},
			"in chunks with trailers": {body: jsonOf(300_000), chunked: true, trailer: http.Header{"X-Checksum": {"1"}}},
		} {
			requests[name+key] = droppedRequest{request, header, 2}
		}
		for _, path := range []string{"/v1/batches", "/v1/files", "/v1/fine_tuning/jobs"} {
			requests[path+key] = droppedRequest{replayedRequest{path: path, body: `{"x":"1"}`}, header, unlessKeyed}
		}
		requests["without a body"+key] = droppedRequest{replayedRequest{path: "/v1/responses/resp_1/cancel"}, header, 1}
	}
	return requests
}

// wantDropped sends a request that is not answered, and fails the test unless the
// client is told so and the request has arrived as often as it may.
func (q droppedRequest) wantDropped(t *testing.T, g *gateway, arrived func() (begun int, whole []http.Header)) (executions int) {
	t.Helper()
	r := q.request(t, g)
	if q.body == "" {
		r.Body = http.NoBody
	}
	a := g.send(r, q.header...)
	a.wantError(t, http.StatusBadGateway, "upstream_error", "upstream_unreachable")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q, want 1", a.header.Get("Retry-After"))
	}
	begun, whole := arrived()
	if len(whole) > q.most || len(whole) == 0 || begun > 3 {
		t.Errorf("%d requests began to arrive and %d came to their end, want at most %d", begun, len(whole), q.most)
	}
	for _, header := range whole {
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			want := []string(nil)
			if q.header != nil && q.header[0] == name {
				want = q.header[1:]
			}
			if !slices.Equal(header[name], want) {
				t.Errorf("%s arrives as %q, want %q", name, header[name], want)
			}
		}
	}
	return len(whole)
}

func TestADroppedRequestIsRepeatedOnceAtMost(t *testing.T) {
	for _, idle := range []int{1, 20, 500} {
		t.Run(fmt.Sprintf("with %d idle connections", idle), func(t *testing.T) {
			auth := newCorpAuth(t)
			llm := newDroppingLLM(t, auth, nil)
			g := corpBoundTo(auth, llm.url(), "", gatewayKey+"default_provider corp").start(t)
			requests := droppedRequests()
			if idle > 100 && testing.Short() {
				maps.DeleteFunc(requests, func(name string, _ droppedRequest) bool {
					return strings.Contains(name, "/v1") || strings.Contains(name, "X-")
				})
			}
			executions := make(map[int]int)
			for name, request := range requests {
				t.Run(name, func(t *testing.T) {
					llm.warm(t, g, idle)
					llm.become(drops)
					executions[request.wantDropped(t, g, llm.arrived)]++
				})
			}
			figure(t, "dropped", "with %d idle connections, %d requests ran once and %d twice", idle, executions[1], executions[2])
		})
	}
}

func TestAGETIsRepeatedUntilAConnectionIsNotDead(t *testing.T) {
	auth := newCorpAuth(t)
	llm := newDroppingLLM(t, auth, nil)
	g := corpBoundTo(auth, llm.url(), "", gatewayKey+"default_provider corp").start(t)
	llm.warm(t, g, 20)
	llm.become(resets)
	g.get("/v1/files/file_1/content", withKey...).wantStatus(t, http.StatusOK)
}

func TestA401AndADeadConnectionAreThreeArrivalsAtMost(t *testing.T) {
	for name, request := range map[string]replayedRequest{"100 bytes": {body: jsonOf(100)}, "300 kB": {body: jsonOf(300_000)}} {
		t.Run(name, func(t *testing.T) {
			auth := newCorpAuth(t)
			llm := newDroppingLLM(t, auth, nil)
			g := corpBoundTo(auth, llm.url(), "", gatewayKey).start(t)
			llm.warm(t, g, 20)
			_, whole := llm.arrived()
			auth.revoke(whole[0].Get("Authorization"))
			llm.become(answers)
			// The refusal is an answer; all that comes after it is dropped.
			llm.then(drops)
			dropped := droppedRequest{request, nil, 3}
			executions := dropped.wantDropped(t, g, llm.arrived)
			figure(t, "replayed_and_dropped", "%s: %d arrivals", name, executions)
			if executions != 3 {
				t.Errorf("%d requests arrived, want 3: one is refused, one dropped, and one repeated", executions)
			}
		})
	}
}

// The control is what reverse_proxy would send: a POST that net/http cannot repeat.
func TestARequestSurvivesAnUpstreamThatClosesIdleConnections(t *testing.T) {
	const total, clients = 1500, 16
	auth := newCorpAuth(t)
	llm := newDroppingLLM(t, auth, nil)
	llm.become(tires)
	g := corpBoundTo(auth, llm.url(), "", gatewayKey+"default_provider corp").start(t)
	run := func(post func() bool) (failed int64) {
		var sent, failures atomic.Int64
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for sent.Add(1) <= total {
					if !post() {
						failures.Add(1)
					}
				}
			})
		}
		all.Wait()
		return failures.Load()
	}
	plain := &http.Transport{MaxIdleConnsPerHost: 2 * clients}
	defer plain.CloseIdleConnections()
	control := run(func() bool {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, llm.url()+"/v1/chat/completions", strings.NewReader(chat("m")))
		r.GetBody = nil
		response, err := plain.RoundTrip(r)
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		return err == nil
	})
	failed := run(func() bool { return g.post("/v1/chat/completions", chat("corp/m"), withKey...).status == http.StatusOK })
	figure(t, "closed_idle", "%d of %d requests failed where the upstream closes idle connections, %d of %d plain POSTs", failed, total, control, total)
	if failed != 0 {
		t.Errorf("%d of %d requests failed", failed, total)
	}
}

func TestARequestSurvivesConnectionsThatDiedSilently(t *testing.T) {
	for name, test := range map[string]struct{ atOnce, tls bool }{
		"one after the other": {}, "at once": {atOnce: true},
		"one after the other, over TLS": {tls: true}, "at once, over TLS": {atOnce: true, tls: true},
	} {
		t.Run(name, func(t *testing.T) {
			const idle, total = 20, 15
			auth := newCorpAuth(t)
			var config *tls.Config
			provider := ""
			if test.tls {
				ca := newAuthority(t)
				config = ca.plainConfig()
				provider = "transport http {\n tls_trust_pool file " + ca.file(t) + "\n}"
			}
			llm := newDroppingLLM(t, auth, config)
			g := corpBoundTo(auth, llm.url(), provider, gatewayKey).start(t)
			llm.warm(t, g, idle)
			llm.become(resets)
			var failed atomic.Int64
			var all sync.WaitGroup
			for range total {
				post := func() {
					if g.post("/v1/chat/completions", chat("corp/m"), withKey...).status != http.StatusOK {
						failed.Add(1)
					}
				}
				if test.atOnce {
					all.Go(post)
				} else {
					post()
				}
			}
			all.Wait()
			figure(t, "died_silently", "%s: %d of %d requests failed with %d idle connections that had died", name, failed.Load(), total, idle)
			if failed.Load() != 0 {
				t.Errorf("%d of %d requests failed", failed.Load(), total)
			}
		})
	}
}
