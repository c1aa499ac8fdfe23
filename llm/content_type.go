package llm

import "strings"

// AcceptedContentTypes is what a gateway reads, for the Accept header of a 415
// (RFC 9110 §15.5.16).
const AcceptedContentTypes = "application/json, multipart/form-data"

const (
	formType = "multipart/form-data"
	jsonType = "application/json"
)

// IsForm says whether a request's Content-Type fields announce a multipart
// form, which is the only kind of multipart body that has fields.
func IsForm(contentType []string) bool {
	for _, value := range contentType {
		if strings.EqualFold(mediaType(value), formType) {
			return true
		}
	}
	return false
}

// IsJSON says whether a request's Content-Type fields announce JSON: as
// application/json, with parameters or without, or as a vendor's type that ends
// in +json (RFC 6839 §3.1). Several fields announce nothing.
func IsJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	name := strings.ToLower(mediaType(contentType[0]))
	if name == jsonType {
		return true
	}
	vendor, isJSON := strings.CutSuffix(name, "+json")
	vendor, isApplication := strings.CutPrefix(vendor, "application/")
	return isJSON && isApplication && vendor != ""
}

// mediaType is what stands before the parameters of a content type.
func mediaType(contentType string) string {
	name, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(name)
}

// ContentTypeFault says why a request's Content-Type fields cannot be trusted to
// mean the same to all, in an error of the code unsupported_content_type; it is
// nil if they can. A server that reads another charset, or another media type,
// reads another model from the same bytes.
//
// So there must be one field at most, in the strict form of RFC 9110 §8.3.1:
// no white space around an equals sign, no parameter twice, no asterisk (RFC
// 2231) and no backslash, nothing but printable ASCII, and nothing in a quoted
// value that a careless parser would take for another parameter. The only
// charsets are UTF-8 and its subset US-ASCII. Other parameters and vendors' types
// pass, and so does an empty field, which is a missing one. Forms in the way of
// URLs do not, since nothing looks for a model in them, nor do other multipart
// bodies, whose parts some servers take for fields.
func ContentTypeFault(contentType []string) error {
	if len(contentType) > 1 {
		return unsupportedContentType("the content type stands in several header fields; send one")
	}
	if len(contentType) == 0 || strings.TrimSpace(contentType[0]) == "" {
		return nil
	}
	value := contentType[0]
	if strings.ContainsFunc(value, isNotPlain) || strings.Contains(value, "=?") {
		return unsupportedContentType("the content type must be printable ASCII without asterisk and backslash")
	}
	name, rest, _ := strings.Cut(value, ";")
	kind, subtype, _ := strings.Cut(strings.Trim(name, " "), "/")
	if !isToken(kind) || !isToken(subtype) {
		return unsupportedContentType("the content type must be one media type, such as application/json")
	}
	// Some servers look for the word only, wherever it is.
	lower := strings.ToLower(value)
	if strings.Contains(lower, "urlencoded") {
		return unsupportedContentType("the content type application/x-www-form-urlencoded, which curl -d sends, is not read; send JSON with -H 'Content-Type: application/json'")
	}
	if strings.Contains(lower, "multipart") && mediaType(lower) != formType {
		return unsupportedContentType("a multipart body must be of the content type multipart/form-data")
	}
	return parametersFault(rest)
}

// parametersFault says what is wrong with the parameters of a content type.
func parametersFault(text string) error {
	var names []string
	charsets := strings.Count(strings.ToLower(text), "charset")
	for text = strings.Trim(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		name, rest, _ := strings.Cut(text, "=")
		value, rest, ok := cutContentParameter(rest)
		if !ok || !isToken(name) {
			return unsupportedContentType("the parameters of the content type cannot be read; write ; name=value for each")
		}
		text = rest
		for _, other := range names {
			if strings.EqualFold(name, other) {
				return unsupportedContentType("the content type has a parameter twice; write it once")
			}
		}
		names = append(names, name)
		if !strings.EqualFold(name, "charset") {
			continue
		}
		charsets--
		switch strings.ToLower(value) {
		case "utf-8", "utf8", "us-ascii":
		default:
			return unsupportedContentType("the charset of the content type must be utf-8")
		}
	}
	if charsets != 0 {
		return unsupportedContentType("the content type may have a charset as a parameter of its own only")
	}
	return nil
}

// cutContentParameter cuts the value of a parameter off the parameters after it.
func cutContentParameter(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		value, rest, _ = strings.Cut(text, ";")
		value = strings.TrimRight(value, " ")
		return value, rest, isToken(value)
	}
	value, rest, ok = strings.Cut(text[1:], `"`)
	rest = strings.TrimLeft(rest, " ")
	if ok && rest != "" {
		rest, ok = strings.CutPrefix(rest, ";")
	}
	return value, rest, ok && !strings.ContainsAny(value, ";,")
}

// isNotPlain says which characters of a content type parsers read differently.
func isNotPlain(r rune) bool { return r < ' ' || r > '~' || r == '*' || r == '\\' }

func unsupportedContentType(message string) error {
	return &RequestError{Code: CodeUnsupportedContentType, Message: message}
}
