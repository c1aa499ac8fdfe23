package llm

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"testing"
)

const (
	testBoundary = "----formdata-undici-081763118328"
	testForm     = "multipart/form-data; boundary=" + testBoundary
)

// form is a form of parts, each a header and a content.
func form(parts ...string) string {
	const delimiter = "--" + testBoundary
	return delimiter + "\r\n" + strings.Join(parts, "\r\n"+delimiter+"\r\n") + "\r\n" + delimiter + "--\r\n"
}

func field(name, value string) string {
	return `Content-Disposition: form-data; name="` + name + `"` + "\r\n\r\n" + value
}

func file(name, fileName, content string) string {
	return `Content-Disposition: form-data; name="` + name + `"; filename="` + fileName + `"` +
		"\r\nContent-Type: audio/wav\r\n\r\n" + content
}

func TestFindFormModel(t *testing.T) {
	model := field("model", "corp/whisper-1")
	for _, c := range []struct{ name, body, want, code string }{
		{"the model before a file", form(model, file("file", "a.wav", "RIFF")), "corp/whisper-1", ""},
		{"the model after a file", form(file("file", "a.wav", "RIFF\r\n\r\n--x\r\n"), field("n", "1"), model), "corp/whisper-1", ""},
		{"the model alone", form(model), "corp/whisper-1", ""},
		{"an empty model", form(field("model", "")), "", ""},
		{"a name with a line break is found for ParseName to refuse", form(field("model", "a\r\nb")), "a\r\nb", ""},
		{"no CRLF at the end", strings.TrimSuffix(form(model), "\r\n"), "corp/whisper-1", ""},
		{"no model", form(file("file", "a.jsonl", "{}"), field("purpose", "batch")), "", ""},
		{"no part at all", "--" + testBoundary + "--\r\n", "", ""},
		{"a case variant alone is not a model", form(field("Model", "b/y")), "", ""},
		{"a name that only begins like model", form(field("models", "b/y"), field("model[]", "b/y"), field("mode", "b/y")), "", ""},
		{"a file's content names no model", form(file("file", "model", field("model", "b/y")), model), "corp/whisper-1", ""},
		{"a boundary within a line is content", form(field("x", "a --"+testBoundary+"--\r\n"), model), "corp/whisper-1", ""},
		{"the longest name", form(field("model", strings.Repeat("x", maxName))), strings.Repeat("x", maxName), ""},
		{"two models", form(field("model", "a/x"), field("model", "b/y")), "", CodeAmbiguousModel},
		{"the same model twice", form(model, file("file", "a.wav", "RIFF"), model), "", CodeAmbiguousModel},
		{"a model and a file of this name", form(model, file("model", "a.wav", "RIFF")), "", CodeAmbiguousModel},
		{"a model and a case variant", form(model, field("MODEL", "b/y")), "", CodeAmbiguousModel},
		{"a case variant and a model", form(field("Model", "b/y"), model), "", CodeAmbiguousModel},
		{"two case variants", form(field("Model", "b/y"), field("MODEL", "b/y")), "", CodeAmbiguousModel},
		{"a file called model", form(file("model", "a.wav", "corp/whisper-1")), "", CodeInvalidBody},
		{"a name of 257 bytes", form(field("model", strings.Repeat("x", maxName+1))), "", CodeInvalidBody},
		{"a field that says that the charset is UTF-8", form(field("_charset_", "UTF-8"), model), "corp/whisper-1", ""},
		{"a field that says another charset", form(field("_charset_", "utf-7"), model), "", CodeInvalidBody},
		{"a field that says another charset, in capitals", form(model, field("_CHARSET_", "utf-16")), "", CodeInvalidBody},
		{"no closing boundary", "--" + testBoundary + "\r\n" + model, "", CodeInvalidBody},
		{"no closing boundary, but another", "--" + testBoundary + "\r\n" + model + "\r\n--" + testBoundary + "\r\n", "", CodeInvalidBody},
		{"half a closing boundary", "--" + testBoundary + "\r\n" + model + "\r\n--" + testBoundary + "-", "", CodeInvalidBody},
		{"a boundary and nothing else", "--" + testBoundary, "", CodeInvalidBody},
		{"a boundary at the end of its line", "--" + testBoundary + "\r\n", "", CodeInvalidBody},
		{"an empty body", "", "", CodeInvalidBody},
		{"JSON", `{"model":"a/x"}`, "", CodeInvalidBody},
		{"a preamble", "\r\n" + form(model), "", CodeInvalidBody},
		{"a preamble with text", "This is MIME.\r\n" + form(model), "", CodeInvalidBody},
		{"a byte order mark", "\ufeff" + form(model), "", CodeInvalidBody},
		{"an epilogue", form(model) + "the end", "", CodeInvalidBody},
		{"another form after the form", form(model) + form(model), "", CodeInvalidBody},
		{"an empty line after the form", form(model) + "\r\n", "", CodeInvalidBody},
		{"LF alone after the form", strings.TrimSuffix(form(model), "\r\n") + "\n", "", CodeInvalidBody},
		{"LF alone everywhere", strings.ReplaceAll(form(model), "\r\n", "\n"), "", CodeInvalidBody},
		{"LF alone before a boundary", strings.Replace(form(model, model), "\r\n--", "\n--", 1), "", CodeInvalidBody},
		{"CR alone before a boundary", strings.Replace(form(model, model), "\r\n--", "\r--", 1), "", CodeInvalidBody},
		{"LF alone after a boundary", strings.Replace(form(model), testBoundary+"\r\n", testBoundary+"\n", 1), "", CodeInvalidBody},
		{"white space after a boundary", strings.Replace(form(model), testBoundary+"\r\n", testBoundary+" \r\n", 1), "", CodeInvalidBody},
		{"a boundary that goes on", form(field("x", "\r\n--"+testBoundary+"x"), model), "", CodeInvalidBody},
		{"a part without anything", form("", model), "", CodeInvalidBody},
		{"two boundaries in a row", form("--" + testBoundary + "\r\n" + model), "", CodeInvalidBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, ok, err := FindFormModel([]byte(c.body), []string{testForm})
			wantCode(t, err, c.code)
			if found.Name != c.want || err != nil && ok || c.want != "" && !ok {
				t.Errorf("found %+v, %v; want %q", found, ok, c.want)
			}
			if ok && c.body[found.Start:found.End] != c.want {
				t.Errorf("the span holds %q", c.body[found.Start:found.End])
			}
			if err != nil && found != (Model{}) {
				t.Errorf("got %+v besides the error", found)
			}
		})
	}
}

func TestFormsMayHaveAThousandParts(t *testing.T) {
	parts := make([]string, maxParts)
	for i := range parts {
		parts[i] = field("n"+strconv.Itoa(i), "1")
	}
	parts[maxParts-1] = field("model", "a/x")
	model, found, err := FindFormModel([]byte(form(parts...)), []string{testForm})
	if err != nil || !found || model.Name != "a/x" {
		t.Errorf("%d parts: found %+v, %v, %v", len(parts), model, found, err)
	}
	_, found, err = FindFormModel([]byte(form(append(parts, field("n", "1"))...)), []string{testForm})
	wantCode(t, err, CodeInvalidBody)
	if found {
		t.Error("a model was found in spite of the error")
	}
}

func TestBoundaries(t *testing.T) {
	const b = "multipart/form-data; boundary="
	longest := strings.Repeat("x", maxBoundary)
	for _, c := range []struct {
		name        string
		contentType []string
		boundary    string // that servers use; if empty, the form is refused
	}{
		{"plain", []string{b + "x"}, "x"},
		{"quoted", []string{b + `"x"`}, "x"},
		{"capitals count", []string{"Multipart/FORM-DATA;Boundary=Xx"}, "Xx"},
		{"of a mail library", []string{b + `"----=_Part_5_123.456"`}, "----=_Part_5_123.456"},
		{"of WebKit, with its word in it", []string{b + "----WebKitFormBoundary7MA4YWxkTrZu0gW"}, "----WebKitFormBoundary7MA4YWxkTrZu0gW"},
		{"of curl", []string{b + "------------------------d74496d66958873e"}, "------------------------d74496d66958873e"},
		{"all that it may hold", []string{b + `"'()+_-./:=0aZ"`}, "'()+_-./:=0aZ"},
		{"70 characters", []string{b + longest}, longest},
		{"UTF-8 as charset", []string{b + "x; charset=UTF-8"}, "x"},
		{"UTF-8 as charset, in front", []string{"multipart/form-data; charset=utf-8; boundary=x"}, "x"},
		{"71 characters", []string{b + longest + "x"}, ""},
		{"none", []string{"multipart/form-data"}, ""},
		{"an empty one", []string{b + `""`}, ""},
		{"another kind of multipart", []string{"multipart/mixed; boundary=x"}, ""},
		{"no content type", nil, ""},
		{"two content types", []string{b + "x", b + "x"}, ""},
		{"two boundaries", []string{b + "x; boundary=y"}, ""},
		{"two boundaries that differ in case", []string{b + "x; BOUNDARY=y"}, ""},
		{"in pieces", []string{"multipart/form-data; boundary*0=x; boundary*1=y"}, ""},
		{"with a charset of its own", []string{"multipart/form-data; boundary*=utf-8''x"}, ""},
		{"an escape that some servers undo", []string{b + `"x\:y"`}, ""},
		{"an escaped quote", []string{b + `"x\"y"`}, ""},
		{"a space at the end", []string{b + `"x "`}, ""},
		{"a space inside", []string{b + `"x y"`}, ""},
		{"a comma, at which Rack ends it", []string{b + `"x,y"`}, ""},
		{"an encoded word, which Tomcat decodes", []string{b + `"=?utf-8?q?x?="`}, ""},
		{"a letter outside ASCII", []string{b + `"é"`}, ""},
		{"a line break", []string{b + "\"x\ny\""}, ""},
		{"unquoted characters that are no token", []string{b + "x/y"}, ""},
		{"text after it", []string{b + "x y"}, ""},
		{"a charset with which Starlette reads other names", []string{b + "x; charset=utf-7"}, ""},
		{"a charset of two bytes each", []string{b + "x; charset=utf-16"}, ""},
		{"another parameter with a boundary in it", []string{b + `x; y="; boundary=z"`}, ""},
		{"another parameter that ends like a boundary", []string{"multipart/form-data; xboundary=z; boundary=x"}, ""},
		{"a charset with a boundary in it", []string{`multipart/form-data; charset="boundary=z"; boundary=x`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			boundary := c.boundary
			if boundary == "" && len(c.contentType) > 0 {
				// The form would be a good one if this were a boundary.
				_, parameters, _ := mime.ParseMediaType(c.contentType[0])
				boundary = parameters["boundary"]
			}
			body := strings.ReplaceAll(form(field("model", "a/x")), testBoundary, boundary)
			model, found, err := FindFormModel([]byte(body), c.contentType)
			if c.boundary == "" {
				wantCode(t, err, CodeInvalidBody)
			} else if err != nil || !found || model.Name != "a/x" {
				t.Errorf("found %+v, %v, %v", model, found, err)
			}
		})
	}
}

func TestBoundariesHoldWhatAllServersRead(t *testing.T) {
	const good = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'()+_-./:="
	for c := range rune(0x180) {
		boundary := "x" + string(c) + "y"
		body := strings.ReplaceAll(form(field("model", "a/x")), testBoundary, boundary)
		_, found, err := FindFormModel([]byte(body), []string{`multipart/form-data; boundary="` + boundary + `"`})
		if want := strings.ContainsRune(good, c); found != want || want != (err == nil) {
			t.Errorf("%q: found is %v, %v", boundary, found, err)
		}
	}
}

func TestFormsOfMimeMultipartAreRead(t *testing.T) {
	for _, modelFirst := range []bool{true, false} {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		if modelFirst {
			_ = w.WriteField("model", "corp/whisper-1")
		}
		part, err := w.CreateFormFile("file", `größe \ 1.wav`)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(bytes.Repeat([]byte("RIFF\r\n--\x00\xff"), 10000))
		_ = w.WriteField("timestamp_granularities[]", "word")
		if !modelFirst {
			_ = w.WriteField("model", "corp/whisper-1")
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		model, found, err := FindFormModel(body.Bytes(), []string{w.FormDataContentType()})
		if err != nil || !found || model.Name != "corp/whisper-1" {
			t.Errorf("model first %v: found %+v, %v, %v", modelFirst, model, found, err)
		}
	}
}

// readModels is what mime/multipart reads from a form: the parts whose names
// are model, if case does not matter.
func readModels(body []byte, contentType string) (names, values []string, err error) {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, nil, err
	}
	for r := multipart.NewReader(bytes.NewReader(body), parameters["boundary"]); ; {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return names, values, nil
		}
		if err != nil {
			return nil, nil, err
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, nil, err
		}
		if strings.EqualFold(part.FormName(), "model") {
			names, values = append(names, part.FormName()), append(values, string(value))
		}
	}
}

func FuzzFormModel(f *testing.F) {
	model := field("model", "corp/whisper-1")
	for _, body := range []string{
		form(model), form(file("file", "a.wav", "RIFF"), model), form(model, field("MODEL", "b/y")), form(field("Model", "")),
		form(strings.Replace(model, `"model"`, "model", 1)), form("Content-Type: text/plain; charset=us-ascii\r\n" + model),
		form(strings.Replace(model, "\r\n", "\r\n x\r\n", 1)), strings.ReplaceAll(form(model), "\r\n", "\n"),
		form(field("x", "--"+testBoundary)), form(field("x", "\r\n--"+testBoundary+" ")), "\r\n" + form(model), form(model) + "x",
		form(`content-disposition:form-data ;filename*=utf-8''a%20b; name=x`+"\r\n\r\n", model),
		form(`Content-Disposition: form-data; filename="a\\"; name="b; name=model; c="`+"\r\n\r\n", model),
	} {
		f.Add([]byte(body), testForm)
		f.Add([]byte(strings.ReplaceAll(body, testBoundary, "x")), `multipart/form-data; charset=utf-8; boundary="x"`)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		before := bytes.Clone(body)
		model, found, err := FindFormModel(body, []string{contentType})
		if !bytes.Equal(before, body) {
			t.Fatal("the body has changed")
		}
		if err != nil {
			if found || model != (Model{}) {
				t.Fatalf("found %+v besides %v", model, err)
			}
			return
		}
		names, values, err := readModels(body, contentType)
		if err != nil || len(names) > 1 {
			t.Fatalf("mime/multipart reads %q, %v from %q", names, err, body)
		}
		if found != (len(names) == 1 && names[0] == "model") || found && values[0] != model.Name {
			t.Fatalf("found %+v, %v; mime/multipart reads %q %q", model, found, names, values)
		}
		if !found {
			return
		}
		if string(body[model.Start:model.End]) != model.Name {
			t.Fatalf("the span holds %q", body[model.Start:model.End])
		}
		replaced := applied(body, Edit{model.Start, model.End, []byte("other/模型")})
		if _, values, err = readModels(replaced, contentType); err != nil || len(values) != 1 || values[0] != "other/模型" {
			t.Fatalf("mime/multipart reads %q, %v from %q", values, err, replaced)
		}
	})
}
