package llm

import (
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	long := "p/" + strings.Repeat("x", maxName-2)
	for _, c := range []struct {
		name, model, prefix, rest string
		prefixed                  bool
	}{
		{"a provider and a model", "corp/gpt-4o", "corp", "gpt-4o", true},
		{"only the first slash separates", "my_custom_provider/meta/llama-3", "my_custom_provider", "meta/llama-3", true},
		{"a name without a slash is all rest", "gpt-4o", "", "gpt-4o", false},
		{"dots within a segment climb nowhere", "corp/v1.5", "corp", "v1.5", true},
		{"three dots climb nowhere", "corp/...", "corp", "...", true},
		{"dots around a name climb nowhere", "corp/.hidden..", "corp", ".hidden..", true},
		{"a colon belongs to the name", "corp/llama3:8b", "corp", "llama3:8b", true},
		{"white space within a segment belongs to it", "corp/my model", "corp", "my model", true},
		{"any alphabet will do", "corp/模型-é", "corp", "模型-é", true},
		{"a placeholder is only text", "{env.SECRET}/x", "{env.SECRET}", "x", true},
		{"exactly 256 bytes", long, "p", long[2:], true},
		{"a prefix need not be known here", "zzz/x", "zzz", "x", true},
		{"a backslash is no slash", `corp\x`, "", `corp\x`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			prefix, rest, prefixed, err := ParseName(c.model, InBody)
			if err != nil || prefix != c.prefix || rest != c.rest || prefixed != c.prefixed {
				t.Errorf("got %q, %q, %v, %v", prefix, rest, prefixed, err)
			}
		})
	}
}

func TestNamesThatServersReadDifferentlyAreRefused(t *testing.T) {
	for name, model := range map[string]string{
		"an empty name":                             "",
		"257 bytes":                                 "p/" + strings.Repeat("x", maxName-1),
		"4 KB":                                      strings.Repeat("x", 4<<10),
		"256 characters that are more bytes":        strings.Repeat("é", maxName),
		"a NUL":                                     "a/x\x00",
		"a line break":                              "a/x\ny",
		"a carriage return":                         "a/x\r",
		"a DEL":                                     "a/x\x7f",
		"a control character outside ASCII":         "a/x\u0085y",
		"bytes that are no UTF-8":                   "a/\xff",
		"a soft hyphen":                             "a/x\u00ady",
		"a space without width":                     "a/x\u200by",
		"a joiner without width":                    "a/x\u200dy",
		"a byte order mark":                         "\ufeffa/x",
		"a mark of direction":                       "a/x\u200f",
		"an Arabic mark of direction":               "a/x\u061cy",
		"an override of direction":                  "a/\u202eabc",
		"an isolate":                                "a/\u2066abc\u2069",
		"a line separator":                          "a/x\u2028y",
		"a paragraph separator":                     "a/x\u2029y",
		"a tag":                                     "a/x\U000e0061",
		"a Hangul filler":                           "a/x\u3164y",
		"a variation selector":                      "a/x\ufe0f",
		"a grapheme joiner":                         "a/x\u034fy",
		"an overlong slash":                         "a\xc0\xafb",
		"a slash alone":                             "/",
		"nothing before the slash":                  "/x",
		"nothing after the slash":                   "a/",
		"nothing between slashes":                   "a//x",
		"nothing after the last slash":              "a/x/",
		"white space at the beginning":              " a/x",
		"white space at the end":                    "a/x ",
		"white space after the slash":               "a/ x",
		"white space before the slash":              "a /x",
		"white space alone":                         " ",
		"white space alone in a segment":            "a/ /x",
		"white space outside ASCII":                 "a/x\u00a0",
		"an ideographic space":                      "\u3000a/x",
		"two dots between slashes":                  "a/../b",
		"two dots at the end":                       "a/..",
		"two dots as the provider":                  "../x",
		"two dots alone":                            "..",
		"one dot between slashes":                   "a/./b",
		"one dot alone":                             ".",
		"two dots between backslashes":              `a\..\b`,
		"two escaped dots":                          "a/%2e%2E/b",
		"two dots behind an escaped slash":          "a%2f..",
		"two dots before what a server may cut off": "a/..;x/b",
	} {
		t.Run(name, func(t *testing.T) {
			for where, code := range map[Location]string{
				InBody: CodeInvalidBody, InForm: CodeInvalidBody, InQuery: CodeInvalidPath, InPath: CodeInvalidPath,
				InPath | InQuery: CodeInvalidPath, InPath | InBody: CodeInvalidBody, InQuery | InForm: CodeInvalidBody,
			} {
				prefix, rest, prefixed, err := ParseName(model, where)
				wantCode(t, err, code)
				if prefix != "" || rest != "" || prefixed {
					t.Errorf("got %q, %q, %v besides the error", prefix, rest, prefixed)
				}
				if len(model) > 2 && strings.Contains(err.Error(), model) {
					t.Errorf("the message repeats the client's text: %v", err)
				}
			}
		})
	}
}

func TestParseNameAllocatesNothingForAGoodName(t *testing.T) {
	if allocations := testing.AllocsPerRun(100, func() {
		if _, _, _, err := ParseName("my_custom_provider/meta/llama-3.1", InBody); err != nil {
			t.Fatal(err)
		}
	}); allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
}
