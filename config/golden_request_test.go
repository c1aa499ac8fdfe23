package config

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A goldenRequest is a request of requests.http.
type goldenRequest struct {
	method, url, body string
	header            http.Header
}

var goldenHeader = regexp.MustCompile(`^[A-Za-z-]+: `)

func readGoldenRequests(t *testing.T) map[string]*goldenRequest {
	t.Helper()
	content, err := os.ReadFile("testdata/providers/requests.http")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*goldenRequest)
	var request *goldenRequest
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\n")
		switch name, isName := strings.CutPrefix(line, "# "); {
		case isName:
			request = &goldenRequest{header: http.Header{}}
			all[name] = request
		case line == "", line == "(empty body)":
		case request.method == "":
			request.method, request.url, _ = strings.Cut(line, " ")
		case goldenHeader.MatchString(line):
			field, value, _ := strings.Cut(line, ": ")
			request.header.Set(field, value)
		default:
			request.body = line
		}
	}
	return all
}

var jwtText = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

// compare checks what a token endpoint was sent, and gives the JWT in it that was
// signed.
func (want *goldenRequest) compare(t *testing.T, encoding string, got *stubEndpoint) (signed string) {
	t.Helper()
	if got.request == nil {
		t.Fatal("no token endpoint was asked")
	}
	variables, _ := goldenEnvironment().LookupEnv("IDENTITY_ENDPOINT")
	identity, _ := goldenEnvironment().LookupEnv("IDENTITY_HEADER")
	fill := strings.NewReplacer("<FILE_JWT>", fileJWT, "<IDENTITY_ENDPOINT>", variables, "<IDENTITY_HEADER>", identity)
	mark := func(text string) string {
		return jwtText.ReplaceAllStringFunc(text, func(match string) string {
			if match == fileJWT {
				return match
			}
			signed = match
			return "<JWT>"
		})
	}

	if got.request.Method != want.method {
		t.Errorf("the method is %s, want %s", got.request.Method, want.method)
	}
	if address := got.request.URL.String(); !sameURL(address, fill.Replace(want.url)) {
		t.Errorf("the URL is\n%s, want\n%s", address, fill.Replace(want.url))
	}
	body, wantBody := mark(got.body), fill.Replace(want.body)
	header := want.header.Clone()
	for name := range header {
		header.Set(name, fill.Replace(header.Get(name)))
	}
	setMissing(header, "Accept", "application/json")
	switch {
	case strings.HasPrefix(wantBody, "{"):
		setMissing(header, "Content-Type", "application/json")
		if !sameJSON(body, wantBody) {
			t.Errorf("the body is\n%s, want\n%s", body, wantBody)
		}
	default:
		// Raw: escaping is the point.
		if encoding == "" {
			setMissing(header, "Content-Type", "application/x-www-form-urlencoded")
		}
		if body != wantBody {
			t.Errorf("the body is\n%s, want\n%s", body, wantBody)
		}
	}
	for name := range header {
		if value := mark(got.request.Header.Get(name)); value != header.Get(name) || len(got.request.Header.Values(name)) != 1 {
			t.Errorf("the header %s is %q, want %q", name, got.request.Header.Values(name), header.Get(name))
		}
	}
	for name := range got.request.Header {
		// The last one is for net/http and is not sent.
		if !slices.Contains([]string{"User-Agent", "Idempotency-Key"}, name) && header.Get(name) == "" {
			t.Errorf("there is a header %s: %s", name, got.request.Header.Get(name))
		}
	}
	return signed
}

func setMissing(header http.Header, name, value string) {
	if header.Get(name) == "" {
		header.Set(name, value)
	}
}

// sameURL compares URLs; the order of parameters does not count.
func sameURL(a, b string) bool {
	first, errA := url.Parse(a)
	second, errB := url.Parse(b)
	if errA != nil || errB != nil {
		return false
	}
	queries := first.Query().Encode() == second.Query().Encode()
	first.RawQuery, second.RawQuery = "", ""
	return queries && first.String() == second.String()
}

func sameJSON(a, b string) bool {
	var first, second any
	if json.Unmarshal([]byte(a), &first) != nil || json.Unmarshal([]byte(b), &second) != nil {
		return false
	}
	textA, _ := json.Marshal(first)
	textB, _ := json.Marshal(second)
	return string(textA) == string(textB)
}
