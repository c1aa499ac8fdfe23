package llm

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// modelEndpoints run the model that a request names, and do no more.
var modelEndpoints = []string{
	"/audio/speech", "/audio/transcriptions", "/audio/translations", "/chat/completions", "/completions", "/embeddings",
	"/images/edits", "/images/generations", "/images/variations", "/messages", "/messages/count_tokens", "/moderations",
	"/rerank", "/responses", "/responses/compact", "/responses/input_tokens",
}

// Where these endpoints stand, and in Azure's way, behind the name of a model.
var (
	endpointRoots   = []string{"/v1", "", "/v2", "/openai/v1", "/anthropic/v1"}
	deploymentRoots = []string{"/openai/deployments/", "/deployments/"}
)

const realtimeEndpoint = "/realtime"

// WebSocketKeyPrefix begins the subprotocol in which browsers send a key, because
// they cannot set headers of a WebSocket.
const WebSocketKeyPrefix = "openai-insecure-api-key."

// IsModelCall reports whether a request reaches nothing but the model that was
// found in it. All else may reach more: files and batches belong to whoever uses
// an account, a kept answer has its own model, and a server may read a model
// where nobody here knows that it does. So only what is known counts, to the
// letter of the path as it is sent.
func IsModelCall(method string, u *url.URL, found Found) bool {
	path := u.EscapedPath()
	switch {
	case found.Where&InPath != 0 && IsModelRetrieval(method, u.Path):
		return true
	case found.Where&InPath != 0:
		_, endpoint, _ := strings.Cut(found.deployment, "/")
		return method == http.MethodPost && slices.Contains(modelEndpoints, "/"+endpoint) &&
			slices.ContainsFunc(deploymentRoots, func(root string) bool { return path == root+found.deployment })
	case found.Where&(InBody|InForm) != 0:
		return method == http.MethodPost && slices.ContainsFunc(endpointRoots, func(root string) bool {
			endpoint, ok := strings.CutPrefix(path, root)
			return ok && slices.Contains(modelEndpoints, endpoint)
		})
	case found.Where == InQuery:
		endpoint, ok := strings.CutSuffix(path, realtimeEndpoint)
		return (method == http.MethodGet || method == http.MethodConnect) && ok && !namesDeployment(u) &&
			(slices.Contains(endpointRoots, endpoint) || endpoint == "/openai")
	default:
		return false
	}
}

// namesDeployment reports whether a query holds the parameter by which Azure's
// realtime sessions name a model.
func namesDeployment(u *url.URL) bool {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return true
	}
	for name := range query {
		if strings.EqualFold(name, "deployment") {
			return true
		}
	}
	return false
}
