package llm

import (
	"mime"
	"strings"
	"testing"
)

func TestContentTypesThatMeanTheSameToAll(t *testing.T) {
	for name, contentType := range map[string][]string{
		"no field":                        nil,
		"an empty field":                  {""},
		"a blank field":                   {" "},
		"JSON":                            {"application/json"},
		"JSON in capitals":                {"Application/JSON"},
		"JSON with nothing behind":        {"application/json;"},
		"JSON with blanks behind":         {"application/json ; "},
		"a parameter with nothing behind": {"application/json; charset=utf-8;"},
		"UTF-8":                           {"application/json; charset=utf-8"},
		"UTF-8 without blank":             {"application/json;charset=utf-8"},
		"UTF-8 in capitals":               {"application/json; Charset=UTF-8"},
		"UTF-8 in quotes":                 {`application/json; charset="utf-8"`},
		"UTF-8 without hyphen":            {"application/json; charset=utf8"},
		"UTF-8 without hyphen in quotes":  {`application/json; charset="UTF8" `},
		"ASCII":                           {"application/json; charset=US-ASCII"},
		"another parameter":               {"application/json; version=1; charset=utf-8; v=2"},
		"another parameter in quotes":     {`application/vnd.api+json; profile="https://example.com/a?b=c"`},
		"a vendor's type":                 {"application/vnd.acme.v1+json"},
		"a text":                          {"text/plain; charset=utf-8"},
		"bytes":                           {"application/octet-stream"},
		"a form":                          {"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"},
		"a form with a quoted boundary":   {`multipart/form-data; boundary="----=_Part_5_123.456"`},
	} {
		if err := ContentTypeFault(contentType); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContentTypesThatServersReadDifferently(t *testing.T) {
	const json = "application/json"
	for name, contentType := range map[string][]string{
		"two fields":                                {json, json},
		"two fields of which one is empty":          {json, ""},
		"another charset":                           {json + "; charset=utf-7"},
		"another charset in quotes":                 {json + `; charset="utf-16"`},
		"another charset in capitals":               {json + "; CHARSET=ISO-8859-1"},
		"another charset without blank":             {json + ";charset=shift_jis"},
		"a charset of no text":                      {json + `; charset=""`},
		"a charset without value":                   {json + "; charset="},
		"a charset without equals sign":             {json + "; charset"},
		"a charset with blanks in quotes":           {json + `; charset=" utf-8"`},
		"a charset in single quotes":                {json + "; charset='utf-8'"},
		"two charsets":                              {json + "; charset=utf-8; charset=utf-7"},
		"the same charset twice":                    {json + "; charset=utf-8; charset=utf-8"},
		"two charsets that differ in case":          {json + "; charset=utf-8; Charset=utf-7"},
		"an extended charset":                       {json + "; charset*=utf-8''utf-7"},
		"a charset in pieces":                       {json + "; charset*0=utf-8"},
		"an escape":                                 {json + `; charset="utf\-8"`},
		"a charset within a value":                  {json + `; x="; charset=utf-7"`},
		"a charset within a value, after one":       {json + `; charset=utf-8; x="charset=utf-7"`},
		"a charset at the end of another name":      {json + "; xcharset=utf-7"},
		"a charset in front of another name":        {json + "; charset-x=utf-7; charset=utf-8"},
		"a blank before the equals sign":            {json + "; charset =utf-8"},
		"a blank after the equals sign":             {json + "; charset= utf-8"},
		"a blank in a value":                        {json + "; charset=utf-8 utf-7"},
		"a tab":                                     {json + ";\tcharset=utf-8"},
		"a NUL":                                     {json + "\x00; charset=utf-8"},
		"a DEL":                                     {json + "; x=a\x7f"},
		"a letter outside ASCII":                    {json + `; x="é"`},
		"a blank outside ASCII":                     {json + ";\u00a0charset=utf-8"},
		"two types":                                 {json + ", " + json},
		"two types, the first with a parameter":     {json + "; charset=utf-8, text/plain"},
		"a comma between parameters":                {json + "; charset=utf-8, charset=utf-7"},
		"a comma within a value":                    {json + `; x="a, text/plain"`},
		"a semicolon within a value":                {json + `; x="a; b=c"`},
		"an encoded word":                           {json + `; x="=?utf-8?q?a?="`},
		"another parameter twice":                   {json + "; v=1; v=1"},
		"another parameter twice, in another case":  {json + "; v=1; V=2"},
		"two semicolons":                            {json + ";; charset=utf-8"},
		"a parameter without a name":                {json + "; =utf-8"},
		"text behind a quoted value":                {json + `; charset="utf-8"x`},
		"a quote that does not end":                 {json + `; charset="utf-8`},
		"a quote within a value":                    {json + `; charset=utf"-8"`},
		"an unquoted value that is no token":        {json + "; x=a/b"},
		"no subtype":                                {"application"},
		"an empty subtype":                          {"application/"},
		"two subtypes":                              {"application/json/xml"},
		"no type":                                   {"; charset=utf-8"},
		"any type":                                  {"*/*"},
		"a blank within the type":                   {"application /json"},
		"a comment":                                 {"application/json (text)"},
		"another multipart body":                    {"multipart/mixed; boundary=x"},
		"another multipart body, in capitals":       {"Multipart/Related; boundary=x"},
		"a word for multipart bodies":               {"application/x-multipart; boundary=x"},
		"a word for multipart bodies in a value":    {"text/plain; x=Multipart; boundary=x"},
		"a word for forms in the way of URLs":       {json + "; x=urlencoded"},
		"another form in the way of URLs":           {"text/x-UrlEncoded"},
		"a form in the way of URLs":                 {"application/x-www-form-urlencoded"},
		"a form in the way of URLs, in capitals":    {"Application/X-WWW-Form-URLEncoded"},
		"a form in the way of URLs, with a charset": {"application/x-www-form-urlencoded; charset=utf-8"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ContentTypeFault(contentType)
			wantCode(t, err, CodeUnsupportedContentType)
			for _, word := range []string{"utf-7", "shift", "iso", "text/plain"} {
				if strings.Contains(strings.ToLower(err.Error()), word) {
					t.Errorf("the message repeats the client's text: %v", err)
				}
			}
		})
	}
}

func TestWhatCurlSendsIsAnsweredWithWhatItShouldSend(t *testing.T) {
	err := ContentTypeFault([]string{"application/x-www-form-urlencoded"})
	if err == nil || !strings.Contains(err.Error(), "-H 'Content-Type: application/json'") {
		t.Errorf("got %v", err)
	}
}

func TestIsForm(t *testing.T) {
	for contentType, want := range map[string]bool{
		testForm:                              true,
		"multipart/form-data":                 true,
		" Multipart/Form-Data ;boundary=x":    true,
		"multipart/form-data; what is this":   true,
		"multipart/mixed; boundary=x":         false,
		"multipart/form-data2":                false,
		"application/x-www-form-urlencoded":   false,
		"application/json":                    false,
		"text/plain; x=\"multipart/form-data": false,
		"":                                    false,
	} {
		if got := IsForm([]string{contentType}); got != want {
			t.Errorf("IsForm(%q) = %v", contentType, got)
		}
	}
	if IsForm(nil) || !IsForm([]string{"application/json", testForm}) {
		t.Error("a form is one if any field says so, and none if there is no field")
	}
}

func TestIsJSON(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json":                  true,
		"Application/JSON ; charset=utf-8":  true,
		"application/json;":                 true,
		"application/vnd.acme+json":         true,
		"APPLICATION/problem+JSON; v=1":     true,
		"application/+json":                 false,
		"application/json+x":                false,
		"application/json-seq":              false,
		"text/json":                         false,
		"text/x+json":                       false,
		"text/plain; x=application/json":    false,
		"multipart/form-data":               false,
		"application/x-www-form-urlencoded": false,
		"":                                  false,
	} {
		if got := IsJSON([]string{contentType}); got != want {
			t.Errorf("IsJSON(%q) = %v", contentType, got)
		}
	}
	if IsJSON(nil) || IsJSON([]string{"application/json", "application/json"}) {
		t.Error("no field and several fields are no JSON")
	}
}

// What is accepted is read by mime, and by one that cares for nothing, as the
// same charset.
func FuzzContentTypeFault(f *testing.F) {
	for _, contentType := range []string{
		"application/json", `application/json; charset="utf-8"`, "application/json;charset=utf-8;", "a/b; x=y; charset=US-ASCII", testForm,
		"application/json; charset =utf-8", `a/b; x="charset=utf-7"`, "a/b; charset*0=utf-8", `a/b;x="a;charset=utf-7"`, "a/b,c/d; charset=utf-8",
		"multipart/form-data; boundary=x; charset=utf8", "a/b; xcharset=utf-7", "a/b ;\tcharset=utf-8", "a", "a/b;;", `a/b; x=""`,
	} {
		f.Add(contentType)
	}
	f.Fuzz(func(t *testing.T, contentType string) {
		if strings.TrimSpace(contentType) == "" || ContentTypeFault([]string{contentType}) != nil {
			return
		}
		mediaType, parameters, err := mime.ParseMediaType(contentType)
		if err != nil {
			t.Fatalf("mime reads %q as %v", contentType, err)
		}
		careless := ""
		for _, piece := range strings.FieldsFunc(strings.ToLower(contentType), func(r rune) bool { return strings.ContainsRune(";, \t", r) }) {
			if _, value, found := strings.Cut(piece, "charset="); found {
				careless = strings.Trim(value, `"'`)
			}
		}
		charset := strings.ToLower(parameters["charset"])
		if careless != charset || charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii" {
			t.Fatalf("%q: mime reads the charset %q, a careless parser %q", contentType, charset, careless)
		}
		if mediaType == "application/x-www-form-urlencoded" || !strings.EqualFold(mediaType, strings.TrimSpace(strings.Split(contentType, ";")[0])) {
			t.Fatalf("%q: mime reads the type %q", contentType, mediaType)
		}
	})
}
