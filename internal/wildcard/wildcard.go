// Package wildcard matches texts with patterns, in which `*` stands for anything.
package wildcard

import "strings"

// Match reports whether a text is what a pattern says, in which each `*`
// stands for any text, slashes too, or none.
func Match(pattern, text string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	for ok {
		var literal string
		if literal, rest, wild = strings.Cut(rest, "*"); !wild {
			return strings.HasSuffix(text, literal)
		}
		at := strings.Index(text, literal)
		if ok = at >= 0; ok {
			text = text[at+len(literal):]
		}
	}
	return false
}

// MatchAny reports whether one of the patterns matches.
func MatchAny(patterns []string, text string) bool {
	for _, pattern := range patterns {
		if Match(pattern, text) {
			return true
		}
	}
	return false
}
