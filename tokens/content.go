package tokens

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// A content is what an answer holds: the members of a JSON object, or the fields
// of a form, and headers; or a page.
type content struct {
	text   string // a JSON object, or empty
	page   string // HTML, or empty
	form   url.Values
	header http.Header
}

// headerPlace begins the name of a place that is a header of the answer.
const headerPlace = "header:"

// parseAnswer reads an answer. Servers send JSON under any media type, and
// forms that have one of some fields. An answer that is neither, or a page, holds
// headers only.
func parseAnswer(body []byte, contentType string, header http.Header, fields []string) content {
	c := content{header: header}
	text := strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	if strings.HasPrefix(text, "{") {
		// json.Valid, not gjson.Valid: the latter can exhaust the stack.
		if json.Valid([]byte(text)) {
			c.text = text
		}
		return c
	}
	if isHTML(text, contentType) {
		c.page = text
		return c
	}
	if media := mediaType(contentType); media != "application/x-www-form-urlencoded" && media != "text/plain" {
		return c
	}
	form, err := url.ParseQuery(text)
	if err == nil && (form.Has("error") || slices.ContainsFunc(fields, form.Has)) {
		c.form = form
	}
	return c
}

// at returns what is at a place: a gjson path, or the name of a header behind
// "header:".
func (c content) at(place string) gjson.Result {
	switch name, isHeader := strings.CutPrefix(place, headerPlace); {
	case isHeader:
		return textResult(c.header.Get(name))
	case c.form != nil:
		return textResult(c.form.Get(place))
	case c.text != "":
		return gjson.Get(c.text, place)
	}
	return gjson.Result{}
}

// descriptionPlaces are where answers say what is wrong: as RFC 6749 §5.2 and RFC
// 9457 §3.1 say, and as others do, such as Okta (errorSummary), Google (error.message)
// and Apigee (fault.faultstring, Error).
var descriptionPlaces = []string{
	"error_description", "errorMessage", "errorSummary", "error.message", "message", "msg", "detail", "title",
	"fault.faultstring", "Error",
}

// description is what the answer says of itself, cleaned of secrets.
func (c content) description(secrets sensitive) string {
	if c.page != "" {
		return htmlSummary(c.page, secrets)
	}
	for _, place := range descriptionPlaces {
		// An object or a list could hide a secret behind its escapes.
		if value := c.at(place); value.Type == gjson.String && value.Str != "" {
			return secrets.clean(value.Str)
		}
	}
	return ""
}

// textResult is a text as a JSON string, or nothing if it is empty.
func textResult(text string) gjson.Result {
	if text == "" {
		return gjson.Result{}
	}
	return gjson.Result{Type: gjson.String, Str: text}
}

// isSet reports whether a member says something: some servers send null or "" in
// place of nothing.
func isSet(r gjson.Result) bool {
	return r.Exists() && r.Type != gjson.Null && strings.TrimSpace(r.String()) != ""
}
