package oauth2llm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// newTransport provisions a transport, given as JSON.
func newTransport(t *testing.T, options string) *Transport {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	module, err := ctx.LoadModuleByID("http.reverse_proxy.transport.oauth2_llm", json.RawMessage(options))
	if err != nil {
		t.Fatal(err)
	}
	return module.(*Transport)
}

func TestAStrayIsRefusedAndAHealthCheckIsNot(t *testing.T) {
	var arrived atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	defer server.Close()
	transport := newTransport(t, `{}`)
	core, logs := observer.New(zap.DebugLevel)
	transport.logger = zap.New(core)

	ctx := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, map[string]any{})
	ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server))
	for range 20 {
		body := &meteredBody{Reader: strings.NewReader("secret")}
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
		r.Body = body
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusInternalServerError || !strings.Contains(string(text), codeTransportRequired) || response.Header.Get("X-Should-Retry") != "false" || !body.closed {
			t.Errorf("status %d, %s with %v; the body is closed: %v", response.StatusCode, text, response.Header, body.closed)
		}
	}
	if arrived.Load() != 0 || logs.Len() != 1 {
		t.Errorf("%d requests arrived, %d lines were logged, want 0 and 1", arrived.Load(), logs.Len())
	}

	check, _ := http.NewRequestWithContext(context.WithValue(t.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()), http.MethodGet, server.URL, nil)
	response, err := transport.RoundTrip(check)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || arrived.Load() != 1 {
		t.Errorf("a health check gets %d, %d arrived", response.StatusCode, arrived.Load())
	}
}

func TestTheTransportKeepsManyConnectionsAndSpeaksTLSByItself(t *testing.T) {
	for options, want := range map[string]struct {
		idle    int
		withTLS bool
	}{
		`{}`: {idleConnections, true},
		`{"keep_alive":{"max_idle_conns_per_host":7}}`: {7, true},
		`{"keep_alive":{"probe_interval":"10s"}}`:      {idleConnections, true},
		`{"tls":{}}`: {idleConnections, false},
	} {
		t.Run(options, func(t *testing.T) {
			transport := newTransport(t, options)
			if transport.KeepAlive.MaxIdleConnsPerHost != want.idle || transport.Transport.MaxIdleConnsPerHost != want.idle {
				t.Errorf("%d idle connections are kept, want %d", transport.Transport.MaxIdleConnsPerHost, want.idle)
			}
			if (transport.withTLS != nil) != want.withTLS || want.withTLS && transport.withTLS.Transport.MaxIdleConnsPerHost != want.idle {
				t.Error("the transport for https is not like the other")
			}
			if err := transport.Cleanup(); err != nil {
				t.Error(err)
			}
		})
	}
	var parsed Transport
	if err := parsed.UnmarshalCaddyfile(caddyfile.NewTestDispenser("oauth2_llm {\n dial_timeout 3s\n}")); err != nil || time.Duration(parsed.DialTimeout) != 3*time.Second {
		t.Errorf("dial_timeout is %v, %v", parsed.DialTimeout, err)
	}
}

// A body may take longer to come than a token is good for.
func TestATokenThatIsNoLongerGoodIsNotSent(t *testing.T) {
	var issued atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, issued.Add(1))
	}))
	defer endpoint.Close()
	llm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer llm.Close()
	h := mustHandler(t, corp(endpoint.URL, ""), `{"provider":"corp","client_keys_off":true}`)
	transport := newTransport(t, `{}`)
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		_, _ = h.providers["corp"].manager.Refresh(r.Context())
		r.URL, _ = url.Parse(llm.URL)
		r.RequestURI = ""
		response, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if sent, _ := io.ReadAll(response.Body); string(sent) != "Bearer token-2" {
			t.Errorf("%q is sent", sent)
		}
		return nil
	})
	r := withCaddyContext(httptest.NewRequest(http.MethodPost, "/v1/x", strings.NewReader("body")))
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.ServerCtxKey, new(caddyhttp.Server)))
	if err := h.ServeHTTP(httptest.NewRecorder(), r, next); err != nil {
		t.Fatal(err)
	}
}
