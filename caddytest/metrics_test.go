package caddytest

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// clientRequestCounts are the values of client_requests_total by client and
// outcome, as Caddy's metrics endpoint shows them.
func clientRequestCounts(t *testing.T) map[string]float64 {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != "caddy_oauth2_llm_client_requests_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			counts[labels["client"]+" "+labels["outcome"]] = metric.GetCounter().GetValue()
		}
	}
	if len(counts) == 0 {
		t.Fatal("there is no client_requests_total")
	}
	return counts
}

// hashOf is the value of client_key that stands for a key.
func hashOf(key string) string {
	digest := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(digest[:])
}
