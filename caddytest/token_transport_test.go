package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A tlsTokenServer is a token endpoint with a certificate of a private CA that
// wants one of the client too. It keeps what it was sent.
type tlsTokenServer struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
	// clients are the names in the clients' certificates.
	clients []string
}

func newTLSTokenServer(t *testing.T, ca *authority) *tlsTokenServer {
	t.Helper()
	s := &tlsTokenServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.sent = append(s.sent, string(body))
		s.clients = append(s.clients, r.TLS.PeerCertificates[0].Subject.CommonName)
		s.mu.Unlock()
		_, _ = io.WriteString(w, `{"access_token":"of-the-private-server","expires_in":3600}`)
	}))
	s.TLS = ca.serverConfig()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// A recordingLLM keeps everything that it is sent.
type recordingLLM struct {
	*httptest.Server
	mu  sync.Mutex
	got strings.Builder
}

func newRecordingLLM(t *testing.T) *recordingLLM {
	t.Helper()
	l := &recordingLLM{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		defer l.mu.Unlock()
		fmt.Fprintf(&l.got, "%s %s %v\n%s\n", r.Method, r.RequestURI, r.Header, body)
		_, _ = io.WriteString(w, `{"object":"chat.completion"}`)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *recordingLLM) received() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got.String()
}

// Rule 3.9 of the design: with the context of an LLM request Caddy's transport
// would dial the LLM, and the secret would go there; without a replacer in it a
// placeholder in the TLS options would panic.
func TestATokenRequestGoesThroughItsOwnTransportAndContext(t *testing.T) {
	ca := newAuthority(t)
	server, llm := newTLSTokenServer(t, ca), newRecordingLLM(t)
	t.Setenv("TEST_SERVER_NAME", "localhost")
	for name, upstream := range map[string]string{
		"with a base_url":           "dynamic oauth2_llm\n\t\ttransport oauth2_llm",
		"with a static upstream":    "to " + strings.TrimPrefix(llm.URL, "http://") + "\n\t\ttransport oauth2_llm",
		"with a plain transport":    "to " + strings.TrimPrefix(llm.URL, "http://"),
		"with a placeholder in TLS": "to " + strings.TrimPrefix(llm.URL, "http://"),
	} {
		t.Run(name, func(t *testing.T) {
			baseURL, serverName := "", "localhost"
			if strings.Contains(upstream, "dynamic") {
				baseURL = "base_url " + llm.URL
			}
			if strings.Contains(name, "placeholder") {
				serverName = "{env.TEST_SERVER_NAME}"
			}
			g := startGatewayWith(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id id
			client_secret %s
			token_url %s/token
			%s
			token_request {
				transport http {
					tls_trust_pool file {{folder}}/ca.pem
					tls_client_auth {{folder}}/client.pem {{folder}}/client-key.pem
					tls_server_name %s
				}
			}
		}
	}
}
{{site}} {
	oauth2_llm {
		client_key off
	}
	reverse_proxy {
		%s
	}
}`, canaryValue, server.URL, baseURL, serverName, upstream), ca.files())
			for range 2 {
				g.post("/v1/chat/completions", chat("corp/m")).wantStatus(t, http.StatusOK)
			}
			got := llm.received()
			if !strings.Contains(got, "Bearer of-the-private-server") {
				t.Errorf("the LLM got %s", got)
			}
			if strings.Contains(got, canaryValue) || strings.Contains(got, "grant_type") {
				t.Error("the token request went to the LLM")
			}
		})
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if len(server.sent) == 0 {
		t.Fatal("no token request arrived")
	}
	for i, sent := range server.sent {
		if !strings.Contains(sent, "client_secret="+canaryValue) || server.clients[i] != "gateway" {
			t.Errorf("the token endpoint got %s from %s", sent, server.clients[i])
		}
	}
}

func TestAPrivateCAThatIsNotConfiguredIsSaid(t *testing.T) {
	ca := newAuthority(t)
	server := newTLSTokenServer(t, ca)
	g := startGateway(t, fmt.Sprintf(`
{
	{{global}}
	oauth2_llm {
		provider corp {
			client_id id
			client_secret s
			token_url %s/token
			base_url %s
		}
	}
}
{{site}} {
	oauth2_llm corp {
		client_key off
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm
	}
}`, server.URL, server.URL))
	a := g.post("/v1/x", "{}")
	a.wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "token_endpoint_untrusted")
	if a.header.Get("X-Should-Retry") != "false" {
		t.Errorf("got %v", a.header)
	}
	if log := g.log(); !strings.Contains(log, "certificate") || !strings.Contains(log, "check the token endpoint's certificate") {
		t.Error("the log does not say what to do")
	}
}

func TestAWrongTransportIsRefused(t *testing.T) {
	const provider = "client_id i\nclient_secret s\ntoken_url https://x.com/t\n"
	for name, test := range map[string]struct{ fields, says string }{
		"a transport that there is not":          {"transport nonsense", "provider corp: transport:"},
		"itself":                                 {"transport oauth2_llm", "provider corp: transport: is oauth2_llm itself"},
		"an option that there is not":            {"transport http {\nnonsense\n}", "provider corp: transport:"},
		"no name":                                {"transport", "provider corp: transport: takes the name"},
		"two transports":                         {"transport http\ntransport http", "provider corp: transport: is set twice"},
		"TLS for a base URL without":             {"base_url http://127.0.0.1:1\ntransport http {\ntls_server_name x\n}", "provider corp: transport: has options for TLS"},
		"a CA that is not there":                 {"base_url https://127.0.0.1:1\ntransport http {\ntls_trust_pool file /no/such/ca.pem\n}", "provider corp: transport:"},
		"a token endpoint's transport is itself": {"token_request {\ntransport oauth2_llm\n}", "provider corp: token_request.transport: is oauth2_llm itself"},
		"a token endpoint's CA is not there":     {"token_request {\ntransport http {\ntls_trust_pool file /no/such/ca.pem\n}\n}", "provider corp: token_request.transport:"},
		"a base URL that is none":                {"base_url " + canaryValue, "provider corp: base_url: must begin with https://"},
		"a base URL with a fragment":             {"base_url https://x.com/" + canaryValue + "#f", "provider corp: base_url: holds a fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, validateCaddyfile(t.TempDir(), "{\nadmin off\noauth2_llm {\nprovider corp {\n"+provider+test.fields+"\n}\n}\n}\n:0 {\noauth2_llm corp\n}\n"), test.says)
		})
	}
	for name, test := range map[string]struct{ directive, says string }{
		"dynamic with an argument":       {"dynamic oauth2_llm x", "takes no arguments"},
		"an unknown option of transport": {"dynamic oauth2_llm\ntransport oauth2_llm {\nnonsense\n}", "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, validateCaddyfile(t.TempDir(), "{\nadmin off\noauth2_llm {\nprovider corp {\n"+provider+"\n}\n}\n}\n:0 {\noauth2_llm corp\nreverse_proxy {\n"+test.directive+"\n}\n}\n"), test.says)
		})
	}
}
