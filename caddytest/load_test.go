package caddytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The figures that these tests print are the promises of the project; they run
// in real time. With -short they take less of it, and promise the same.

// figure prints a figure: `go test -v ./caddytest | grep figure`.
func figure(t *testing.T, name, format string, values ...any) {
	t.Helper()
	t.Logf("figure %s: %s", name, fmt.Sprintf(format, values...))
}

// realTime is how long a test runs; in -short mode it is the second duration.
func realTime(full, short time.Duration) time.Duration {
	if testing.Short() {
		return short
	}
	return full
}

// A tally counts answers by status and keeps how long each took.
type tally struct {
	mu       sync.Mutex
	statuses map[int]int
	took     []time.Duration
}

func (c *tally) add(status int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statuses == nil {
		c.statuses = make(map[int]int)
	}
	c.statuses[status]++
	c.took = append(c.took, took)
}

// percentile is the time that so many percent of the answers did not exceed.
func (c *tally) percentile(percent int) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.took) == 0 {
		return 0
	}
	slices.Sort(c.took)
	return c.took[(len(c.took)-1)*percent/100].Round(10 * time.Microsecond)
}

// hammer has clients send requests, a pause between them, until the time is
// over; each sends at least one.
func (g *gateway) hammer(clients int, pause, total time.Duration, path string) *tally {
	c := &tally{}
	end := time.Now().Add(total)
	ready := make(chan struct{})
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			<-ready
			for {
				start := time.Now()
				a := g.post(path, `{"model":"provider_a/m"}`, withKey...)
				c.add(a.status, time.Since(start))
				if time.Now().Add(pause).After(end) {
					return
				}
				time.Sleep(pause)
			}
		})
	}
	close(ready)
	all.Wait()
	return c
}

// accessLog is what the access log says of one request.
type accessLog struct {
	Level     string  `json:"level"`
	Message   string  `json:"msg"`
	Timestamp float64 `json:"ts"`
	Status    int     `json:"status"`
	Attempt   int     `json:"attempt"`
	TokenWait float64 `json:"llm_token_wait"`
}

// logLines reads the lines of the log that hold a text.
func (g *gateway) logLines(containing string) []accessLog {
	g.t.Helper()
	file, err := os.Open(g.logFile())
	if err != nil {
		g.t.Fatal(err)
	}
	defer file.Close()
	var lines []accessLog
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if !strings.Contains(scanner.Text(), containing) {
			continue
		}
		var line accessLog
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			g.t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil {
		g.t.Fatal(err)
	}
	return lines
}

// underLoad is a gateway with a fixed provider that logs accesses in few words.
func underLoad(auth *authServer, llm *llmStandIn, options ...string) string {
	return strings.Replace(strings.Replace(decorateWith(auth, llm, "client_a", "s", options...), "{{global}}", "{{global INFO}}", 1),
		"{{site}} {", "{{site}} {\n\tlog {\n\t\toutput file {{log}} {\n\t\t\troll_disabled\n\t\t}\n\t\tformat filter {\n\t\t\trequest delete\n\t\t\tresp_headers delete\n\t\t}\n\t}", 1)
}

func TestColdStartOf512ClientsIsOneTokenRequest(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	auth.delay.Store(int64(100 * time.Millisecond))
	g := startGateway(t, underLoad(auth, llm))
	c := g.hammer(512, 0, 0, "/v1/chat/completions")
	figure(t, "cold_start_512", "%d token requests, %d of 512 ok, slowest %v", auth.tokenRequests.Load(), c.statuses[http.StatusOK], c.percentile(100))
	if auth.tokenRequests.Load() != 1 || c.statuses[http.StatusOK] != 512 {
		t.Errorf("%d token requests, statuses %v", auth.tokenRequests.Load(), c.statuses)
	}
	llm.wantNoRefusals(t)
}

func TestShortTokensUnderLoadAreRefreshedBeforeAnyoneWaits(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	auth.lifetime.Store(5)
	auth.delay.Store(int64(100 * time.Millisecond))
	g := startGateway(t, underLoad(auth, llm))
	g.post("/v1/chat/completions", "{}", withKey...).wantStatus(t, http.StatusOK)

	total := realTime(30*time.Second, 6*time.Second)
	c := g.hammer(512, 500*time.Millisecond, total, "/v1/chat/completions")
	waited := len(g.logLines(`"llm_token_wait"`))
	requests := auth.tokenRequests.Load()
	failed := len(c.took) - c.statuses[http.StatusOK]
	figure(t, "short_token_512", "%d token requests in %v, %d requests, %d failed, %d waited for a refresh after the first",
		requests, total, len(c.took), failed, waited-1)
	most := int64(total/(2500*time.Millisecond)) + 1
	if requests > most || failed != 0 || waited != 1 {
		t.Errorf("%d token requests (want at most %d), statuses %v, %d waits", requests, most, c.statuses, waited)
	}
	llm.wantNoRefusals(t)
}

func TestASlowTokenEndpointOfOneProviderAddsNothingToAnothersRequests(t *testing.T) {
	p := startTwoProviders(t)
	release := make(chan struct{})
	p.authA.setFault(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	waiting := make(chan answer, 20)
	for range cap(waiting) {
		go func() { waiting <- p.post("/v1/chat/completions", chat("provider_a/m"), withKey...) }()
	}
	waitFor(t, 10*time.Second, func() bool { return p.authA.tokenRequests.Load() == 1 })
	c := &tally{}
	for range 100 {
		start := time.Now()
		c.add(p.post("/v1/chat/completions", chat("provider_b/m"), withKey...).status, time.Since(start))
	}
	figure(t, "slow_provider", "while 20 requests wait for provider_a, %d of 100 of provider_b are ok, median %v", c.statuses[http.StatusOK], c.percentile(50))
	if c.statuses[http.StatusOK] != 100 || len(waiting) != 0 {
		t.Errorf("statuses %v, %d requests of the slow provider are done", c.statuses, len(waiting))
	}
	p.authA.setFault(nil)
	close(release)
	for range cap(waiting) {
		(<-waiting).wantStatus(t, http.StatusOK)
	}
}

// The token is good all the time, and nobody notices.
func TestAnOutageInsideTheMarginFailsNoRequest(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	auth.lifetime.Store(200)
	auth.refreshIn.Store(1)
	g := startGateway(t, underLoad(auth, llm))
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	auth.stop()

	total := realTime(60*time.Second, 9*time.Second)
	c := g.hammer(16, 20*time.Millisecond, total, "/v1/x")
	failures := append(g.logLines(`"token request failed, trying again"`), g.logLines(`"no new access token, the one in hand serves on"`)...)
	known := auth.tokenRequests.Load()
	auth.restart()
	back := time.Now()
	waitFor(t, 35*time.Second, func() bool {
		g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
		return auth.tokenRequests.Load() > known
	})
	failed := len(c.took) - c.statuses[http.StatusOK]
	figure(t, "outage_in_margin", "%d requests in %v, %d failed, %d attempts, recovery after %v",
		len(c.took), total, failed, len(failures), time.Since(back).Round(time.Millisecond))
	if failed != 0 || len(failures) < 3 {
		t.Errorf("statuses %v, %d attempts", c.statuses, len(failures))
	}
	slices.SortFunc(failures, func(a, b accessLog) int { return int((a.Timestamp - b.Timestamp) * 1e6) })
	for i := 1; i < len(failures); i++ {
		if gap := failures[i].Timestamp - failures[i-1].Timestamp; gap < 0.9 {
			t.Errorf("attempts %d and %d are only %.3f s apart", i, i+1, gap)
		}
	}
	llm.wantNoRefusals(t)
}

// Without a token nothing is forwarded, nobody waits long to learn of it, and
// the first request soon after its end succeeds.
func TestAnOutagePastExpiryIsA503AtOnce(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	auth.lifetime.Store(3)
	// A lasting outage is an ERROR once in 30 s, and DEBUG at each attempt.
	g := startGateway(t, strings.Replace(underLoad(auth, llm), "{{global INFO}}", "{{global}}", 1))
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	auth.stop()
	// The token ends, and the failure of the refresh is known.
	waitFor(t, 10*time.Second, func() bool { return g.post("/v1/x", "{}", withKey...).status == http.StatusServiceUnavailable })

	forwarded := llm.requests.Load()
	total := realTime(20*time.Second, 5*time.Second)
	var withoutRetryAfter atomic.Int64
	c := &tally{}
	var all sync.WaitGroup
	end := time.Now().Add(total)
	for range 8 {
		all.Go(func() {
			for time.Now().Before(end) {
				start := time.Now()
				a := g.post("/v1/x", "{}", withKey...)
				c.add(a.status, time.Since(start))
				if seconds := a.header.Get("Retry-After"); seconds < "1" || len(seconds) > 2 {
					withoutRetryAfter.Add(1)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	all.Wait()
	attempts := len(g.logLines(`"token request failed, trying again"`)) + len(g.logLines(`"no access token"`)) +
		len(g.logLines(`"no new access token, the one in hand serves on"`))
	// 1, 2 and 4 s after the first, then each 2 s, or a fifth less.
	most := 5 + int(total/(1600*time.Millisecond))
	figure(t, "outage_past_expiry", "%d of %d requests are 503, median %v, 99th percentile %v, %d attempts in %v, %d requests forwarded",
		c.statuses[http.StatusServiceUnavailable], len(c.took), c.percentile(50), c.percentile(99), attempts, total, llm.requests.Load()-forwarded)
	if len(c.statuses) != 1 || c.statuses[http.StatusServiceUnavailable] == 0 || withoutRetryAfter.Load() != 0 || attempts > most {
		t.Errorf("statuses %v, %d without Retry-After, %d attempts (want at most %d)", c.statuses, withoutRetryAfter.Load(), attempts, most)
	}
	if median := c.percentile(50); median > 50*time.Millisecond {
		t.Errorf("the median answer took %v", median)
	}
	if llm.requests.Load() != forwarded {
		t.Error("a request was forwarded without a token")
	}
	llm.wantNoRefusals(t)
	auth.restart()
	back := time.Now()
	waitFor(t, 35*time.Second, func() bool { return g.post("/v1/x", "{}", withKey...).status == http.StatusOK })
	figure(t, "recovery", "the first request succeeded %v after the token endpoint was back", time.Since(back).Round(time.Millisecond))
	if recovery := time.Since(back); recovery > 5*time.Second {
		t.Errorf("recovery took %v, want one attempt each 2 s", recovery)
	}
}
