package llm

import (
	"unicode/utf16"
	"unicode/utf8"
)

// appendQuoted appends text as a JSON string. Bytes that are not UTF-8 become
// replacement characters, so that the result is always one.
func appendQuoted(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&0xf])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// unquoteRune decodes the first character of the inside of a JSON string that
// a scanner has accepted, and says how many bytes it takes there. A lone
// surrogate, which is not a character, returns utf8.RuneError and false.
func unquoteRune(raw []byte) (r rune, size int, ok bool) {
	if raw[0] != '\\' {
		r, size = utf8.DecodeRune(raw)
		return r, size, true
	}
	switch c := raw[1]; c {
	case 'b':
		return '\b', 2, true
	case 'f':
		return '\f', 2, true
	case 'n':
		return '\n', 2, true
	case 'r':
		return '\r', 2, true
	case 't':
		return '\t', 2, true
	case 'u':
		r, _ = unhex(raw[2:])
	default:
		return rune(c), 2, true
	}
	if !utf16.IsSurrogate(r) {
		return r, 6, true
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		low, _ := unhex(raw[8:])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12, true
		}
	}
	return utf8.RuneError, 6, false
}
