package oauth2llm

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// An operator finds the request of a client's error in the access log.
func TestTheRequestIDIsCaddysOwn(t *testing.T) {
	h := mustHandler(t, corp("http://127.0.0.1:1", ""), routed)
	for name, asked := range map[string]bool{"somebody has asked for it before": true, "nobody has": false} {
		t.Run(name, func(t *testing.T) {
			r := withCaddyContext(chatRequest([]byte(`{"model":"zzz/m"}`)))
			var before string
			if asked {
				before, _ = replacerOf(r).GetString("http.request.uuid")
			}
			w := httptest.NewRecorder()
			if err := h.ServeHTTP(w, r, nil); err != nil {
				t.Fatal(err)
			}
			var body struct {
				RequestID string `json:"request_id"`
			}
			id, _ := replacerOf(r).GetString("http.request.uuid")
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || id == "" || asked && id != before || body.RequestID != id || w.Header().Get("X-Request-Id") != id {
				t.Errorf("the id is %q, and was %q; got %s with %v, %v", id, before, w.Body, w.Header(), err)
			}
		})
	}
}

// Two SDKs wait any time that they are told.
func TestAnAnswerSaysWhenToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			p                       problem
			retryAfter, shouldRetry string
		}{
			"nothing is known":                 {problem{status: 502}, "", ""},
			"a time":                           {problem{status: 502, retryAt: time.Now().Add(1500 * time.Millisecond)}, "2", ""},
			"a time that has passed":           {problem{status: 502, retryAt: time.Now().Add(-time.Hour)}, "1", ""},
			"a time that is far away":          {problem{status: 502, retryAt: time.Now().Add(time.Hour)}, "30", ""},
			"a status that asks for one":       {problem{status: 503}, "1", ""},
			"another status that asks for one": {problem{status: 504}, "1", ""},
			"no use":                           {problem{status: 502, final: true}, "", "false"},
			"no use, and a time all the same":  {problem{status: 502, final: true, retryAt: time.Now().Add(time.Minute)}, "", "false"},
		} {
			header := http.Header{}
			test.p.setHeaders(header)
			if header.Get("Retry-After") != test.retryAfter || header.Get("X-Should-Retry") != test.shouldRetry {
				t.Errorf("%s: %v, want %q and %q", name, header, test.retryAfter, test.shouldRetry)
			}
		}
	})
}

func TestAStatusBringsTheHeaderThatHTTPAsksFor(t *testing.T) {
	for name, test := range map[string]struct {
		p           problem
		field, want string
	}{
		"401":                   {problem{status: 401}, "Www-Authenticate", "Bearer"},
		"415 of a content type": {problem{status: 415, code: llm.CodeUnsupportedContentType}, "Accept", llm.AcceptedContentTypes},
		"415 of an encoding":    {problem{status: 415, code: llm.CodeUnsupportedEncoding}, "Accept-Encoding", llm.AcceptedEncodings},
		"426":                   {problem{status: 426}, "Connection", "close"},
	} {
		header := http.Header{}
		if test.p.setHeaders(header); len(header) != 1 || header.Get(test.field) != test.want {
			t.Errorf("%s: %v, want %s: %s alone", name, header, test.field, test.want)
		}
	}
}

// What handle_errors can show a client is not the cause.
func TestAnErrorDoesNotShowItsCause(t *testing.T) {
	cause := errors.New("CANARY")
	p := &problem{code: "code", message: "message", cause: cause}
	if p.Error() != "code: message" || !errors.Is(p, cause) {
		t.Errorf("it says %q, its cause is %v", p, errors.Unwrap(p))
	}
}

func TestATransportsAnswerIsWhatTheHandlerWouldWrite(t *testing.T) {
	p := &problem{status: 502, kind: llm.TypeUpstream, code: codeUpstreamError, message: "message"}
	response := p.response(httptest.NewRequest(http.MethodPost, "/", http.NoBody))
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusBadGateway || response.Status != "502 Bad Gateway" || response.ContentLength != int64(len(body)) {
		t.Errorf("got %s with %d of %d bytes, %v", response.Status, len(body), response.ContentLength, err)
	}
	if response.Header.Get("X-Request-Id") == "" {
		t.Error("the answer has no request id")
	}
	header := http.Header{}
	if want := p.write(header, response.Header.Get("X-Request-Id")); string(body) != string(want) || !maps.EqualFunc(header, response.Header, slices.Equal) {
		t.Errorf("got %s with %v, want %s with %v", body, response.Header, want, header)
	}
}

// What the first directive tells the client about its own failure is not said of what the
// second one gets from another LLM.
func TestTheAdviceOfAFailureEndsWhereAnErrorRouteGoesOn(t *testing.T) {
	auth := newTokenEndpoint(t).URL
	first := mustHandler(t, corp(auth, ""), `{"client_keys":{"agents":{"key":"key"},"mini":{"key":"key-mini","models":["corp/small"]}},"errors":"handle"}`)
	second := mustHandler(t, corp(auth, ""), `{"provider":"corp","client_keys_off":true}`)
	reached := func(status int) caddyhttp.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) error {
			return caddyhttp.HandlerError{StatusCode: status, Err: errors.New("down"), Trace: "reverseproxy.statusError"}
		}
	}
	for name, test := range map[string]struct {
		header http.Header
		next   caddyhttp.HandlerFunc
		// given is what an error route without a second directive tells the client.
		given http.Header
		// route is what the error route sets before the second directive, left what
		// stays.
		route, left http.Header
	}{
		"a wrong key": {
			header: http.Header{"X-Api-Key": {"wrong"}},
			given:  http.Header{"Www-Authenticate": {"Bearer"}, "X-Should-Retry": {"false"}},
		},
		"a model that is not for the key": {
			header: http.Header{"X-Api-Key": {"key-mini"}}, given: http.Header{"X-Should-Retry": {"false"}},
		},
		"a web form": {
			header: http.Header{"X-Api-Key": {"key"}, "Content-Type": {"application/x-www-form-urlencoded"}},
			given:  http.Header{"Accept": {"application/json, multipart/form-data"}},
		},
		"an LLM that does not answer in time": {
			header: http.Header{"X-Api-Key": {"key"}}, next: reached(504), given: http.Header{"Retry-After": {"1"}},
		},
		"an LLM that cannot be reached": {
			header: http.Header{"X-Api-Key": {"key"}}, next: reached(502), given: http.Header{},
		},
		"an error route with advice of its own": {
			header: http.Header{"X-Api-Key": {"key"}}, next: reached(504), given: http.Header{"Retry-After": {"1"}},
			route: http.Header{"Retry-After": {"20"}}, left: http.Header{"Retry-After": {"20"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := chatRequest([]byte(`{"model":"corp/gpt-4o"}`))
			delete(r.Header, "Authorization")
			maps.Copy(r.Header, test.header)
			// What the gateway holds of the request is given back with its context.
			r = withCaddyContext(r.WithContext(t.Context()))
			w := httptest.NewRecorder()
			if err := first.ServeHTTP(w, r, test.next); err == nil {
				t.Fatalf("the first directive has answered %d %s", w.Code, w.Body)
			}
			if !reflect.DeepEqual(w.Header(), test.given) {
				t.Errorf("an error route starts with %q, want %q", w.Header(), test.given)
			}
			maps.Copy(w.Header(), test.route)
			var passes http.Header
			err := second.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				passes = w.Header().Clone()
				return nil
			}))
			if err != nil || len(passes) != len(test.left) || passes.Get("Retry-After") != test.left.Get("Retry-After") {
				t.Errorf("the second LLM's answer has %q, %v, want %q", passes, err, test.left)
			}
		})
	}
}
