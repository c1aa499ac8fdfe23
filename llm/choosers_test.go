package llm

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// choosers are the keywords that Found.Chooser may be.
var choosers = keywords[2:]

func TestEveryKeywordMayBeginAsItDoes(t *testing.T) {
	for _, name := range keywords {
		if !mayBegin(name[0]) || !mayBegin(name[0]&^0x20) || len(name) > len(word{}.letters) {
			t.Errorf("%s is overlooked", name)
		}
	}
	// Letters outside ASCII fold to these, and are looked at inside a name only.
	if mayBegin('s') || mayBegin('k') {
		t.Error("a name may begin with a letter that others fold to")
	}
}

// spellings are the ways in which a lenient server takes a name for another.
func spellings(name string) map[string]string {
	return map[string]string{
		"as it is":                           name,
		"in capitals":                        strings.ToUpper(name),
		"with one capital":                   strings.ToUpper(name[:1]) + name[1:],
		"with letters that fold to s and k":  strings.NewReplacer("s", "\u017f", "k", "\u212a").Replace(name),
		"with capitals before such a letter": strings.NewReplacer("S", "\u017f", "K", "\u212a").Replace(strings.ToUpper(name)),
	}
}

func TestChoosersInABody(t *testing.T) {
	for _, name := range choosers {
		for how, spelling := range spellings(name) {
			escaped := `\u00` + hex(spelling[0]) + spelling[1:]
			for where, body := range map[string]string{
				"alone":              `{"` + spelling + `":["b/y"]}`,
				"null":               `{"model":"a/x","` + spelling + `":null}`,
				"before the model":   `{"` + spelling + `":"b/y","model":"a/x"}`,
				"behind others":      `{"model":"a/x","messages":[{"role":"user"}],"` + spelling + `" : {"a":[1]}}`,
				"with an escape":     `{"model":"a/x","` + escaped + `":"b/y"}`,
				"before a NUL":       `{"model":"a/x","` + spelling + `\u0000x":"b/y"}`,
				"before another one": `{"` + spelling + `":1,"` + "fallbacks" + `":2,"tools":[{"model":"b/y"}]}`,
			} {
				var found Found
				if err := found.AddBody([]byte(body)); err != nil || found.Chooser != name {
					t.Errorf("%s %s, %s: found %q, %v in %s", name, how, where, found.Chooser, err, body)
				}
			}
		}
	}
}

// hex is a byte in two hexadecimal digits.
func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&0xf]})
}

func TestOtherSpellingsOfModelInABody(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"a/x"}`:                           "",
		`{"mod\u0065l":"a/x"}`:                      "",
		`{"Model":"a/x"}`:                           modelVariant,
		`{"MODE\u004c":null}`:                       modelVariant,
		`{"model":"a/x","model\u0000":"b/y"}`:       modelVariant,
		`{"model\u0000x":"b/y"}`:                    modelVariant,
		`{"model ":"b/y"," model":"b/y"}`:           "",
		`{"mode":"b/y","modell":"b/y","mödel":"y"}`: "",
		`{"model[]":"b/y"}`:                         "",
		`{"\u0000model":"b/y","":1,"\ud83d":1}`:     "",
		`{"metadata":{"models":["b/y"]}}`:           "",
		`{"x":"fallbacks","y":["models"]}`:          "",
		`{"fallback_modelss":1,"rout":1,"routes":1,"engine_id":1,"extrabody":1,"model-id":1}`: "",
		`{"generateContentRequest":{"model":"models/other"}}`:                                 "generateContentRequest",
		`{"generate_content_request":{"model":"models/other"}}`:                               "generate_content_request",
		`{"generate_content_requests":1}`:                                                     "",
		`{"generate_content":1,"GENERATECONTENTREQUEST":1}`:                                   "generateContentRequest",
	} {
		var found Found
		if err := found.AddBody([]byte(body)); err != nil || found.Chooser != want {
			t.Errorf("%s: found %q, %v, want %q", body, found.Chooser, err, want)
		}
	}
}

func TestModelsOfTools(t *testing.T) {
	for body, want := range map[string]string{
		`{"tools":[{"type":"image_generation","model":"b/y"}]}`:               modelOfTool,
		`{"model":"a/x","tools":[1,[],{},{"x":[{}]},{"model":"b/y"},"x"]}`:    modelOfTool,
		`{"Tools":[{"MODEL":"b/y"}]}`:                                         modelOfTool,
		`{"tool\u0073\u0000":[{"model\u0000":""}]}`:                           modelOfTool,
		`{"tool` + "\u017f" + `":[{"model":"b/y"}]}`:                          modelOfTool,
		`{"tools":[{}],"tools":[{"model":"b/y"}]}`:                            modelOfTool,
		`{"tools":[{"model":"b/y"}],"route":1}`:                               modelOfTool,
		`{"tools":[]}`:                                                        "",
		`{"tools":[{"model":null},{"model":{"model":"b/y"}},{"model":[]}]}`:   "",
		`{"tools":[{"function":{"model":"b/y","parameters":[{"model":1}]}}]}`: "",
		`{"tools":[[{"model":"b/y"}]]}`:                                       "",
		`{"tools":{"model":"b/y"}}`:                                           "",
		`{"tools":"x","y":[{"model":"b/y"}]}`:                                 "",
		`{"x":{"tools":[{"model":"b/y"}]}}`:                                   "",
		`{"tools":[{"models":["b/y"]}]}`:                                      "",
	} {
		var found Found
		if err := found.AddBody([]byte(body)); err != nil || found.Chooser != want {
			t.Errorf("%s: found %q, %v, want %q", body, found.Chooser, err, want)
		}
	}
}

func TestToolsAreReadAsStrictlyAsAllElse(t *testing.T) {
	for _, tools := range []string{
		`[`, `[{`, `[{"`, `[{"a`, `[{"a"`, `[{"a":`, `[{"a":1`, `[{"a":1,`, `[{"a":1}`, `[{"a":1},`, `[,1]`, `[1,]`, `[1 2]`, `[{a:1}]`, `[{"a" 1}]`,
		`[{"a":1,}]`, `[{,}]`, `[{"a":1 "b":2}]`, `[{"a":1]`, `[{]}`, `[1}`, `[nul]`, `[{"model":"b]}`, `[{"model":}]`,
		"[{\"\xff\":1}]", "[\"\xff\"]", `["` + "\n" + `"]`,
	} {
		var found Found
		wantCode(t, found.AddBody([]byte(`{"tools":`+tools+`}`)), CodeInvalidBody)
	}
	for depth, code := range map[int]string{maxDepth - 3: "", maxDepth - 2: CodeInvalidBody} {
		var found Found
		body := `{"tools":[{"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}]}`
		wantCode(t, found.AddBody([]byte(body)), code)
		body = `{"tools":[` + strings.Repeat("[", depth+1) + strings.Repeat("]", depth+1) + `]}`
		wantCode(t, found.AddBody([]byte(body)), code)
	}
}

func TestChoosersInAForm(t *testing.T) {
	for _, name := range choosers {
		for how, spelling := range spellings(name) {
			for _, suffix := range []string{"", "[]", "[0][model]", "["} {
				var found Found
				body := form(field("model", "a/x"), field(spelling+suffix, ""), field("route", "x"))
				if err := found.AddForm([]byte(body), []string{testForm}); err != nil || found.Chooser != name {
					t.Errorf("%s %s: found %q, %v", name+suffix, how, found.Chooser, err)
				}
			}
		}
	}
	for name, want := range map[string]string{
		"Model": modelVariant, "model[]": modelVariant, "tools": "", "mode": "", "modelss": "", "x[models]": "", "": "", "messages": "",
	} {
		var found Found
		if err := found.AddForm([]byte(form(field(name, "b/y"))), []string{testForm}); err != nil || found.Chooser != want {
			t.Errorf("%s: found %q, %v", name, found.Chooser, err)
		}
	}
}

func TestChoosersInAQuery(t *testing.T) {
	for _, name := range choosers {
		for how, spelling := range spellings(name) {
			everything := ""
			for i := range len(spelling) {
				everything += "%" + strings.ToUpper(hex(spelling[i]))
			}
			for _, query := range []string{
				url.QueryEscape(spelling), url.QueryEscape(spelling) + "=", "model=a&" + everything + "=b%zz&fallbacks=1", "a=1;" + everything + "=b",
				everything + ";a=1", "&&a&" + everything + "%00x=1", everything + "[]=1", everything + "%5b0%5D=1",
			} {
				found, err := FindInURL(http.MethodGet, parseTarget(t, "/v1/realtime?"+query))
				if err != nil || found.Chooser != name {
					t.Errorf("%s %s: found %q, %v in %s", name, how, found.Chooser, err, query)
				}
			}
		}
	}
	for query, want := range map[string]string{
		"model=a/b":                 "",
		"mod%65l=a/b":               "",
		"Model=a/b":                 modelVariant,
		"%4dodel":                   modelVariant,
		"model%00=a":                modelVariant,
		"model[]=a":                 modelVariant,
		"api-version=1&deployments": "",
		"x=models&y=a%3Bmodels=b":   "",
		"%":                         "",
		"%6":                        "",
		"model%zz=a":                "",
		"%256dodels=a":              "",
		"tools=a":                   "",
		strings.Repeat("m", 100):    "",
		"models" + strings.Repeat("%c5%bf", 20) + "=a": "",
	} {
		found, err := FindInURL(http.MethodGet, parseTarget(t, "/v1/realtime?"+query))
		if err != nil || found.Chooser != want {
			t.Errorf("%s: found %q, %v, want %q", query, found.Chooser, err, want)
		}
	}
}

func TestChooserInAHeader(t *testing.T) {
	for name, want := range map[string]string{
		"Azureml-Model-Deployment":  deploymentHeader,
		"azureml-model-deployment":  deploymentHeader,
		"AZUREML_MODEL_DEPLOYMENT":  deploymentHeader,
		"Azureml-Model_deployment":  deploymentHeader,
		"Azureml-Model-Deployments": "",
		"X-Model":                   "",
	} {
		var found Found
		found.AddHeader(http.Header{"Content-Type": {"application/json"}, name: {""}})
		if found.Chooser != want {
			t.Errorf("%s: found %q", name, found.Chooser)
		}
	}
	found := Found{Chooser: "route"}
	if found.AddHeader(http.Header{"Azureml-Model-Deployment": {"b"}}); found.Chooser != "route" {
		t.Errorf("the first chooser became %q", found.Chooser)
	}
}

func TestTheFirstChooserCounts(t *testing.T) {
	found, err := FindInURL(http.MethodPost, parseTarget(t, "/v1/chat/completions?engine=x"))
	if err == nil {
		err = found.AddBody([]byte(`{"models":[]}`))
	}
	if err != nil || found.Chooser != "engine" {
		t.Errorf("found %q, %v", found.Chooser, err)
	}
}

func TestLookingForChoosersAllocatesNothing(t *testing.T) {
	u := parseTarget(t, "/v1/realtime?%6d%6f%64%65%6c%73=1&"+strings.Repeat("m", 200)+"=1&Deployment=x")
	header := http.Header{"Azureml_Model-Deployments": nil, "Content-Type": nil, "X-Request-Id-And-Something": nil}
	body := []byte(`{"fallbac\u212as":[],"tools":[{"model":"b/y"}],"Route":1}`)
	if allocations := testing.AllocsPerRun(100, func() {
		found, err := FindInURL(http.MethodGet, u)
		if err == nil {
			err = found.AddBody(body)
		}
		if found.AddHeader(header); err != nil || found.Chooser != "models" {
			t.Fatal(found, err)
		}
	}); allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
}
