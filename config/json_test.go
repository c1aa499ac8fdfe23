package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func utf16Text(text string, first, second int) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		both := []byte{byte(unit), byte(unit >> 8)}
		b.WriteByte(both[first])
		b.WriteByte(both[second])
	}
	return b.String()
}

func TestAFileThatIsNoJSONIsRefused(t *testing.T) {
	good := fileWith(`"client_secret":"CANARY"`)
	for name, test := range map[string]struct {
		content      string
		line, column int
		want         string
	}{
		"a trailing comma in an object":     {"{\n  \"x\": \"CANARY\",\n}", 3, 1, "remove the comma"},
		"a trailing comma in a list":        {`{"x":["CANARY", ]}`, 1, 17, "remove the comma"},
		"a byte order mark":                 {"\xEF\xBB\xBF" + good, 1, 1, "remove the byte order mark"},
		"a comment with slashes":            {"{\n\t// CANARY\n}", 2, 2, "JSON has no comments"},
		"a comment between slashes":         {`{"x": /* CANARY */ 1}`, 1, 7, "JSON has no comments"},
		"a comment behind the end":          {good + "\n// CANARY", 2, 1, "JSON has no comments"},
		"a comment with a hash":             {"# CANARY\n{}", 1, 1, "JSON has no comments"},
		"UTF-16, little end first":          {"\xFF\xFE" + utf16Text(good, 0, 1), 1, 1, "is UTF-16"},
		"UTF-16, big end first":             {"\xFE\xFF" + utf16Text(good, 1, 0), 1, 1, "is UTF-16"},
		"UTF-16, no mark, little end first": {utf16Text(good, 0, 1), 1, 1, "is UTF-16"},
		"UTF-16, no mark, big end first":    {utf16Text(good, 1, 0), 1, 1, "is UTF-16"},
		"a byte that is not UTF-8":          {"{\n\"x\":\"CANARY\xE9\"}", 2, 12, "is not UTF-8 here"},
		"half a character at the end":       {`{"x":"CANARY` + "\xC3", 1, 13, "is not UTF-8 here"},
		"a second object":                   {"{}\n{\"x\":\"CANARY\"}", 2, 1, "more text after the end"},
		"a word behind the end":             {"{} CANARY", 1, 4, "more text after the end"},
		"a brace too many":                  {`{"x":"CANARY"}}`, 1, 15, "more text after the end"},
		"deep nesting of lists":             {`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}", 1, 10_005, "nested too deeply"},
		"deep nesting of objects":           {strings.Repeat(`{"CANARY":`, 20_000), 1, 100_001, "nested too deeply"},
		"an empty file":                     {"", 1, 1, "the file is empty"},
		"a file of white space":             {" \n\t\n", 1, 1, "the file is empty"},
		"a brace that is missing":           {"{\"x\":{\"y\":\"CANARY\"}\n", 2, 1, "ends too early"},
		"a quote that is missing":           {`{"x":"CANARY`, 1, 13, "ends too early"},
		"single quotes":                     {`{'x':'CANARY'}`, 1, 2, "double quotes"},
		"no quotes":                         {`{"x":CANARY}`, 1, 6, "out of place here"},
		"a line break within a string":      {"{\"x\":\"CANARY\n\"}", 1, 13, "out of place here"},
		"a colon that is missing":           {`{"x" "CANARY"}`, 1, 6, "out of place here"},
		"YAML":                              {"oauth2_providers:\n  p: CANARY", 1, 1, "this is YAML; write it as JSON"},
		"YAML behind a comment":             {"# CANARY\n\noauth2_providers:\n  p: CANARY", 1, 1, "this is YAML; write it as JSON"},
		"YAML that begins with a marker":    {"---\noauth2_providers:\n  p: CANARY", 1, 2, "this is YAML; write it as JSON"},
		"YAML of a list":                    {"- CANARY\n", 1, 2, "this is YAML; write it as JSON"},
		"a key without braces":              {`"oauth2_providers": {"p":"CANARY"}`, 1, 19, "more text after the end"},
		"a NUL byte":                        {"{\"x\":\"CANARY\"\x00}", 1, 14, "out of place here"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), testFile)
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			providers, err := LoadFile(path)
			misconfigured, ok := errors.AsType[*ConfigurationError](err)
			if !ok || providers != nil {
				t.Fatalf("got %v, %v", providers, err)
			}
			if misconfigured.File != path || misconfigured.Line != test.line || misconfigured.Column != test.column {
				t.Errorf("got %d:%d, want %d:%d: %v", misconfigured.Line, misconfigured.Column, test.line, test.column, err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q does not say %q", err, test.want)
			}
			wantNoCanary(t, err)
		})
	}
}

func TestLineAndColumn(t *testing.T) {
	for name, test := range map[string]struct {
		text                 string
		offset, line, column int
	}{
		"the beginning":                     {"abc", 0, 1, 1},
		"the end":                           {"abc", 3, 1, 4},
		"beyond the end":                    {"abc", 9, 1, 4},
		"a line break ends its own line":    {"ab\ncd", 2, 1, 3},
		"the first character of a line":     {"ab\ncd", 3, 2, 1},
		"a carriage return is a character":  {"ab\r\ncd", 3, 1, 4},
		"characters are counted, not bytes": {"äöü€", 6, 1, 4},
		"an empty text":                     {"", 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if line, column := (&lineCounter{data: []byte(test.text)}).at(test.offset); line != test.line || column != test.column {
				t.Errorf("got %d:%d, want %d:%d", line, column, test.line, test.column)
			}
		})
	}
}

func TestALineCounterGoesBothWays(t *testing.T) {
	text := "aä\n\nb\r\n€ c\n"
	c := lineCounter{data: []byte(text)}
	for _, offset := range []int{0, 1, 3, 4, 5, 2, 2, 8, 99, 11, 7, 0, 13} {
		line, column := c.at(offset)
		wantLine, wantColumn := (&lineCounter{data: []byte(text)}).at(offset)
		if line != wantLine || column != wantColumn {
			t.Errorf("at %d: got %d:%d, want %d:%d", offset, line, column, wantLine, wantColumn)
		}
	}
}

// A file on one line was once counted from its beginning for each of its
// fields, which took half a minute.
func TestALongFileIsReadSoon(t *testing.T) {
	var b strings.Builder
	for b.Len() < maxFileSize-1000 {
		fmt.Fprintf(&b, `"%d":"",`, b.Len())
	}
	soon(t, func() {
		_, err := parse(fileWith(`"token_request":{"params":{` + b.String() + `"last":1}}`))
		wantError(t, err, "token_request.params.last", "must be a string, not a number")
	})
}

func TestNodesKnowTheirKindAndPlace(t *testing.T) {
	text := ` { "s" : "ä\n" , "n":-1.5e3,"t":true,"z" :null, "l": [ 1 , "x" ,[]], "o":{"o":{}}, "s":"again" } `
	document, problem := parseJSON([]byte(text))
	if problem != nil {
		t.Fatal(problem.err)
	}
	if document.kind != kindObject || document.start != 1 {
		t.Errorf("got %s at %d", document.kind, document.start)
	}
	var got []string
	for _, m := range document.members {
		if !strings.HasPrefix(text[m.start:], `"`+m.name+`"`) {
			t.Errorf("%s does not stand at %d", m.name, m.start)
		}
		got = append(got, m.name+" is "+string(m.value.kind))
	}
	want := []string{"s is a string", "n is a number", "t is true or false", "z is null", "l is a list", "o is an object", "s is a string"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for i, beginning := range []string{`"ä`, "-1.5", "true", "null", "[ 1", `{"o"`, `"again"`} {
		if start := document.members[i].value.start; !strings.HasPrefix(text[start:], beginning) {
			t.Errorf("a value stands at %d, which is not at %s", start, beginning)
		}
	}
	list := document.members[4].value.elements
	if len(list) != 3 || list[1].scalar != "x" || list[2].kind != kindList || text[list[1].start] != '"' {
		t.Errorf("got %+v", list)
	}
	if document.members[0].value.scalar != "ä\n" {
		t.Errorf("got %q", document.members[0].value.scalar)
	}
}

func TestNestingThatIsNotTooDeepIsIgnored(t *testing.T) {
	if _, err := parse(`{"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `,"oauth2_providers":{}}`); err != nil {
		t.Error(err)
	}
}
