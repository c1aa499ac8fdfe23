package llm

import "strings"

// sharedResources are paths of what belongs to all who use a provider's account,
// or of what names its models where a gateway does not look: in files, in a list
// of requests, or when the resource was made.
var sharedResources = []string{
	"assistants", "batches", "chat/completions/", "containers", "conversations", "evals", "files", "fine_tuning", "fine-tunes",
	"messages/batches", "organization", "responses/", "threads", "uploads", "vector_stores", "videos/",
}

// IsSharedResource reports whether a request reaches more than the model that it
// names. A path that ends in a slash here means what lies below it.
func IsSharedResource(path string) bool {
	path = strings.TrimPrefix(strings.ToLower(path), apiRoot) + "/"
	for _, resource := range sharedResources {
		rest, ok := strings.CutPrefix(path, "/"+resource)
		if ok && rest != "" && (strings.HasSuffix(resource, "/") || rest[0] == '/') {
			return true
		}
	}
	return false
}

// IsRealtime reports whether a path is that of a realtime session, which names its
// model in the query.
func IsRealtime(path string) bool {
	return strings.HasSuffix(path, "/realtime") || strings.Contains(path, "/realtime/")
}
