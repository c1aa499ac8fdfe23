package llm

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// modelsPath is followed by a model, slashes and all.
const modelsPath = "/v1/models/"

// Paths whose bodies are files that can be as large as they like and name no
// model.
var uploadPaths = []string{"/v1/files", "/v1/uploads", "/openai/files", "/openai/v1/files", "/openai/uploads", "/openai/v1/uploads"}

// ReadsBody reports whether the body of a request may be looked at: a CONNECT's is
// a tunnel, an upload's a file.
func ReadsBody(method, path string) bool {
	if method == http.MethodConnect {
		return false
	}
	for _, upload := range uploadPaths {
		if rest, found := strings.CutPrefix(path, upload); found && (rest == "" || rest[0] == '/') {
			return false
		}
	}
	return true
}

// A pathModel is the model that a URL's path names.
type pathModel struct {
	name string
	// start and end enclose the name in the escaped path.
	start, end int
	// deployment says that the name is a deployment's, in Azure's way.
	deployment bool
	// verb says that a verb follows the name, in Google's way.
	verb bool
}

// findPathModel finds the model in a URL's path, and whether there is one. It
// reads the escaped path, where a slash of the name may be told from one of the
// path.
func findPathModel(method string, u *url.URL) (p pathModel, found bool, err error) {
	prefix, marker := modelPathPrefix(u.Path)
	if prefix == "" {
		return pathModel{}, false, nil
	}
	escaped := u.EscapedPath()
	p.start = escapedOffset(escaped, len(prefix))
	rest := escaped[p.start:]
	if rest == "" {
		return pathModel{}, false, nil
	}
	length := len(rest)
	if p.deployment = marker == deploymentsMarker; p.deployment {
		if length, err = deploymentLength(rest); length == 0 {
			return pathModel{}, false, err
		}
	} else if acts(method) {
		if length, err = verbStart(rest); err != nil {
			return pathModel{}, false, err
		}
	}
	p.end = p.start + length
	p.verb = !p.deployment && p.end < len(escaped)
	// What EscapedPath returns can always be decoded.
	p.name, _ = url.PathUnescape(escaped[p.start:p.end])
	return p, true, nil
}

// Segments behind which a path names a model, in Azure's way and in Google's.
const (
	deploymentsMarker = "/deployments/"
	modelsMarker      = "/models/"
)

// deploymentLength is how much of an escaped path behind `deployments/` is the
// model: the first segment if there is an escaped slash in it; else all before
// an endpoint that is known, since the SDKs put the model into the path without
// escaping it; else the first segment. It is 0 if there is no model.
func deploymentLength(rest string) (int, error) {
	first, _, _ := strings.Cut(rest, "/")
	if first == "" || holdsEscapedSlash(first) {
		return len(first), nil
	}
	plain, _ := url.PathUnescape(rest)
	longest := 0
	for _, endpoint := range modelEndpoints {
		if len(endpoint) > longest && len(endpoint) < len(plain) && strings.HasSuffix(plain, endpoint) {
			longest = len(endpoint)
		}
	}
	switch {
	case longest == 0:
		return len(first), nil
	case holdsEscapedSlash(rest):
		return 0, ambiguousModel("the path holds plain and escaped slashes of the deployment; escape all of them")
	case strings.Contains(strings.ToLower(plain), deploymentsMarker):
		return 0, ambiguousModel("the path names two deployments; name one")
	}
	return escapedOffset(rest, len(plain)-longest), nil
}

func holdsEscapedSlash(escaped string) bool {
	return strings.Contains(escaped, "%2F") || strings.Contains(escaped, "%2f")
}

// acts says whether a request may have a verb behind the model in its path.
func acts(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
		return false
	}
	return true
}

// verbStart is where the verb begins in an escaped path behind `models/`: at
// the last colon of the last segment, if only letters follow. Without one it is
// the end. An escaped verb is one to some servers, and to others a part of the
// name.
func verbStart(rest string) (int, error) {
	plain, _ := url.PathUnescape(rest)
	segment := plain[strings.LastIndexByte(plain, '/')+1:]
	colon := strings.LastIndexByte(segment, ':')
	if colon < 0 || colon == len(segment)-1 || strings.ContainsFunc(segment[colon+1:], isNoLetter) {
		return len(rest), nil
	}
	verb := segment[colon:]
	if !strings.HasSuffix(rest, verb) {
		return 0, ambiguousModel("the path has escapes in what stands behind the last colon; write the verb plainly")
	}
	return len(rest) - len(verb), nil
}

func isNoLetter(r rune) bool { return 'a' > r|0x20 || r|0x20 > 'z' || r >= utf8.RuneSelf }

// modelPathPrefix is what stands before the model in a path, and the marker with
// which it ends. The marker may be anywhere, since a base URL may end where such
// a path goes on, and the server behind it would run that model whatever the body
// says.
func modelPathPrefix(path string) (prefix, marker string) {
	if strings.HasPrefix(path, modelsPath) {
		return modelsPath, modelsMarker
	}
	for at := range len(path) {
		for _, marker := range [...]string{deploymentsMarker, modelsMarker} {
			if end := at + len(marker); end <= len(path) && strings.EqualFold(path[at:end], marker) {
				return path[:end], marker
			}
		}
	}
	return "", ""
}

// rename puts another name in the place of the model in a URL's path, and leaves
// every other byte of the escaped path alone. A slash that was not there before
// is escaped, and in a deployment, which is one segment to servers, every slash.
func (p pathModel) rename(u *url.URL, name string) {
	escaped := u.EscapedPath()
	if p.end > len(escaped) {
		return
	}
	raw := escaped[p.start:p.end]
	if plain, err := url.PathUnescape(raw); err != nil || plain != p.name {
		return
	}
	renamed := replaceEscaped(raw, p.name, name, url.PathEscape)
	if p.deployment && strings.Contains(renamed, "/") {
		renamed = url.PathEscape(name)
	}
	setEscapedPath(u, escaped[:p.start]+renamed+escaped[p.end:])
}

// setEscapedPath sets a path that is escaped already, and properly.
func setEscapedPath(u *url.URL, escaped string) {
	u.Path, _ = url.PathUnescape(escaped)
	u.RawPath = ""
	if u.EscapedPath() != escaped {
		u.RawPath = escaped
	}
}
