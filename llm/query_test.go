package llm

import (
	"net/http"
	"testing"
)

func TestFindModelInQuery(t *testing.T) {
	for _, c := range []struct{ name, query, want, code string }{
		{"an escaped slash, as the SDKs send it", "model=corp%2Fgpt-realtime", "corp/gpt-realtime", ""},
		{"a plain slash", "model=a/b", "a/b", ""},
		{"among others", "api-version=1&model=a/b&&intent=x", "a/b", ""},
		{"a plus is a space", "model=a/b+c", "a/b c", ""},
		{"an escaped plus is a plus", "model=a/b%2Bc", "a/b+c", ""},
		{"an equals sign belongs to the name", "model=a/b=c", "a/b=c", ""},
		{"an escaped ampersand belongs to the name", "model=a/b%26model=c", "a/b&model=c", ""},
		{"an escaped semicolon belongs to the name", "model=a/b%3Bmodel=c", "a/b;model=c", ""},
		{"an escaped key is the same key", "%6Dode%6c=a/b", "a/b", ""},
		{"a key of escapes only is the same key", "%6d%6f%64%65%6c=a/b", "a/b", ""},
		{"a case variant alone is not a model", "Model=a/b", "", ""},
		{"a key that only begins like model", "models=a&model[]=b&mode=c&model%20=d&+model=e", "", ""},
		{"a key that cannot be unescaped", "mode%6=a/b&x%=y", "", ""},
		{"a key of many escapes", "%6d%6f%64%65%6c%6c=a/b", "", ""},
		{"no parameter", "", "", ""},
		{"a semicolon far from the model", "a=1;b=2&model=a/b", "a/b", ""},
		{"a bad escape far from the model", "a=%zz&model=a/b", "a/b", ""},
		{"two models", "model=a/x&model=b/y", "", CodeAmbiguousModel},
		{"the same model twice", "model=a/x&model=a/x", "", CodeAmbiguousModel},
		{"an escaped duplicate", "model=a/x&mod%65l=b/y", "", CodeAmbiguousModel},
		{"a duplicate without value", "model=a/x&model", "", CodeAmbiguousModel},
		{"a case variant after the model", "model=a/x&MODEL=b/y", "", CodeAmbiguousModel},
		{"a case variant before the model", "Mode%4C=b/y&model=a/x", "", CodeAmbiguousModel},
		{"two case variants", "Model=b/y&MODEL=a/x", "", CodeAmbiguousModel},
		{"a semicolon after the model", "model=a/x;b=1", "", CodeAmbiguousModel},
		{"a semicolon before the model", "b=1;model=a/x", "", CodeAmbiguousModel},
		{"a semicolon between two models", "model=a/x;model=b/y", "", CodeAmbiguousModel},
		{"a model behind a semicolon and another one", "model=a/x&b=1;model=b/y", "", CodeAmbiguousModel},
		{"an escaped variant behind a semicolon", "b=1;M%6fdel=a/x", "", CodeAmbiguousModel},
		{"a bad escape in the model", "model=a%2", "", CodeInvalidPath},
		{"another bad escape in the model", "model=a%zz", "", CodeInvalidPath},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := FindInURL(http.MethodGet, parseTarget(t, "/v1/realtime?"+c.query))
			wantCode(t, err, c.code)
			if found.Name != c.want || (found.Where == InQuery) != (c.want != "") {
				t.Errorf("found %+v, want %q", found, c.want)
			}
		})
	}
}

func TestAnEmptyModelInTheQueryIsFoundAndRefused(t *testing.T) {
	for _, query := range []string{"model", "model=", "a&model&b", "mod%65l="} {
		found, err := FindInURL(http.MethodGet, parseTarget(t, "/v1/realtime?"+query))
		if err != nil || found.Where != InQuery {
			t.Fatalf("%s: found %+v, %v", query, found, err)
		}
		_, _, _, err = found.Split()
		wantCode(t, err, CodeInvalidPath)
	}
}

func TestReplaceModelInQuery(t *testing.T) {
	for _, c := range []struct{ name, query, replacement, want string }{
		{"the prefix is removed", "model=corp%2Fgpt", "gpt", "model=gpt"},
		{"the prefix is removed before a plain slash", "model=corp/gpt", "gpt", "model=gpt"},
		{"the others keep every byte", "&&a=%41+;x&model=corp/gpt&b&&%zz=", "gpt", "&&a=%41+;x&model=gpt&b&&%zz="},
		{"a key that cannot be unescaped stays", "mode%zz=corp/gpt&model=corp/gpt", "gpt", "mode%zz=corp/gpt&model=gpt"},
		{"an escaped key stays", "%6dodel=corp/gpt&a", "gpt", "%6dodel=gpt&a"},
		{"the rest keeps its escapes", "model=%63orp%2Fmeta%2fllama+3%2E1", "meta/llama 3.1", "model=meta%2fllama+3%2E1"},
		{"another name of the same length", "model=corp/x", "meta/y", "model=meta%2Fy"},
		{"a longer name", "a=1&model=x&b=2", "meta/llama 3&y=é", "a=1&model=meta%2Fllama+3%26y%3D%C3%A9&b=2"},
		{"the same name", "model=corp%2fx", "corp/x", "model=corp%2fx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := parseTarget(t, "/v1/real%74ime?"+c.query)
			found, err := FindInURL(http.MethodGet, u)
			if err != nil {
				t.Fatal(err)
			}
			rename(&found, u, nil, c.replacement)
			if want := "/v1/real%74ime?" + c.want; u.RequestURI() != want {
				t.Errorf("got %s, want %s", u.RequestURI(), want)
			}
			if again, err := FindInURL(http.MethodGet, u); err != nil || again.Name != c.replacement {
				t.Errorf("found %+v, %v afterwards", again, err)
			}
		})
	}
}
