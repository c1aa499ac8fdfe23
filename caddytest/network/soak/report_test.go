package main

import (
	"strings"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/fleet"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/standin"
)

func TestAReportNamesWhatIsOff(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*report)
		during time.Duration
		want   string
	}{
		"nothing":                              {func(*report) {}, time.Hour, ""},
		"a failed request":                     {func(r *report) { r.shared.Failed = map[string]int{"502 x": 1} }, time.Hour, "shared tokens failed"},
		"too many token requests":              {func(r *report) { r.sharedRequests = 11 }, time.Hour, "token requests"},
		"a refusal":                            {func(r *report) { r.rotating.Failed = map[string]int{"502 invalid_grant": 1} }, time.Hour, "invalid_grant"},
		"no wait for a claim":                  {func(r *report) { r.rotating.Failed = map[string]int{"504 token_endpoint_timeout": 9} }, time.Hour, ""},
		"a grant that has ended":               {func(r *report) { r.grant.Lives = false }, time.Hour, "grant has ended"},
		"a spent token":                        {func(r *report) { r.grant.Late = 1 }, time.Hour, "spent tokens"},
		"spent tokens in grace without kills":  {func(r *report) { r.grant.InGrace = 1 }, time.Hour, "in grace"},
		"goroutines":                           {func(r *report) { r.goroutines = 100 }, time.Hour, "goroutines"},
		"a heap that grows":                    {func(r *report) { r.heapPerMinute = 1 << 20 }, time.Hour, "heap"},
		"a large heap":                         {func(r *report) { r.heap = 64 << 20 }, time.Minute, "at rest"},
		"no heap that settles in a short soak": {func(r *report) { r.heapPerMinute = 1 << 20 }, time.Minute, ""},
		"a soak that has sent nothing":         {func(r *report) { r.shared.Sent = 0 }, time.Hour, "nothing was sent"},
	} {
		t.Run(name, func(t *testing.T) {
			r := report{
				shared: fleet.Result{Sent: 1}, rotating: fleet.Result{Sent: 1}, sharedRequests: 10, most: 10,
				grant: standin.GrantReport{Lives: true}, goroutinesBefore: 20, goroutines: 25,
			}
			test.change(&r)
			off := strings.Join(r.off(test.during), "\n")
			if test.want == "" && off != "" || !strings.Contains(off, test.want) {
				t.Errorf("off: %q, want %q", off, test.want)
			}
		})
	}
}
