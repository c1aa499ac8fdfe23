package llm

import (
	"strings"
	"testing"
)

func TestPartHeaders(t *testing.T) {
	const disposition = "Content-Disposition: form-data; name=model"
	for _, c := range []struct{ name, header, code string }{
		{"a quoted name", `Content-Disposition: form-data; name="model"`, ""},
		{"a name without quotes, as .NET sends it", disposition, ""},
		{"a header in any case", `CONTENT-disposition: Form-Data; NAME="model"`, ""},
		{"no white space at all", `Content-Disposition:form-data;name="model"`, ""},
		{"white space and tabs where they may be", "Content-Disposition: \tform-data ;\t name=\"model\" \t", ""},
		{"a type before the name", "Content-Type: text/plain; charset=utf-8\r\n" + disposition, ""},
		{"a length, as OkHttp and Guzzle send it", disposition + "\r\nContent-Length: 3", ""},
		{"a header that nobody knows", disposition + "\r\nX-Anything: \"\\", ""},
		{"an empty header that nobody knows", disposition + "\r\nX-Anything:", ""},
		{"the encoding binary, as Dart sends it", disposition + "\r\nContent-Transfer-Encoding: binary", ""},
		{"the encoding 8bit", disposition + "\r\ncontent-transfer-encoding: 8BIT", ""},
		{"the encoding 7bit", disposition + "\r\nContent-Transfer-Encoding: 7bit", ""},
		{"a charset that is ASCII", disposition + "\r\nContent-Type: text/plain; charset=US-ASCII", ""},
		{"a charset that is ASCII here, as older Java clients send it", disposition + "\r\nContent-Type: text/plain; charset=ISO-8859-1", ""},
		{"a type without charset", disposition + "\r\nContent-Type: text/plain", ""},
		{"a header of the greatest length", disposition + "\r\nX: " + strings.Repeat("x", maxPartHeader-len(disposition)-len("\r\nX: \r\n\r\n")), ""},
		{"a header one byte longer", disposition + "\r\nX: " + strings.Repeat("x", maxPartHeader-len(disposition)-len("\r\nX: \r\n\r\n")+1), CodeInvalidBody},
		{"no disposition", "Content-Type: text/plain", CodeInvalidBody},
		{"an empty disposition", "Content-Disposition:", CodeInvalidBody},
		{"two dispositions", disposition + "\r\n" + disposition, CodeInvalidBody},
		{"two dispositions that differ", "Content-Disposition: form-data; name=x\r\n" + disposition, CodeInvalidBody},
		{"an attachment", "Content-Disposition: attachment; name=model", CodeInvalidBody},
		{"no name", "Content-Disposition: form-data", CodeInvalidBody},
		{"a file without a name", `Content-Disposition: form-data; filename="model"`, CodeInvalidBody},
		{"two names", `Content-Disposition: form-data; name="x"; name="model"`, CodeInvalidBody},
		{"two names that differ in case", `Content-Disposition: form-data; name="x"; Name="model"`, CodeInvalidBody},
		{"an extended name", `Content-Disposition: form-data; name*=utf-8''model`, CodeInvalidBody},
		{"a name and an extended one", `Content-Disposition: form-data; name="x"; name*=utf-8''model`, CodeInvalidBody},
		{"a name in pieces", `Content-Disposition: form-data; name*0="mod"; name*1="el"`, CodeInvalidBody},
		{"an escape in the name", `Content-Disposition: form-data; name="m\odel"`, CodeInvalidBody},
		{"an escaped quote in the name", `Content-Disposition: form-data; name="x\"; name=model; y=\""`, CodeInvalidBody},
		{"an encoded word as name, which Tomcat decodes", `Content-Disposition: form-data; name="=?utf-8?q?model?="`, CodeInvalidBody},
		{"an unknown parameter", `Content-Disposition: form-data; name="model"; size=3`, CodeInvalidBody},
		{"a parameter without value", `Content-Disposition: form-data; name="model"; filename`, CodeInvalidBody},
		{"a parameter without anything", `Content-Disposition: form-data;; name="model"`, CodeInvalidBody},
		{"a semicolon at the end", `Content-Disposition: form-data; name="model";`, CodeInvalidBody},
		{"a semicolon at the end after a token", disposition + ";", CodeInvalidBody},
		{"white space before the equals sign", `Content-Disposition: form-data; name ="model"`, CodeInvalidBody},
		{"white space after the equals sign", `Content-Disposition: form-data; name= "model"`, CodeInvalidBody},
		{"an empty name without quotes", `Content-Disposition: form-data; name=`, CodeInvalidBody},
		{"a name without quotes that is no token", `Content-Disposition: form-data; name=mo del`, CodeInvalidBody},
		{"a name that never ends", `Content-Disposition: form-data; name="model`, CodeInvalidBody},
		{"text after the name", `Content-Disposition: form-data; name="model"x`, CodeInvalidBody},
		{"single quotes are part of the name", `Content-Disposition: form-data; name='model'`, ""},
		{"a name with another one in it", `Content-Disposition: form-data; name="x; name=model"`, CodeInvalidBody},
		{"a name with that of a file in it", `Content-Disposition: form-data; name="x; FileName = a"`, CodeInvalidBody},
		{"a disposition within another header", "X-Y: Content-Disposition: form-data; name=x\r\n" + disposition, CodeInvalidBody},
		{"a disposition at the end of another header's name", "X-" + disposition + "\r\n" + disposition, CodeInvalidBody},
		{"a type at the end of another header's name", "X-Content-Type: text/plain; charset=utf-16\r\n" + disposition, CodeInvalidBody},
		{"an encoding within another header", "X: content-transfer-encoding: base64\r\n" + disposition, CodeInvalidBody},
		{"a header's name in a text", "X: a content-disposition says how\r\n" + disposition, ""},
		{"parts within the part", disposition + "\r\nContent-Type: Multipart/mixed; boundary=y", CodeInvalidBody},
		{"a message within the part", disposition + "\r\nContent-Type: message/RFC822", CodeInvalidBody},
		{"half a message within the part", "Content-Type:Message/Partial\r\n" + disposition, CodeInvalidBody},
		{"a file", `Content-Disposition: form-data; name="model"; filename="a"`, CodeInvalidBody},
		{"a file without a name of its own", `Content-Disposition: form-data; filename=""; name="model"`, CodeInvalidBody},
		{"a file with an extended name only", `Content-Disposition: form-data; name="model"; filename*=utf-8''a`, CodeInvalidBody},
		{"a folded header", "Content-Disposition: form-data;\r\n name=\"model\"", CodeInvalidBody},
		{"a header folded with a tab and a colon", disposition + "\r\n\tx: y", CodeInvalidBody},
		{"a header without a colon", disposition + "\r\nx", CodeInvalidBody},
		{"a header without a name", disposition + "\r\n: x", CodeInvalidBody},
		{"white space before the colon", "Content-Disposition : form-data; name=model", CodeInvalidBody},
		{"white space before the header", " " + disposition, CodeInvalidBody},
		{"a line break that is no CRLF", "X: y\n" + disposition, CodeInvalidBody},
		{"a CR in a header", "X: y\r" + disposition, CodeInvalidBody},
		{"a NUL in the name", "Content-Disposition: form-data; name=\"model\x00\"", CodeInvalidBody},
		{"a DEL in a header", disposition + "\r\nX: \x7f", CodeInvalidBody},
		{"an encoding that has to be undone", disposition + "\r\nContent-Transfer-Encoding: base64", CodeInvalidBody},
		{"quoted-printable", disposition + "\r\nContent-Transfer-Encoding: quoted-printable", CodeInvalidBody},
		{"two encodings", disposition + "\r\nContent-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64", CodeInvalidBody},
		{"half an encoding in each of two headers", disposition + "\r\nContent-Transfer-Encoding: 7b\r\nContent-Transfer-Encoding: it", CodeInvalidBody},
		{"a charset of two bytes each", disposition + "\r\nContent-Type: text/plain; charset=utf-16", CodeInvalidBody},
		{"two charsets", disposition + "\r\nContent-Type: text/plain; charset=utf-8; charset=utf-16", CodeInvalidBody},
		{"a type that is none", disposition + "\r\nContent-Type: text/plain/html", CodeInvalidBody},
		{"two types", disposition + "\r\nContent-Type: text/plain\r\nContent-Type: text/plain", CodeInvalidBody},
		{"two types that read well as one", disposition + "\r\nContent-Type: text/plain; x=\"\r\nContent-Type: text/plain; charset=utf-16; y=\"", CodeInvalidBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			model, found, err := FindFormModel([]byte(form(c.header+"\r\n\r\na/x")), []string{testForm})
			wantCode(t, err, c.code)
			if want := err == nil && !strings.Contains(c.header, "'"); found != want || found && model.Name != "a/x" {
				t.Errorf("found %+v, %v", model, found)
			}
		})
	}
}

func TestHeaderNamesAreTokens(t *testing.T) {
	const good = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&'*+-.^_`|~"
	for c := range rune(0x180) {
		if c == ':' {
			continue // What follows is the value.
		}
		body := form("X" + string(c) + "Y: z\r\n" + field("model", "a/x"))
		_, found, err := FindFormModel([]byte(body), []string{testForm})
		if want := strings.ContainsRune(good, c); found != want || want != (err == nil) {
			t.Errorf("%q: found is %v, %v", c, found, err)
		}
	}
}

// Names of files can be odd: they must hide no model, and real ones must pass.
func TestFileNames(t *testing.T) {
	for _, c := range []struct{ name, parameters, code string }{
		{"in UTF-8", `filename="größe 😀.wav"`, ""},
		{"in no known charset", "filename=\"gr\xf6\xdfe.wav\"", ""},
		{"with a path of Windows", `filename="C:\tmp\a.wav"`, ""},
		{"with an escaped backslash", `filename="a\\b.wav"`, ""},
		{"with a percent-encoded quote", `filename="a%22b.wav"`, ""},
		{"with a semicolon", `filename="a; b.wav"`, ""},
		{"with an equals sign", `filename="a=b.wav"`, ""},
		{"with the word name", `filename="name of a model.wav"`, ""},
		{"extended, with an escaped equals sign", `filename*=utf-8''a%3B%20name%3Dmodel`, ""},
		{"with a name in it, which formidable takes", `filename="a; name=model"`, CodeInvalidBody},
		{"with a name in it that has blanks", "filename=\"a; name \t = model\"", CodeInvalidBody},
		{"with a name in it in capitals", `filename="a;NAME=model"`, CodeInvalidBody},
		{"with a name in it that has no semicolon", `filename="name=model"`, CodeInvalidBody},
		{"with a file name in it", `filename="a; filename=model"`, CodeInvalidBody},
		{"with an extended name in it", `filename="a; name*=utf-8''model"`, CodeInvalidBody},
		{"with a name in pieces in it", `filename="a; name*0*=model"`, CodeInvalidBody},
		{"with a name in it behind another one", `filename="name, name=model"`, CodeInvalidBody},
		{"without quotes", `filename=a.wav`, ""},
		{"twice, as .NET sends it", `filename="a.wav"; filename*=utf-8''a.wav`, ""},
		{"with an escaped quote", `filename="a\"b.wav"`, CodeInvalidBody},
		{"that hides the end of a name", `filename="a\"; name=\"model"`, CodeInvalidBody},
		{"that ends in a backslash", `filename="a\"`, CodeInvalidBody},
		{"that ends in two backslashes, which Python misreads", `filename="a\\"`, CodeInvalidBody},
		{"that ends in three backslashes", `filename="a\\\"`, CodeInvalidBody},
		{"that is given twice", `filename="a"; filename="b"`, CodeInvalidBody},
		{"that is extended twice", `filename*=utf-8''a; filename*=utf-8''b`, CodeInvalidBody},
		{"in pieces", `filename*0="a"; filename*1="b"`, CodeInvalidBody},
		{"without quotes outside ASCII", `filename=größe.wav`, CodeInvalidBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			part := `Content-Disposition: form-data; name="file"; ` + c.parameters + "\r\n\r\nRIFF"
			model, found, err := FindFormModel([]byte(form(part, field("model", "a/x"))), []string{testForm})
			wantCode(t, err, c.code)
			if found != (err == nil) || found && model.Name != "a/x" {
				t.Errorf("found %+v, %v", model, found)
			}
		})
	}
}

func TestTheCharsetOfAFieldMustNotChangeTheName(t *testing.T) {
	for charset, code := range map[string]string{
		"utf-8": "", "UTF-8": "", `"utf-8"`: "", "iso-8859-1": CodeInvalidBody, "us-ascii": CodeInvalidBody, "windows-1252": CodeInvalidBody,
	} {
		body := form("Content-Type: text/plain; charset=" + charset + "\r\n" + field("model", "a/é"))
		model, found, err := FindFormModel([]byte(body), []string{testForm})
		wantCode(t, err, code)
		if found != (code == "") || found && model.Name != "a/é" {
			t.Errorf("%s: found %+v, %v", charset, model, found)
		}
	}
}
