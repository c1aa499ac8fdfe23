package oauth2llm

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
)

// attempted is what the transport is given to send.
func attempted(t *testing.T, m *message.Message) string {
	t.Helper()
	r := &http.Request{Header: http.Header{}}
	if err := m.Attempt(r, new(message.Gate)); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength != int64(len(content)) {
		t.Errorf("%d bytes are announced as %d, %v", len(content), r.ContentLength, err)
	}
	return string(content)
}

// A forwarded request of a bound provider is of no use to anyone but the
// transport, and the original is whole.
func TestTheForwardedRequestOfABoundProviderIsLocked(t *testing.T) {
	for name, directive := range map[string]string{"routed": routed, "fixed": decorating} {
		for _, content := range []string{"", string(chatBody(100))} {
			t.Run(name, func(t *testing.T) {
				if content == "" && directive == routed {
					directive = `{"client_keys":{"agents":{"key":"key"}},"default_provider":"corp"}`
				}
				h := mustHandler(t, corp(newTokenEndpoint(t).URL, `,"base_url":"https://llm.example.com/v1"`), directive)
				original := chatRequest([]byte(content))
				forwarded, _ := serve(t, h, original)
				if forwarded.Header.Get("Authorization") != "" {
					t.Error("the token is in the header")
				}
				if n, err := forwarded.Body.Read(make([]byte, 10)); n > 0 || !errors.Is(err, message.ErrLocked) {
					t.Errorf("%d bytes can be read, %v", n, err)
				}
				elsewhere := forwarded.WithContext(t.Context())
				elsewhere.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
				if _, err := http.DefaultTransport.RoundTrip(elsewhere); err == nil || !strings.Contains(err.Error(), "transport oauth2_llm alone") {
					t.Errorf("another transport says %v", err)
				}
				l := leaseOf(forwarded.Context())
				if got := attempted(t, &l.message); got != strings.Replace(content, `"corp/`, `     "`, 1) && got != content {
					t.Errorf("the transport gets %q", got)
				}
			})
		}
	}
}

// Something else behind the directive may answer 401; it is not about a token
// that never left.
func TestU01A401ThatIsNoLLMsDropsNoBoundToken(t *testing.T) {
	for name, test := range map[string]struct {
		base    string
		dropped bool
	}{
		"U01 a provider with a base_url": {`,"base_url":"https://llm.example.com"`, false},
		"U01 one without":                {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := mustHandler(t, corp(newTokenEndpoint(t).URL, test.base), decorating)
			next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				leaseOf(r.Context()).replacer.Set(upstreamStatus, http.StatusUnauthorized)
				return nil
			})
			if err := h.ServeHTTP(httptest.NewRecorder(), withCaddyContext(chatRequest(nil)), next); err != nil {
				t.Fatal(err)
			}
			if dropped := h.providers["corp"].manager.Current() == nil; dropped != test.dropped {
				t.Errorf("the token is dropped: %v, want %v", dropped, test.dropped)
			}
		})
	}
}
