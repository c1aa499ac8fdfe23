package caddytest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// queryToken is the token in the query that arrived: one, in the parameter ticket,
// behind what the client and base_url say.
func queryToken(t *testing.T, got received, rest string) string {
	t.Helper()
	before, token, found := strings.Cut(got.uri, "ticket=")
	if !found || strings.Contains(token, "&") || strings.Contains(token, "ticket=") || strings.TrimRight(before, "?&") != rest {
		t.Fatalf("the request arrived at %q, want %s and one token", got.uri, rest)
	}
	value, err := url.QueryUnescape(token)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestATokenInTheQuery(t *testing.T) {
	const sent = "/v1/chat/completions?ticket=evil&TICKET=evil&a=%2F&%74icket=evil;ticket=evil"
	for name, test := range map[string]struct {
		provider, upstream, proxy string
		want                      string
		replaced                  bool
	}{
		"behind a plain reverse_proxy": {"", "{{upstream}}", "", "/v1/chat/completions?a=%2F", false},
		"behind the transport":         {"", "{{upstream}}", "transport oauth2_llm", "/v1/chat/completions?a=%2F", true},
		"to a base_url":                {"base_url http://{{upstream}}/api?version=1", "", "dynamic oauth2_llm\ntransport oauth2_llm", "/api/chat/completions?a=%2F&version=1", true},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newCorpAuth(t)
			var refused string
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if token := r.URL.Query().Get("ticket"); refused == "" {
					refused = token
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			fill := strings.NewReplacer("{{upstream}}", up.address())
			g := corpSite{
				global: "debug", auth: auth, upstream: fill.Replace(test.upstream), provider: "place query ticket\n" + fill.Replace(test.provider),
				directive: gatewayKey, proxy: test.proxy,
			}.start(t)
			first := g.wire(t, strings.Replace(chatWith("Authorization: Bearer evil"), "/v1/chat/completions", sent, 1))
			if wanted := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[test.replaced]; first.status != wanted {
				t.Fatalf("the first answer is %d, want %d", first.status, wanted)
			}
			if !test.replaced {
				g.wire(t, strings.Replace(chatWith(), "/v1/chat/completions", sent, 1)).wantStatus(t, http.StatusOK)
			}
			seen := up.all()
			if len(seen) != 2 {
				t.Fatalf("the LLM was asked %d times", len(seen))
			}
			old, fresh := queryToken(t, seen[0], test.want), queryToken(t, seen[1], test.want)
			if client, problem := auth.check(fresh); old == fresh || client != "corp-client" || problem != "" {
				t.Errorf("the second token is that of %q, and %s; the same: %t", client, problem, old == fresh)
			}
			for _, got := range seen {
				if values := got.header["Authorization"]; values != nil {
					t.Errorf("Authorization arrived as %q", values)
				}
			}
			if strings.HasPrefix(test.provider, "base_url") && (strings.Contains(g.log(), old) || strings.Contains(g.log(), fresh)) {
				t.Error("the log shows a token")
			}
		})
	}
}
