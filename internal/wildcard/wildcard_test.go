package wildcard

import (
	"regexp"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"corp/gpt-4o", "corp/gpt-4o", true},
		{"corp/gpt-4o", "corp/gpt-4o-mini", false},
		{"corp/gpt-*", "corp/gpt-4o", true},
		{"corp/gpt-*", "corp/gpt-", true},
		{"corp/*", "corp/meta/llama-3", true},
		{"corp/*", "corp/", true},
		{"corp/*", "corporate/x", false},
		{"*", "", true},
		{"*", "anything/at all", true},
		{"*/mini", "corp/mini", true},
		{"*/mini", "corp/mini-2", false},
		{"corp/*-4*-mini", "corp/gpt-4o-mini", true},
		{"corp/*-4*-mini", "corp/gpt-4-mini-x", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a**b", "ab", true},
		{"", "", true},
		{"", "x", false},
		{"/v1/files*", "/v1/files/f-1", true},
	} {
		if got := Match(test.pattern, test.text); got != test.want {
			t.Errorf("%q and %q: %t", test.pattern, test.text, got)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("corp/*-4*", "corp/gpt-4o")
	f.Add("a*a", "a")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		var expression strings.Builder
		for i, literal := range strings.Split(pattern, "*") {
			if i > 0 {
				expression.WriteString(`(?s:.*)`)
			}
			expression.WriteString(regexp.QuoteMeta(literal))
		}
		oracle, err := regexp.Compile("^(?:" + expression.String() + ")$")
		if err != nil || strings.ToValidUTF8(text, "") != text || strings.ToValidUTF8(pattern, "") != pattern {
			return
		}
		if got, want := Match(pattern, text), oracle.MatchString(text); got != want {
			t.Errorf("%q and %q: %t, a regular expression says %t", pattern, text, got, want)
		}
	})
}
