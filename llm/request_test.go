package llm

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rename is what a gateway does with the name of the upstream: to a copy of the URL
// and of the body.
func rename(found *Found, u *url.URL, body []byte, name string) []byte {
	found.RenameURL(u, name)
	edit, changes := found.EditBody(nil, body, name, false)
	if !changes {
		return body
	}
	return applied(body, edit)
}

// applied is a body with an edit.
func applied(body []byte, edit Edit) []byte {
	return slices.Concat(body[:edit.Start], edit.Text, body[edit.End:])
}

// look looks for the model in a URL and a JSON body, in a gateway's order.
func look(u *url.URL, body string) (Found, error) {
	found, err := FindInURL(http.MethodGet, u)
	if err == nil && body != "" {
		err = found.AddBody([]byte(body))
	}
	return found, err
}

func TestAModelThatIsNamedTwiceMustBeTheSame(t *testing.T) {
	for _, c := range []struct {
		name, target, body, want string
		where                    Location
		code                     string
	}{
		{"nowhere", "/v1/models", `{"x":1}`, "", 0, ""},
		{"in the body alone", "/v1/chat/completions", `{"model":"a/b"}`, "a/b", InBody, ""},
		{"in the path, and a body without one", "/v1/models/a%2Fb", `{}`, "a/b", InPath, ""},
		{"in query and body", "/v1/responses?model=a%2Fb", `{"model":"a\/b"}`, "a/b", InQuery | InBody, ""},
		{"in path and query", "/v1/models/a/b?model=a%2Fb", "", "a/b", InPath | InQuery, ""},
		{"everywhere", "/v1/models/a%2Fb?model=a/b", `{"model":"a/b"}`, "a/b", InPath | InQuery | InBody, ""},
		{"others in query and body", "/v1/responses?model=a/x", `{"model":"b/y"}`, "", 0, CodeAmbiguousModel},
		{"others in path and body", "/v1/models/a/x", `{"model":"b/y"}`, "", 0, CodeAmbiguousModel},
		{"others in path and query", "/v1/models/a/x?model=b/y", "", "", 0, CodeAmbiguousModel},
		{"others that differ in case", "/v1/responses?model=a/x", `{"model":"a/X"}`, "", 0, CodeAmbiguousModel},
		{"others in the body after two alike", "/v1/models/a%2Fb?model=a/b", `{"model":"a/c"}`, "", 0, CodeAmbiguousModel},
		{"a shorter one in the body", "/v1/models/a/b", `{"model":"a"}`, "", 0, CodeAmbiguousModel},
		{"a longer one in the body", "/v1/models/a", `{"model":"a/b"}`, "", 0, CodeAmbiguousModel},
		{"an empty one besides another", "/v1/responses?model=", `{"model":"a/b"}`, "", 0, CodeAmbiguousModel},
		{"an empty one besides one in the path", "/v1/models/a%2Fb?model", "", "", 0, CodeAmbiguousModel},
		{"none that can be read in the body", "/v1/models/a%2Fb", `{"model":1}`, "", 0, CodeInvalidBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := look(parseTarget(t, c.target), c.body)
			wantCode(t, err, c.code)
			if err == nil && (found.Name != c.want || found.Where != c.where) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// lookForm looks for the model in a URL and a form, in a gateway's order.
func lookForm(u *url.URL, body string) (Found, error) {
	found, err := FindInURL(http.MethodPost, u)
	if err == nil {
		err = found.AddForm([]byte(body), []string{testForm})
	}
	return found, err
}

func TestADeploymentsPathDecides(t *testing.T) {
	const azure = "/openai/deployments/"
	for _, c := range []struct {
		name, target, body string
		where              Location
		code               string
	}{
		{"the same model", azure + "a%2Fb/chat/completions", `{"model":"a/b"}`, InBody, ""},
		{"another model", azure + "a%2Fb/chat/completions", `{"model":"c/d"}`, InBody, ""},
		{"an empty model", azure + "a%2Fb/chat/completions", `{"model":""}`, InBody, ""},
		{"null", azure + "a%2Fb/chat/completions", `{"model":null}`, InBody, ""},
		{"a model that could not be a name", azure + "a%2Fb/chat/completions", `{"model":"../\u0000"}`, InBody, ""},
		{"no model", azure + "a%2Fb/chat/completions", `{}`, 0, ""},
		{"plain slashes", azure + "a/b/chat/completions", `{"model":"gpt-4o"}`, InBody, ""},
		{"the same model in the query", azure + "a%2Fb/chat?model=a/b", `{"model":"c"}`, InQuery | InBody, ""},
		{"another path", "/x/Deployments/a%2Fb/files", `{"model":"c"}`, InBody, ""},
		{"another model in the query", azure + "a%2Fb/chat?model=c", `{}`, 0, CodeAmbiguousModel},
		{"an empty model in the query", azure + "a%2Fb/chat?model", `{}`, 0, CodeAmbiguousModel},
		{"two models", azure + "a%2Fb/chat/completions", `{"model":"a/b","model":"a/b"}`, 0, CodeAmbiguousModel},
		{"null and a model", azure + "a%2Fb/chat/completions", `{"model":null,"model":"a/b"}`, 0, CodeAmbiguousModel},
		{"a model and another spelling", azure + "a%2Fb/chat/completions", `{"model":"a/b","model\u0000":"c"}`, 0, CodeAmbiguousModel},
		{"another spelling alone", azure + "a%2Fb/chat/completions", `{"Model":"a/b"}`, 0, CodeAmbiguousModel},
		{"a number", azure + "a%2Fb/chat/completions", `{"model":1}`, 0, CodeInvalidBody},
		{"an object", azure + "a%2Fb/chat/completions", `{"model":{}}`, 0, CodeInvalidBody},
		{"a word like null", azure + "a%2Fb/chat/completions", `{"model":nul}`, 0, CodeInvalidBody},
		{"a longer model than there may be", azure + "a%2Fb/chat/completions", `{"model":"` + strings.Repeat("x", maxName+1) + `"}`, 0, CodeInvalidBody},
		{"half a surrogate pair", azure + "a%2Fb/chat/completions", `{"model":"\ud83d"}`, 0, CodeInvalidBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := parseTarget(t, c.target)
			found, err := look(u, c.body)
			wantCode(t, err, c.code)
			if err == nil && (found.Name != "a/b" || found.Where != c.where|InPath) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestADeploymentsPathDecidesOverAForm(t *testing.T) {
	const target = "/openai/deployments/a/b/audio/transcriptions"
	for _, c := range []struct {
		name, body string
		where      Location
		code       string
	}{
		{"the same model", form(field("model", "a/b")), InForm, ""},
		{"another model", form(field("model", "whisper-1")), InForm, ""},
		{"an empty model", form(field("model", "")), InForm, ""},
		{"no model", form(file("file", "a.wav", "RIFF")), 0, ""},
		{"no part", "--" + testBoundary + "--\r\n", 0, ""},
		{"two models", form(field("model", ""), field("model", "")), 0, CodeAmbiguousModel},
		{"another spelling alone", form(field("MODEL", "a/b")), 0, CodeAmbiguousModel},
		{"an array of models", form(field("model[]", "a/b")), 0, CodeAmbiguousModel},
		{"a file", form(file("model", "a.wav", "RIFF")), 0, CodeInvalidBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := lookForm(parseTarget(t, target), c.body)
			wantCode(t, err, c.code)
			if err == nil && (found.Name != "a/b" || found.Where != c.where|InPath) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestAnOddNameOfADeploymentIsThePathsFault(t *testing.T) {
	found, err := look(parseTarget(t, "/openai/deployments/a%2F/chat/completions"), `{"model":"a/b"}`)
	if err != nil {
		t.Fatal(err)
	}
	prefix, rest, _, err := found.Split()
	wantCode(t, err, CodeInvalidPath)
	if prefix != "" || rest != "" {
		t.Errorf("got %q and %q besides the error", prefix, rest)
	}
}

func TestTheBodyMayCallAModelAResourceBeforeAVerb(t *testing.T) {
	for _, c := range []struct{ name, target, body, want, code string }{
		{"the name", "/v1beta/models/a%2Fb:embedContent", `{"model":"a/b"}`, `{"model":  "b"}`, ""},
		{"the resource", "/v1beta/models/a%2Fb:embedContent", `{"model":"models/a/b"}`, `{"model":  "models/b"}`, ""},
		{"the resource with escapes", "/v1beta/models/a/b:embedContent", `{"model":"models\/a\/b"}`, `{"model":    "models/b"}`, ""},
		{"a model that is called models", "/v1beta/models/models/b:embedContent", `{"model":"models/b"}`, `{"model":       "b"}`, ""},
		{"no model", "/v1beta/models/a%2Fb:embedContent", `{}`, `{}`, ""},
		{"the resource of another", "/v1beta/models/a%2Fb:embedContent", `{"model":"models/b"}`, "", CodeAmbiguousModel},
		{"another", "/v1beta/models/a%2Fb:embedContent", `{"model":"b"}`, "", CodeAmbiguousModel},
		{"nothing but the word", "/v1beta/models/a%2Fb:embedContent", `{"model":"models/"}`, "", CodeAmbiguousModel},
		{"null", "/v1beta/models/a%2Fb:embedContent", `{"model":null}`, "", CodeInvalidBody},
		{"the resource without a verb", "/v1beta/models/a%2Fb", `{"model":"models/a/b"}`, "", CodeAmbiguousModel},
		{"the resource in the query alone", "/v1/realtime?model=a/b", `{"model":"models/a/b"}`, "", CodeAmbiguousModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := parseTarget(t, c.target)
			found, err := FindInURL(http.MethodPost, u)
			if err == nil {
				err = found.AddBody([]byte(c.body))
			}
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			if body := rename(&found, u, []byte(c.body), "b"); string(body) != c.want || u.Path != "/v1beta/models/b:embedContent" {
				t.Errorf("got %s and %s", u, body)
			}
		})
	}
}

func TestReplaceChangesEveryPlaceAndNothingElse(t *testing.T) {
	const target = "/openai/deployments/corp%2Fgpt/chat?v=1&model=corp/gpt&x=%41"
	const body = `{"messages":[{"model":"corp/gpt"}], "model" : "corp\/gpt","n":1.0}`
	for replacement, want := range map[string][2]string{
		"gpt": {
			"/openai/deployments/gpt/chat?v=1&model=gpt&x=%41",
			`{"messages":[{"model":"corp/gpt"}], "model" :       "gpt","n":1.0}`,
		},
		"corp/gpt": {target, body},
		"m/gpt-mini-3": {
			"/openai/deployments/m%2Fgpt-mini-3/chat?v=1&model=m%2Fgpt-mini-3&x=%41",
			`{"messages":[{"model":"corp/gpt"}], "model" : "m/gpt-mini-3","n":1.0}`,
		},
	} {
		u := parseTarget(t, target)
		found, err := look(u, body)
		if err != nil {
			t.Fatal(err)
		}
		before := *u
		replaced := rename(&found, &before, []byte(body), replacement)
		if before.RequestURI() != want[0] || string(replaced) != want[1] {
			t.Errorf("%s: got %s and %s", replacement, before.RequestURI(), replaced)
		}
		if u.RequestURI() != target {
			t.Errorf("%s: the copy's origin is now %s", replacement, u)
		}
	}
}

func TestReplaceInPlainSegmentsOfADeployment(t *testing.T) {
	for target, want := range map[string]string{
		"/openai/deployments/corp/meta/gpt/chat/completions?v=1": "/openai/deployments/meta%2Fgpt/chat/completions?v=1",
		"/openai/deployments/%63orp/m%65ta/gpt/%63ompletions":    "/openai/deployments/meta%2Fgpt/%63ompletions",
	} {
		u := parseTarget(t, target)
		found, err := look(u, `{"model":"corp/meta/gpt"}`)
		if err != nil {
			t.Fatal(err)
		}
		body := rename(&found, u, []byte(`{"model":"corp/meta/gpt"}`), "meta/gpt")
		if u.RequestURI() != want || string(body) != `{"model":     "meta/gpt"}` {
			t.Errorf("got %s and %s, want %s", u.RequestURI(), body, want)
		}
	}
}

func TestReplaceTouchesNothingWhereNoModelIs(t *testing.T) {
	u := parseTarget(t, "/v1/chat/completions?models=corp/gpt")
	body := []byte(`{"models":"corp/gpt"}`)
	found, err := look(u, string(body))
	if err != nil || found.Where != 0 {
		t.Fatalf("found %+v, %v", found, err)
	}
	if got := rename(&found, u, body, "gpt"); string(got) != `{"models":"corp/gpt"}` || u.RequestURI() != "/v1/chat/completions?models=corp/gpt" {
		t.Errorf("got %s and %s", u, got)
	}
}

func TestReplaceLeavesAnotherURLAlone(t *testing.T) {
	found, err := FindInURL(http.MethodGet, parseTarget(t, "/v1/models/corp%2Fgpt?model=corp/gpt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/v1/chat/completions?v=1", "/v1/models/other%2Fgpt?models=corp/gpt", "/v1/models", "*"} {
		u := parseTarget(t, target)
		if rename(&found, u, nil, "gpt"); u.RequestURI() != target {
			t.Errorf("%s became %s", target, u.RequestURI())
		}
	}
}

func TestFindInURLAllocatesNothingWithoutAModel(t *testing.T) {
	for _, target := range []string{"/v1/chat/completions", "/v1/chat/completions?api-version=2024-10-21&x=a%20b", "/v1/models", "*"} {
		u := parseTarget(t, target)
		if allocations := testing.AllocsPerRun(100, func() {
			if found, err := FindInURL(http.MethodGet, u); err != nil || found.Where != 0 {
				t.Fatal(found, err)
			}
		}); allocations > 0 {
			t.Errorf("%s: %v allocations", target, allocations)
		}
	}
}

// Requests that real clients have sent: in each the model is found, and what
// is sent on differs by the prefix alone.
func TestRequestsOfRealClients(t *testing.T) {
	files, err := filepath.Glob("../caddytest/testdata/clients/*/*.http")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d requests were found, %v", len(files), err)
	}
	named := regexp.MustCompile(`"corp/|%2F|\r\ncorp/|"model":"m"`)
	forms := 0
	for _, path := range files {
		t.Run(filepath.Base(filepath.Dir(path))+" "+filepath.Base(path), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			found, err := FindInURL(r.Method, r.URL)
			if err != nil {
				t.Fatal(err)
			}
			var body []byte
			if ReadsBody(r.Method, r.URL.Path) {
				if body, err = ReadBody(r.Body, r.ContentLength, 1<<20, nil); err != nil {
					t.Fatal(err)
				}
				if IsForm(r.Header["Content-Type"]) {
					forms++
					err = found.AddForm(body, r.Header["Content-Type"])
				} else if object, _ := BeginsObject(body); object {
					err = found.AddBody(body)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := ContentTypeFault(r.Header["Content-Type"]); err != nil {
				t.Errorf("%q: %v", r.Header["Content-Type"], err)
			}
			if found.AddHeader(r.Header); found.Chooser != "" {
				t.Errorf("%s is taken for what chooses a model", found.Chooser)
			}
			if !named.Match(raw) {
				if found.Where != 0 {
					t.Errorf("found %+v in a request without a model", found)
				}
				return
			}
			prefix, rest, prefixed, err := found.Split()
			if err != nil || prefixed != (rest != "m") || prefixed && prefix != "corp" {
				t.Fatalf("found %+v: %q, %q, %v", found, prefix, rest, err)
			}
			wantTarget := strings.Replace(r.RequestURI, "corp%2F", "", 1)
			wantBody := strings.Replace(string(body), `:"corp/`, `:     "`, 1)
			wantBody = strings.Replace(wantBody, "\r\ncorp/", "\r\n", 1)
			replaced := rename(&found, r.URL, body, rest)
			if r.URL.RequestURI() != wantTarget || string(replaced) != wantBody {
				t.Errorf("got %s\n%q\nwant %s\n%q", r.URL.RequestURI(), replaced, wantTarget, wantBody)
			}
		})
	}
	if forms < 6 {
		t.Errorf("only %d of the requests are forms", forms)
	}
}
