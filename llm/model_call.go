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
	endpointRoots   = []string{"/v1", "", "/v2", "/openai/v1", "/openai", "/anthropic/v1"}
	deploymentRoots = []string{"/openai/deployments/", "/deployments/"}
)

// modelVerbs run the model before them in a path below modelRoots, and do no
// more: unlike batchEmbedContents, whose parts name models themselves.
var (
	modelVerbs = []string{":generateContent", ":streamGenerateContent", ":countTokens", ":embedContent", ":predict"}
	modelRoots = []string{"/v1beta/models/", "/v1/models/", "/v1beta1/models/", "/models/"}
)

const realtimeEndpoint = "/realtime"

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
		if method != http.MethodPost || found.path.end > len(path) {
			return false
		}
		root, rest := path[:found.path.start], path[found.path.end:]
		if found.path.deployment {
			return slices.Contains(deploymentRoots, root) && slices.Contains(modelEndpoints, rest)
		}
		return slices.Contains(modelRoots, root) && slices.Contains(modelVerbs, rest)
	case found.Where&(InBody|InForm) != 0:
		return method == http.MethodPost && isModelEndpoint(path)
	case found.Where == InQuery:
		endpoint, ok := strings.CutSuffix(path, realtimeEndpoint)
		return (method == http.MethodGet || method == http.MethodConnect) && ok && found.Chooser == "" && hasPlainQuery(u) &&
			slices.Contains(endpointRoots, endpoint)
	default:
		return false
	}
}

// isModelEndpoint reports whether an escaped path is one of the modelEndpoints.
func isModelEndpoint(path string) bool {
	return slices.ContainsFunc(endpointRoots, func(root string) bool {
		endpoint, ok := strings.CutPrefix(path, root)
		return ok && slices.Contains(modelEndpoints, endpoint)
	})
}

// hasPlainQuery reports whether a query is one that no server has to guess at.
func hasPlainQuery(u *url.URL) bool {
	_, err := url.ParseQuery(u.RawQuery)
	return err == nil
}

// RunsModel reports whether a request only runs a model, whichever: it leaves
// nothing behind, so that to run it twice costs, but does no harm.
func RunsModel(method string, u *url.URL) bool {
	if method != http.MethodPost {
		return false
	}
	path := u.EscapedPath()
	if isModelEndpoint(path) {
		return true
	}
	for _, root := range deploymentRoots {
		if rest, ok := strings.CutPrefix(path, root); ok {
			return slices.ContainsFunc(modelEndpoints, func(endpoint string) bool { return strings.HasSuffix(rest, endpoint) })
		}
	}
	for _, root := range modelRoots {
		if rest, ok := strings.CutPrefix(path, root); ok {
			return slices.ContainsFunc(modelVerbs, func(verb string) bool { return strings.HasSuffix(rest, verb) })
		}
	}
	return false
}
