package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// jsonStrings are the strings of a JSON value: names, and values but those
// whose last name ends with _file or is source, which are paths.
type jsonStrings struct{ names, values []string }

func (s *jsonStrings) gather(n node, name string) {
	if text, ok := n.scalar.(string); ok && !strings.HasSuffix(name, "_file") && name != "source" {
		s.values = append(s.values, text)
	}
	for _, element := range n.elements {
		s.gather(element, name)
	}
	for _, m := range n.members {
		s.names = append(s.names, m.name)
		s.gather(m.value, m.name)
	}
}

// mayBeShown reports whether a value is no secret if an error has it: it is
// short, a name, a reference to a name, or the text of this package.
func (s *jsonStrings) mayBeShown(value string, source []byte) bool {
	within := func(name string) bool { return strings.Contains(name, value) }
	return len(value) <= 8 || slices.ContainsFunc(s.names, within) || strings.HasPrefix(value, "{token.") || bytes.Contains(source, []byte(value))
}

// packageText is the source of the package and its presets, and with them all
// constant parts of its errors.
func packageText(t testing.TB) []byte {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	text := slices.Clone(presetsFile)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, content...)
	}
	return text
}

func FuzzParseFile(f *testing.F) {
	for _, file := range []string{"litellm_config.json", "config.json", "environment.json"} {
		content, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, seed := range []string{
		fileWith(allFields), fileWith(fileFields), fileWith(""), "", "{}", "null", `{"oauth2_providers":{}}`, `{"oauth2_providers":{"":{}}}`,
		`{"oauth2_providers":{"p":{"client_id":"long secret value","client_id":"another secret"}},"oauth2_providers":1}`,
		fileWith(`"scope":["a long scope","another scope"],"provider_name":"a long name","audience":"https://api.example.com"`),
		fileWith(`"client_secret":"os.environ/","token_url":"https://user:password@example.com/","scope":" a long scope"`),
		fileWith(`"token_request":{"params":{"a long secret":"{unknown placeholder}","x":"{token.another}{jwt}"},"retries":1e99,"timeout":"a long time"}`),
		fileWith(`"header_up":{"set":{"a long header: x":["value\r\nX: y"]},"delete":["*","a long header*"]},"place":{"prefix":"{env.SECRET} "}`),
		fileWith(`"preset":"github_app","vars":{"app_id":"a long value","installation_id":"{env.UNSET}"},"jwt":{"key":"a long key","claims":{"a":["{now} a long claim"]}}`),
		fileWith(`"preset":"sap_ai_core_x509","vars":{"service_key_file":"/missing","certificate_file":"{file.x}","key_file":"a long path","unknown name":"x"}`),
		fileWith(`"preset":"a long preset","source":"file /missing","token_request":{"body":{"a":{"b":"{json./missing#a}","b":"another secret"}}}`),
		fileWith(`"auth_method":"client_secret_jwt","client_secret":"short secret","client_id":"{var.x}","vars":{"x":"a long variable"},"scope":"{var.x}{var.y}"`),
		fileWith(`"source":"self_signed","jwt":{"alg":"HS256","key":"a secret that is long","header":{"kid":"a long header"},"claims":{"a":"{key_fingerprint}"}}`),
		fileWith(`"token_response":{"token":["header:a long path"],"expiry":[{"path":"","unit":"a long unit"}]},"place":{"query":"a long query"}`),
		"\xEF\xBB\xBF{}", "\xFF\xFE{\x00}\x00", "{\"\\ud800\":\"\\u0000\"}", "{,}", "[1,]", "// {}", "{} {}", strings.Repeat("[", 99),
	} {
		f.Add([]byte(seed))
	}
	source := packageText(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		providers, err := parseFile(testFile, content)
		var outer, declared map[string]json.RawMessage
		if err == nil {
			if err := json.Unmarshal(content, &outer); err != nil {
				t.Fatalf("invalid JSON is accepted: %v", err)
			}
			if err := json.Unmarshal(outer[providersKey], &declared); err != nil {
				t.Fatalf("what are no providers is accepted: %v", err)
			}
			if !slices.Equal(sorted(providers), sorted(declared)) {
				t.Errorf("got the providers %q, want %q", sorted(providers), sorted(declared))
			}
			for _, provider := range providers {
				provider.warnings(DefaultEnvironment())
				err = errors.Join(err, provider.ValidateLiterals("p"))
			}
			expanded, expansion := providers.expand(testEnvironment())
			if err = errors.Join(err, expansion); expansion == nil {
				err = errors.Join(err, expanded.validate(testEnvironment()))
			}
		}
		if err == nil {
			return
		}
		document, problem := parseJSON(content)
		all := jsonStrings{values: []string{string(content)}}
		if problem == nil {
			all.gather(document, "")
		}
		for _, cause := range chain(err) {
			for _, value := range all.values {
				if strings.Contains(cause.Error(), value) && !all.mayBeShown(value, source) {
					t.Errorf("%q shows %q", cause, value)
				}
			}
		}
	})
}
