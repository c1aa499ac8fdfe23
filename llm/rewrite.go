package llm

import (
	"strings"
	"unicode/utf8"
)

// ReplaceModel puts another name in the place of a model that FindModel found
// in this body, and returns the body with it. Nothing but the bytes of the
// model's string changes, and where the new one is not longer, which it never
// is after a prefix has been removed, not even the length does: white space
// before a JSON value is free, so spaces take what is left over and the body is
// changed in place, without an allocation. A longer name makes a new body.
func ReplaceModel(body []byte, model Model, name string) []byte {
	raw := body[model.Start:model.End]
	if strings.HasSuffix(model.Name, name) {
		// The end of the old string is the new one, in the client's own escapes:
		// only the quote moves.
		removed := len(model.Name) - len(name)
		quote := rawOffset(raw[1:len(raw)-1], removed)
		blank(raw[:quote])
		raw[quote] = '"'
		return body
	}
	var buffer [maxName + 2]byte
	quoted := appendQuoted(buffer[:0], name)
	if free := len(raw) - len(quoted); free >= 0 {
		blank(raw[:free])
		copy(raw[free:], quoted)
		return body
	}
	return splice(body, model.Start, model.End, quoted)
}

// ReplaceFormModel puts another name in the place of a model that FindFormModel
// found in this body, and returns a new body with it. Nothing but the value's
// bytes changes; the body gets shorter or longer by the difference. The name
// must be one that ParseName accepts: a line break in it would break the form.
func ReplaceFormModel(body []byte, model Model, name string) []byte {
	return splice(body, model.Start, model.End, name)
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

func blank(raw []byte) {
	for i := range raw {
		raw[i] = ' '
	}
}

// splice returns a copy of body with the bytes from start to end replaced.
func splice[T string | []byte](body []byte, start, end int, replacement T) []byte {
	spliced := make([]byte, 0, len(body)-(end-start)+len(replacement))
	spliced = append(spliced, body[:start]...)
	spliced = append(spliced, replacement...)
	return append(spliced, body[end:]...)
}
