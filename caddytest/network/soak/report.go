package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/fleet"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/standin"
)

// A report is what a soak has come to.
type report struct {
	// shared are requests with tokens that share_tokens shares, rotating those with
	// tokens that a refresh token was redeemed for.
	shared, rotating fleet.Result
	// sharedRequests are token requests, against as many as there would be if the
	// storage were never disturbed, and if it were never there.
	sharedRequests, fewest, most int
	rotatingRequests             int
	grant                        standin.GrantReport
	kills, beforeAnswer, reloads int
	// heap is how much more the first instance holds each minute, in bytes.
	heapPerMinute float64
	heap          int64
	// goroutines are the first instance's at the beginning and now.
	goroutinesBefore, goroutines int64
}

func (r report) String() string {
	return fmt.Sprintf("shared: %v; %d token requests (%d to %d expected) | rotating: %v; %d token requests, grant lives: %v, %d rotations, %d spent tokens sent in grace and %d later | %d reloads, %d kills, %d of them before the answer has come | heap %.1f MiB, %+.2f MiB a minute, %d goroutines (%d at first)",
		r.shared, r.sharedRequests, r.fewest, r.most, r.rotating, r.rotatingRequests, r.grant.Lives, r.grant.Rotated, r.grant.InGrace, r.grant.Late,
		r.reloads, r.kills, r.beforeAnswer, float64(r.heap)/(1<<20), r.heapPerMinute/(1<<20), r.goroutines, r.goroutinesBefore)
}

// Bounds of what an instance may hold. In a short soak the slope is that of the
// requests that wait at the time; only what is held at rest says something.
const (
	mostGoroutinesMore = 30
	mostHeap           = 48 << 20
	mostHeapPerMinute  = 256 << 10
	shortSoak          = 10 * time.Minute
)

// off names what is not as it should be.
func (r report) off(during time.Duration) (off []string) {
	note := func(bad bool, format string, values ...any) {
		if bad {
			off = append(off, fmt.Sprintf(format, values...))
		}
	}
	note(r.shared.Sent == 0 || r.rotating.Sent == 0, "nothing was sent")
	note(r.shared.AllFailed() > 0, "%d requests with shared tokens failed", r.shared.AllFailed())
	note(r.sharedRequests > r.most, "%d token requests are more than %d", r.sharedRequests, r.most)
	for failure := range r.rotating.Failed {
		// While the claim of a killed instance stands, or the storage is away, others
		// wait, and may not get a token in time.
		expected := slices.ContainsFunc([]string{"token_endpoint_timeout", "token_endpoint_unavailable", "token_storage_unavailable"}, func(code string) bool {
			return strings.HasSuffix(failure, code)
		})
		note(!expected, "requests with a refresh token's access tokens failed with %s", failure)
	}
	note(!r.grant.Lives, "the grant has ended")
	note(r.grant.Late > 0, "%d spent tokens were sent", r.grant.Late)
	note(r.grant.InGrace > r.beforeAnswer+r.kills, "%d spent tokens were sent in grace, and %d instances were killed", r.grant.InGrace, r.kills)
	note(r.goroutines > r.goroutinesBefore+mostGoroutinesMore, "%d goroutines, %d at first", r.goroutines, r.goroutinesBefore)
	note(r.heap > mostHeap, "the heap holds %d MiB at rest", r.heap>>20)
	note(during >= shortSoak && r.heapPerMinute > mostHeapPerMinute, "the heap grows by %.0f KiB a minute", r.heapPerMinute/(1<<10))
	return off
}
