package llm

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"
)

// Bounds of a form.
const (
	// maxParts is what Starlette accepts, and with it most Python servers.
	maxParts = 1000
	// maxPartHeader leaves room for long file names.
	maxPartHeader = 16 << 10
	// charsetField is the field that tells in which charset a browser has
	// written the others (RFC 7578 §4.6).
	charsetField = "_charset_"
	// maxBoundary is the longest boundary (RFC 2046 §5.1.1).
	maxBoundary = 70
)

// FindFormModel finds the field `model` of a multipart form (RFC 7578), and
// whether there is one, wherever among the other parts it is. Names are
// compared as in FindModel: two that differ at most in case are ambiguous, and
// so is a file called `model`, which is refused.
//
// Servers disagree about everything in a form that is not plain, so plain is
// what it has to be: nothing before the first delimiter and after the last,
// CRLF at the end of every line, no folded part headers, one Content-Disposition
// in each part, with nothing but name and file name in it, no escapes in a name,
// no escaped quote in a file name, and in both nothing that looks like another
// name; no parts within parts; and, in the content type, nothing but a boundary
// without escapes and UTF-8 as the charset. Everything that the usual
// clients send is that plain.
func FindFormModel(body []byte, contentType []string) (Model, bool, error) {
	found, err := scanForm(body, contentType)
	if err != nil {
		return Model{}, false, err
	}
	return found.model, found.model.End > 0, nil
}

// formFields is what one look at a multipart form finds.
type formFields struct {
	// model is the field `model`; its End is 0 if there is none.
	model Model
	// chooser is what else may choose a model; see Found.Chooser.
	chooser string
	// variant says that a field is called `model` in another spelling.
	variant bool
	// delimiter is how long the delimiter is with which the body begins.
	delimiter int
}

// scanForm is FindFormModel, and finds the rest of formFields in the same look.
func scanForm(body []byte, contentType []string) (formFields, error) {
	boundary, err := formBoundary(contentType)
	if err != nil {
		return formFields{}, err
	}
	delimiter := []byte("--" + boundary)
	if !bytes.HasPrefix(body, delimiter) {
		return formFields{}, invalidBody("the form must begin with the boundary that its content type names")
	}
	f := formFields{delimiter: len(delimiter)}
	models := 0
	at := len(delimiter)
	// Once more than there may be parts, for what closes the form.
	for range maxParts + 1 {
		if rest, last := bytes.CutPrefix(body[at:], []byte("--")); last {
			if len(rest) > 0 && string(rest) != "\r\n" {
				return formFields{}, invalidBody("the form must end with its closing boundary")
			}
			return f, nil
		}
		if !bytes.HasPrefix(body[at:], []byte("\r\n")) {
			return formFields{}, invalidBody("a boundary of the form must stand on a line of its own that ends in CRLF")
		}
		start := at + len("\r\n")
		end, err := nextDelimiter(body, start, delimiter)
		if err != nil {
			return formFields{}, err
		}
		at = end + len("\r\n") + len(delimiter)
		p, err := readPart(body[start:end])
		if err != nil {
			return formFields{}, err
		}
		if strings.EqualFold(p.name, charsetField) && !strings.EqualFold(string(body[start+p.content:end]), "utf-8") {
			return formFields{}, invalidBody("the charset of the form must be utf-8")
		}
		key := fieldKeyword(p.name)
		chooser := key.chooser()
		f.variant = f.variant || chooser == modelVariant
		if f.chooser == "" {
			f.chooser = chooser
		}
		if !key.isModel() {
			continue
		}
		if models++; models > 1 {
			return formFields{}, ambiguousModel("the form names the model more than once; name it once")
		}
		if !key.exact {
			continue
		}
		value := body[start+p.content : end]
		if err := p.checkModel(value); err != nil {
			return formFields{}, err
		}
		f.model = Model{Name: string(value), Start: start + p.content, End: end}
	}
	return formFields{}, invalidBody("the form has more than 1000 parts")
}

// formBoundary reads the boundary from a request's Content-Type fields.
func formBoundary(contentType []string) (string, error) {
	// A second field, RFC 2231's spellings of a parameter, or escapes would give
	// other servers another boundary, and with it another form.
	if len(contentType) != 1 || strings.ContainsAny(contentType[0], `*\`) {
		return "", invalidBody("a form must have one content type with a plain boundary")
	}
	mediaType, parameters, err := mime.ParseMediaType(contentType[0])
	boundary := parameters["boundary"]
	if err != nil || mediaType != "multipart/form-data" || boundary == "" || len(boundary) > maxBoundary ||
		strings.ContainsFunc(boundary, isNoBoundaryCharacter) {
		return "", invalidBody("the content type of the form has no valid boundary")
	}
	for name, value := range parameters {
		// Starlette decodes names and values as the charset says. A parameter
		// that nobody needs can still hold what some servers take for the
		// boundary: PHP looks for the word, Rack for the last one.
		if name != "boundary" && (name != "charset" || !strings.EqualFold(value, "utf-8")) {
			return "", invalidBody("the content type of the form may have a boundary and the charset UTF-8, nothing else")
		}
	}
	return boundary, nil
}

// isNoBoundaryCharacter says what a boundary cannot hold: what RFC 2046 §5.1.1
// forbids, and space, comma and question mark, as some servers end it there or
// take it for an encoded word (RFC 2047).
func isNoBoundaryCharacter(r rune) bool {
	return ('0' > r || r > '9') && ('a' > r|0x20 || r|0x20 > 'z' || r >= utf8.RuneSelf) &&
		!strings.ContainsRune("'()+_-./:=", r)
}

// nextDelimiter is where the part that begins at start ends: before the CRLF
// of the next delimiter. Some servers take a lone CR or LF for a line break, so
// a delimiter after one of these is refused; elsewhere in a line it is content.
func nextDelimiter(body []byte, start int, delimiter []byte) (int, error) {
	for at := start; ; {
		next := bytes.Index(body[at:], delimiter)
		if next < 0 {
			return 0, invalidBody("the form must end with its closing boundary")
		}
		at += next
		switch before := body[:at]; {
		case bytes.HasSuffix(before[start:], []byte("\r\n")):
			return at - len("\r\n"), nil
		case before[at-1] == '\n' || before[at-1] == '\r':
			return 0, invalidBody("a boundary of the form must follow a line that ends in CRLF")
		}
		at += len(delimiter)
	}
}
