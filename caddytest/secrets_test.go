package caddytest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Secrets that must not be seen. They hold what encodings change.
const (
	secretCanary  = `canary-1 s3cr3t"\+/=&ä%`
	refreshCanary = `canary-2/refresh+token=`
	tokenCanary   = `canary-3.access~token+/==`
	rotatedCanary = `canary-4.rotated+token/`
	idCanary      = `canary-5.id-token`
	queryCanary   = `canary-6-query`
	paramCanary   = `canary-7 "param"`
	keyCanary     = `canary-8-client-key`
)

var allCanaries = []string{secretCanary, refreshCanary, tokenCanary, rotatedCanary, idCanary, queryCanary, paramCanary, keyCanary}

// encodings are the forms in which a secret can be seen.
func encodings(secret string) map[string]string {
	quote := func(text string) string {
		quoted, _ := json.Marshal(text)
		return string(quoted[1 : len(quoted)-1])
	}
	return map[string]string{
		"raw":           secret,
		"JSON":          quote(secret),
		"twice JSON":    quote(quote(secret)),
		"query":         url.QueryEscape(secret),
		"path":          url.PathEscape(secret),
		"base64":        base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64url":     base64.URLEncoding.EncodeToString([]byte(secret)),
		"raw base64":    base64.RawStdEncoding.EncodeToString([]byte(secret)),
		"Basic":         base64.StdEncoding.EncodeToString([]byte("id:" + secret)),
		"escaped Basic": base64.StdEncoding.EncodeToString([]byte("id:" + url.QueryEscape(secret))),
	}
}

// wantNoCanaries fails the test if a text shows a secret in any form.
func wantNoCanaries(t *testing.T, where, text string) (hits int) {
	t.Helper()
	for _, secret := range allCanaries {
		forms := encodings(secret)
		forms["its beginning"] = secret[:12]
		for form, encoded := range forms {
			if at := strings.Index(text, encoded); at >= 0 {
				hits++
				t.Errorf("%s shows %.8s… (%s): %q", where, secret, form, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
	return hits
}

// secretsServer is a token endpoint that answers one way after another.
type secretsServer struct {
	*httptest.Server
	current atomic.Pointer[http.HandlerFunc]
}

func (s *secretsServer) answer(next http.HandlerFunc) { s.current.Store(&next) }

func newSecretsServer(t *testing.T) *secretsServer {
	s := &secretsServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		(*s.current.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// Secrets of the configuration, and of whatever an authorization server
// answers, are in no log at DEBUG, no answer and no error.
func TestNoSecretIsSeen(t *testing.T) {
	server := newSecretsServer(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+tokenCanary {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/refused") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(upstream.Close)
	t.Setenv("TEST_SECRET", secretCanary)
	t.Setenv("TEST_REFRESH", refreshCanary)
	t.Setenv("TEST_KEY", keyCanary)
	t.Setenv("TEST_PARAM", paramCanary)
	caddyfile := func(authMethod, refreshToken string) string {
		return fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id id
			client_secret {env.TEST_SECRET}
			token_url %s/token?key=%s
			auth_method %s
			%s
			token_request {
				param password {env.TEST_PARAM}
				header X-Password {env.TEST_PARAM}
				retries 0
			}
		}
	}
}
{{site}} {
	log {
		output file {{log}}
	}
	oauth2_llm corp {
		client_key agents {env.TEST_KEY}
	}
	reverse_proxy %s
}`, server.URL, queryCanary, authMethod, refreshToken, strings.TrimPrefix(upstream.URL, "http://"))
	}
	header := []string{"Authorization", "Bearer " + keyCanary}

	// The server can echo what it was sent, and tell what it answers.
	var echo []string
	for _, secret := range slices.DeleteFunc(slices.Clone(allCanaries), func(s string) bool { return s == keyCanary }) {
		for _, encoded := range encodings(secret) {
			echo = append(echo, encoded)
		}
	}
	good := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600,"refresh_token":%q,"id_token":%q}`, tokenCanary, rotatedCanary, idCanary)
	refusal := func(member, text string) string {
		encoded, _ := json.Marshal(map[string]string{"error": "invalid_client", member: text, "access_token": tokenCanary, "refresh_token": rotatedCanary, "id_token": idCanary})
		return string(encoded)
	}
	answers := map[string]struct {
		status int
		answer http.HandlerFunc
	}{
		"a good answer": {200, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good) }},
		"a token with a line end": {502, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600}`, tokenCanary+"\r\n"+rotatedCanary)
		}},
		"a token of another type": {502, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Replace(good, "Bearer", "mac", 1))
		}},
		"a redirect with secrets in it": {502, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/?"+url.Values{"x": echo}.Encode(), http.StatusTemporaryRedirect)
		}},
		"a web page that echoes": {502, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_ = r.ParseForm()
			fmt.Fprint(w, r.Form, r.Header, echo)
		}},
		"a 500 that echoes": {503, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_ = r.ParseForm()
			fmt.Fprint(w, r.Form, r.Header, echo)
		}},
		"an answer that breaks off": {503, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = io.WriteString(w, good)
			panic(http.ErrAbortHandler)
		}},
	}
	for i, text := range echo {
		for _, member := range []string{"error_description", "error", "error_uri"} {
			answers[fmt.Sprintf("%s echoes form %d", member, i)] = struct {
				status int
				answer http.HandlerFunc
			}{502, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, refusal(member, text))
			}}
		}
	}

	hits := 0
	for _, variant := range []struct{ authMethod, refreshToken string }{
		{"client_secret_post", ""}, {"client_secret_basic", ""}, {"client_secret_basic_raw", "refresh_token {env.TEST_REFRESH}"},
	} {
		server.answer(answers["a good answer"].answer)
		g := startGateway(t, caddyfile(variant.authMethod, variant.refreshToken))
		adapted, err := g.adapt(caddyfile(variant.authMethod, variant.refreshToken))
		if err != nil {
			t.Fatal(err)
		}
		// What GET /config/ and the autosave file show.
		hits += wantNoCanaries(t, "the configuration", strings.ReplaceAll(string(adapted), queryCanary, ""))
		for name, a := range answers {
			server.answer(a.answer)
			// A reload with another fingerprint, and another refresh token: no token, no
			// memory of a failure.
			unique := url.PathEscape(strings.ReplaceAll(name, " ", "-"))
			refreshToken := variant.refreshToken
			if refreshToken != "" {
				refreshToken += "-" + unique
			}
			other := strings.Replace(caddyfile(variant.authMethod, refreshToken), "client_id id", "client_id id\n\t\t\tscope s"+unique, 1)
			if err := g.load(other); err != nil {
				t.Fatal(err)
			}
			got := g.post("/v1/x", "{}", header...)
			if got.status != a.status {
				t.Errorf("%s: %s gives %d, want %d: %s", variant.authMethod, name, got.status, a.status, got.body)
			}
			hits += wantNoCanaries(t, name+": the answer", fmt.Sprint(got.header, got.body))
		}
		server.answer(answers["a good answer"].answer)
		if err := g.load(caddyfile(variant.authMethod, variant.refreshToken)); err != nil {
			t.Fatal(err)
		}
		g.post("/v1/refused", "{}", header...).wantStatus(t, http.StatusUnauthorized)
		g.post("/v1/x", "{}", "X-Api-Key", "wrong").wantStatus(t, http.StatusUnauthorized)
		g.post("/v1/x?key=secret-of-a-client", "{}", header...).wantStatus(t, http.StatusOK)
		log := g.log()
		if !strings.Contains(log, `"level":"debug"`) || strings.Count(log, "no access token") < 50 {
			t.Error("the log holds too little to prove anything")
		}
		hits += wantNoCanaries(t, "the log", log)
	}
	figure(t, "canary_hits", "%d in %d answers, at DEBUG, in %d forms of %d secrets", hits, 3*len(answers), len(echo), len(allCanaries))
}

// A host that cannot be reached is named, the query of its URL is not.
func TestAnUnreachableTokenEndpointIsNamedWithoutItsQuery(t *testing.T) {
	address := freeAddress(t)
	g := startGateway(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id id
			client_secret %s
			token_url http://%s/token?key=%s
			token_request {
				retries 0
			}
		}
		provider nxdomain {
			client_id id
			client_secret %s
			token_url http://no-such-host.invalid/token?key=%s
			token_request {
				retries 0
				timeout 3s
			}
		}
	}
}
{{site}} {
	oauth2_llm {
		client_key off
	}
	reverse_proxy %s
}`, tokenCanary, address, queryCanary, tokenCanary, queryCanary, freeAddress(t)))
	a := g.post("/v1/x", chat("corp/m"))
	a.wantError(t, http.StatusServiceUnavailable, "oauth2_authentication_error", "token_endpoint_unavailable")
	if strings.Contains(a.body, address) {
		t.Errorf("the client is told the address: %s", a.body)
	}
	if got := g.post("/v1/x", chat("nxdomain/m")); got.status != http.StatusServiceUnavailable && got.status != http.StatusGatewayTimeout {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	log := g.log()
	if !strings.Contains(log, address) || !strings.Contains(log, "no-such-host.invalid") {
		t.Error("the log does not name the hosts")
	}
	wantNoCanaries(t, "the log", log)
}

// What works and is a risk is warned about, without the value.
func TestRisksAreWarnedAboutWhenTheConfigurationIsLoaded(t *testing.T) {
	t.Setenv("TEST_SECRET", "s")
	g := startGateway(t, `
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id id
			client_secret `+tokenCanary+`
			token_url http://idp.example.com/token
		}
		provider openai {
			client_id id
			client_secret {env.TEST_SECRET}
			token_url https://idp.example.com/token
			base_url http://llm.example.com
		}
	}
}
{{site}} {
	oauth2_llm {
		client_key agents `+keyCanary+`
	}
	oauth2_llm corp
}`)
	waitFor(t, 5*time.Second, func() bool { return strings.Contains(g.log(), "anyone who can reach this gateway") })
	log := g.log()
	for _, words := range []string{
		"the secret travels in the clear", `"field":"token_url"`,
		"the secret stands in the configuration", `"field":"client_secret"`,
		"the key stands in the configuration", `"client_key":"agents"`,
		"LiteLLM and CrewAI take this name", `"provider":"openai"`,
		"the token travels in the clear", `"field":"base_url"`,
	} {
		if !strings.Contains(log, words) {
			t.Errorf("the log does not say %s", words)
		}
	}
	// Caddy itself logs the handlers of the http app at DEBUG, as they are.
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, `"msg":"adjusted config"`) })
	wantNoCanaries(t, "the log", strings.Join(lines, "\n"))
}
