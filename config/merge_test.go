package config

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fileFields are validFields as a file has them.
const fileFields = `"client_id":"id","client_secret":"os.environ/SECRET","token_url":"https://idp.example.com/token"`

// inFile reads a provider p from a file.
func inFile(t *testing.T, file, fields string) Providers {
	t.Helper()
	providers, err := parseFile(file, []byte(fileWith(fields)))
	if err != nil {
		t.Fatal(err)
	}
	return providers
}

func TestEqual(t *testing.T) {
	for path, field := range tokenFields {
		if one, other := withField(t, path, field.value)["p"], withField(t, path, field.value)["p"]; !Equal(one, other) {
			t.Errorf("%s: the same providers are not equal", path)
		}
		if Equal(withField(t, path, field.value)["p"], withField(t, "client_id", `"id"`)["p"]) {
			t.Errorf("%s: providers that differ in it are equal", path)
		}
	}
	inFile, inJSON := inFile(t, "a.json", fileFields)["p"], valid(t, "")
	inFile.ClientSecret = inJSON.ClientSecret
	if !Equal(inFile, inJSON) {
		t.Error("where a provider stands makes a difference")
	}
	if Equal(inFile, nil) || Equal(nil, inFile) || !Equal(nil, nil) {
		t.Error("no provider is equal to one")
	}
}

func TestASecondFileMayDeclareTheSame(t *testing.T) {
	all := Providers{}
	for _, file := range []string{"a.json", "b.json"} {
		if err := all.Add(inFile(t, file, fileFields)); err != nil {
			t.Fatal(err)
		}
	}
	if err := all.Add(Providers{"q": valid(t, "")}); err != nil || len(all) != 2 {
		t.Errorf("got %v, %v", sorted(all), err)
	}
}

func TestASecondFileMayNotDeclareSomethingElse(t *testing.T) {
	all := inFile(t, "a.json", fileFields)
	first := all["p"]
	err := all.Add(inFile(t, "b.json", fileFields+`,"scope":"CANARY"`))
	wantError(t, err, "", "b.json:1:22: provider p: is declared in a.json:1:22 too, and not with the same fields")
	wantNoCanary(t, err)
	if all["p"] != first {
		t.Error("the second provider has replaced the first")
	}
	err = all.Add(Providers{"p": valid(t, `"scope":"CANARY"`), "q": valid(t, "")})
	wantError(t, err, "", "is declared in a.json:1:22 too")
	if all["q"] == nil {
		t.Error("one provider at fault keeps the others out")
	}
	wantError(t, all.Add(Providers{"p": nil}), "", "is declared in a.json:1:22 too")
}

func TestWhatStandsBesideAFileComplementsIt(t *testing.T) {
	all := inFile(t, "a.json", `"client_id":"i","client_secret":"s","token_url":"https://idp.example.com/t",
		"token_request":{"params":{"a":"1"},"headers":{"A":["1"]},"timeout":"1s"},"place":{"header":"X-A"},"header_up":{"set":{"A":["1"]}}`)
	all["only-in-file"] = valid(t, "")
	beside, err := native(t, `"scope":"read","token_request":{"params":{"b":"2"},"headers":{"B":["2"]},"retries":0},
		"refresh_before":"1m","place":{"prefix":""},"header_up":{"set":{"B":["2"]},"delete":["C"]}`)
	if err != nil {
		t.Fatal(err)
	}
	beside["only-beside"] = valid(t, "")
	before, _ := json.Marshal([]any{all["p"], beside["p"]})
	file, block := all["p"], beside["p"]
	if err := all.Complement(beside); err != nil {
		t.Fatal(err)
	}
	want, err := native(t, `"client_id":"i","client_secret":"s","token_url":"https://idp.example.com/t","scope":"read",
		"token_request":{"params":{"a":"1","b":"2"},"headers":{"A":["1"],"B":["2"]},"timeout":"1s","retries":0},
		"refresh_before":"1m","place":{"header":"X-A","prefix":""},"header_up":{"set":{"A":["1"],"B":["2"]},"delete":["C"]}`)
	if err != nil {
		t.Fatal(err)
	}
	if !Equal(all["p"], want["p"]) {
		got, _ := json.Marshal(all["p"])
		t.Errorf("got %s", got)
	}
	if after, _ := json.Marshal([]any{file, block}); string(after) != string(before) {
		t.Errorf("what was joined has changed to %s", after)
	}
	if len(all) != 3 || all["only-in-file"] == nil || all["only-beside"] == nil {
		t.Errorf("got %v", sorted(all))
	}
}

func TestAFieldIsSetInOnePlace(t *testing.T) {
	for path, field := range tokenFields {
		t.Run(path, func(t *testing.T) {
			a, b := withField(t, path, field.value), withField(t, path, field.value)
			p := b["p"]
			for _, required := range []string{"client_id", "client_secret", "token_url"} {
				if required != path {
					switch required {
					case "client_id":
						p.ClientID = ""
					case "client_secret":
						p.ClientSecret = ""
					case "token_url":
						p.TokenURL = ""
					}
				}
			}
			err := a.Complement(b)
			misconfigured, ok := errors.AsType[*ConfigurationError](err)
			if !ok || misconfigured.Provider != "p" || !strings.HasPrefix(misconfigured.Field, path) || !strings.Contains(err.Error(), "keep one of them") {
				t.Errorf("got %v", err)
			}
			if len(faultyFields(err)) != 1 {
				t.Errorf("one field is reported as %v", faultyFields(err))
			}
		})
	}
}

func TestAConflictNamesBothPlacesAndNoValue(t *testing.T) {
	all := inFile(t, "a.json", "\n"+`"client_id":"CANARY","scope":"CANARY",`+"\n"+`"token_request":{"params":{"x":"CANARY","y z":"CANARY"}},"header_up":{"set":{"A":["CANARY"]}}`)
	beside := inFile(t, "b.json", `"client_id":"CANARY","token_request":{"params":{"x":"CANARY","y z":"CANARY"}}`)
	err := all.Complement(beside)
	for _, want := range []string{
		"a.json:2:1: provider p: client_id: is set here and in b.json:1:27; keep one of them",
		"a.json:3:28: provider p: token_request.params.x: is set here and in b.json:1:75; keep one of them",
		"provider p: token_request.params.(a name of 3 bytes): is set here and in b.json:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	wantNoCanary(t, err)

	inline, decoding := native(t, `"header_up":{"set":{"A":["CANARY"]}}`)
	if decoding != nil {
		t.Fatal(decoding)
	}
	err = inFile(t, "a.json", `"header_up":{"set":{"A":["CANARY"]}}`).Complement(inline)
	wantError(t, err, "header_up.set.A", "is set here and in the provider block; keep one of them")
}

func TestAJoinedProviderKnowsWhereItsFieldsStand(t *testing.T) {
	all := inFile(t, "a.json", `"client_id":"i","token_url":"ftp://x"`)
	if err := all.Complement(inFile(t, "b.json", "\n"+`"client_secret":"s","scope":" a","token_request":{"params":{"x":"{"}}`)); err != nil {
		t.Fatal(err)
	}
	err := all.validate(testEnvironment())
	for _, want := range []string{"a.json:1:43: provider p: token_url", "b.json:2:21: provider p: scope", "b.json:2:61: provider p: token_request.params.x"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestComplementTakesWhatIsNot(t *testing.T) {
	p := valid(t, "")
	all := Providers{"a": nil, "b": p}
	if err := all.Complement(Providers{"a": p, "c": p}); err != nil || all["a"] != p || all["c"] != p {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestABlockThatCompletesNothingSuggestsTheNamesInTheFiles(t *testing.T) {
	const want = "no config file declares this provider, and it has no token_url, preset or source of its own; "
	for name, test := range map[string]struct {
		inFiles []string
		fields  string
		want    string
	}{
		"no similar name":          {[]string{"corp", "other"}, `"base_url":"https://CANARY"`, want + "the files declare corp, other"},
		"a name of other letters":  {[]string{"a b"}, `"client_secret":"CANARY"`, want + "the files declare (a name of 3 bytes)"},
		"source request":           {[]string{"corp"}, `"source":"request"`, want + "the files declare corp"},
		"many names":               {strings.Split("abcdefghijklm", ""), `"scope":"CANARY"`, want + "the files declare a, b, c, d, e, f, g, h, i, j, and 3 more"},
		"no file":                  {nil, `"base_url":"https://CANARY"`, ""},
		"a provider of its own":    {[]string{"corp"}, validFields, ""},
		"a preset":                 {[]string{"corp"}, `"preset":"azure_openai"`, ""},
		"a source":                 {[]string{"corp"}, `"source":"file /token"`, ""},
		"a provider in the files":  {[]string{"p"}, `"base_url":"https://llm.example.com"`, ""},
		"no fields, and in a file": {[]string{"p"}, ``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			all := Providers{}
			for _, inFile := range test.inFiles {
				all[inFile] = &Provider{ClientID: "id"}
			}
			beside, err := native(t, test.fields)
			if err != nil {
				t.Fatal(err)
			}
			if err = all.Complement(beside); test.want == "" && err == nil {
				return
			}
			wantError(t, err, "", test.want)
			wantNoCanary(t, err)
		})
	}
}

func TestABlockThatCompletesNothingGuessesWhatWasMeant(t *testing.T) {
	beside := Providers{"my_crop": {BaseURL: "https://llm.example.com"}}
	beside["my_crop"].Locate("", "Caddyfile", 7)
	err := Providers{"my_corp": valid(t, ""), "other": valid(t, "")}.Complement(beside)
	if err == nil || !strings.HasPrefix(err.Error(), "Caddyfile:7: provider my_crop: no config file declares") || !strings.HasSuffix(err.Error(), "; did you mean my_corp?") {
		t.Errorf("got %v", err)
	}
}

func TestMergeFollowsTheStruct(t *testing.T) {
	got := make([]string, 0, len(tokenFields))
	for path := range tokenFields {
		got = append(got, path)
	}
	slices.Sort(got)
	want := allPaths(reflect.TypeFor[Provider](), "")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the fields %v are tested, and there are %v", got, want)
	}
}
