package oauth2llm

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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
