package oauth2llm

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
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

func TestALaterDirectiveTakesOffWhatAnEarlierOneHasPutOn(t *testing.T) {
	inHeader := config.EffectivePlace{Header: "Authorization", Prefix: "Bearer "}
	for name, test := range map[string]struct {
		earlier *lease
		query   string
		left    []string
	}{
		"no earlier one":                  {nil, "token=t&a=1", []string{"Authorization", "X-Corp", "X-Other"}},
		"one that passes on":              {new(lease), "token=t&a=1", []string{"Authorization", "X-Corp", "X-Other"}},
		"one whose token is in a header":  {&lease{route: route{target: target{provider: &provider{place: inHeader, headerUp: config.ResolvedHeaderUp{Set: http.Header{"X-Corp": {"1"}}}}}}}, "token=t&a=1", []string{"X-Other"}},
		"one whose token is in the query": {&lease{route: route{target: target{provider: &provider{place: config.EffectivePlace{Query: "token"}}}}}, "a=1", []string{"Authorization", "X-Corp", "X-Other"}},
		"one whose transport sets them":   {&lease{route: route{target: target{provider: &provider{place: inHeader}, base: new(url.URL)}}}, "token=t&a=1", []string{"Authorization", "X-Corp", "X-Other"}},
	} {
		t.Run(name, func(t *testing.T) {
			came := httptest.NewRequest(http.MethodGet, "/?token=t&a=1", http.NoBody)
			copied := came.WithContext(t.Context())
			copied.Header = http.Header{"Authorization": {"1"}, "X-Corp": {"1"}, "X-Other": {"1"}}
			undress(copied, test.earlier)
			if left := slices.Sorted(maps.Keys(copied.Header)); !slices.Equal(left, test.left) || copied.URL.RawQuery != test.query {
				t.Errorf("%v and %q are left", left, copied.URL.RawQuery)
			}
			if came.URL.RawQuery != "token=t&a=1" {
				t.Errorf("the request that came has the query %q", came.URL.RawQuery)
			}
		})
	}
}

// Each try is aimed anew: the request of reverse_proxy stays as it is, and what was
// put on it for one provider goes to no other.
func TestATargetIsAimedAtOnACopy(t *testing.T) {
	base, _ := url.Parse("https://llm.example.com/base/v1")
	token := &tokens.Token{Value: tokens.NewSecret("the-token")}
	for name, test := range map[string]struct {
		to        target
		url, host string
		forwarded bool
	}{
		"with a base_url": {target{base: base}, "https://llm.example.com/base/v1/chat/completions?a=1", "llm.example.com", false},
		"without one":     {target{}, "http://gateway.test/v1/chat/completions?a=1", "gateway.test", true},
	} {
		t.Run(name, func(t *testing.T) {
			test.to.provider = &provider{place: config.EffectivePlace{Header: "Authorization", Prefix: "Bearer "}}
			r := httptest.NewRequest(http.MethodPost, "http://gateway.test/v1/chat/completions?a=1", http.NoBody)
			out := r.WithContext(t.Context())
			out.Header = http.Header{"X-Forwarded-For": {"1"}, "Authorization": {"another"}}
			w := walk{token: token}
			test.to.aim(out, &w)
			if out.URL.String() != test.url || out.Host != test.host || out.Header.Get("Authorization") != "Bearer the-token" || w.sent[0] != token {
				t.Errorf("aimed at %s of %s with %v", out.URL, out.Host, out.Header)
			}
			if _, forwarded := out.Header["X-Forwarded-For"]; forwarded != test.forwarded {
				t.Errorf("what reverse_proxy says of the client is there: %v", forwarded)
			}
			if r.URL.String() != "http://gateway.test/v1/chat/completions?a=1" {
				t.Errorf("the request of reverse_proxy goes to %s", r.URL)
			}
		})
	}
}

func TestOnlyAGetOpensAWebSocket(t *testing.T) {
	h := mustHandler(t, threeProviders(newTokenEndpoint(t).URL), `{"unknown_model":"pass","client_keys":{"mini":{"key":"key-mini","models":["a/small"]},"all":{"key":"key-all"}}}`)
	for name, test := range map[string]struct {
		method, target, key, body string
		want                      bool
	}{
		"a realtime session":                  {"GET", "/v1/realtime?model=a/small", "key-mini", "", true},
		"a POST of the one model of a key":    {"POST", "/v1/responses", "key-mini", `{"model":"a/small"}`, false},
		"a POST of any model":                 {"POST", "/v1/responses", "key-all", `{"model":"a/gpt-4o"}`, false},
		"another method":                      {"DELETE", "/v1/realtime?model=a/small", "key-all", "", false},
		"a session that is passed on":         {"GET", "/v1/realtime?model=nobody/m", "key-all", "", true},
		"a POST that is passed on":            {"POST", "/v1/responses", "key-all", `{"model":"nobody/m"}`, false},
		"a method in letters of another case": {"get", "/v1/realtime?model=a/gpt-4o", "key-all", "", false},
		"a HEAD":                              {"HEAD", "/v1/realtime?model=a/gpt-4o", "key-all", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
			r.Header = http.Header{"X-Api-Key": {test.key}, "Content-Type": {"application/json"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
			forwarded, w := serve(t, h, r)
			if forwarded == nil {
				t.Fatalf("it is answered %d %s", w.Code, w.Body)
			}
			upgrade, connection := len(forwarded.Header["Upgrade"]) == 1, len(forwarded.Header["Connection"]) == 1
			if upgrade != test.want || connection != test.want {
				t.Errorf("the header is %q", forwarded.Header)
			}
		})
	}
}
