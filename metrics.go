package oauth2llm

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// What became of a request, as metrics call it.
const (
	outcomeOK            = "ok"
	outcomeRejected      = "rejected"
	outcomeTokenError    = "token_error"
	outcomeUpstreamError = "upstream_error"
)

// clientRequests counts requests by the configured name of the client whose key
// they carry; it is empty for a request without a valid key.
//
// Collectors belong to the process, not to a configuration: Caddy makes a new
// registry for each configuration, and a counter that began anew with it would
// fall at every reload.
var clientRequests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy",
	Subsystem: "oauth2_llm",
	Name:      "client_requests_total",
	Help:      "Requests by client and outcome: ok, rejected, token_error, upstream_error.",
}, []string{"client", "outcome"})

// registerMetrics puts the collectors into a configuration's registry.
func registerMetrics(ctx caddy.Context) error {
	registry := ctx.GetMetricsRegistry()
	if registry == nil {
		return nil
	}
	err := registry.Register(clientRequests)
	if _, registered := errors.AsType[prometheus.AlreadyRegisteredError](err); registered {
		return nil
	}
	return err
}

// count counts a request by what became of it. The error is another
// handler's, which answers it elsewhere. A request that is not finished ended in a
// panic, with which reverse_proxy breaks off what its upstream or client broke off.
func (l *lease) count(finished bool, err error) {
	client := ""
	if l.client != nil {
		client = l.client.Name
	}
	clientRequests.WithLabelValues(client, l.outcome(finished, err)).Inc()
}

func (l *lease) outcome(finished bool, err error) string {
	if !finished && l.Err() == nil {
		return outcomeUpstreamError
	}
	if failed, ok := errors.AsType[caddyhttp.HandlerError](err); ok && l.log.errorKind == "" {
		if failed.StatusCode < http.StatusInternalServerError {
			return outcomeRejected
		}
		return outcomeUpstreamError
	}
	switch l.log.errorKind {
	case "":
		return outcomeOK
	case llm.TypeOAuth2Authentication, llm.TypeOAuth2Configuration:
		return outcomeTokenError
	case llm.TypeUpstream:
		return outcomeUpstreamError
	default:
		return outcomeRejected
	}
}
