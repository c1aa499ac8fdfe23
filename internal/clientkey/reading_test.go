package clientkey

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// keyFile writes a file of keys and gives the value that stands for it.
func keyFile(t *testing.T, content string) config.Template {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	writeKey(t, path, content)
	return config.Template("{file." + path + "}")
}

func TestClientKeysComeFromTheirValues(t *testing.T) {
	key, hash := Generate()
	t.Setenv("TEST_KEY", "from-env")
	t.Setenv("TEST_HASH", hash)
	for name, test := range map[string]struct {
		values     Values
		good, none []string
	}{
		"a key":                      {Values{"literal"}, []string{"literal"}, []string{"litera", "literal ", "LITERAL"}},
		"a variable":                 {Values{"{env.TEST_KEY}"}, []string{"from-env"}, []string{"{env.TEST_KEY}", "TEST_KEY"}},
		"a variable as in LiteLLM":   {Values{"os.environ/TEST_KEY"}, []string{"from-env"}, []string{"os.environ/TEST_KEY"}},
		"text around a variable":     {Values{"a-{env.TEST_KEY}-b"}, []string{"a-from-env-b"}, []string{"from-env"}},
		"a hash":                     {Values{config.Template(hash)}, []string{key}, []string{hash, hash[7:]}},
		"a hash in a variable":       {Values{"{env.TEST_HASH}"}, []string{key}, []string{hash}},
		"a hash in capitals":         {Values{config.Template("sha256:" + strings.ToUpper(hash[7:]))}, []string{key}, nil},
		"another prefix":             {Values{config.Template("SHA256:" + hash[7:])}, []string{"SHA256:" + hash[7:]}, []string{key}},
		"several values":             {Values{"new", "{env.TEST_KEY}", config.Template(hash)}, []string{"new", "from-env", key}, []string{"newfrom-env", "new,from-env"}},
		"a value twice":              {Values{"same", "same"}, []string{"same"}, nil},
		"a key and its hash":         {Values{config.Template(key), config.Template(hash)}, []string{key}, []string{hash}},
		"a file":                     {Values{keyFile(t, "one\n")}, []string{"one"}, []string{"one\n"}},
		"a file without a line end":  {Values{keyFile(t, "one")}, []string{"one"}, nil},
		"a file of several keys":     {Values{keyFile(t, "one\ntwo\n"+hash+"\n")}, []string{"one", "two", key}, []string{"one\ntwo", hash, "onetwo"}},
		"a file with CRLF":           {Values{keyFile(t, "one\r\ntwo\r\n")}, []string{"one", "two"}, []string{"one\r", "two\r"}},
		"a file with empty lines":    {Values{keyFile(t, "\n\r\none\n\n\ntwo\n\n")}, []string{"one", "two"}, []string{"", "\r"}},
		"a file with a key twice":    {Values{keyFile(t, "one\none\n")}, []string{"one"}, nil},
		"what looks like a comment":  {Values{keyFile(t, "# one\n//two\n")}, []string{"# one", "//two"}, []string{"one"}},
		"a file beside a key":        {Values{keyFile(t, "one\ntwo"), "two"}, []string{"one", "two"}, nil},
		"a file of one, text around": {Values{"a-" + keyFile(t, "one\n")}, []string{"a-one"}, []string{"one"}},
		"letters beyond ASCII":       {Values{"käy with spaces"}, []string{"käy with spaces"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := New(map[string]Declared{"client": {Key: test.values}, "other": {Key: Values{"another"}}}, config.DefaultEnvironment(), zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			for _, presented := range test.good {
				if client := k.Current().identify(presented); client == nil || client.Name != "client" {
					t.Errorf("%q is the key of %v", presented, client)
				}
			}
			for _, presented := range append(test.none, "") {
				if client := k.Current().identify(presented); client != nil {
					t.Errorf("%q is the key of %s", presented, client.Name)
				}
			}
			if n := len(k.Current()); n != len(test.good)+1 {
				t.Errorf("%d keys are good, want %d", n, len(test.good)+1)
			}
		})
	}
}

func TestValuesThatCannotWorkAreRefusedWithoutShowingThem(t *testing.T) {
	t.Setenv("TEST_EMPTY", "")
	t.Setenv("TEST_KEY", "secret-value")
	t.Setenv("TEST_LINE", "secret-value\n")
	t.Setenv("TEST_LINES", "secret-value\nsecret-value-2")
	json := strings.Replace(string(keyFile(t, `{"a":"secret-value\nsecret-value-2"}`)), "{file.", "{json.", 1)
	missing := keyFile(t, "x")
	missing = missing[:len(missing)-1] + "-not}"
	for name, test := range map[string]struct {
		values Values
		want   string
	}{
		"no value":                        {nil, "client_key a: the value is empty"},
		"an empty list":                   {Values{}, "client_key a: the value is empty"},
		"an empty value":                  {Values{""}, "client_key a: the value is empty"},
		"an empty value among others":     {Values{"secret-value", ""}, "client_key a value 2: the value is empty"},
		"a variable that is empty":        {Values{"{env.TEST_EMPTY}"}, "client_key a: unresolved reference: the environment variable TEST_EMPTY is empty"},
		"a variable that is unset":        {Values{"{env.TEST_NOT_SET}", "secret-value"}, "client_key a value 1: unresolved reference: the environment variable TEST_NOT_SET is not set"},
		"a file that is empty":            {Values{keyFile(t, "")}, "is empty"},
		"a file of an empty line":         {Values{keyFile(t, "\n")}, "is empty"},
		"a file of empty lines":           {Values{keyFile(t, "\n\r\n\n")}, "client_key a: the file holds no key"},
		"a file that is not there":        {Values{missing}, "client_key a: unresolved reference: the file"},
		"an unknown placeholder":          {Values{"secret-value{nonsense}"}, "client_key a"},
		"a token of a provider":           {Values{"{token.corp}"}, "client_key a"},
		"what changes at each look":       {Values{"{uuid}"}, "client_key a"},
		"a space at its end":              {Values{"secret-value "}, "client_key a: the value begins or ends with white space"},
		"a space at its beginning":        {Values{" secret-value"}, "white space"},
		"a space in a file":               {Values{keyFile(t, "good\n\nsecret-value \n")}, "client_key a: line 3 of the file: the value begins or ends with white space"},
		"a line of spaces":                {Values{keyFile(t, "good\n  \n")}, "line 2 of the file"},
		"a line break":                    {Values{"secret-value\nsecret-value-2"}, "client_key a: the value holds a line break: remove it; only a value that is exactly one {file.PATH} may"},
		"a line break at its end":         {Values{"secret-value\n"}, "line break"},
		"a carriage return":               {Values{"secret-value\r"}, "line break"},
		"a variable with a line break":    {Values{"{env.TEST_LINES}"}, "line break"},
		"a variable that ends with one":   {Values{"{env.TEST_LINE}"}, "line break"},
		"text around a file of several":   {Values{"x" + keyFile(t, "secret-value\nsecret-value-2\n")}, "line break"},
		"a file twice in one value":       {Values{keyFile(t, "secret-value\nx") + keyFile(t, "y")}, "line break"},
		"a line break in a JSON file":     {Values{config.Template(strings.TrimSuffix(json, "}") + "#a}")}, "line break"},
		"a carriage return within a line": {Values{keyFile(t, "secret-value\rsecret-value-2\n")}, "line 1 of the file: the value holds a line break"},
		"a byte order mark":               {Values{keyFile(t, "\ufeffsecret-value\n")}, "client_key a: line 1 of the file: the value holds a byte order mark: save it as UTF-8 without one"},
		"a byte order mark between files": {Values{keyFile(t, "good\n\ufeffsecret-value\n")}, "line 2 of the file: the value holds a byte order mark"},
		"a byte order mark in a literal":  {Values{"\ufeffsecret-value"}, "byte order mark"},
		"UTF-16":                          {Values{keyFile(t, "s\x00e\x00c\x00\n\x00")}, "control character"},
		"a tab":                           {Values{"secret\tvalue"}, "client_key a: the value holds a control character, which no header can hold"},
		"an escape":                       {Values{keyFile(t, "good\nsecret-value\x1b\n")}, "line 2 of the file: the value holds a control character"},
		"a delete":                        {Values{"secret-value\x7f"}, "control character"},
		"half a hash":                     {Values{"sha256:abcd"}, "client_key a: sha256: must be followed by 64 hexadecimal digits; `caddy oauth2-llm key` makes both"},
		"a hash of other digits":          {Values{config.Template("sha256:" + strings.Repeat("xy", 32))}, "sha256: must be followed by"},
		"a hash that is too long":         {Values{config.Template("sha256:" + strings.Repeat("ab", 33))}, "sha256: must be followed by"},
		"half a hash in a file":           {Values{keyFile(t, "good\nsha256:abcd")}, "line 2 of the file: sha256: must be followed by"},
	} {
		t.Run(name, func(t *testing.T) {
			wantNoKeyring(t, map[string]Declared{"a": {Key: test.values}}, test.want)
		})
	}
}

// wantNoKeyring fails the test unless keys are refused with these words.
func wantNoKeyring(t *testing.T, configured map[string]Declared, words ...string) {
	t.Helper()
	k, err := New(configured, config.DefaultEnvironment(), zap.NewNop())
	if k != nil || !errors.As(err, new(*config.ConfigurationError)) {
		t.Fatalf("got %v, want a ConfigurationError", err)
	}
	for _, want := range words {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret-value") {
		t.Errorf("the error %q shows a value", err)
	}
}

func TestClientsThatCannotWorkAreRefused(t *testing.T) {
	t.Setenv("TEST_KEY", "secret-value")
	key, hash := Generate()
	for name, test := range map[string]struct {
		configured map[string]Declared
		want       []string
	}{
		"no name":                      {map[string]Declared{"": {Key: Values{"secret-value"}}}, []string{"client_key: has no name"}},
		"no models":                    {map[string]Declared{"a": {Key: Values{"secret-value"}, Models: []string{}}}, []string{"client_key a: models is empty"}},
		"one good and one bad":         {map[string]Declared{"a": {Key: Values{"secret-value"}}, "b": {Key: Values{"{env.TEST_NOT_SET}"}}}, []string{"client_key b: unresolved reference"}},
		"two bad":                      {map[string]Declared{"a": {Key: Values{""}}, "b": {Key: Values{"{env.TEST_NOT_SET}"}}}, []string{"client_key a: the value is empty", "client_key b: unresolved reference"}},
		"the same value for two":       {map[string]Declared{"a": {Key: Values{"{env.TEST_KEY}"}}, "b": {Key: Values{"secret-value"}}}, []string{"client_key a: has the value of client_key b", "client_key b: has the value of client_key a"}},
		"the same value among others":  {map[string]Declared{"a": {Key: Values{"x", "secret-value"}}, "b": {Key: Values{"secret-value", "y"}}}, []string{"client_key b: has the value of client_key a"}},
		"the same value for three":     {map[string]Declared{"a": {Key: Values{"secret-value"}}, "b": {Key: Values{"secret-value"}}, "c": {Key: Values{"secret-value"}}}, []string{"client_key c: has the value of client_key a", "client_key c: has the value of client_key b"}},
		"a key and its hash for two":   {map[string]Declared{"a": {Key: Values{config.Template(hash)}}, "b": {Key: Values{config.Template(key)}}}, []string{"client_key b: has the value of client_key a"}},
		"the same line in two files":   {map[string]Declared{"a": {Key: Values{keyFile(t, "x\nsecret-value\n")}}, "b": {Key: Values{keyFile(t, "secret-value\r\ny\r\n")}}}, []string{"client_key b: has the value of client_key a"}},
		"the same value in one client": {map[string]Declared{"a": {Key: Values{"secret-value", "secret-value"}}, "b": {Key: Values{"{env.TEST_KEY}"}}}, []string{"client_key b: has the value of client_key a"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantNoKeyring(t, test.configured, test.want...)
		})
	}
}

func TestOnlyAKeyThatIsMeasuredIsShort(t *testing.T) {
	_, hash := Generate()
	for name, test := range map[string]struct {
		values Values
		short  bool
	}{
		"15 bytes":              {Values{"123456789012345"}, true},
		"16 bytes":              {Values{"1234567890123456"}, false},
		"16 bytes of 8 letters": {Values{"ääääääää"}, false},
		"a hash":                {Values{config.Template(hash)}, false},
		"one of two":            {Values{"1234567890123456", "short"}, true},
		"a line of a file":      {Values{keyFile(t, "1234567890123456\nshort\n")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := Declared{Key: test.values}.read("a", config.DefaultEnvironment())
			if r.err() != nil || r.short != test.short {
				t.Errorf("short %t, %v; want %t", r.short, r.err(), test.short)
			}
		})
	}
}
