package caddytest

import (
	"net/http"
	"strings"
	"testing"
)

// A handler between the directive and reverse_proxy may put another body in the place
// of the client's, or limit it; reverse_proxy itself may buffer it.
func TestTheLLMGetsTheBodyThatReverseProxyHas(t *testing.T) {
	const replaced = `{"model":"other","x":"replaced"}`
	for name, test := range map[string]struct {
		between, proxy string
		// want is empty for the client's own.
		want string
	}{
		"the client's":              {},
		"a replaced one":            {between: "request_body {\n set `" + replaced + "`\n}", want: replaced},
		"one with a limit":          {between: "request_body {\n max_size 1MB\n}"},
		"a buffered one":            {proxy: "request_buffers 1MiB"},
		"one that is buffered all":  {proxy: "request_buffers unlimited"},
		"a replaced, buffered one":  {between: "request_body {\n set `" + replaced + "`\n}", proxy: "request_buffers unlimited", want: replaced},
		"one with a limit, buffers": {between: "request_body {\n max_size 1MB\n}", proxy: "request_buffers 4KiB"},
	} {
		for binding, bound := range map[string]bool{"bound": true, "unbound": false} {
			for kind, fixed := range map[string]bool{"fixed": true, "routed": false} {
				t.Run(name+", "+binding+", "+kind, func(t *testing.T) {
					auth, llm := newCorpAuth(t), newUpstream(t, nil)
					directive, provider, upstream, proxy := "oauth2_llm", "", llm.address(), test.proxy
					if fixed {
						directive += " corp"
					}
					if bound {
						provider, upstream = "base_url "+llm.URL, ""
						proxy += "\ndynamic oauth2_llm"
					}
					address := freeAddress(t)
					g := startGateway(t, "{\n{{global INFO}}\noauth2_llm {\nprovider corp {\nclient_id corp-client\nclient_secret corp-secret\ntoken_url "+auth.tokenURL()+"\n"+provider+"\n}\n}\n}\nhttp://"+address+" {\nroute {\n"+
						directive+" {\n"+gatewayKey+"}\n"+test.between+"\nreverse_proxy "+upstream+" {\ntransport oauth2_llm\n"+proxy+"\n}\n}\n}")
					g.address = address
					for _, size := range []int{100, 300_000} {
						sent := sized(size)
						want := test.want
						switch {
						case want == "" && fixed:
							want = sent
						case want == "":
							want = withoutPrefix(sent)
						}
						g.post("/v1/chat/completions", sent, withKey...).wantStatus(t, http.StatusOK)
						got := llm.last(t)
						if string(got.body) != want || got.contentLength != int64(len(want)) {
							t.Errorf("%.40q of %d bytes, length %d, arrived, want %.40q of %d", got.body, len(got.body), got.contentLength, want, len(want))
						}
						if strings.Contains(got.header.Get("Trailer"), "transport") {
							t.Errorf("the header is %v", got.header)
						}
						wantToken(t, auth, got.header, "Authorization", "Bearer ")
					}
				})
			}
		}
	}
}
