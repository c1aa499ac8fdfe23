package tokens

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAPageSaysWhatItsTitleOrItsTextSays(t *testing.T) {
	for _, test := range []struct{ name, contentType, page, want string }{
		{"the title", "text/html", `<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>`, "502 Bad Gateway"},
		{"a title over lines, with attributes", "text/html", "<TITLE lang=en>\n Sign\tin \n to corp</TITLE>", "Sign in to corp"},
		{"a title with entities", "text/html", `<title>Tom &amp; Jerry&#39;s&nbsp;gate</title>`, "Tom & Jerry's gate"},
		{"the first words where the title is missing", "text/html", `<body><h1>Access denied</h1><p>Your address is <b>not</b> known.</p>`, "Access denied Your address is not known."},
		{"the text, as the title is empty", "text/html", `<title> </title><p>Access denied</p>`, "Access denied"},
		{"the text without what no browser shows", "text/html", `<style>p{color:red}</style><script>var a = "<p>x</p>"</script><!-- <p>note</p> --><p>Denied</p>`, "Denied"},
		{"a script without an end", "text/html", `<p>Denied</p><script>var a`, "Denied"},
		{"a tag without an end", "text/html", `<p>Denied</p><a href="x`, "Denied"},
		{"text without a tag", "text/html", `Denied, as 1 < 2`, "Denied, as 1 < 2"},
		{"XHTML", "application/xhtml+xml", `<?xml version="1.0"?><html><title>Denied</title></html>`, "Denied"},
		{"a page without a media type", "", "\n<!DOCTYPE html><title>Denied</title>", "Denied"},
		{"a page labelled as JSON", "application/json", `<html><title>Denied</title>`, "Denied"},
		{"an empty page", "text/html", ``, ""},
		{"a page of tags", "text/html", `<html><body></body></html>`, ""},
		{"JSON labelled as a page", "text/html", `{"error_description":"Denied"}`, "Denied"},
		{"plain text with a bracket", "text/plain", `<title is not here`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parseAnswer([]byte(test.page), test.contentType, nil, nil).description(nil); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestALongPageIsCut(t *testing.T) {
	for name, page := range map[string]string{
		"a long title": "<title>" + strings.Repeat("word ", 1000) + "</title>",
		"a long text":  "<p>" + strings.Repeat("word ", 200_000),
	} {
		got := htmlSummary(page, nil)
		if !strings.HasPrefix(got, "word word ") || len(got) > descriptionLimit+len("…") {
			t.Errorf("%s: got %d bytes, %.20q", name, len(got), got)
		}
	}
}

// A proxy or a login page may show what it was sent, in any spelling of HTML.
func TestASecretInAPageIsHidden(t *testing.T) {
	for _, secret := range []string{canary, "s3cretWord", "s3c<b>ret", `s3c&ret"<x>`} {
		for name, spelled := range map[string]string{
			"as it is":    secret,
			"in entities": strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "s", "&#115;").Replace(secret),
		} {
			for _, page := range []string{"<title>no %s</title>", "<p>no %s</p>"} {
				for _, status := range []int{200, 403, 503} {
					c := testClient(&exchange{status: status, body: fmt.Sprintf(page, spelled), header: http.Header{"Content-Type": {"text/html"}}})
					c.ClientSecret = Literal(secret)
					_, err := c.Fetch(t.Context(), Want{})
					failed, ok := errors.AsType[*AuthenticationError](err)
					if !ok || failed.Description != "no "+Redacted {
						t.Errorf("%s, %s: got %v", secret, name, err)
					}
				}
			}
		}
	}
}
