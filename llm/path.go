package llm

import (
	"net/http"
	"net/url"
	"strings"
)

// modelsPath is followed by a model, slashes and all.
const modelsPath = "/v1/models/"

// Paths whose bodies are files that can be as large as they like and name no
// model.
var uploadPaths = []string{"/v1/files", "/v1/uploads"}

// ReadsBody says whether the body of a request may be looked at: that of a
// CONNECT is a tunnel, that of an upload a file.
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

// findPathModel finds the model in a URL's path, and whether there is one. It
// reads the escaped path, where a slash of the name may be told from one of the
// path. deployment is the whole escaped rest of a path in Azure's way.
func findPathModel(u *url.URL) (name, deployment string, found bool) {
	prefix := modelPathPrefix(u.Path)
	if prefix == "" {
		return "", "", false
	}
	escaped := u.EscapedPath()
	escaped = escaped[escapedOffset(escaped, len(prefix)):]
	if prefix != modelsPath {
		deployment = escaped
		escaped, _, _ = strings.Cut(escaped, "/")
	}
	if escaped == "" {
		return "", "", false
	}
	// What EscapedPath returns can always be decoded.
	name, _ = url.PathUnescape(escaped)
	return name, deployment, true
}

// modelPathPrefix is what stands before the model in a path: in Azure's way, a
// segment called `deployments`, and in Google's, one called `models`. It may be
// any, since a base URL may end where such a path goes on, and the server behind
// it would run that model whatever the body says.
func modelPathPrefix(path string) string {
	if strings.HasPrefix(path, modelsPath) {
		return modelsPath
	}
	for at := range len(path) {
		for _, marker := range [...]string{"/deployments/", "/models/"} {
			if end := at + len(marker); end <= len(path) && strings.EqualFold(path[at:end], marker) {
				return path[:end]
			}
		}
	}
	return ""
}

// replacePathModel puts another name in the place of the model in a URL's path,
// and leaves every other byte of the escaped path alone. A slash of a name that
// was not there before is escaped.
func replacePathModel(u *url.URL, old, name string) {
	prefix := modelPathPrefix(u.Path)
	if prefix == "" || !strings.HasPrefix(u.Path[len(prefix):], old) {
		return
	}
	escaped := u.EscapedPath()
	start := escapedOffset(escaped, len(prefix))
	end := start + escapedOffset(escaped[start:], len(old))
	escaped = escaped[:start] + replaceEscaped(escaped[start:end], old, name, url.PathEscape) + escaped[end:]
	setEscapedPath(u, escaped)
}

// setEscapedPath sets a path that is escaped already, and properly.
func setEscapedPath(u *url.URL, escaped string) {
	u.Path, _ = url.PathUnescape(escaped)
	u.RawPath = ""
	if u.EscapedPath() != escaped {
		u.RawPath = escaped
	}
}

// HasDotSegments says whether a decoded path has a segment `.` or `..`, with
// which it would climb out of where it was sent (case P01). It reads the path
// as the most lenient server would: a backslash separates segments too, a
// segment ends at its `;` parameters, and both dots and separators may be
// percent-encoded once more.
func HasDotSegments(path string) bool {
	if !strings.ContainsAny(path, ".%") {
		return false
	}
	dots, other, parameters := 0, false, false
	for {
		c, size := lenientByte(path)
		switch {
		case size == 0 || c == '/' || c == '\\':
			if !other && (dots == 1 || dots == 2) {
				return true
			}
			if size == 0 {
				return false
			}
			dots, other, parameters = 0, false, false
		case parameters:
		case c == ';':
			parameters = true
		case c == '.':
			dots++
		default:
			other = true
		}
		path = path[size:]
	}
}

// lenientByte is the first byte of a path, decoded if it is a percent-encoded
// separator or dot, and how many bytes it takes.
func lenientByte(path string) (c byte, size int) {
	if path == "" {
		return 0, 0
	}
	if len(path) >= 3 && path[0] == '%' {
		switch strings.ToLower(path[1:3]) {
		case "2e":
			return '.', 3
		case "2f":
			return '/', 3
		case "5c":
			return '\\', 3
		case "3b":
			return ';', 3
		}
	}
	return path[0], 1
}
