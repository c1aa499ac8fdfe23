package llm

import (
	"net/url"
	"slices"
	"strings"
)

// apiRoot is the path that OpenAI's and Anthropic's clients put before every
// other; a base URL with a path stands in for it.
const apiRoot = "/v1"

// azureRoot is what Azure's clients put before its paths.
const azureRoot = "/openai"

// azureWords begin the paths behind /openai and /openai/v1 that are OpenAI's own.
var azureWords = []string{
	"assistants", "audio", "batches", "chat", "completions", "containers", "conversations", "embeddings", "evals", "files", "fine_tuning",
	"images", "messages", "models", "moderations", "realtime", "rerank", "responses", "threads", "uploads", "vector_stores", "videos",
}

// Aim points a request's URL at a base URL: scheme and host are the base's. A
// base with a path stands in for a leading `/v1` of the request, and for what
// Azure's clients write instead: `/openai/deployments/<model>` and
// `/deployments/<model>` before an endpoint of models, `/openai/v1` and `/openai`
// before any path of OpenAI's API; the parameter api-version, which belongs to
// these, goes with them. Other paths are appended to the base's, unless they
// begin with it already. A base without a path, or with `/`, keeps the request's.
// Parameters of the base's query are set on the request, in place of the client's.
// Escapes stay as they are.
//
// The request's path must have no dot segments; see HasDotSegments.
func Aim(u, base *url.URL) {
	u.Scheme, u.Host, u.User, u.Opaque = base.Scheme, base.Host, nil, ""
	path, isAzure := aimedPath(u.EscapedPath(), strings.TrimRight(base.EscapedPath(), "/"))
	setEscapedPath(u, path)
	if isAzure {
		u.RawQuery = WithoutParameters(u.RawQuery, func(name string) bool { return strings.EqualFold(name, "api-version") })
	}
	if base.RawQuery != "" {
		u.RawQuery = joinQueries(u.RawQuery, base)
	}
}

// aimedPath is where a path goes, and whether what it began with was Azure's.
func aimedPath(path, base string) (aimed string, isAzure bool) {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	switch {
	case base == "" || isBelow(path, base) && !isBelow(path, apiRoot):
		return path, false
	case isBelow(path, apiRoot):
		return base + path[len(apiRoot):], false
	case base == azureRoot && isBelow(path, "/deployments"):
		// The base is Azure's own root, behind which such a path goes on.
		return base + path, false
	}
	length := azureLength(path)
	return base + path[length:], length > 0
}

// azureLength is how much of an escaped path Azure's clients put before a path of
// OpenAI's; 0 if it is another path.
func azureLength(path string) int {
	for _, root := range deploymentRoots {
		if rest, found := strings.CutPrefix(path, root); found {
			length, err := deploymentLength(rest)
			if err != nil || length == 0 || !slices.Contains(modelEndpoints, rest[length:]) {
				return 0
			}
			return len(root) + length
		}
	}
	for _, root := range [...]string{azureRoot + apiRoot, azureRoot} {
		if rest, found := strings.CutPrefix(path, root+"/"); found {
			word, _, _ := strings.Cut(rest, "/")
			if slices.Contains(azureWords, word) {
				return len(root)
			}
		}
	}
	return 0
}

// isBelow reports whether a path is another, or lies below it.
func isBelow(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (rest == "" || rest[0] == '/')
}

// joinQueries removes from a query what the base sets, and adds that. Some
// servers take a semicolon for an ampersand, others any case of a name.
func joinQueries(query string, base *url.URL) string {
	set := map[string]bool{}
	for name := range base.Query() {
		set[strings.ToLower(name)] = true
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && !holdsParameter(pair, func(name string) bool { return set[strings.ToLower(name)] }) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(append(kept, base.RawQuery), "&")
}
