package oauth2llm

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

func unauthenticated() *problem {
	return &problem{
		status: http.StatusUnauthorized, kind: llm.TypeAuthentication, code: codeInvalidAPIKey,
		final:   true,
		message: "no valid API key for this gateway was given; send one as Authorization: Bearer, X-Api-Key, Api-Key or X-Goog-Api-Key",
	}
}

func notAllowed(code, message string) error {
	return &problem{status: http.StatusForbidden, kind: llm.TypePermission, code: code, message: message, final: true}
}

func pathNotAllowed() error {
	return notAllowed(codePathNotAllowed, "the provider may not be used for this path")
}

// pathNeedsProvider refuses a path that may reach more than the models that a key
// is for.
func pathNeedsProvider(provider string) error {
	return notAllowed(codeModelNotAllowed, fmt.Sprintf("this key is for some models of provider %s, and this path may reach others: it needs a key for %s/*", provider, provider))
}

// chooserNotAllowed refuses a field by which the LLM could choose another model
// than the one that a key is for.
func chooserNotAllowed(field, provider string) error {
	needed := "all models"
	if provider != "" {
		needed = provider + "/*"
	}
	return notAllowed(codeModelNotAllowed, fmt.Sprintf("this key is for some models only, and %s may choose another: leave it out, or use a key for %s", field, needed))
}

// upgradeRefused answers a WebSocket that names no model: Codex then uses HTTP.
func upgradeRefused() error {
	return &problem{
		status: http.StatusUpgradeRequired, kind: llm.TypeInvalidRequest, code: codeUpgradeRefused,
		message: "a WebSocket must name its model in the query (?model=<provider>/<model>); use HTTP for this request",
	}
}

func methodNotAllowed() error {
	return &problem{
		status: http.StatusMethodNotAllowed, kind: llm.TypeInvalidRequest, code: codeMethodNotAllowed,
		message: "this gateway does not forward TRACE and CONNECT", final: true,
	}
}

// requestProblem says what is wrong with a client's request.
func requestProblem(err error) error {
	if invalid, ok := errors.AsType[*llm.RequestError](err); ok {
		return &problem{status: invalid.Status(), kind: llm.TypeInvalidRequest, code: invalid.Code, message: invalid.Message}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &problem{
			status: http.StatusRequestEntityTooLarge, kind: llm.TypeInvalidRequest, code: llm.CodeBodyTooLarge,
			message: "the request body is larger than this gateway accepts",
		}
	}
	if known, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		return known
	}
	switch {
	case errors.Is(err, context.Canceled):
		return caddyhttp.Error(statusClientClosedRequest, err)
	case errors.Is(err, message.ErrOverloaded):
		return &problem{
			status: http.StatusServiceUnavailable, kind: llm.TypeOverloaded, code: codeOverloaded,
			message: "the gateway holds as many request bodies as it may (held_bodies); try again",
		}
	case errors.Is(err, message.ErrSent), errors.Is(err, message.ErrLetGo):
		return &problem{
			status: http.StatusBadGateway, kind: llm.TypeUpstream, code: codeUpstreamError,
			message: "the request cannot be sent to another LLM: " + err.Error(), cause: err,
		}
	}
	return &problem{
		status: http.StatusBadRequest, kind: llm.TypeInvalidRequest, code: llm.CodeInvalidBody,
		message: "the request body could not be read to its end: the connection was lost, or the body came too slowly", cause: err,
	}
}
