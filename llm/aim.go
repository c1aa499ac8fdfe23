package llm

import (
	"net/url"
	"strings"
)

// apiRoot is the path that OpenAI's and Anthropic's clients put before every
// other; a base URL with a path stands in for it.
const apiRoot = "/v1"

// Aim points a request's URL at a base URL: scheme and host are the base's. A
// base with a path stands in for a leading `/v1` of the request; other paths
// are appended to it, unless they begin with it already. A base without a path,
// or with `/`, keeps the request's. Parameters of the base's query are set on
// the request, in place of the client's. Escapes stay as they are.
//
// The request's path must have no dot segments; see HasDotSegments.
func Aim(u, base *url.URL) {
	u.Scheme, u.Host, u.User, u.Opaque = base.Scheme, base.Host, nil, ""
	setEscapedPath(u, aimedPath(u.EscapedPath(), strings.TrimRight(base.EscapedPath(), "/")))
	if base.RawQuery != "" {
		u.RawQuery = joinQueries(u.RawQuery, base)
	}
}

func aimedPath(path, base string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	switch {
	case base == "" || isBelow(path, base) && !isBelow(path, apiRoot):
		return path
	case isBelow(path, apiRoot):
		return base + path[len(apiRoot):]
	default:
		return base + path
	}
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
	query = WithoutParameters(query, func(name string) bool { return set[strings.ToLower(name)] })
	if query == "" {
		return base.RawQuery
	}
	return query + "&" + base.RawQuery
}
