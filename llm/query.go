package llm

import (
	"net/url"
	"strings"
)

// findQueryModel finds the parameter `model` of a raw query, and whether there
// is one, and what else may choose a model; see Found.Chooser. Names are
// compared unescaped, and two that differ at most in case are ambiguous, as in a
// body. A semicolon separates parameters for some servers and is refused by
// others (Go drops the parameter), so one next to a `model` is ambiguous too;
// elsewhere it is nobody's business.
func findQueryModel(rawQuery string) (name string, found bool, chooser string, err error) {
	keys := 0
	for pair := range strings.SplitSeq(rawQuery, "&") {
		for parameter := range strings.SplitSeq(pair, ";") {
			raw, value, _ := strings.Cut(parameter, "=")
			key := parameterKeyword(raw)
			if chooser == "" {
				chooser = key.chooser()
			}
			if !key.isModel() {
				continue
			}
			if len(parameter) < len(pair) {
				return "", false, "", ambiguousModel("the query separates model from other parameters by a semicolon; use an ampersand")
			}
			if keys++; keys > 1 {
				return "", false, "", ambiguousModel("the query names the model more than once; name it once")
			}
			if key.exact {
				if name, err = url.QueryUnescape(value); err != nil {
					return "", false, "", invalidPath("model in the query is not properly percent-encoded")
				}
				found = true
			}
		}
	}
	return name, found, chooser, nil
}

// replaceQueryModel puts another name in the place of the parameter `model`,
// and leaves every other byte of the query alone.
func replaceQueryModel(rawQuery, old, name string) string {
	start := 0
	for pair := range strings.SplitSeq(rawQuery, "&") {
		end := start + len(pair)
		key, value, _ := strings.Cut(pair, "=")
		if word := parameterKeyword(key); word.isModel() && word.exact {
			if plain, err := url.QueryUnescape(value); err != nil || plain != old {
				return rawQuery
			}
			return rawQuery[:start+len(key)] + "=" + replaceEscaped(value, old, name, url.QueryEscape) + rawQuery[end:]
		}
		start = end + 1
	}
	return rawQuery
}

// replaceEscaped returns the percent-encoded form of name, which takes the
// place of raw, the form of old. The end of a name stays as the client escaped
// it.
func replaceEscaped(raw, old, name string, escape func(string) string) string {
	if strings.HasSuffix(old, name) {
		return raw[escapedOffset(raw, len(old)-len(name)):]
	}
	return escape(name)
}

// escapedOffset is where a percent-encoded text, which has at least as many, has
// given decoded bytes.
func escapedOffset(escaped string, decoded int) int {
	at := 0
	for ; decoded > 0; decoded-- {
		if escaped[at] == '%' {
			at += 2
		}
		at++
	}
	return at
}

// WithoutParameters returns a query without some parameters; all other bytes stay
// as they are.
func WithoutParameters(raw string, drop func(name string) bool) string {
	if raw == "" {
		return raw
	}
	var kept strings.Builder
	dropped := false
	for pair := range strings.SplitSeq(raw, "&") {
		if holdsParameter(pair, drop) {
			dropped = true
			continue
		}
		if kept.Len() > 0 {
			kept.WriteByte('&')
		}
		kept.WriteString(pair)
	}
	if !dropped {
		return raw
	}
	return kept.String()
}

// holdsParameter reports whether a parameter is in one part of a query between
// ampersands. Some servers take a semicolon for an ampersand.
func holdsParameter(pair string, wanted func(name string) bool) bool {
	for parameter := range strings.SplitSeq(pair, ";") {
		name, _, _ := strings.Cut(parameter, "=")
		if unescaped, err := url.QueryUnescape(name); err == nil {
			name = unescaped
		}
		if wanted(name) {
			return true
		}
	}
	return false
}
