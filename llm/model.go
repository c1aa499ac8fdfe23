package llm

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is how long a model's name may be, in bytes, its prefix included.
const maxName = 256

const nameTooLong = "model is longer than 256 bytes"

// ParseName splits a model's name at the first slash and says whether there
// was one: `my_provider/meta/llama-3` has the prefix `my_provider` and the rest
// `meta/llama-3`. A name without a slash is all rest.
//
// It refuses names that servers would read differently, or that a path could
// not hold: empty ones, longer ones than 256 bytes, control
// characters, what is not UTF-8, white space at the beginning or the end of a
// segment, empty segments, dot segments, and characters that nobody sees or that
// turn the text around them, such as bidirectional controls. The code of the error
// says where the client has to look: invalid_body for names from a body or a form,
// invalid_path for those from a query or a path.
func ParseName(name string, where Location) (prefix, rest string, prefixed bool, err error) {
	if fault := nameFault(name); fault != "" {
		code := CodeInvalidPath
		if where&(InBody|InForm) != 0 {
			code = CodeInvalidBody
		}
		return "", "", false, &RequestError{Code: code, Message: fault}
	}
	prefix, rest, prefixed = strings.Cut(name, "/")
	if !prefixed {
		return "", name, false, nil
	}
	return prefix, rest, true, nil
}

// nameFault says what is wrong with a model's name; nothing if it is empty.
func nameFault(name string) string {
	switch {
	case name == "":
		return "model is empty"
	case len(name) > maxName:
		return nameTooLong
	case !utf8.ValidString(name):
		return "model is not valid UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "model holds a control character"
	case strings.ContainsFunc(name, isUnseen):
		return "model holds a character that cannot be seen or that turns the text around"
	case HasDotSegments(name):
		return "model holds a segment that climbs or stays, such as two dots"
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" {
			return "model has nothing before or after a slash; write provider/model"
		}
		if segment != strings.TrimSpace(segment) {
			return "model has white space at the beginning or the end of its name or a segment of it"
		}
	}
	return ""
}

// isUnseen says which characters show nothing, or turn the text around them: two
// names that look alike could be different models.
func isUnseen(r rune) bool {
	return r >= utf8.RuneSelf && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func invalidBody(message string) error {
	return &RequestError{Code: CodeInvalidBody, Message: message}
}

func invalidPath(message string) error {
	return &RequestError{Code: CodeInvalidPath, Message: message}
}

func ambiguousModel(message string) error {
	return &RequestError{Code: CodeAmbiguousModel, Message: message}
}
