package oauth2llm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A refusal is final for an SDK only if the new token was refused, too.
func TestARefusedTokenIsFinalOnlyIfItWasNew(t *testing.T) {
	p := &provider{name: "corp"}
	for final, status := range map[bool]int{true: http.StatusBadGateway, false: http.StatusServiceUnavailable} {
		refused, _ := errors.AsType[*problem](upstreamUnauthorized(p, final))
		header := http.Header{}
		refused.setHeaders(header)
		if refused.status != status || refused.code != "upstream_unauthorized" || refused.kind != "upstream_error" || !strings.Contains(refused.message, "corp") {
			t.Errorf("final %v: %+v", final, refused)
		}
		if (header.Get("X-Should-Retry") == "false") != final || (header.Get("Retry-After") == "") != final {
			t.Errorf("final %v: the header is %v", final, header)
		}
	}
}

// An error of the later directive's reverse_proxy is not about the earlier one's.
func TestAnEarlierDirectiveHasNoWordsForALaterOnesError(t *testing.T) {
	provider := `"client_id":"i","client_secret":"s","token_url":"` + newTokenEndpoint(t).URL + `"`
	app := `{"providers":{"corp":{` + provider + bound + `},"later":{` + provider + `}}}`
	for name, test := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"a client that has gone":     {caddyhttp.HandlerError{Err: errors.New("gone"), StatusCode: 499, Trace: "reverseproxy.statusError"}, 499, ""},
		"a problem of the later one": {&problem{status: 502, kind: llm.TypeUpstream, code: codeUpstreamUnreachable, message: "later"}, 502, "upstream_unreachable"},
		"an unreachable LLM":         {caddyhttp.HandlerError{Err: errors.New("refused"), StatusCode: 502, Trace: "reverseproxy.statusError"}, 502, "upstream_unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			earlier := mustHandler(t, app, `{"provider":"corp","client_keys_off":true}`)
			later := mustHandler(t, app, `{"provider":"later","client_keys_off":true}`)
			last := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return test.err })
			between := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return later.ServeHTTP(w, r, last) })
			w := httptest.NewRecorder()
			err := earlier.ServeHTTP(w, withCaddyContext(chatRequest([]byte("{}")).WithContext(t.Context())), between)
			failed, isError := errors.AsType[caddyhttp.HandlerError](err)
			switch {
			case test.code == "":
				if !isError || failed.StatusCode != test.status || w.Body.Len() > 0 {
					t.Errorf("got %v, and %s", err, w.Body)
				}
			case err != nil || w.Code != test.status || !strings.Contains(w.Body.String(), test.code) || !strings.Contains(w.Body.String(), "later"):
				t.Errorf("got %v, and %d %s", err, w.Code, w.Body)
			}
		})
	}
}

func TestAnLLMThatCannotBeReachedIsThatOfAProvider(t *testing.T) {
	for name, test := range map[string]struct {
		p      *provider
		status int
		cause  error
		code   string
		says   string
		retry  bool
	}{
		"a provider's":          {&provider{name: "corp", placeholder: "corp"}, 502, errors.New("refused"), "upstream_unreachable", "the LLM of provider corp could not be reached", false},
		"nobody's":              {nil, 502, errors.New("refused"), "upstream_unreachable", "the LLM could not be reached", false},
		"none is healthy":       {&provider{name: "corp", placeholder: "corp"}, 503, errors.New("no upstreams"), "upstream_unreachable", "provider corp", true},
		"too late":              {&provider{name: "corp", placeholder: "corp"}, 504, errors.New("timeout"), "upstream_timeout", "the LLM of provider corp did not answer in time", true},
		"gone without a word":   {&provider{name: "corp", placeholder: "corp"}, 502, message.ErrNoAnswer, "upstream_unreachable", "the request may have been run", true},
		"let go before":         {&provider{name: "corp", placeholder: "corp"}, 502, message.ErrLetGo, "upstream_error", "let go when the LLM answered", false},
		"retried in vain, 529":  {&provider{name: "corp", placeholder: "corp"}, 529, errors.New("x"), "upstream_error", "the LLM of provider corp answered with status 529", false},
		"retried in vain, 429s": {nil, 429, errors.New("x"), "upstream_error", "the LLM answered with status 429", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := noted(&Handler{logger: zap.NewNop(), Errors: errorsRespond}, test.p)
			p, ok := errors.AsType[*problem](l.failure(caddyhttp.HandlerError{Err: test.cause, StatusCode: test.status, Trace: "reverseproxy.statusError"}))
			if !ok || p.code != test.code || p.kind != "upstream_error" || !strings.Contains(p.message, test.says) {
				t.Fatalf("got %+v", p)
			}
			header := http.Header{}
			p.setHeaders(header)
			if test.status != 503 && (header.Get("Retry-After") != "") != test.retry || header.Get("X-Should-Retry") != "" {
				t.Errorf("the header is %v", header)
			}
		})
	}
}

// Why there is no token is the gateway's affair: never a 401, and no word of the
// authorization server's.
func TestWhyThereIsNoTokenIsSaidWithoutBlamingTheClient(t *testing.T) {
	failed := func(code string) error {
		return &tokens.AuthenticationError{Code: code, Description: "CANARY"}
	}
	for name, test := range map[string]struct {
		err    error
		status int
		code   string
		kind   string
		final  bool
	}{
		"a refusal":                  {failed("invalid_client"), 502, "invalid_client", llm.TypeOAuth2Authentication, true},
		"an outage":                  {failed(tokens.CodeUnavailable), 503, tokens.CodeUnavailable, llm.TypeOAuth2Authentication, false},
		"a storage that is down":     {failed(tokens.CodeStorageUnavailable), 503, tokens.CodeStorageUnavailable, llm.TypeOAuth2Authentication, false},
		"a timeout":                  {failed(tokens.CodeTimeout), 504, tokens.CodeTimeout, llm.TypeOAuth2Authentication, false},
		"token_wait":                 {errTokenWait, 504, tokens.CodeTimeout, llm.TypeOAuth2Authentication, false},
		"a file that cannot be read": {&config.ConfigurationError{Err: errors.New("CANARY")}, 500, "unresolved_reference", llm.TypeOAuth2Configuration, true},
		"what nobody has thought of": {errors.New("CANARY"), 500, "unresolved_reference", llm.TypeOAuth2Configuration, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := errors.AsType[*problem](tokenProblem(t.Context(), "corp", test.err))
			if !ok || p.status != test.status || p.code != test.code || p.kind != test.kind || p.final != test.final {
				t.Fatalf("got %+v", p)
			}
			if !strings.Contains(p.message, "provider corp") || strings.Contains(p.message, "CANARY") || !errors.Is(p, test.err) {
				t.Errorf("it says %q because of %v", p.message, p.cause)
			}
		})
	}
}

func TestNobodyIsToldWhyThereIsNoTokenForAClientThatHasLeft(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	failed, ok := errors.AsType[caddyhttp.HandlerError](tokenProblem(ctx, "corp", context.Canceled))
	if !ok || failed.StatusCode != 499 {
		t.Errorf("got %v", failed)
	}
}

func TestAnUpstreamThatTLSRefusesComesWithAHint(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		hint string
	}{
		"a CA of one's own": {fmt.Errorf("dialing: %w", &tls.CertificateVerificationError{Err: errors.New("x")}), "tls_trust_pool"},
		"an HTTP server":    {fmt.Errorf("dialing: %w", tls.RecordHeaderError{Msg: "x"}), "http://"},
		"another error":     {errors.New("x"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := withHint(test.err)
			if !errors.Is(got, test.err) || !strings.Contains(got.Error(), test.hint) || (test.hint == "") != (got.Error() == test.err.Error()) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// What is said to be missing is what the reverse_proxy has not got.
func TestAReverseProxyThatDoesNotFitIsToldWhatItLacks(t *testing.T) {
	base := &url.URL{Scheme: "https", Host: "llm.example.com"}
	for name, test := range map[string]struct {
		progress progress
		says     string
	}{
		"both":          {prepared, "lacks `dynamic oauth2_llm` and `transport oauth2_llm`"},
		"the transport": {upstreamFound, "lacks `transport oauth2_llm`"},
		"the source":    {inTransport, "lacks `dynamic oauth2_llm`"},
	} {
		t.Run(name, func(t *testing.T) {
			l := noted(&Handler{logger: zap.NewNop()}, &provider{name: "corp", placeholder: "corp"})
			l.route.target.base = base
			l.progress = test.progress
			cause := errors.New("cause")
			p := transportRequired(l, caddyhttp.HandlerError{Err: cause, StatusCode: 502})
			if p.status != 500 || p.code != "transport_required" || !p.final || !strings.Contains(p.message, test.says) || !errors.Is(p, cause) {
				t.Errorf("got %+v", p)
			}
		})
	}
	for name, test := range map[string]struct {
		p    *provider
		says string
	}{
		"a provider without a base_url": {&provider{name: "corp"}, "provider corp has no base_url"},
		"no provider":                   {nil, "the request has no provider"},
	} {
		if p := noUpstream(test.p, nil); p.status != 500 || p.code != "no_upstream" || !strings.Contains(p.message, test.says) {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

// A key that is wrong stays so.
func TestAClientWithAWrongKeyIsToldNotToTryAgain(t *testing.T) {
	h := mustHandler(t, corp("http://127.0.0.1:1", ""), routed)
	for name, key := range map[string]string{"none": "", "a wrong one": "Bearer wrong"} {
		r := chatRequest([]byte(`{"model":"corp/m"}`))
		r.Header.Del("Authorization")
		if key != "" {
			r.Header.Set("Authorization", key)
		}
		_, w := serve(t, h, r)
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"code":"invalid_api_key"`) || w.Header().Get("X-Should-Retry") != "false" || w.Header().Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %s with %v", name, w.Code, w.Body, w.Header())
		}
	}
}

func TestWhatCannotBeSentSaysWhoMustAct(t *testing.T) {
	for name, test := range map[string]struct {
		err        error
		status     int
		code, says string
	}{
		"a body over a limit of Caddy's":    {&http.MaxBytesError{Limit: 1}, 413, "body_too_large", "larger"},
		"a body that breaks off":            {io.ErrUnexpectedEOF, 400, "invalid_body", "could not be read to its end"},
		"a body that went elsewhere":        {fmt.Errorf("x: %w", message.ErrSent), 502, "upstream_error", "sent before"},
		"a body that was let go":            {message.ErrLetGo, 502, "upstream_error", "let go when the LLM answered"},
		"a body that memory is lacking for": {message.ErrOverloaded, 503, "overloaded", "held_bodies"},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := errors.AsType[*problem](requestProblem(test.err))
			if !ok || p.status != test.status || p.code != test.code || !strings.Contains(p.message, test.says) {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// A refusal says what to do, and is final unless that changes with time.
func TestARefusalSaysWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
		code   string
		final  bool
		says   string
	}{
		"a client without a key":              {unauthenticated(), 401, "invalid_api_key", true, "Authorization: Bearer"},
		"a path":                              {pathNotAllowed(), 403, "path_not_allowed", true, "this path"},
		"a path that may reach other models":  {pathNeedsProvider("corp"), 403, "model_not_allowed", true, "a key for corp/*"},
		"a field that may choose another one": {chooserNotAllowed("fallbacks", "corp"), 403, "model_not_allowed", true, "a key for corp/*"},
		"one in what is passed on":            {chooserNotAllowed("fallbacks", ""), 403, "model_not_allowed", true, "a key for all models"},
		"a WebSocket":                         {upgradeRefused(), 426, "upgrade_refused", false, "use HTTP"},
		"a method":                            {methodNotAllowed(), 405, "method_not_allowed", true, "TRACE and CONNECT"},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := errors.AsType[*problem](test.err)
			if !ok || p.status != test.status || p.code != test.code || p.final != test.final || !strings.Contains(p.message, test.says) {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestAClientThatHasLeftIsNotAnswered(t *testing.T) {
	failed, ok := errors.AsType[caddyhttp.HandlerError](requestProblem(fmt.Errorf("reading: %w", context.Canceled)))
	if !ok || failed.StatusCode != 499 {
		t.Errorf("got %v", failed)
	}
}
