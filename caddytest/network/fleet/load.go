package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Load sends requests to each instance until it is stopped.
type Load struct {
	model  string
	client *http.Client
	stop   chan struct{}
	done   sync.WaitGroup

	mu     sync.Mutex
	result Result
}

// A Result is what has come of requests.
type Result struct {
	// Sent counts those that an instance has answered.
	Sent int
	// Failed counts answers that are not 200, by status and code.
	Failed map[string]int
	// Unreachable counts requests that were not answered: the instance was down, or a
	// reload closed the connection.
	Unreachable int
	// Slowest is the longest that an answer took.
	Slowest time.Duration
}

// AllFailed counts the answers that are not 200.
func (r Result) AllFailed() int {
	sum := 0
	for _, n := range r.Failed {
		sum += n
	}
	return sum
}

func (r Result) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %d failed", r.AllFailed(), r.Sent)
	for _, name := range slices.Sorted(maps.Keys(r.Failed)) {
		fmt.Fprintf(&text, ", %d× %s", r.Failed[name], name)
	}
	fmt.Fprintf(&text, "; %d not answered, slowest %v", r.Unreachable, r.Slowest.Round(time.Millisecond))
	return text.String()
}

func newLoad(model string) *Load {
	return &Load{
		model: model, stop: make(chan struct{}), result: Result{Failed: map[string]int{}},
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
	}
}

// Once sends one request to each instance, and says what has come of them. One that
// was not answered has failed.
func (f *Fleet) Once(ctx context.Context, model string) Result {
	l := newLoad(model)
	for _, i := range f.Instances {
		l.done.Go(func() { l.send(ctx, i) })
	}
	result := l.Stop()
	if result.Unreachable > 0 {
		result.Failed["not answered"] = result.Unreachable
	}
	return result
}

// Load starts to send a request for a model to each instance in each interval.
func (f *Fleet) Load(model string, interval time.Duration) *Load {
	l := newLoad(model)
	for _, i := range f.Instances {
		l.done.Go(func() { l.run(i, interval) })
	}
	return l
}

func (l *Load) run(i *Instance, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			l.done.Go(func() { l.send(context.Background(), i) })
		}
	}
}

// send sends one request.
func (l *Load) send(ctx context.Context, i *Instance) {
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Say hi"}]}`, l.model)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+clientKey)
	request.Header.Set("Content-Type", "application/json")
	// Whoever sends it again over another connection does no harm.
	request.Header.Set("Idempotency-Key", "x")
	started := time.Now()
	response, err := l.client.Do(request)
	if err != nil {
		l.note("", time.Since(started))
		return
	}
	defer response.Body.Close()
	outcome := "200"
	if response.StatusCode != http.StatusOK {
		outcome = fmt.Sprint(response.StatusCode, " ", code(response.Body))
	} else if _, err := io.Copy(io.Discard, response.Body); err != nil {
		outcome = ""
	}
	l.note(outcome, time.Since(started))
}

// code is the error code in an answer.
func code(body io.Reader) string {
	var answer struct{ Error struct{ Code string } }
	if err := json.NewDecoder(body).Decode(&answer); err != nil || answer.Error.Code == "" {
		return "without a code"
	}
	return answer.Error.Code
}

func (l *Load) note(outcome string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if outcome == "" {
		l.result.Unreachable++
		return
	}
	l.result.Sent++
	l.result.Slowest = max(l.result.Slowest, took)
	if outcome != "200" {
		l.result.Failed[outcome]++
	}
}

// Result says what has come of the requests so far.
func (l *Load) Result() Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	result := l.result
	result.Failed = maps.Clone(result.Failed)
	return result
}

// Stop sends no more, waits for the answers that are due, and says what has come of
// all requests.
func (l *Load) Stop() Result {
	close(l.stop)
	l.done.Wait()
	l.client.CloseIdleConnections()
	return l.Result()
}
