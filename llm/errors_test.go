package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStatusOfRequestErrors(t *testing.T) {
	for code, want := range map[string]int{
		CodeModelRequired:          http.StatusBadRequest,
		CodeAmbiguousModel:         http.StatusBadRequest,
		CodeInvalidBody:            http.StatusBadRequest,
		CodeInvalidPath:            http.StatusBadRequest,
		CodeBodyTooLarge:           http.StatusRequestEntityTooLarge,
		CodeUnsupportedEncoding:    http.StatusUnsupportedMediaType,
		CodeUnsupportedContentType: http.StatusUnsupportedMediaType,
		CodeModelNotFound:          http.StatusNotFound,
		"a code of tomorrow":       http.StatusBadRequest,
	} {
		if got := (&RequestError{Code: code}).Status(); got != want {
			t.Errorf("%s: status %d, want %d", code, got, want)
		}
	}
}

func TestARequestErrorIsFoundUnderOthers(t *testing.T) {
	err := fmt.Errorf("choosing a provider: %w", &RequestError{Code: CodeInvalidPath, Message: "the path is odd"})
	var refused *RequestError
	if !errors.As(err, &refused) || refused.Code != CodeInvalidPath || refused.Error() != "the path is odd" {
		t.Errorf("found %+v", refused)
	}
}

func TestErrorBodyHasTheShapeOfBothVendors(t *testing.T) {
	body := ErrorBody{Type: TypeInvalidRequest, Code: CodeInvalidBody, Message: `say "model"`, RequestID: "r1"}
	const want = `{"type":"error","error":{"message":"say \"model\"","type":"invalid_request_error","param":null,"code":"invalid_body"},"request_id":"r1"}`
	if got := string(body.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestErrorBodyIsAppended(t *testing.T) {
	buffer := make([]byte, 0, 1<<10)
	body := ErrorBody{Type: TypeUpstream, Code: "upstream_timeout", Message: "the model did not answer", RequestID: "r1"}
	appended := body.AppendJSON(append(buffer, "data: "...))
	if want := "data: " + string(body.AppendJSON(nil)); string(appended) != want {
		t.Errorf("got %s, want %s", appended, want)
	}
	if allocations := testing.AllocsPerRun(100, func() { body.AppendJSON(buffer) }); allocations > 0 {
		t.Errorf("%v allocations in spite of the room", allocations)
	}
}

// What encoding/json writes for a text is what a reader should get.
func TestErrorBodySaysWhatItWasGiven(t *testing.T) {
	var everyByte, everyControl strings.Builder
	for c := range 256 {
		everyByte.WriteByte(byte(c))
	}
	for r := range rune(0x100) {
		everyControl.WriteRune(r)
	}
	for name, text := range map[string]string{
		"nothing":                       "",
		"plain text":                    "the request names no model",
		"quotes and backslashes":        `"\"\\`,
		"line breaks":                   "a\nb\r\nc\td",
		"every character of Latin-1":    everyControl.String(),
		"every byte":                    everyByte.String(),
		"bytes that are no UTF-8":       "a\xff\xfe\xc0\xafb\xe2\x82",
		"an encoded surrogate":          "\xed\xa0\x80",
		"a replacement character":       "\ufffd",
		"line separators of JavaScript": "\u2028\u2029",
		"characters outside the BMP":    "😀\U0010ffff",
		"what breaks out of HTML":       "</script><!--&",
		"something like the body":       `","code":"x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := ErrorBody{Type: text, Code: text, Message: text, RequestID: text}.AppendJSON(nil)
			if !utf8.Valid(got) {
				t.Errorf("%q is not UTF-8", got)
			}
			written, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			var want string
			if err := json.Unmarshal(written, &want); err != nil {
				t.Fatal(err)
			}
			var read struct {
				Type  string
				Error struct {
					Message, Type, Code string
					Param               *string
				}
				RequestID string `json:"request_id"`
			}
			if err := json.Unmarshal(got, &read); err != nil {
				t.Fatalf("%v in %q", err, got)
			}
			if read.Type != "error" || read.Error.Param != nil {
				t.Errorf("read %+v", read)
			}
			for _, member := range []string{read.Error.Message, read.Error.Type, read.Error.Code, read.RequestID} {
				if member != want {
					t.Errorf("read %q, want %q", member, want)
				}
			}
		})
	}
}
