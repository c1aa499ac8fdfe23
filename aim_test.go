package oauth2llm

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestWhatProxiesSayIsHidden(t *testing.T) {
	header := http.Header{
		"Via": {"1"}, "Forwarded": {"1"}, "X-Real-Ip": {"1"}, "X-Forwarded-For": {"1"}, "X-Forwarded-Proto": nil, "X-Forwarded-Anything": {"1"}, "X_forwarded_for": {"1"},
		"X-Forwarded": {"1"}, "X-Forwarder-Id": {"1"}, "Vial": {"1"}, "Content-Type": {"1"}, "Authorization": {"1"},
	}
	hideGateway(header)
	if got, want := slices.Sorted(maps.Keys(header)), []string{"Authorization", "Content-Type", "Vial", "X-Forwarded", "X-Forwarder-Id"}; !slices.Equal(got, want) {
		t.Errorf("%v are left, want %v", got, want)
	}
}

func TestTheAddressOfABaseURLHasAPort(t *testing.T) {
	for base, want := range map[string]string{
		"https://llm.example.com":          "llm.example.com:443",
		"http://llm.example.com":           "llm.example.com:80",
		"https://llm.example.com:8443/v1":  "llm.example.com:8443",
		"http://192.0.2.1":                 "192.0.2.1:80",
		"http://192.0.2.1:1":               "192.0.2.1:1",
		"https://[2001:db8::1]":            "[2001:db8::1]:443",
		"https://[2001:db8::1]:8443":       "[2001:db8::1]:8443",
		"http://[::1]/v1":                  "[::1]:80",
		"http://[fe80::1%25eth0]:81":       "[fe80::1%eth0]:81",
		"https://llm.example.com:/trailed": "llm.example.com:443",
	} {
		address, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		got := dialAddress(address)
		if got != want {
			t.Errorf("%s is at %s, want %s", base, got, want)
		}
		// reverse_proxy takes the address apart again.
		parsed, err := caddy.ParseNetworkAddress(got)
		if err != nil || parsed.JoinHostPort(0) != want || parsed.PortRangeSize() != 1 {
			t.Errorf("reverse_proxy takes %s for %s, %v", got, parsed.JoinHostPort(0), err)
		}
	}
}
