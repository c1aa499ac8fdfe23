package caddytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestAConnectionHeaderDropsNothingThatTheGatewaySets(t *testing.T) {
	for name, test := range map[string]struct {
		connection, provider, field, prefix string
	}{
		"naming Authorization":                  {connection: "close, Authorization"},
		"naming nothing else":                   {connection: "Authorization"},
		"in lower case with tabs":               {connection: "close,\tauthorization\t"},
		"naming other credentials too":          {connection: "close, X-Api-Key, Authorization, Cookie"},
		"in a second header of the name":        {connection: "close\nConnection: Authorization"},
		"naming the provider's own header":      {connection: "close, X-Token", provider: "place header X-Token", field: "X-Token"},
		"naming a header with underscores":      {connection: "close, X_Token", provider: "place header X_Token", field: "X_Token"},
		"naming Authorization with place":       {connection: "close, Authorization", provider: "place header X-Token", field: "X-Token"},
		"naming a header of header_up as well":  {connection: "close, AI-Resource-Group, Authorization"},
		"naming an added header of header_up":   {connection: "close, X-Added, Authorization"},
		"naming a default header of header_up":  {connection: "close, X-Default, Authorization"},
		"naming an underscored companion there": {connection: "close, X_Under"},
	} {
		t.Run(name, func(t *testing.T) {
			auth, up := newCorpAuth(t), newUpstream(t, nil)
			if test.field == "" {
				test.field, test.prefix = "Authorization", "Bearer "
			}
			companions := "\nheader_up AI-Resource-Group default\nheader_up +X-Added a\nheader_up ?X-Default d\nheader_up X_Under u"
			g := corpSite{auth: auth, upstream: up.address(), provider: test.provider + companions, directive: gatewayKey}.start(t)
			g.wire(t, chatWith("Connection: "+test.connection)).wantStatus(t, http.StatusOK)
			got := up.last(t)
			wantToken(t, auth, got.header, test.field, test.prefix)
			for field, value := range map[string]string{"Ai-Resource-Group": "default", "X-Added": "a", "X-Default": "d", "X_under": "u"} {
				if values := got.header[field]; len(values) != 1 || values[0] != value {
					t.Errorf("%s arrived as %q, want %q", field, values, value)
				}
			}
		})
	}
}

func TestAConnectionHeaderStillDropsTheClientsOwnHeaders(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey}.start(t)
	g.wire(t, chatWith("Connection: close, Authorization, X-Hop", "X-Hop: 1", "X-End: 1")).wantStatus(t, http.StatusOK)
	if got := up.last(t).header; got.Get("X-Hop") != "" || got.Get("X-End") != "1" {
		t.Errorf("X-Hop arrived as %q, X-End as %q", got["X-Hop"], got["X-End"])
	}
}

// credentialHeaders are removed from every request.
var credentialHeaders = []string{
	"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Xi-Api-Key",
	"Ocp-Apim-Subscription-Key", "Proxy-Authorization", "Cookie",
}

func TestNoCredentialOfTheClientReachesTheProvider(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey}.start(t)
	var all []string
	for _, name := range credentialHeaders {
		all = append(all, strings.ToLower(name)+": evil-credential")
	}
	tests := map[string][]string{"all of them at once": all}
	for _, header := range all {
		name, _, _ := strings.Cut(header, ":")
		tests[name] = []string{header}
		tests[name+" twice"] = []string{header, header}
	}
	for name, headers := range tests {
		t.Run(name, func(t *testing.T) {
			g.wire(t, chatWith(headers...)).wantStatus(t, http.StatusOK)
			got := up.last(t)
			wantToken(t, auth, got.header, "Authorization", "Bearer ")
			for field, values := range got.header {
				if value := strings.Join(values, " "); strings.Contains(value, "evil-credential") || strings.Contains(value, "gateway-key") {
					t.Errorf("%s arrived as %q", field, values)
				}
			}
		})
	}
}

func TestCredentialsInTheQueryAreRemovedAndTheRestStaysAsItIs(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	for _, routed := range []bool{true, false} {
		directive := gatewayKey + "default_provider corp\n"
		if !routed {
			directive = gatewayKey
		}
		g := corpSite{auth: auth, upstream: up.address(), directive: directive, fixed: !routed}.start(t)
		for query, want := range map[string]string{
			"?key=evil":                          "",
			"?api-key=evil&a=1":                  "?a=1",
			"?a=1&api_key=evil":                  "?a=1",
			"?a=1&access_token=evil&b=2":         "?a=1&b=2",
			"?API_KEY=evil&Key=evil":             "",
			"?%6bey=evil&api%2Dkey=evil":         "",
			"?key":                               "",
			"?key=evil&key=evil&a=%2f%2F+&b&c==": "?a=%2f%2F+&b&c==",
			"?monkey=1&keys=2&access_tokens=3":   "?monkey=1&keys=2&access_tokens=3",
			"?a=key&&b=%zz":                      "?a=key&&b=%zz",
			"?":                                  "?",
		} {
			t.Run(fmt.Sprintf("%s, routed %v", query, routed), func(t *testing.T) {
				g.wire(t, "GET /v1/responses"+query+" HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n\n").wantStatus(t, http.StatusOK)
				if got := up.last(t).uri; got != "/v1/responses"+want {
					t.Errorf("%s arrived, want %s", got, want)
				}
			})
		}
	}
}

func TestAKeyInTheWebSocketProtocolIsRemoved(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "default_provider corp\n"}.start(t)
	for sent, want := range map[string]string{
		"realtime, openai-insecure-api-key.evil, openai-beta.realtime-v1": "realtime, openai-beta.realtime-v1",
		"OpenAI-Insecure-API-Key.evil, realtime":                          "realtime",
		"openai-insecure-api-key.evil":                                    "",
		"realtime,openai-beta.realtime-v1":                                "realtime,openai-beta.realtime-v1",
		"realtime\nSec-WebSocket-Protocol: openai-insecure-api-key.evil":  "realtime",
	} {
		t.Run(sent, func(t *testing.T) {
			g.wire(t, "GET /v1/x HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\nSec-WebSocket-Protocol: "+sent+"\n\n").wantStatus(t, http.StatusOK)
			if got := strings.Join(up.last(t).header["Sec-Websocket-Protocol"], "; "); got != want {
				t.Errorf("%q arrived, want %q", got, want)
			}
		})
	}
}

func TestKeepHeaderKeepsAHeaderButNeverTheGatewaysKey(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey + "keep_header cookie X-Api-Key Api-Key"}.start(t)
	g.wire(t, chatWith("Cookie: a=1", "X-Api-Key: tenant", "X-Goog-Api-Key: evil")).wantStatus(t, http.StatusOK)
	got := up.last(t).header
	if got.Get("Cookie") != "a=1" || got.Get("X-Api-Key") != "tenant" {
		t.Errorf("kept headers arrived as %q and %q", got["Cookie"], got["X-Api-Key"])
	}
	if got["Api-Key"] != nil || got["X-Goog-Api-Key"] != nil {
		t.Errorf("the gateway's key arrived as %q, a header that is not kept as %q", got["Api-Key"], got["X-Goog-Api-Key"])
	}
	wantToken(t, auth, got, "Authorization", "Bearer ")
}

func TestTwoAuthorizationHeadersBecomeOne(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	g := corpSite{auth: auth, upstream: up.address(), directive: gatewayKey}.start(t)
	g.wire(t, chatWith("aUTHORIZATION: Bearer evil", "Authorization: Bearer gateway-key")).wantStatus(t, http.StatusOK)
	wantToken(t, auth, up.last(t).header, "Authorization", "Bearer ")
}

func TestHeadersWithUnderscoresAreRemovedLikeThoseWithHyphens(t *testing.T) {
	names := []string{"X_Api_Key", "API_KEY", "X_Goog_Api_Key", "xi_api_key", "Ocp_Apim_Subscription_Key", "Proxy_Authorization", "X_Token", "X-Api_Key"}
	for name, test := range map[string]struct {
		global  string
		arrives bool
	}{
		"as Caddy drops them by itself":        {"", false},
		"where Caddy is told to let them pass": {"servers {\n expected_underscore_headers X_Trace " + strings.Join(names, " ") + "\n}\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			auth, up := newCorpAuth(t), newUpstream(t, nil)
			g := corpSite{auth: auth, upstream: up.address(), global: test.global, provider: "place header X-Token", directive: gatewayKey}.start(t)
			// Caddy drops Api-Key itself where it expects API_KEY.
			headers := []string{"X_Trace: 1", "Authorization: Bearer gateway-key"}
			for _, name := range names {
				headers = append(headers, name+": evil-credential")
			}
			g.wire(t, chatWith(headers...)).wantStatus(t, http.StatusOK)
			got := up.last(t).header
			for field, values := range got {
				if strings.Contains(strings.Join(values, " "), "evil-credential") {
					t.Errorf("%s arrived as %q", field, values)
				}
			}
			if slices.Equal(got["X_trace"], []string{"1"}) != test.arrives {
				t.Errorf("a harmless header arrived as %q", got["X_trace"])
			}
			wantToken(t, auth, got, "X-Token", "")
		})
	}
}
