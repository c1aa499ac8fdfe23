package caddytest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// boundTo starts a gateway in front of an upstream that speaks HTTP/1.1, or
// HTTPS and HTTP/2.
func boundTo(t *testing.T, http2 bool, provider, directive string) (*gateway, *authServer, *upstream) {
	t.Helper()
	auth := newCorpAuth(t)
	up, base, transport := newHTTP2Upstream(t, nil)
	if !http2 {
		base, transport = up.URL, ""
	}
	return corpBoundTo(auth, base+"/base/api", transport+"\n"+provider, gatewayKey+directive).start(t), auth, up
}

func TestHeaderAttacksOnABoundProvider(t *testing.T) {
	var credentials []string
	for _, name := range credentialHeaders {
		credentials = append(credentials, strings.ToLower(name)+": evil-credential", name+": evil-credential")
	}
	const companions = "header_up AI-Resource-Group default\nheader_up +X-Added a\nheader_up ?X-Default d\nheader_up -X-Debug"
	for name, test := range map[string]struct {
		provider, directive string
		sent                []string
		field, prefix       string
		want                map[string][]string
	}{
		"Connection names Authorization":          {sent: []string{"Connection: close, Authorization"}},
		"Connection names it in lower case":       {sent: []string{"Connection: close,\tauthorization"}},
		"Connection names X-Token":                {provider: "place header X-Token", sent: []string{"Connection: close, X-Token, Authorization"}, field: "X-Token"},
		"Connection names companions":             {sent: []string{"Connection: AI-Resource-Group, X-Added, X-Default, close"}},
		"Connection names a header of the client": {sent: []string{"Connection: close, X-Hop", "X-Hop: 1", "X-End: 1"}, want: map[string][]string{"X-Hop": nil, "X-End": {"1"}}},
		"Connection names Host and Content-Type":  {sent: []string{"Connection: Host, Content-Length, close"}},
		"credentials in every header":             {sent: credentials},
		"credentials and a header X-Token":        {provider: "place header X-Token", sent: append([]string{"X-Token: evil-credential"}, credentials...), field: "X-Token"},
		"the place is one of the client's":        {provider: `place header X-Api-Key "Key "`, sent: credentials, field: "X-Api-Key", prefix: "Key "},
		"two Authorization headers":               {sent: []string{"aUTHORIZATION: Bearer evil-credential", "Authorization: Bearer gateway-key"}},
		"underscores":                             {provider: "place header X-Token", sent: []string{"X_Api_Key: evil-credential", "API_KEY: evil-credential", "X_Token: evil-credential"}, field: "X-Token"},
		"a client that sets the companions":       {sent: []string{"ai-resource-group: evil-credential", "AI-Resource-Group: evil-credential", "X-Debug: evil-credential"}},
		"a client that says where it comes from": {
			sent: []string{
				"X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: other.test", "X-Forwarded-Prefix: /p", "x-forwarded-proto: https", "X-Real-IP: 10.0.0.1", "Via: 1.1 me", "Forwarded: for=10.0.0.1",
				"X-Forward: 1",
			},
			want: map[string][]string{"X-Forward": {"1"}, "X-Forwarded-Prefix": nil},
		},
		"a kept header":                     {directive: "keep_header Cookie", sent: []string{"Cookie: a=1", "Api-Key: evil-credential"}, want: map[string][]string{"Cookie": {"a=1"}}},
		"a User-Agent that is not there":    {want: map[string][]string{"User-Agent": nil}},
		"a header twice, in its order":      {sent: []string{"X-Many: b", "x-many: a"}, want: map[string][]string{"X-Many": {"b", "a"}}},
		"hop-by-hop headers":                {sent: []string{"Keep-Alive: timeout=5", "Proxy-Connection: close", "Alt-Svc: h2", "Te: gzip"}, want: map[string][]string{"Keep-Alive": nil, "Proxy-Connection": nil, "Alt-Svc": nil, "Te": nil}},
		"trailers that the client can read": {sent: []string{"Te: trailers, gzip"}, want: map[string][]string{"Te": {"trailers"}}},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, http2), func(t *testing.T) {
				if test.field == "" {
					test.field, test.prefix = "Authorization", "Bearer "
				}
				g, auth, up := boundTo(t, http2, test.provider+"\n"+companions, test.directive)
				g.wire(t, chatWith(test.sent...)).wantStatus(t, http.StatusOK)
				got := up.last(t)
				wantToken(t, auth, got.header, test.field, test.prefix)
				for field, values := range got.header {
					value := strings.Join(values, " ")
					if strings.Contains(value, "evil-credential") || strings.Contains(value, "gateway-key") || strings.Contains(field, "_") {
						t.Errorf("%s arrived as %q", field, values)
					}
					if strings.HasPrefix(field, "X-Forwarded") || slices.Contains([]string{"Via", "Forwarded", "X-Real-Ip"}, field) {
						t.Errorf("the provider learned %s", field)
					}
				}
				want := map[string][]string{"Ai-Resource-Group": {"default"}, "X-Added": {"a"}, "X-Default": {"d"}, "Content-Type": {"application/json"}}
				maps.Copy(want, test.want)
				for field, values := range want {
					if !slices.Equal(got.header[field], values) {
						t.Errorf("%s arrived as %q, want %q", field, got.header[field], values)
					}
				}
				if got.uri != "/base/api/chat/completions" || string(got.body) != withoutPrefix(chat("corp/gpt-4o")) {
					t.Errorf("%s arrived with %s", got.uri, got.body)
				}
			})
		}
	}
}

// Where Caddy lets headers with underscores pass, servers that read them as
// hyphens must not learn from them where a request comes from.
func TestUnderscoresDoNotHideAForwardingHeader(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	site := corpBoundTo(auth, up.URL, "", gatewayKey)
	names := []string{"X_Forwarded_For", "X-Forwarded_Host", "X_Real_IP", "X_Trace"}
	site.global = "servers {\n expected_underscore_headers " + strings.Join(names, " ") + "\n}\n"
	g := site.start(t)
	var sent []string
	for _, name := range names {
		sent = append(sent, name+": 10.0.0.1")
	}
	g.wire(t, chatWith(sent...)).wantStatus(t, http.StatusOK)
	got := up.last(t).header
	if got["X_trace"] == nil {
		t.Errorf("no header with underscores arrived, so this tests nothing: %v", got)
	}
	delete(got, "X_trace")
	for field := range got {
		if strings.Contains(field, "_") {
			t.Errorf("the provider learned %s", field)
		}
	}
}

// The operator's own header operations of reverse_proxy do not touch the token.
func TestHeaderUpOfReverseProxyDoesNotReplaceTheToken(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	site := corpBoundTo(auth, up.URL, "", gatewayKey)
	site.proxy += "\nheader_up Authorization \"Bearer other\"\nheader_up Host other.test\nheader_up X-Operator yes\nheader_up X-Seen {http.request.header.Authorization}"
	g := site.start(t)
	g.wire(t, chatWith("Authorization: Bearer gateway-key")).wantStatus(t, http.StatusOK)
	got := up.last(t)
	wantToken(t, auth, got.header, "Authorization", "Bearer ")
	if got.host != up.address() || got.header.Get("X-Operator") != "yes" || strings.Contains(got.header.Get("X-Seen"), "eyJ") {
		t.Errorf("for %s arrived %v", got.host, got.header)
	}
}

func TestNoCredentialTravelsInATrailerToABoundProvider(t *testing.T) {
	const evil = "Authorization: Bearer evil\nX-Api-Key: evil\nX-Token: evil\nCookie: evil\nX-Group: evil\nX-Checksum: 1\n"
	long := strings.Repeat("0123456789", 20_000)
	for name, test := range map[string]struct {
		fixed                     bool
		announced, body, trailers string
		checksum                  string
	}{
		"JSON that is held":                       {announced: "Authorization, X-Api-Key, X-Token, X-Group, X-Checksum", body: chat("corp/m"), trailers: evil, checksum: "1"},
		"a short body without a model":            {announced: "Authorization, X-Checksum", body: "RIFF", trailers: evil, checksum: "1"},
		"a fixed provider":                        {fixed: true, announced: "authorization,X-Checksum, X-Token, Cookie", body: "{}", trailers: evil, checksum: "1"},
		"an empty body":                           {fixed: true, announced: "Authorization, X-Checksum", trailers: evil, checksum: "1"},
		"a body that streams":                     {announced: "Authorization, X-Checksum, Cookie", body: long, trailers: evil, checksum: "1"},
		"a body that streams to a fixed provider": {fixed: true, announced: "Authorization, X-Checksum", body: long, trailers: evil, checksum: "1"},
		"trailers that are not announced":         {fixed: true, announced: "X-Checksum", body: "{}", trailers: evil, checksum: "1"},
		"a stream without an announcement":        {body: long, trailers: evil},
		"no announcement at all":                  {body: chat("corp/m"), trailers: evil},
		"nothing but credentials":                 {announced: "Authorization", body: chat("corp/m"), trailers: "Authorization: Bearer evil\n"},
		"nothing but credentials on a stream":     {announced: "Authorization", body: long, trailers: "Authorization: Bearer evil\n"},
		"an announcement that never comes":        {announced: "Authorization, X-Checksum", body: "RIFF"},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, http2), func(t *testing.T) {
				directive := "max_body 64KiB"
				if !test.fixed {
					directive += "\ndefault_provider corp"
				}
				auth := newCorpAuth(t)
				up, base, transport := newHTTP2Upstream(t, nil)
				if !http2 {
					base, transport = up.URL, ""
				}
				site := corpBoundTo(auth, base, transport+"\nplace header X-Token\nheader_up X-Group g", gatewayKey+directive)
				site.fixed = test.fixed
				g := site.start(t)
				announcement := ""
				if test.announced != "" {
					announcement = "Trailer: " + test.announced + "\r\n"
				}
				trailers := strings.ReplaceAll(test.trailers, "\n", "\r\n")
				g.flood(t, announcement+"Transfer-Encoding: chunked", strings.TrimSuffix(chunks(test.body, 1000), "\r\n")+trailers+"\r\n").wantStatus(t, http.StatusOK)
				got := up.last(t)
				for field, values := range got.trailer {
					if field != "X-Checksum" {
						t.Errorf("the trailer %s arrived as %q", field, values)
					}
				}
				if checksum := got.trailer.Get("X-Checksum"); checksum != test.checksum {
					t.Errorf("the trailer X-Checksum arrived as %q, want %q", checksum, test.checksum)
				}
				if want := withoutPrefix(test.body); string(got.body) != want {
					t.Errorf("%d bytes arrived, want %d: %.100q", len(got.body), len(want), got.body)
				}
				wantToken(t, auth, got.header, "X-Token", "")
			})
		}
	}
}

// A token that no other module sees cannot be logged by one: without a base_url
// Caddy's debug log shows every header but Authorization.
func TestNoLogShowsTheTokenOfABoundProvider(t *testing.T) {
	for name, place := range map[string]string{"in Authorization": "", "in X-Token": "place header X-Token", "in Api-Key": `place header Api-Key ""`} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, http2), func(t *testing.T) {
				auth := newCorpAuth(t)
				up, base, transport := newHTTP2Upstream(t, nil)
				if !http2 {
					base, transport = up.URL, ""
				}
				site := corpBoundTo(auth, base, transport+"\n"+place, gatewayKey+"default_provider corp")
				site.site = "log"
				site.global = "servers {\n trace\n log_credentials\n}\n"
				site.proxy += "\nverbose_logs"
				g := site.start(t)
				g.post("/v1/chat/completions", chat("corp/m"), "Api-Key", "gateway-key").wantStatus(t, http.StatusOK)
				g.get("/v1/files", "Api-Key", "gateway-key").wantStatus(t, http.StatusOK)
				token := ""
				for _, values := range up.last(t).header {
					if value := strings.TrimPrefix(values[0], "Bearer "); strings.HasPrefix(value, "eyJ") {
						token = value
					}
				}
				up.CloseClientConnections()
				up.Close()
				accessEntries(t, g, 2)
				log := g.log()
				if !strings.Contains(log, "upstream roundtrip") || token == "" {
					t.Fatal("nothing is logged, or no token arrived, so this tests nothing")
				}
				if strings.Contains(log, token) || strings.Contains(log, "eyJ") {
					t.Error("the token is in the log")
				}
			})
		}
	}
}

// What the trailers are is known only after the body, so none may be copied
// before it has ended.
func TestTrailersOfALongBodyReachABoundProviderAfterIt(t *testing.T) {
	wantTrailersAfterALongBody(t, func(url string) *gateway {
		site := corpBoundTo(newCorpAuth(t), url, "", gatewayKey+"max_body 64KiB")
		site.fixed = true
		return site.start(t)
	})
}
