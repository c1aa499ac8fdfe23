package config

import (
	"fmt"
	"strings"
)

// UnknownField returns the error about an unknown field, which is in another field
// unless within is empty. It suggests the known field that was probably meant.
func UnknownField(provider, within, name string, known []string) error {
	return &ConfigurationError{Provider: provider, Field: join(within, shownName(name)), Err: unknownField(name, known)}
}

func unknownField(name string, known []string) error { return UnknownName("field", name, known) }

// UnknownName returns the error about an unknown name of a kind such as "field". It
// suggests the known name that was probably meant, or lists them all.
func UnknownName(kind, name string, known []string) error {
	if guess := Nearest(name, known); guess != "" {
		return fmt.Errorf("unknown %s; did you mean %s?", kind, guess)
	}
	return fmt.Errorf("unknown %s; known are %s", kind, strings.Join(known, ", "))
}

// Nearest returns the known name that a misspelt one probably means: it differs in at
// most two letters, case and separators aside. It is empty if no name is near.
func Nearest(name string, known []string) string {
	best, bestDistance := "", 3
	if len(name) > 64 {
		return ""
	}
	for _, candidate := range known {
		distance := editDistance(simplified(name), simplified(candidate))
		if distance < bestDistance && distance < len(candidate)/2 {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

var withoutSeparators = strings.NewReplacer("-", "", "_", "")

func simplified(name string) string { return withoutSeparators.Replace(strings.ToLower(name)) }

// editDistance counts the letters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
