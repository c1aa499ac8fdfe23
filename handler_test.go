package oauth2llm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// newTokenEndpoint answers every token request with the same token.
func newTokenEndpoint(t testing.TB) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"the-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(server.Close)
	return server
}

// newHandler provisions an app and a handler, given as JSON.
func newHandler(t testing.TB, app, handler string) (*Handler, error) {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}}}},
		AppsRaw: caddy.ModuleMap{appName: json.RawMessage(app)},
	})
	if err != nil {
		return nil, err
	}
	module, err := ctx.LoadModuleByID("http.handlers.oauth2_llm", json.RawMessage(handler))
	if err != nil {
		return nil, err
	}
	return module.(*Handler), nil
}

func mustHandler(t testing.TB, app, handler string) *Handler {
	t.Helper()
	h, err := newHandler(t, app, handler)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// corp declares the provider corp with more fields.
func corp(tokenURL, more string) string {
	return fmt.Sprintf(`{"providers":{"corp":{"client_id":"i","client_secret":"s","token_url":%q%s}}}`, tokenURL, more)
}

// serve sends a request through the handler and returns what is forwarded, nil
// if nothing is, and the answer.
func serve(t testing.TB, h *Handler, r *http.Request) (*http.Request, *httptest.ResponseRecorder) {
	t.Helper()
	var forwarded *http.Request
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		forwarded = r
		return nil
	})
	if err := h.ServeHTTP(w, withCaddyContext(r), next); err != nil {
		t.Fatal(err)
	}
	return forwarded, w
}

// withCaddyContext gives a request what Caddy's server puts into its context.
func withCaddyContext(r *http.Request) *http.Request {
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{})
	ctx = context.WithValue(ctx, caddyhttp.ExtraLogFieldsCtxKey, new(caddyhttp.ExtraLogFields))
	r = r.WithContext(ctx)
	return r.WithContext(context.WithValue(ctx, caddy.ReplacerCtxKey, caddyhttp.NewTestReplacer(r)))
}

// chatRequest is a chat completion request with twelve headers.
func chatRequest(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", bytes.NewReader(body))
	for name, value := range map[string]string{
		"Authorization": "Bearer key", "Content-Type": "application/json", "Accept": "application/json",
		"User-Agent": "OpenAI/JS 6.49.0", "Accept-Encoding": "gzip, deflate", "Accept-Language": "*",
		"X-Stainless-Lang": "js", "X-Stainless-Os": "Linux", "X-Stainless-Arch": "x64",
		"X-Stainless-Runtime": "node", "X-Stainless-Retry-Count": "0", "Connection": "keep-alive",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// chatBody is a chat completion for corp/gpt-4o of about so many bytes, the
// model last.
func chatBody(size int) []byte {
	return []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat("All work and no play. ", size/22) + `"}],"model":"corp/gpt-4o"}`)
}

const (
	routed     = `{"client_keys":{"agents":{"key":"key"}}}`
	decorating = `{"provider":"corp","client_keys":{"agents":{"key":"key"}}}`
	// bound makes corp a provider with an upstream of its own.
	bound = `,"base_url":"https://llm.example.com/v1"`
)

func TestTheForwardedRequestIsACopyWithTheToken(t *testing.T) {
	h := mustHandler(t, corp(newTokenEndpoint(t).URL, ""), routed)
	original := chatRequest(chatBody(100))
	forwarded, _ := serve(t, h, original)
	if got := forwarded.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer the-token" {
		t.Errorf("Authorization is %q", got)
	}
	if got := original.Header.Get("Authorization"); got != "Bearer key" {
		t.Errorf("the original request has %q", got)
	}
	body, _ := io.ReadAll(forwarded.Body)
	if !strings.HasSuffix(string(body), `"gpt-4o"}`) || forwarded.ContentLength != int64(len(body)) {
		t.Errorf("%d bytes were forwarded, announced as %d: %s", len(body), forwarded.ContentLength, body)
	}
}

// The budget of the design for one request with twelve headers and 1 KB.
func TestTheHandlerAllocatesLittle(t *testing.T) {
	endpoint := newTokenEndpoint(t)
	for _, test := range []struct {
		name, handler, provider string
		most                    float64
	}{
		{"routed, for transport oauth2_llm", routed, bound, 12},
		{"routed, for any transport", routed, "", 14},
		{"decorating", decorating, "", 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := mustHandler(t, corp(endpoint.URL, test.provider), test.handler)
			run := repeat(h, chatBody(1<<10))
			run()
			if n := testing.AllocsPerRun(200, run); n > test.most {
				t.Errorf("%v allocations, want at most %v", n, test.most)
			}
		})
	}
}

// A repeatedBody is a client's body that can be reset.
type repeatedBody struct{ bytes.Reader }

func (*repeatedBody) Close() error { return nil }

// repeat returns a function that serves the same request again and again.
func repeat(h *Handler, body []byte) func() {
	r := withCaddyContext(chatRequest(body))
	w := httptest.NewRecorder()
	reader := &repeatedBody{}
	content := bytes.Clone(body)
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	extra := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	return func() {
		reader.Reset(content)
		r.Body = reader
		*extra = caddyhttp.ExtraLogFields{}
		if err := h.ServeHTTP(w, r, next); err != nil || w.Code != http.StatusOK {
			panic(fmt.Sprint(err, w.Code, w.Body))
		}
	}
}

func BenchmarkHandler(b *testing.B) {
	endpoint := newTokenEndpoint(b)
	for name, config := range map[string][2]string{"bound": {routed, bound}, "routed": {routed, ""}, "decorating": {decorating, ""}} {
		for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKB", name, size>>10), func(b *testing.B) {
				run := repeat(mustHandler(b, corp(endpoint.URL, config[1]), config[0]), chatBody(size))
				run()
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
			})
		}
	}
}

func TestAWaitWithoutAUnitIsRefused(t *testing.T) {
	endpoint := newTokenEndpoint(t)
	for name, test := range map[string]struct {
		handler string
		// says is empty if it is good.
		says string
	}{
		"a number":                {`"token_wait":15`, `token_wait: must be at least 1ms; a number without a unit counts nanoseconds: write a duration such as "15s"`},
		"a negative number":       {`"token_wait":-1`, "token_wait: must be at least 1ms"},
		"a string of nanoseconds": {`"token_wait":"15ns"`, "token_wait: must be at least 1ms"},
		"zero, which is 15 s":     {`"token_wait":0`, ""},
		"no wait":                 {`"errors":"respond"`, ""},
		"a string":                {`"token_wait":"15s"`, ""},
		"the least":               {`"token_wait":"1ms"`, ""},
		"nanoseconds of a second": {`"token_wait":1000000000`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newHandler(t, corp(endpoint.URL, ""), `{"client_keys_off":true,`+test.handler+`}`)
			switch {
			case test.says == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("got %v, want %s", err, test.says)
			}
		})
	}
}

func TestAMisspeltProviderIsGuessed(t *testing.T) {
	for field, handler := range map[string]string{
		"provider":            `{"provider":"Corp"}`,
		"default_provider":    `{"default_provider":"corpp"}`,
		"client_key k models": `{"client_keys":{"k":{"key":"0123456789abcdef","models":["corps/*"]}}}`,
	} {
		_, err := newHandler(t, corp("http://127.0.0.1:1", ""), handler)
		if err == nil || !strings.Contains(err.Error(), field+": no provider of this name is declared; did you mean corp?") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}
