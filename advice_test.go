package oauth2llm

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

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
