package caddytest

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The README's way to let a second LLM stand in for a first does what it says.
func TestTheREADMEsSecondLLMStandsInForTheFirst(t *testing.T) {
	const secret = "a-secret-of-32-bytes-or-a-token-"
	down := httptest.NewServer(nil)
	down.Close()
	for name, test := range map[string]struct {
		// status is what the first LLM answers, 0 if it is down.
		status int
		size   int
		key    string
		model  string
		want   int
		// at is the LLM that has the last word and sees the model under this name; if
		// there is none, code is that of the gateway's own answer.
		at, upstream, code string
	}{
		"the first answers":                                   {status: 200, size: 100, model: "fast", want: 200, at: "first", upstream: "gpt-4o"},
		"the first is busy":                                   {status: 429, size: 100, model: "fast", want: 200, at: "second", upstream: "claude-sonnet"},
		"the first is busy with a long body":                  {status: 503, size: 300_000, model: "fast", want: 200, at: "second", upstream: "claude-sonnet"},
		"the first is busy with a model that has no stand-in": {status: 429, size: 100, model: "first/other", want: 429, at: "first", upstream: "other"},
		"the first is busy with a model by its own name":      {status: 429, size: 100, model: "first/gpt-4o", want: 200, at: "second", upstream: "claude-sonnet"},
		"the first refuses what it was asked":                 {status: 400, size: 100, model: "fast", want: 400, at: "first", upstream: "gpt-4o"},
		"the first is down":                                   {size: 100, model: "fast", want: 200, at: "second", upstream: "claude-sonnet"},
		"the first is down with a long body":                  {size: 300_000, model: "fast", want: 200, at: "second", upstream: "claude-sonnet"},
		"a wrong key":                                         {status: 200, size: 100, model: "fast", key: "wrong", want: 401, code: "invalid_api_key"},
		"a wrong key while the first is down":                 {size: 100, model: "fast", key: "wrong", want: 401, code: "invalid_api_key"},
		"an unknown model":                                    {status: 200, size: 100, model: "zzz/m", want: 404, code: "model_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			auths := map[string]*authServer{
				"first":  newAuthServer(t, oauthClient{id: "value-of-FIRST_CLIENT_ID", secret: secret}),
				"second": newAuthServer(t, oauthClient{id: "value-of-SECOND_CLIENT_ID", secret: secret}),
			}
			ups := map[string]*upstream{"second": newUpstream(t, nil), "first": newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
			})}
			first := ups["first"].URL
			if test.status == 0 {
				first = down.URL
			}
			g := startSecondLLM(t, auths, first, ups["second"].URL)
			key := test.key
			if key == "" {
				key = "value-of-AGENTS_KEY"
			}
			body, _ := json.Marshal(map[string]string{"content": strings.Repeat("x", test.size), "model": test.model})
			a := g.post("/v1/chat/completions", string(body), "Authorization", "Bearer "+key)
			a.wantStatus(t, test.want)
			if test.at == "" {
				if !strings.Contains(a.body, `"code":"`+test.code+`"`) {
					t.Errorf("the answer is %s, want the code %s", a.body, test.code)
				}
				return
			}
			got := ups[test.at].last(t)
			var sent struct{ Content, Model string }
			if err := json.Unmarshal(got.body, &sent); err != nil || len(sent.Content) != test.size || sent.Model != test.upstream {
				t.Errorf("%s got %d bytes for the model %q (%v), want %d for %q", test.at, len(sent.Content), sent.Model, err, test.size, test.upstream)
			}
			if _, problem := auths[test.at].check(strings.TrimPrefix(got.header.Get("Authorization"), "Bearer ")); problem != "" {
				t.Errorf("the token at %s is %s", test.at, problem)
			}
		})
	}
}

// startSecondLLM starts the README's example with stand-ins for its addresses.
func startSecondLLM(t *testing.T, auths map[string]*authServer, first, second string) *gateway {
	t.Helper()
	var example string
	for _, block := range readmeBlocks(t, "caddyfile") {
		if strings.Contains(block, "handle_response @busy") {
			example = block
		}
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	for _, change := range [][2]string{
		{"{\n", "{\n{{global}}\n"},
		{"llm.example.com {", "http://:" + port + " {\nbind 127.0.0.1"},
		{"https://login.example.com/oauth/token", auths["first"].tokenURL()},
		{"https://login.example.org/oauth/token", auths["second"].tokenURL()},
		{"https://llm-a.example.com", first},
		{"https://llm-b.example.org", second},
	} {
		if !strings.Contains(example, change[0]) {
			t.Fatalf("the example holds no %q", change[0])
		}
		example = strings.Replace(example, change[0], change[1], 1)
	}
	g := startGateway(t, withShownFiles(t, example))
	g.address = address
	return g
}
