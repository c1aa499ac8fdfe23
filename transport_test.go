package oauth2llm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

func TestWhatProxiesSayIsHidden(t *testing.T) {
	header := http.Header{
		"Via": {"1"}, "Forwarded": {"1"}, "X-Real-Ip": {"1"}, "X-Forwarded-For": {"1"}, "X-Forwarded-Proto": nil, "X-Forwarded-Anything": {"1"}, "X_forwarded_for": {"1"},
		"X-Forwarded": {"1"}, "X-Forwarder-Id": {"1"}, "Vial": {"1"}, "Content-Type": {"1"}, "Authorization": {"1"},
	}
	hideGateway(header)
	if got, want := slices.Sorted(maps.Keys(header)), []string{"Authorization", "Content-Type", "Vial", "X-Forwarded", "X-Forwarder-Id"}; !slices.Equal(got, want) {
		t.Errorf("%v are left, want %v", got, want)
	}
}

func TestTheAddressOfABaseURLHasAPort(t *testing.T) {
	for base, want := range map[string]string{
		"https://llm.example.com":          "llm.example.com:443",
		"http://llm.example.com":           "llm.example.com:80",
		"https://llm.example.com:8443/v1":  "llm.example.com:8443",
		"http://192.0.2.1":                 "192.0.2.1:80",
		"http://192.0.2.1:1":               "192.0.2.1:1",
		"https://[2001:db8::1]":            "[2001:db8::1]:443",
		"https://[2001:db8::1]:8443":       "[2001:db8::1]:8443",
		"http://[::1]/v1":                  "[::1]:80",
		"http://[fe80::1%25eth0]:81":       "[fe80::1%eth0]:81",
		"https://llm.example.com:/trailed": "llm.example.com:443",
	} {
		address, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		got := dialAddress(address)
		if got != want {
			t.Errorf("%s is at %s, want %s", base, got, want)
		}
		// reverse_proxy takes the address apart again.
		parsed, err := caddy.ParseNetworkAddress(got)
		if err != nil || parsed.JoinHostPort(0) != want || parsed.PortRangeSize() != 1 {
			t.Errorf("reverse_proxy takes %s for %s, %v", got, parsed.JoinHostPort(0), err)
		}
	}
}

// A meteredBody says how much of it was read.
type meteredBody struct {
	io.Reader
	read   int
	closed bool
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *meteredBody) Close() error {
	b.closed = true
	return nil
}

func TestOfARefusalLittleIsReadAndLessIsKept(t *testing.T) {
	for name, test := range map[string]struct{ size, kept, read int }{
		"nothing":              {0, 0, 0},
		"a few words":          {100, 100, 100},
		"what is kept":         {4 << 10, 4 << 10, 4 << 10},
		"one byte more":        {4<<10 + 1, 4 << 10, 4<<10 + 1},
		"what is read":         {64 << 10, 4 << 10, 64 << 10},
		"more than one wants":  {64<<10 + 1, 4 << 10, 64 << 10},
		"far more than that":   {10 << 20, 4 << 10, 64 << 10},
		"one without a length": {1 << 20, 4 << 10, 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			body := &meteredBody{Reader: strings.NewReader(strings.Repeat("x", test.size))}
			if text := discard(&http.Response{Body: body}); len(text) != test.kept || body.read != test.read || !body.closed {
				t.Errorf("%d bytes are kept of %d that were read, want %d of %d; closed: %v", len(text), body.read, test.kept, test.read, body.closed)
			}
		})
	}
}

func TestARefusalThatDoesNotEndIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		go func() { _, _ = io.WriteString(writer, "the token is") }()
		start := time.Now()
		if text := discard(&http.Response{Body: reader}); text != "the token is" || time.Since(start) != discardWait {
			t.Errorf("%q is kept after %v", text, time.Since(start))
		}
	})
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
		h.providers["corp"].manager.Reject(leaseOf(r.Context()).walk.token)
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
