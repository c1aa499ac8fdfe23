package llm

import "strings"

// HasDotSegments says whether a decoded path has a segment `.` or `..`, with
// which it would climb out of where it was sent. It reads the path
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
