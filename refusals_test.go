package oauth2llm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
)

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
		"a body over a limit of Caddy's":      {&http.MaxBytesError{Limit: 1}, 413, "body_too_large", "larger"},
		"a body that breaks off":              {io.ErrUnexpectedEOF, 400, "invalid_body", "could not be read to its end"},
		"a body that went elsewhere":          {fmt.Errorf("x: %w", message.ErrSent), 502, "upstream_error", "sent before"},
		"a body that was let go":              {message.ErrLetGo, 502, "upstream_error", "let go when the LLM answered"},
		"a body for which there is no memory": {message.ErrOverloaded, 503, "overloaded", "held_bodies"},
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
