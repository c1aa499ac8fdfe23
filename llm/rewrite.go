package llm

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// RenameURL puts another name in the model's place in path and query; u is
// changed. It must be the URL that was looked at, or a copy of it, which names a
// model that ParseName accepts. Nothing but the name's bytes changes, and the end
// of an old name that is the new one stays as the client escaped it. A deployment
// becomes one segment, whatever its slashes were; so this is to be called for the
// same name, too.
func (f *Found) RenameURL(u *url.URL, name string) {
	if f.Where&InPath != 0 {
		f.path.rename(u, name)
	}
	if f.Where&InQuery != 0 {
		u.RawQuery = replaceQueryModel(u.RawQuery, f.Name, name)
	}
}

// An Edit says that Text takes the place of body[Start:End].
type Edit struct {
	Start, End int
	Text       []byte
}

// An insertion is where a body that has no `model` can get one.
type insertion struct {
	// at is the place in a JSON body, right behind its opening brace; 0 if the
	// body is none.
	at int
	// separator says that a member follows.
	separator bool
	// delimiter is how long the delimiter of a form is; 0 if the body is none.
	delimiter int
}

// EditBody says what changes in the body so that it names the model by another
// name, one that ParseName accepts; false if nothing does. The body must be the
// one that was looked at. Text is written to dst, from its beginning, and needs
// no allocation if dst is large enough: 2 KiB always are.
//
// In a JSON body a name that is not longer, as it never is after a prefix has
// been removed, keeps the length: white space before a value is free, so spaces
// take what is left over. If the new name is the end of the old one, the client's
// own escapes of it stay, and the Edit encloses only what changes.
//
// With insert a `model` that is missing where the path decides is inserted:
// in front of a JSON object's members, or of a form's parts.
func (f *Found) EditBody(dst, body []byte, name string, insert bool) (Edit, bool) {
	switch {
	case f.Where&InBody != 0:
		return editString(dst, body, f.body, f.bodyPrefix+name)
	case f.Where&InForm != 0:
		return Edit{f.body.Start, f.body.End, append(dst[:0], name...)}, f.body.Name != name
	case !insert || !f.pathDecides():
		return Edit{}, false
	case f.insertion.at > 0:
		text := append(dst[:0], `"model":`...)
		text = appendQuoted(text, name)
		if f.insertion.separator {
			text = append(text, ',')
		}
		return Edit{f.insertion.at, f.insertion.at, text}, true
	case f.insertion.delimiter > 0:
		text := append(dst[:0], body[:f.insertion.delimiter]...)
		text = append(text, "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"...)
		text = append(text, name...)
		return Edit{0, 0, append(text, "\r\n"...)}, true
	}
	return Edit{}, false
}

// editString is EditBody for a model that FindModel found, or for null.
func editString(dst, body []byte, model Model, name string) (Edit, bool) {
	raw := body[model.Start:model.End]
	isString := raw[0] == '"'
	if isString && model.Name == name {
		return Edit{}, false
	}
	if isString && strings.HasSuffix(model.Name, name) {
		// The end of the old string is the new one, in the client's own escapes:
		// only the quote moves.
		quote := rawOffset(raw[1:len(raw)-1], len(model.Name)-len(name))
		return Edit{model.Start, model.Start + quote + 1, append(appendBlank(dst[:0], quote), '"')}, true
	}
	text := appendQuoted(dst[:0], name)
	if free := len(raw) - len(text); free > 0 {
		// The text goes behind the blanks.
		size := len(text)
		text = appendBlank(text, free)
		copy(text[free:], text[:size])
		appendBlank(text[:0], free)
	}
	return Edit{model.Start, model.End, text}, true
}

// rawOffset is where the inside of a JSON string has given decoded bytes.
func rawOffset(raw []byte, decoded int) int {
	at := 0
	for decoded > 0 {
		r, size, _ := unquoteRune(raw[at:])
		decoded -= utf8.RuneLen(r)
		at += size
	}
	return at
}

func appendBlank(dst []byte, count int) []byte {
	for range count {
		dst = append(dst, ' ')
	}
	return dst
}
