package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Keys of clients, end to end. They are long enough not to be warned about.
const (
	oldKey   = "gw-old-key-of-the-agents"
	newKey   = "gw-new-key-of-the-agents"
	otherKey = "gw-key-of-the-other-team"
)

// modelsFor is the status that a key gets.
func modelsFor(g *gateway, key string) int {
	return g.get("/v1/models", "Authorization", "Bearer "+key).status
}

// wantKeys waits until just these of the keys are good.
func wantKeys(t *testing.T, g *gateway, good ...string) {
	t.Helper()
	waitFor(t, 5*time.Second, func() bool {
		for _, key := range []string{oldKey, newKey, otherKey} {
			want := http.StatusUnauthorized
			if slices.Contains(good, key) {
				want = http.StatusOK
			}
			if modelsFor(g, key) != want {
				return false
			}
		}
		return true
	})
}

// startWithKeyFiles starts a gateway whose clients agents and others have their
// keys in files, and the agents one more key.
func startWithKeyFiles(t *testing.T) *gateway {
	t.Helper()
	return startGatewayWith(t, fmt.Sprintf(`
{
	{{global INFO}}
	oauth2_llm {
		provider corp {
			client_id i
			client_secret s
			token_url http://127.0.0.1:1
		}
	}
}
{{site}} {
	oauth2_llm {
		client_key agents {file.agents_keys} %s
		client_key others {file.others_keys}
	}
	reverse_proxy 127.0.0.1:1
}`, hashOf("gw-key-for-emergencies")), map[string]string{"agents_keys": oldKey + "\n", "others_keys": otherKey + "\r\n"})
}

// wantLogged fails the test unless the log has each of the lines just once, and no
// key.
func wantLogged(t *testing.T, g *gateway, lines ...string) {
	t.Helper()
	log := g.log()
	for _, line := range lines {
		if n := strings.Count(log, line); n != 1 {
			t.Errorf("the log has %d lines with %s, want 1", n, line)
		}
	}
	for _, key := range []string{oldKey, newKey, otherKey} {
		if strings.Contains(log, key) || strings.Contains(log, hashOf(key)) || strings.Contains(log, strings.TrimPrefix(hashOf(key), "sha256:")) {
			t.Errorf("the log shows %s", key)
		}
	}
}

func TestAKeyIsReplacedWhileTheOldOneIsStillGood(t *testing.T) {
	g := startWithKeyFiles(t)
	wantKeys(t, g, oldKey, otherKey)
	g.write("agents_keys", oldKey+"\n"+newKey+"\n")
	waitFor(t, 5*time.Second, func() bool {
		if status := modelsFor(g, oldKey); status != http.StatusOK {
			t.Fatalf("the old key gets %d while it is replaced", status)
		}
		return modelsFor(g, newKey) == http.StatusOK
	})
	g.write("agents_keys", "\r\n"+newKey+"\r\n")
	waitFor(t, 5*time.Second, func() bool {
		if status := modelsFor(g, newKey); status != http.StatusOK {
			t.Fatalf("the new key gets %d", status)
		}
		return modelsFor(g, oldKey) == http.StatusUnauthorized
	})
	if modelsFor(g, "gw-key-for-emergencies") != http.StatusOK || modelsFor(g, otherKey) != http.StatusOK {
		t.Error("keys that were not replaced are refused")
	}
	const changed = `"msg":"the keys of a client have changed","client_key":"agents","keys":`
	wantLogged(t, g, changed+"3}", changed+"2}")
}

func TestAKeyOfTwoClientsIsRefusedForBoth(t *testing.T) {
	g := startWithKeyFiles(t)
	wantKeys(t, g, oldKey, otherKey)
	g.write("others_keys", oldKey+"\n"+otherKey+"\n")
	wantKeys(t, g, otherKey)
	if modelsFor(g, "gw-key-for-emergencies") != http.StatusOK {
		t.Error("the client's other key is refused too")
	}
	g.write("others_keys", otherKey+"\n")
	wantKeys(t, g, oldKey, otherKey)
	wantLogged(t, g, "client_key agents: has the value of client_key others", "client_key others: has the value of client_key agents",
		`"msg":"the keys of a client can be used again","client_key":"agents","keys":2}`,
		`"msg":"the keys of a client can be used again","client_key":"others","keys":1}`)
}

func TestWhatIsWrongInAFileOfKeysIsInTheLog(t *testing.T) {
	g := startWithKeyFiles(t)
	g.write("agents_keys", newKey+"\n\ufeff"+oldKey+"\n")
	wantKeys(t, g, newKey, otherKey)
	g.write("agents_keys", newKey+"\nhalf a \x01 key\n")
	waitFor(t, 5*time.Second, func() bool {
		g.get("/v1/models")
		return strings.Contains(g.log(), "control character")
	})
	g.write("agents_keys", "too short\n")
	waitFor(t, 5*time.Second, func() bool { return modelsFor(g, "too short") == http.StatusOK })
	if err := os.Remove(g.folder + "/others_keys"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 5*time.Second, func() bool { return modelsFor(g, otherKey) == http.StatusUnauthorized })
	wantLogged(t, g, "client_key agents value 1: line 2 of the file: the value holds a byte order mark",
		"client_key agents value 1: line 2 of the file: the value holds a control character",
		"a key has fewer than 16 bytes and can be guessed: make one with `caddy oauth2-llm key`",
		`"msg":"a client is refused until its key can be used","client_key":"others"`)
	if strings.Contains(g.log(), "too short") {
		t.Error("the log shows a key")
	}
}

func TestTheFirstValidKeyDecidesAndNoneIsForwarded(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	const protocol = "openai-insecure-api-key."
	g := corpSite{
		auth: auth, upstream: up.address(), site: "log\nheader >X-Client {http.auth.user.id}",
		directive: "client_key agents " + oldKey + " " + newKey + "\nclient_key others " + otherKey + "\nunknown_model pass\nkeep_header Authorization X-Api-Key Api-Key X-Goog-Api-Key",
	}.start(t)
	for name, test := range map[string]struct {
		headers []string
		// client is empty if the request is refused.
		client string
	}{
		"Authorization":                     {[]string{"Authorization: Bearer " + oldKey}, "agents"},
		"the other key of a client":         {[]string{"Authorization: Bearer " + newKey}, "agents"},
		"X-Api-Key":                         {[]string{"x-api-key: " + oldKey}, "agents"},
		"Api-Key":                           {[]string{"api-key: " + oldKey}, "agents"},
		"X-Goog-Api-Key":                    {[]string{"x-goog-api-key: " + oldKey}, "agents"},
		"a subprotocol":                     {[]string{"Sec-WebSocket-Protocol: realtime, " + protocol + oldKey + ", v1"}, "agents"},
		"a subprotocol of a second line":    {[]string{"Sec-WebSocket-Protocol: realtime", "sec-websocket-protocol: " + protocol + oldKey}, "agents"},
		"Authorization before X-Api-Key":    {[]string{"X-Api-Key: " + otherKey, "Authorization: Bearer " + oldKey}, "agents"},
		"X-Api-Key before all behind it":    {[]string{"Sec-WebSocket-Protocol: " + protocol + oldKey, "X-Goog-Api-Key: " + oldKey, "Api-Key: " + oldKey, "X-Api-Key: " + otherKey}, "others"},
		"an invalid one before a valid one": {[]string{"Authorization: Bearer of-another", "X-Goog-Api-Key: " + oldKey}, "agents"},
		"none that is valid":                {[]string{"Authorization: Bearer of-another", "Sec-WebSocket-Protocol: " + protocol + "of-another"}, ""},
	} {
		for _, model := range []string{"corp/m", "unknown/m"} {
			t.Run(name+" for "+model, func(t *testing.T) {
				body := chat(model)
				before := up.count()
				a := g.wire(t, fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\nHost: gateway.test\nContent-Type: application/json\n%s\nContent-Length: %d\n\n%s",
					strings.Join(test.headers, "\n"), len(body), body))
				if test.client == "" {
					a.wantError(t, http.StatusUnauthorized, "authentication_error", "invalid_api_key")
					if up.count() != before {
						t.Error("it was forwarded")
					}
					return
				}
				a.wantStatus(t, http.StatusOK)
				if got := a.header.Get("X-Client"); got != test.client {
					t.Errorf("the client is %q, want %s", got, test.client)
				}
				if text := fmt.Sprint(up.last(t).header); strings.Contains(text, oldKey) || strings.Contains(text, newKey) || strings.Contains(text, otherKey) {
					t.Errorf("a key arrived in %s", text)
				}
				if protocols := up.last(t).header["Sec-Websocket-Protocol"]; strings.Contains(strings.Join(test.headers, " "), "realtime") && !strings.HasPrefix(strings.Join(protocols, ", "), "realtime") {
					t.Errorf("the other subprotocols arrived as %q", protocols)
				}
			})
		}
	}
}

// A browser can send its key in no other way.
func TestAWebSocketIsOpenedWithAKeyAsSubprotocol(t *testing.T) {
	auth := newCorpAuth(t)
	llm := newLLM(t, auth, "corp-client")
	g := corpSite{auth: auth, upstream: realtime(t, llm), directive: "client_key agents " + oldKey + "\ndefault_provider corp"}.start(t)
	open := func(key string) *http.Response {
		response, _, _ := g.exchange(t, http.MethodGet, []byte("GET /v1/realtime?model=corp%2Fgpt HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: realtime, openai-insecure-api-key."+key+"\r\n\r\n"))
		return response
	}
	if response := open(oldKey); response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		t.Fatalf("status %d: %s", response.StatusCode, body)
	}
	got := llm.lastRequest().header
	wantToken(t, auth, got, "Authorization", "Bearer ")
	if protocols := got["Sec-Websocket-Protocol"]; !slices.Equal(protocols, []string{"realtime"}) {
		t.Errorf("the subprotocols arrived as %q", protocols)
	}
	if response := open("of-another"); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("another key gets %d", response.StatusCode)
	}
}

func TestWhatMakesAnotherRequestOfOneNeverReachesAProvider(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	names := []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Override-URL", "Proxy"}
	underscored := strings.ReplaceAll(strings.Join(names[:6], " "), "-", "_")
	for _, global := range []string{"", "servers {\n expected_underscore_headers " + underscored + "\n}\n"} {
		g := corpSite{auth: auth, upstream: up.address(), global: global, directive: gatewayKey}.start(t)
		headers := []string{"Connection: close, X-Original-URL", "X-Own: 1"}
		sent := append(slices.Clone(names), strings.Fields(underscored)...)
		for _, name := range sent {
			headers = append(headers, name+": evil-value")
		}
		g.wire(t, chatWith(headers...)).wantStatus(t, http.StatusOK)
		got := up.last(t).header
		if text := fmt.Sprint(got); strings.Contains(text, "evil-value") {
			t.Errorf("%s arrived", text)
		}
		if got.Get("X-Own") != "1" {
			t.Errorf("X-Own arrived as %q", got["X-Own"])
		}
	}
}
