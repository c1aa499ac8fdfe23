package oauth2llm

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
	key, hash := newClientKey()
	t.Setenv("TEST_KEY", "from-env")
	t.Setenv("TEST_HASH", hash)
	for name, test := range map[string]struct {
		values     KeyValues
		good, none []string
	}{
		"a key":                      {KeyValues{"literal"}, []string{"literal"}, []string{"litera", "literal ", "LITERAL"}},
		"a variable":                 {KeyValues{"{env.TEST_KEY}"}, []string{"from-env"}, []string{"{env.TEST_KEY}", "TEST_KEY"}},
		"a variable as in LiteLLM":   {KeyValues{"os.environ/TEST_KEY"}, []string{"from-env"}, []string{"os.environ/TEST_KEY"}},
		"text around a variable":     {KeyValues{"a-{env.TEST_KEY}-b"}, []string{"a-from-env-b"}, []string{"from-env"}},
		"a hash":                     {KeyValues{config.Template(hash)}, []string{key}, []string{hash, hash[7:]}},
		"a hash in a variable":       {KeyValues{"{env.TEST_HASH}"}, []string{key}, []string{hash}},
		"a hash in capitals":         {KeyValues{config.Template("sha256:" + strings.ToUpper(hash[7:]))}, []string{key}, nil},
		"another prefix":             {KeyValues{config.Template("SHA256:" + hash[7:])}, []string{"SHA256:" + hash[7:]}, []string{key}},
		"several values":             {KeyValues{"new", "{env.TEST_KEY}", config.Template(hash)}, []string{"new", "from-env", key}, []string{"newfrom-env", "new,from-env"}},
		"a value twice":              {KeyValues{"same", "same"}, []string{"same"}, nil},
		"a key and its hash":         {KeyValues{config.Template(key), config.Template(hash)}, []string{key}, []string{hash}},
		"a file":                     {KeyValues{keyFile(t, "one\n")}, []string{"one"}, []string{"one\n"}},
		"a file without a line end":  {KeyValues{keyFile(t, "one")}, []string{"one"}, nil},
		"a file of several keys":     {KeyValues{keyFile(t, "one\ntwo\n"+hash+"\n")}, []string{"one", "two", key}, []string{"one\ntwo", hash, "onetwo"}},
		"a file with CRLF":           {KeyValues{keyFile(t, "one\r\ntwo\r\n")}, []string{"one", "two"}, []string{"one\r", "two\r"}},
		"a file with empty lines":    {KeyValues{keyFile(t, "\n\r\none\n\n\ntwo\n\n")}, []string{"one", "two"}, []string{"", "\r"}},
		"a file with a key twice":    {KeyValues{keyFile(t, "one\none\n")}, []string{"one"}, nil},
		"what looks like a comment":  {KeyValues{keyFile(t, "# one\n//two\n")}, []string{"# one", "//two"}, []string{"one"}},
		"a file beside a key":        {KeyValues{keyFile(t, "one\ntwo"), "two"}, []string{"one", "two"}, nil},
		"a file of one, text around": {KeyValues{"a-" + keyFile(t, "one\n")}, []string{"a-one"}, []string{"one"}},
		"letters beyond ASCII":       {KeyValues{"käy with spaces"}, []string{"käy with spaces"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := newKeyring(map[string]ClientKey{"client": {Key: test.values}, "other": {Key: KeyValues{"another"}}}, config.DefaultEnvironment(), zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			for _, presented := range test.good {
				if client := k.current().identify(presented); client == nil || client.name != "client" {
					t.Errorf("%q is the key of %v", presented, client)
				}
			}
			for _, presented := range append(test.none, "") {
				if client := k.current().identify(presented); client != nil {
					t.Errorf("%q is the key of %s", presented, client.name)
				}
			}
			if n := len(k.current()); n != len(test.good)+1 {
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
		values KeyValues
		want   string
	}{
		"no value":                        {nil, "client_key a: the value is empty"},
		"an empty list":                   {KeyValues{}, "client_key a: the value is empty"},
		"an empty value":                  {KeyValues{""}, "client_key a: the value is empty"},
		"an empty value among others":     {KeyValues{"secret-value", ""}, "client_key a value 2: the value is empty"},
		"a variable that is empty":        {KeyValues{"{env.TEST_EMPTY}"}, "client_key a: unresolved reference: the environment variable TEST_EMPTY is empty"},
		"a variable that is unset":        {KeyValues{"{env.TEST_NOT_SET}", "secret-value"}, "client_key a value 1: unresolved reference: the environment variable TEST_NOT_SET is not set"},
		"a file that is empty":            {KeyValues{keyFile(t, "")}, "is empty"},
		"a file of an empty line":         {KeyValues{keyFile(t, "\n")}, "is empty"},
		"a file of empty lines":           {KeyValues{keyFile(t, "\n\r\n\n")}, "client_key a: the file holds no key"},
		"a file that is not there":        {KeyValues{missing}, "client_key a: unresolved reference: the file"},
		"an unknown placeholder":          {KeyValues{"secret-value{nonsense}"}, "client_key a"},
		"a token of a provider":           {KeyValues{"{token.corp}"}, "client_key a"},
		"what changes at each look":       {KeyValues{"{uuid}"}, "client_key a"},
		"a space at its end":              {KeyValues{"secret-value "}, "client_key a: the value begins or ends with white space"},
		"a space at its beginning":        {KeyValues{" secret-value"}, "white space"},
		"a space in a file":               {KeyValues{keyFile(t, "good\n\nsecret-value \n")}, "client_key a: line 3 of the file: the value begins or ends with white space"},
		"a line of spaces":                {KeyValues{keyFile(t, "good\n  \n")}, "line 2 of the file"},
		"a line break":                    {KeyValues{"secret-value\nsecret-value-2"}, "client_key a: the value holds a line break: remove it; only a value that is exactly one {file.PATH} may"},
		"a line break at its end":         {KeyValues{"secret-value\n"}, "line break"},
		"a carriage return":               {KeyValues{"secret-value\r"}, "line break"},
		"a variable with a line break":    {KeyValues{"{env.TEST_LINES}"}, "line break"},
		"a variable that ends with one":   {KeyValues{"{env.TEST_LINE}"}, "line break"},
		"text around a file of several":   {KeyValues{"x" + keyFile(t, "secret-value\nsecret-value-2\n")}, "line break"},
		"a file twice in one value":       {KeyValues{keyFile(t, "secret-value\nx") + keyFile(t, "y")}, "line break"},
		"a line break in a JSON file":     {KeyValues{config.Template(strings.TrimSuffix(json, "}") + "#a}")}, "line break"},
		"a carriage return within a line": {KeyValues{keyFile(t, "secret-value\rsecret-value-2\n")}, "line 1 of the file: the value holds a line break"},
		"a byte order mark":               {KeyValues{keyFile(t, "\ufeffsecret-value\n")}, "client_key a: line 1 of the file: the value holds a byte order mark: save it as UTF-8 without one"},
		"a byte order mark between files": {KeyValues{keyFile(t, "good\n\ufeffsecret-value\n")}, "line 2 of the file: the value holds a byte order mark"},
		"a byte order mark in a literal":  {KeyValues{"\ufeffsecret-value"}, "byte order mark"},
		"UTF-16":                          {KeyValues{keyFile(t, "s\x00e\x00c\x00\n\x00")}, "control character"},
		"a tab":                           {KeyValues{"secret\tvalue"}, "client_key a: the value holds a control character, which no header can hold"},
		"an escape":                       {KeyValues{keyFile(t, "good\nsecret-value\x1b\n")}, "line 2 of the file: the value holds a control character"},
		"a delete":                        {KeyValues{"secret-value\x7f"}, "control character"},
		"half a hash":                     {KeyValues{"sha256:abcd"}, "client_key a: sha256: must be followed by 64 hexadecimal digits; `caddy oauth2-llm key` makes both"},
		"a hash of other digits":          {KeyValues{config.Template("sha256:" + strings.Repeat("xy", 32))}, "sha256: must be followed by"},
		"a hash that is too long":         {KeyValues{config.Template("sha256:" + strings.Repeat("ab", 33))}, "sha256: must be followed by"},
		"half a hash in a file":           {KeyValues{keyFile(t, "good\nsha256:abcd")}, "line 2 of the file: sha256: must be followed by"},
	} {
		t.Run(name, func(t *testing.T) {
			wantNoKeyring(t, map[string]ClientKey{"a": {Key: test.values}}, test.want)
		})
	}
}

// wantNoKeyring fails the test unless keys are refused with these words.
func wantNoKeyring(t *testing.T, configured map[string]ClientKey, words ...string) {
	t.Helper()
	k, err := newKeyring(configured, config.DefaultEnvironment(), zap.NewNop())
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
	key, hash := newClientKey()
	for name, test := range map[string]struct {
		configured map[string]ClientKey
		want       []string
	}{
		"no name":                      {map[string]ClientKey{"": {Key: KeyValues{"secret-value"}}}, []string{"client_key: has no name"}},
		"no models":                    {map[string]ClientKey{"a": {Key: KeyValues{"secret-value"}, Models: []string{}}}, []string{"client_key a: models is empty"}},
		"one good and one bad":         {map[string]ClientKey{"a": {Key: KeyValues{"secret-value"}}, "b": {Key: KeyValues{"{env.TEST_NOT_SET}"}}}, []string{"client_key b: unresolved reference"}},
		"two bad":                      {map[string]ClientKey{"a": {Key: KeyValues{""}}, "b": {Key: KeyValues{"{env.TEST_NOT_SET}"}}}, []string{"client_key a: the value is empty", "client_key b: unresolved reference"}},
		"the same value for two":       {map[string]ClientKey{"a": {Key: KeyValues{"{env.TEST_KEY}"}}, "b": {Key: KeyValues{"secret-value"}}}, []string{"client_key a: has the value of client_key b", "client_key b: has the value of client_key a"}},
		"the same value among others":  {map[string]ClientKey{"a": {Key: KeyValues{"x", "secret-value"}}, "b": {Key: KeyValues{"secret-value", "y"}}}, []string{"client_key b: has the value of client_key a"}},
		"the same value for three":     {map[string]ClientKey{"a": {Key: KeyValues{"secret-value"}}, "b": {Key: KeyValues{"secret-value"}}, "c": {Key: KeyValues{"secret-value"}}}, []string{"client_key c: has the value of client_key a", "client_key c: has the value of client_key b"}},
		"a key and its hash for two":   {map[string]ClientKey{"a": {Key: KeyValues{config.Template(hash)}}, "b": {Key: KeyValues{config.Template(key)}}}, []string{"client_key b: has the value of client_key a"}},
		"the same line in two files":   {map[string]ClientKey{"a": {Key: KeyValues{keyFile(t, "x\nsecret-value\n")}}, "b": {Key: KeyValues{keyFile(t, "secret-value\r\ny\r\n")}}}, []string{"client_key b: has the value of client_key a"}},
		"the same value in one client": {map[string]ClientKey{"a": {Key: KeyValues{"secret-value", "secret-value"}}, "b": {Key: KeyValues{"{env.TEST_KEY}"}}}, []string{"client_key b: has the value of client_key a"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantNoKeyring(t, test.configured, test.want...)
		})
	}
}

func TestOnlyAKeyThatIsMeasuredIsShort(t *testing.T) {
	_, hash := newClientKey()
	for name, test := range map[string]struct {
		values KeyValues
		short  bool
	}{
		"15 bytes":              {KeyValues{"123456789012345"}, true},
		"16 bytes":              {KeyValues{"1234567890123456"}, false},
		"16 bytes of 8 letters": {KeyValues{"ääääääää"}, false},
		"a hash":                {KeyValues{config.Template(hash)}, false},
		"one of two":            {KeyValues{"1234567890123456", "short"}, true},
		"a line of a file":      {KeyValues{keyFile(t, "1234567890123456\nshort\n")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := ClientKey{Key: test.values}.read("a", config.DefaultEnvironment())
			if r.err() != nil || r.short != test.short {
				t.Errorf("short %t, %v; want %t", r.short, r.err(), test.short)
			}
		})
	}
}
