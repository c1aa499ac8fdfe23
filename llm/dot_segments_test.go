package llm

import (
	"strings"
	"testing"
)

func TestHasDotSegments(t *testing.T) {
	for _, path := range []string{
		"..", ".", "/..", "/.", "../", "./", "/../", "/./", "/v1/../x", "/v1/./x", "/v1/x/..", "/v1/x/.", "//..//",
		`\..\`, `/v1\..\x`, `..\x`, `/v1/..\x`,
		"/%2e%2e/", "/%2E./", "/.%2e", "/%2e", "/v1%2f..%2Fx", "%2f.%2f", "/v1%5c..%5Cx", "..%2f", "..%5c",
		"/..;/x", "/..;a=b/x", "/.;", "/..;a.b/x", "/%2e%2e%3b/x", "/..%3Bx", "/..;;/", "/x;y/..", "/x;y/../z",
	} {
		if !HasDotSegments(path) {
			t.Errorf("%q has dot segments", path)
		}
	}
	for _, path := range []string{
		"", "/", "//", "*", "/v1/chat/completions", "/v1/models/gpt-4o", "v1.5", "/v1.5/x", "...", "/.../x", "/....", ".x", "x.", "..x", "x..",
		"/.well-known/x", "/a..b/", "/a.b.c", "/a/.. ", "/;..", "/x;../y", "/a;..;/b", "/%2e%2e%2e/", "/%2ex", "%2", "%", "/..%", "/..%2",
		"/..%41", "/%252e%252e/", "/x%2e", "/..\x00/", "/‥/", "/．．/",
	} {
		if HasDotSegments(path) {
			t.Errorf("%q has no dot segments", path)
		}
	}
}

// What path.Clean would take away must be found, whatever is around it.
func TestHasDotSegmentsAgreesWithEveryWayToWriteOne(t *testing.T) {
	for _, separator := range []string{"/", `\`, "%2f", "%2F", "%5c", "%5C"} {
		for _, dot := range []string{".", "%2e", "%2E"} {
			for _, parameters := range []string{"", ";", ";x", "%3b", "%3B.."} {
				for _, dots := range []int{1, 2} {
					segment := strings.Repeat(dot, dots) + parameters
					for _, path := range []string{segment, separator + segment, segment + separator, "a" + separator + segment + separator + "b"} {
						if !HasDotSegments(path) {
							t.Errorf("%q has dot segments", path)
						}
						if other := strings.Replace(path, segment, "x"+segment, 1); HasDotSegments(other) {
							t.Errorf("%q has no dot segments", other)
						}
					}
				}
			}
		}
	}
}
