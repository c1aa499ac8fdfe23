package tokens

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

const formType = "application/x-www-form-urlencoded"

func TestAnswersAreReadByWhatTheyHold(t *testing.T) {
	for _, test := range []struct {
		name, contentType, body, place, want string
	}{
		{"JSON", "application/json", `{"tok":"t1"}`, "tok", "t1"},
		{"JSON labelled text/plain", "text/plain", `{"tok":"t1"}`, "tok", "t1"},
		{"JSON labelled as a form", formType, `{"tok":"t1"}`, "tok", "t1"},
		{"JSON without a media type", "", `{"tok":"t1"}`, "tok", "t1"},
		{"JSON with a media type that is none", "; charset", `{"tok":"t1"}`, "tok", "t1"},
		{"JSON behind a byte order mark", "application/json", "\ufeff" + `{"tok":"t1"}`, "tok", "t1"},
		{"JSON between white space", "application/json", "\r\n\t " + `{"tok":"t1"}` + "\n", "tok", "t1"},
		{"JSON behind both", "application/json", "\ufeff\n" + `{"tok":"t1"}`, "tok", "t1"},
		{"a path in JSON", "application/json", `{"a":{"b":[{"tok":"t0"},{"tok":"t1"}]}}`, "a.b.1.tok", "t1"},
		{"a query in JSON", "application/json", `{"a":[{"k":"x"},{"k":"y","tok":"t1"}]}`, `a.#(k=="y").tok`, "t1"},
		{"a member whose name has a dot", "application/json", `{"a.b":"t1"}`, `a\.b`, "t1"},
		{"an object is its text", "application/json", `{"a":{"b":1}}`, "a", `{"b":1}`},
		{"a form", formType, "tok=t1&x=1", "tok", "t1"},
		{"a form with a charset", formType + "; charset=utf-8", "tok=t1", "tok", "t1"},
		{"a form labelled text/plain", "text/plain", "x=1&tok=t1", "tok", "t1"},
		{"a form behind a byte order mark", formType, "\ufefftok=t1\r\n", "tok", "t1"},
		{"a form in which the token is encoded", formType, "tok=t%2B1+2", "tok", "t+1 2"},
		{"a form that is an error", formType, "error=invalid_client&tok=", "error", "invalid_client"},
		{"a form has no paths", formType, "tok=t1", "tok.0", ""},
		{"a form under another media type", "application/json", "tok=t1", "tok", ""},
		{"a form without one of the fields", formType, "access_token=t1", "access_token", ""},
		{"text that is no form", "text/plain", "tok is %zz;tok=1", "tok", ""},
		{"JSON that is cut", "application/json", `{"tok":"t1"`, "tok", ""},
		{"JSON with more behind it", "application/json", `{"tok":"t1"} {`, "tok", ""},
		{"JSON that is cut is no form either", formType, `{"x":"&tok=t1`, "tok", ""},
		{"a list", "application/json", `["t1"]`, "0", ""},
		{"nothing", "application/json", "", "tok", ""},
		{"a header", "application/json", "", "header:X-Token", "h1"},
		{"a header whose name is written in another way", "application/json", `{"x":1}`, "header:x-toKen", "h1"},
		{"a header beside a form", formType, "tok=t1", "header:X-Token", "h1"},
		{"a header that is not there", "application/json", `{"header:X-No":"t1"}`, "header:X-No", ""},
		{"a header that is empty", "application/json", "", "header:X-Empty", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{"X-Token": {"h1", "h2"}, "X-Empty": {""}}
			c := parseAnswer([]byte(test.body), test.contentType, header, []string{"tok"})
			if got := c.at(test.place); got.String() != test.want || isSet(got) != (test.want != "") {
				t.Errorf("%s is %q (set: %v), want %q", test.place, got, isSet(got), test.want)
			}
		})
	}
}

func TestAMemberThatSaysNothingIsNotSet(t *testing.T) {
	text := `{"null":null,"empty":"","blank":" \t","zero":0,"no":false,"list":[],"word":"w"}`
	for name, want := range map[string]bool{
		"null": false, "empty": false, "blank": false, "missing": false, "zero": true, "no": true, "list": true, "word": true,
	} {
		if got := isSet(gjson.Get(text, name)); got != want {
			t.Errorf("%s is set: %v, want %v", name, got, want)
		}
	}
}

func TestDeepAnswersDoNotExhaustTheStack(t *testing.T) {
	deep := strings.Repeat(`{"a":`, answerLimit/6)
	if got := parseAnswer([]byte(deep), "application/json", nil, []string{"a"}).at("a.a.a"); got.Exists() {
		t.Errorf("got %d bytes", len(got.Raw))
	}
}
