package llm

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"
)

// part is what the header of one part of a form says.
type part struct {
	name     string
	isFile   bool
	mimeType string
	encoding string
	// content is where the header ends and the content begins.
	content int
}

// readPart reads the header of a part.
func readPart(raw []byte) (part, error) {
	head := raw[:min(len(raw), maxPartHeader)]
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		return part{}, invalidBody("a part of the form has no header, or one that does not end")
	}
	p := part{content: end + len("\r\n\r\n")}
	disposition := ""
	for line := range strings.SplitSeq(string(head[:end]), "\r\n") {
		key, value, found := strings.Cut(line, ":")
		// A line without a proper name may be a folded one: textproto joins it
		// with the line before, others do not.
		if !found || !isToken(key) || strings.ContainsFunc(value, isNoHeaderCharacter) || holdsHeader(line) {
			return part{}, invalidBody("a part of the form has a header line that cannot be read")
		}
		var field *string
		switch strings.ToLower(key) {
		case "content-disposition":
			field = &disposition
		case "content-type":
			field = &p.mimeType
		case "content-transfer-encoding":
			field = &p.encoding
		default:
			continue
		}
		value = strings.Trim(value, " \t")
		if value == "" || *field != "" {
			return part{}, invalidBody("a part of the form has a header line that is empty or stands there twice")
		}
		*field = value
	}
	// Python's cgi and email take what is in it for fields of the form.
	if kind, _, _ := strings.Cut(strings.ToLower(p.mimeType), "/"); kind == "multipart" || kind == "message" {
		return part{}, invalidBody("a part of the form must not have parts itself")
	}
	if !p.readDisposition(disposition) {
		return part{}, invalidBody("a part of the form has no content disposition that can be read; use plain names without quotes, backslashes and name= in them")
	}
	return p, nil
}

// holdsHeader says whether a header line has one of the headers that matter
// anywhere but at its beginning: Rack looks for them in the middle, too.
func holdsHeader(line string) bool {
	line = strings.ToLower(line)
	for _, header := range [...]string{"content-disposition:", "content-type:", "content-transfer-encoding:"} {
		if strings.LastIndex(line, header) > 0 {
			return true
		}
	}
	return false
}

// holdsName says whether a value has in it what a careless parser takes for the
// name of the field: formidable takes the first `name=` that it sees, whether
// between quotes or not.
func holdsName(value string) bool {
	value = strings.ToLower(value)
	for {
		_, rest, found := strings.Cut(value, "name")
		if !found {
			return false
		}
		// An extended one, name*0*=, is one as well.
		if strings.HasPrefix(strings.TrimLeft(rest, "*0123456789 \t"), "=") {
			return true
		}
		value = rest
	}
}

// readDisposition reads `form-data; name="…"; filename="…"`.
func (p *part) readDisposition(value string) bool {
	kind, rest, _ := strings.Cut(value, ";")
	if !strings.EqualFold(strings.TrimRight(kind, " \t"), "form-data") {
		return false
	}
	var named, file, extended bool
	for rest != "" {
		key, raw, found := strings.Cut(strings.TrimLeft(rest, " \t"), "=")
		var ok bool
		if raw, rest, ok = cutParameter(raw); !found || !ok || holdsName(raw) {
			return false
		}
		switch strings.ToLower(key) {
		case "name":
			// A backslash escapes for some servers and stands for itself for
			// others; Tomcat decodes encoded words (RFC 2047).
			if named || strings.Contains(raw, `\`) || strings.Contains(raw, "=?") {
				return false
			}
			p.name, named = raw, true
		case "filename":
			if file {
				return false
			}
			file = true
		case "filename*":
			if extended {
				return false
			}
			extended = true
		default:
			return false
		}
	}
	p.isFile = file || extended
	return named
}

// cutParameter cuts the value of a parameter, a token or a quoted string, off
// the parameters after it.
func cutParameter(text string) (value, rest string, ok bool) {
	if strings.HasPrefix(text, `"`) {
		value, rest, ok = strings.Cut(text[1:], `"`)
		// After a backslash the quote ends the string for some servers and not
		// for others; after two it does not for Python.
		if !ok || strings.HasSuffix(value, `\`) {
			return "", "", false
		}
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			return value, "", true
		}
		rest, ok = strings.CutPrefix(rest, ";")
		return value, rest, ok && rest != ""
	}
	value, rest, more := strings.Cut(text, ";")
	value = strings.TrimRight(value, " \t")
	return value, rest, isToken(value) && more == (rest != "")
}

// checkModel says whether the content of a part can be the model's name.
func (p part) checkModel(value []byte) error {
	if p.isFile {
		return invalidBody("model in the form must be a field, not a file")
	}
	switch strings.ToLower(p.encoding) {
	case "", "7bit", "8bit", "binary":
	default:
		return invalidBody("model in the form must have no transfer encoding")
	}
	if len(value) > maxName {
		return invalidBody(nameTooLong)
	}
	if p.mimeType == "" {
		return nil
	}
	_, parameters, err := mime.ParseMediaType(p.mimeType)
	charset := parameters["charset"]
	if err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") && !isASCII(charset, value) {
		return invalidBody("model in the form must be text in UTF-8")
	}
	return nil
}

// isASCII says whether a text is ASCII, in a charset in which that is the same
// as in UTF-8: older Java clients announce ISO-8859-1 for every field.
func isASCII(charset string, text []byte) bool {
	return (strings.EqualFold(charset, "us-ascii") || strings.EqualFold(charset, "iso-8859-1")) &&
		!bytes.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// isToken says whether text is a token (RFC 9110 §5.6.2).
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return ('0' > r || r > '9') && ('a' > r|0x20 || r|0x20 > 'z' || r >= utf8.RuneSelf) &&
			!strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func isNoHeaderCharacter(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
