package llm

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deeply arrays and objects of a body may be nested. No client
// needs more, and parsers behind the gateway that recurse give up, or die, not
// far above.
const maxDepth = 512

// A scanner steps over the tokens of a JSON text (RFC 8259). It accepts what
// encoding/json does, except nesting beyond maxDepth and strings that are not
// UTF-8: RFC 8259 §8.1 demands UTF-8, Python refuses the rest, and Go and Node
// replace it by different numbers of replacement characters. A lone surrogate
// escape is accepted, as every parser does.
//
// Its methods say whether the text was well-formed so far; if not, at is where
// it ceased to be.
type scanner struct {
	text    []byte
	at      int
	tooDeep bool
}

// next skips white space and returns the byte after it, which stays unread; at
// the end of the text that is 0, which begins no token either.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// skipValue steps over the value that comes next, in a container of the given
// depth. It keeps the kinds of the open containers in a bit set, so that
// brackets cost a client's bytes and not the server's stack.
func (s *scanner) skipValue(depth int) bool {
	var objects [maxDepth / 64]uint64
	outer := depth
	for {
		switch c := s.next(); c {
		case '"':
			if !s.skipString() {
				return false
			}
		case '{', '[':
			if depth == maxDepth {
				s.tooDeep = true
				return false
			}
			s.at++
			kind := &objects[depth/64]
			bit := uint64(1) << (depth % 64)
			depth++
			if c == '{' {
				*kind |= bit
				if s.next() != '}' {
					if !s.skipKey() {
						return false
					}
					continue
				}
			} else {
				*kind &^= bit
				if s.next() != ']' {
					continue
				}
			}
		default:
			if !s.skipScalar(c) {
				return false
			}
		}
		// The value has ended: leave the containers that end with it, and find
		// the next value of the one that does not.
		for {
			if depth == outer {
				return true
			}
			inObject := objects[(depth-1)/64]>>((depth-1)%64)&1 == 1
			c := s.next()
			if c == ',' {
				s.at++
				if inObject && !s.skipKey() {
					return false
				}
				break
			}
			if inObject && c != '}' || !inObject && c != ']' {
				return false
			}
			s.at++
			depth--
		}
	}
}

// skipKey steps over a member's name and the colon after it.
func (s *scanner) skipKey() bool {
	if s.next() != '"' || !s.skipString() || s.next() != ':' {
		return false
	}
	s.at++
	return true
}

// skipString steps over the string that begins here.
func (s *scanner) skipString() bool {
	rest := s.text[s.at+1:]
	for {
		rest = rest[plainLength(rest):]
		// Escapes and text outside ASCII seldom come alone.
		for len(rest) > 1 && rest[0] == '\\' && isShortEscape(rest[1]) {
			rest = rest[2:]
		}
		for len(rest) > 0 && rest[0] >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(rest)
			if r == utf8.RuneError && size == 1 {
				break
			}
			rest = rest[size:]
		}
		if len(rest) > 0 {
			switch c := rest[0]; {
			case c == '"':
				s.at = len(s.text) - len(rest) + 1
				return true
			case c == '\\' && len(rest) > 1 && isShortEscape(rest[1]):
				continue
			case c == '\\' && len(rest) > 1 && rest[1] == 'u':
				if _, ok := unhex(rest[2:]); ok {
					rest = rest[6:]
					continue
				}
			case ' ' <= c && c < utf8.RuneSelf && c != '\\':
				continue
			}
		}
		s.at = len(s.text) - len(rest)
		return false
	}
}

// isShortEscape says whether a backslash and c are an escape sequence of two
// characters.
func isShortEscape(c byte) bool {
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	}
	return false
}

// plainLength is the number of bytes before the first one that a string cannot
// just hold: a quote, a backslash, a control character, or one outside ASCII.
// Bodies are mostly such text, so it looks at eight bytes at a time.
func plainLength(text []byte) int {
	rest := text
	for len(rest) >= 16 {
		low := specialBytes(binary.LittleEndian.Uint64(rest))
		high := specialBytes(binary.LittleEndian.Uint64(rest[8:]))
		if low|high != 0 {
			at := len(text) - len(rest)
			if low != 0 {
				return at + bits.TrailingZeros64(low)/8
			}
			return at + 8 + bits.TrailingZeros64(high)/8
		}
		rest = rest[16:]
	}
	for i, c := range rest {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return len(text) - len(rest) + i
		}
	}
	return len(text)
}

// specialBytes sets the high bit of the first byte of word that is special in
// the sense of plainLength; bits above that one mean nothing, as a subtraction
// borrows from its neighbour. Exchanging bit 1 brings the quote (0x22) next to
// the control characters, and the two before it above them, so that one
// subtraction finds both.
func specialBytes(word uint64) uint64 {
	const each = 0x0101010101010101
	quoteOrControl := (word ^ each*0x02) - each*0x21
	backslash := (word ^ each*'\\') - each
	return (quoteOrControl | backslash | word) & (each * 0x80)
}

// unhex reads the four digits of a \u escape.
func unhex(text []byte) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range text[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = (c | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skipScalar steps over a number, or true, false or null, that begins with c.
func (s *scanner) skipScalar(c byte) bool {
	switch c {
	case 't':
		return s.skipWord("true")
	case 'f':
		return s.skipWord("false")
	case 'n':
		return s.skipWord("null")
	}
	if c == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.skipDigits() {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if !s.skipDigits() {
			return false
		}
	}
	if s.peek()|0x20 == 'e' {
		s.at++
		if sign := s.peek(); sign == '+' || sign == '-' {
			s.at++
		}
		return s.skipDigits()
	}
	return true
}

func (s *scanner) skipWord(word string) bool {
	if len(s.text)-s.at < len(word) || string(s.text[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

// skipDigits steps over one digit or more.
func (s *scanner) skipDigits() bool {
	start := s.at
	for s.at < len(s.text) && s.text[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > start
}

// peek returns the byte that comes next, 0 at the end of the text.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}
