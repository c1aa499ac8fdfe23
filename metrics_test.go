package oauth2llm

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

func TestEachRequestHasOneOutcome(t *testing.T) {
	failed := func(status int) error { return caddyhttp.Error(status, errors.New("failed")) }
	for name, test := range map[string]struct {
		kind string
		err  error
		want string
	}{
		"answered":                           {"", nil, outcomeOK},
		"answered with the LLM's own status": {"", errors.New("the client has gone"), outcomeOK},
		"refused by another handler":         {"", failed(http.StatusRequestEntityTooLarge), outcomeRejected},
		"failed in another handler":          {"", failed(http.StatusBadGateway), outcomeUpstreamError},
		"without a key":                      {llm.TypeAuthentication, nil, outcomeRejected},
		"without a right":                    {llm.TypePermission, nil, outcomeRejected},
		"without a token":                    {llm.TypeOAuth2Authentication, failed(http.StatusServiceUnavailable), outcomeTokenError},
		"without an LLM":                     {llm.TypeUpstream, failed(http.StatusBadGateway), outcomeUpstreamError},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			l := &lease{Context: ctx}
			l.log.errorKind = test.kind
			if got := l.outcome(true, test.err); got != test.want {
				t.Errorf("the outcome is %s, want %s", got, test.want)
			}
			if got := l.outcome(false, test.err); got != outcomeUpstreamError {
				t.Errorf("the outcome of an answer that breaks off is %s", got)
			}
			leave()
			if got := l.outcome(false, test.err); got != test.want {
				t.Errorf("the outcome of an answer that its client leaves is %s, want %s", got, test.want)
			}
		})
	}
}
