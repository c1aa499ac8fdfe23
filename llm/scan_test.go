package llm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// faultBody is one literal body of testdata/faults.json.
type faultBody struct {
	Text, Base64, Prefix, Repeat, Suffix string
	Count                                int
}

func (b faultBody) bytes(t *testing.T) []byte {
	t.Helper()
	if b.Base64 != "" {
		decoded, err := base64.StdEncoding.DecodeString(b.Base64)
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	}
	return []byte(b.Text + b.Prefix + strings.Repeat(b.Repeat, b.Count) + b.Suffix)
}

// TestFaultCases runs every case of testdata/faults.json that has a body.
func TestFaultCases(t *testing.T) {
	const limit = 32 << 20
	raw, err := os.ReadFile("testdata/faults.json")
	if err != nil {
		t.Fatal(err)
	}
	var faults struct {
		Cases []struct {
			ID, Fault string
			Bodies    []faultBody
			Expect    *struct {
				Status int
				Model  *string
			}
		}
	}
	if err := json.Unmarshal(raw, &faults); err != nil {
		t.Fatal(err)
	}
	for _, c := range faults.Cases {
		if c.Expect == nil {
			continue
		}
		t.Run(c.ID+" "+c.Fault, func(t *testing.T) {
			for _, literal := range c.Bodies {
				body := literal.bytes(t)
				var found Found
				var err error
				fastest := time.Hour
				// A busy machine can make one attempt slow, but not every one.
				for range 50 {
					began := time.Now()
					var read []byte
					found = Found{}
					if read, err = ReadBody(bytes.NewReader(body), int64(len(body)), limit, nil); err == nil {
						err = found.AddBody(read)
					}
					if err == nil && found.Where != 0 {
						_, _, _, err = found.Split()
					}
					if fastest = min(fastest, time.Since(began)); fastest < 100*time.Millisecond {
						break
					}
				}
				if fastest >= 100*time.Millisecond {
					t.Errorf("took %v", fastest)
				}
				if c.Expect.Status != 0 {
					var refused *RequestError
					if !errors.As(err, &refused) || refused.Status() != c.Expect.Status {
						t.Errorf("got %v, want status %d", err, c.Expect.Status)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if want := c.Expect.Model; (want != nil) != (found.Where != 0) || want != nil && *want != found.Name {
					t.Errorf("found %+v, want %v", found, want)
				}
			}
		})
	}
}

func TestFindModel(t *testing.T) {
	for _, c := range []struct{ name, body, want, code string }{
		{"duplicate model keys are ambiguous", `{"model":"a/x","model":"b/y"}`, "", CodeAmbiguousModel},
		{"equal duplicates are ambiguous too", `{"model":"a/x","model":"a/x"}`, "", CodeAmbiguousModel},
		{"an escaped duplicate is ambiguous", `{"model":"a/x","mod\u0065l":"b/y"}`, "", CodeAmbiguousModel},
		{"a duplicate that is not a string is ambiguous", `{"model":"a/x","model":null}`, "", CodeAmbiguousModel},
		{"an escaped key is the same key", `{"mod\u0065l":"b/y"}`, "b/y", ""},
		{"a key of escapes only is the same key", `{"\u006d\u006F\u0064\u0065\u006c":"b/y"}`, "b/y", ""},
		{"a case variant alone is not a model", `{"Model":"b/y"}`, "", ""},
		{"model next to MODEL is ambiguous", `{"model":"a/x","MODEL":"b/y"}`, "", CodeAmbiguousModel},
		{"MODEL before model is ambiguous", `{"MODEL":"b/y","model":"a/x"}`, "", CodeAmbiguousModel},
		{"two variants are ambiguous", `{"MODEL":"b/y","Model":"a/x"}`, "", CodeAmbiguousModel},
		{"an escaped variant is ambiguous", `{"model":"a/x","\u004dodel":"b/y"}`, "", CodeAmbiguousModel},
		{"a nested model is nobody's", `{"metadata":{"model":"b/y"},"model":"a/x"}`, "a/x", ""},
		{"a nested model in an array is nobody's", `{"tools":[{"model":1},[{"model":[]}]],"model":"a/x"}`, "a/x", ""},
		{"a byte order mark is not JSON", "\ufeff" + `{"model":"a/x"}`, "", CodeInvalidBody},
		{"two documents are not JSON", `{"model":"a/x"}{"model":"b/y"}`, "", CodeInvalidBody},
		{"a NUL after the document is not JSON", `{"model":"a/x"}` + "\x00", "", CodeInvalidBody},
		{"a truncated body is not JSON", `{"model":"a/x","messages":[`, "", CodeInvalidBody},
		{"a model that is a number", `{"model":123}`, "", CodeInvalidBody},
		{"a model that is null", `{"model":null}`, "", CodeInvalidBody},
		{"a model that is an array", `{"model":["a/x"]}`, "", CodeInvalidBody},
		{"a model that is an object", `{"model":{"a":"x"}}`, "", CodeInvalidBody},
		{"a root array has no model", `[{"model":"a/x"}]`, "", CodeInvalidBody},
		{"an empty body is not an object", ``, "", CodeInvalidBody},
		{"white space is not an object", " \n", "", CodeInvalidBody},
		{"an empty object names no model", ` { } `, "", ""},
		{"a key that only begins like model", `{"mode":"x","models":"y","model\u0000":"z","mödel":"z"}`, "", ""},
		{"white space may be anywhere", " {\r\n\t\"model\" : \"a/x\" , \"n\" : [ 1 , -2.5e+3 ] }\n", "a/x", ""},
		{"escapes of the name are decoded", `{"model":"a\/x\u00e9\ud83d\ude00\\\"\b\f\n\r\t"}`, "a/xé😀\\\"\b\f\n\r\t", ""},
		{"an empty name is found", `{"model":""}`, "", ""},
		{"half a surrogate pair in the name is refused", `{"model":"a/\ud83d"}`, "", CodeInvalidBody},
		{"the wrong half of a surrogate pair in the name is refused", `{"model":"a/\ude00\ud83d"}`, "", CodeInvalidBody},
		{"half a surrogate pair before text in the name is refused", `{"model":"a/\ud83dxxxxxxx"}`, "", CodeInvalidBody},
		{"half a surrogate pair elsewhere is the upstream's business", `{"x":"\ud83d","model":"a/x"}`, "a/x", ""},
		{"bytes that are no UTF-8 are refused", "{\"x\":\"\xff\",\"model\":\"a/x\"}", "", CodeInvalidBody},
		{"an encoded surrogate is no UTF-8", "{\"x\":\"\xed\xa0\x80\"}", "", CodeInvalidBody},
		{"an overlong encoding is no UTF-8", "{\"x\":\"\xc0\xaf\"}", "", CodeInvalidBody},
		{"a truncated character is no UTF-8", "{\"x\":\"\xe2\x82\"}", "", CodeInvalidBody},
		{"control characters must be escaped", "{\"x\":\"a\nb\"}", "", CodeInvalidBody},
		{"DEL need not be escaped", "{\"x\":\"a\x7fb\",\"model\":\"a/x\"}", "a/x", ""},
		{"an unknown escape", `{"x":"\a"}`, "", CodeInvalidBody},
		{"a short escape", `{"x":"\u12"}`, "", CodeInvalidBody},
		{"an escape at the end", `{"x":"\`, "", CodeInvalidBody},
		{"a leading zero", `{"x":01}`, "", CodeInvalidBody},
		{"a lone minus", `{"x":-}`, "", CodeInvalidBody},
		{"a number without a fraction after its point", `{"x":1.}`, "", CodeInvalidBody},
		{"a number without an exponent after its e", `{"x":1e+}`, "", CodeInvalidBody},
		{"a plus sign", `{"x":+1}`, "", CodeInvalidBody},
		{"a trailing comma in an object", `{"x":1,}`, "", CodeInvalidBody},
		{"a trailing comma in an array", `{"x":[1,]}`, "", CodeInvalidBody},
		{"a leading comma in an array", `{"x":[,1]}`, "", CodeInvalidBody},
		{"a missing comma", `{"x":1 "y":2}`, "", CodeInvalidBody},
		{"a missing colon", `{"x" 1}`, "", CodeInvalidBody},
		{"a key that is no string", `{x:1}`, "", CodeInvalidBody},
		{"brackets that do not match", `{"x":[1}}`, "", CodeInvalidBody},
		{"an array that closes as an object", `{"x":{"y":[1}]}`, "", CodeInvalidBody},
		{"a key that is no string in an object inside", `{"x":{y:1}}`, "", CodeInvalidBody},
		{"a second key that is no string in an object inside", `{"x":{"y":1,2:3}}`, "", CodeInvalidBody},
		{"a missing colon in an object inside", `{"x":{"y" 1}}`, "", CodeInvalidBody},
		{"a key that does not end", `{"x`, "", CodeInvalidBody},
		{"a short escape at the end", `{"x":"\u12`, "", CodeInvalidBody},
		{"a misspelt word", `{"x":nul}`, "", CodeInvalidBody},
		{"a word with a tail", `{"x":truet}`, "", CodeInvalidBody},
		{"a comment", `{"x":1/**/}`, "", CodeInvalidBody},
		{"512 levels are accepted", nested(512), "a/x", ""},
		{"513 levels are refused", nested(513), "", CodeInvalidBody},
		{"256 bytes are accepted", `{"model":"` + strings.Repeat("x", 256) + `"}`, strings.Repeat("x", 256), ""},
		{"257 bytes are refused", `{"model":"` + strings.Repeat("x", 257) + `"}`, "", CodeInvalidBody},
		{"256 escaped bytes are accepted", `{"model":"` + strings.Repeat(`\u0078`, 256) + `"}`, strings.Repeat("x", 256), ""},
		{"a character across the limit is refused", `{"model":"` + strings.Repeat(`x`, 255) + `\u00e9"}`, "", CodeInvalidBody},
		{"other members choose nothing", `{"model":"a/x","api_base":"http://evil"}`, "a/x", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			model, found, err := FindModel([]byte(c.body))
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			if model.Name != c.want {
				t.Errorf("found %q, want %q", model.Name, c.want)
			}
			if found != (model.End > 0) || c.want != "" && !found {
				t.Errorf("found is %v for %+v", found, model)
			}
			if found {
				var decoded string
				if err := json.Unmarshal([]byte(c.body[model.Start:model.End]), &decoded); err != nil || decoded != c.want {
					t.Errorf("the span holds %s", c.body[model.Start:model.End])
				}
			}
		})
	}
}

// nested is a body with arrays and objects nested to a depth in all.
func nested(depth int) string {
	return `{"x":` + strings.Repeat(`[`, depth/2) + strings.Repeat(`{"y":`, (depth-1)/2) + "1" +
		strings.Repeat(`}`, (depth-1)/2) + strings.Repeat(`]`, depth/2) + `,"model":"a/x"}`
}

// wantCode fails the test unless err is a RequestError of this code, or nil
// where there is none.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
		return
	}
	var refused *RequestError
	if !errors.As(err, &refused) || refused.Code != code {
		t.Fatalf("got %v, want code %s", err, code)
	}
	if strings.ContainsAny(refused.Message, "\"\\\n") {
		t.Errorf("the message is not for clients: %s", refused.Message)
	}
}

// A bit that is wrong in eight bytes at a time would be seen only at some
// alignments.
func TestStringsEndAtTheSameByteAtEveryAlignment(t *testing.T) {
	for length := range 40 {
		for at := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte{'x'}, length)
				for i := range at {
					text[i] = "!# ~}[]a"[i%8]
				}
				text[at] = byte(c)
				want := length
				if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
					want = at
				}
				if got := plainLength(text); got != want {
					t.Fatalf("plainLength(%q) = %d, want %d", text, got, want)
				}
			}
		}
	}
}

func TestFindModelAllocatesOnlyTheName(t *testing.T) {
	for name, body := range map[string][]byte{
		"plain":    []byte(`{"messages":[{"role":"user","content":"\u00e9é\n"}],"model":"corp/gpt-4o"}`),
		"escaped":  []byte(`{"model":"corp\/gpt-4o","messages":[]}`),
		"no model": []byte(`{"messages":[]}`),
	} {
		if allocations := testing.AllocsPerRun(100, func() { _, _, _ = FindModel(body) }); allocations > 1 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}

var replacementEscape = regexp.MustCompile(`(?i)\\ufffd`)

// oracleModel is FindModel by way of encoding/json: slow, and by another hand.
func oracleModel(body []byte) (name string, found, ok bool) {
	if !json.Valid(body) || !utf8.Valid(body) || depth(body) > maxDepth || bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
		return "", false, false
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	_, _ = decoder.Token()
	keys := 0
	var raw json.RawMessage
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return "", false, false
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return "", false, false
		}
		if strings.EqualFold(key.(string), "model") {
			keys++
		}
		if key == "model" {
			raw = value
		}
	}
	if keys > 1 {
		return "", false, false
	}
	if raw == nil {
		return "", false, true
	}
	if raw[0] != '"' || json.Unmarshal(raw, &name) != nil || len(name) > maxName {
		return "", false, false
	}
	// More replacement characters than were written come from lone surrogates.
	written := strings.ReplaceAll(string(raw), `\\`, "")
	if strings.Count(name, "\ufffd") > strings.Count(written, "\ufffd")+len(replacementEscape.FindAllString(written, -1)) {
		return "", false, false
	}
	return name, true, true
}

// oracleChooser is what else chooses a model in a body that FindModel accepts, by
// way of encoding/json.
func oracleChooser(t *testing.T, body []byte) string {
	t.Helper()
	first := ""
	members(t, body, func(key string, value json.RawMessage) {
		chooser := ""
		key, _, cut := strings.Cut(key, "\x00")
		for _, name := range choosers {
			if strings.EqualFold(key, name) {
				chooser = name
			}
		}
		if strings.EqualFold(key, modelKey) && (cut || key != modelKey) {
			chooser = modelVariant
		}
		var tools []json.RawMessage
		if strings.EqualFold(key, "tools") && json.Unmarshal(value, &tools) == nil {
			for _, tool := range tools {
				if tool[0] != '{' {
					continue
				}
				members(t, tool, func(key string, value json.RawMessage) {
					if key, _, _ := strings.Cut(key, "\x00"); strings.EqualFold(key, modelKey) && value[0] == '"' {
						chooser = modelOfTool
					}
				})
			}
		}
		if first == "" {
			first = chooser
		}
	})
	return first
}

// members calls do for every member of a valid JSON object, duplicates and all.
func members(t *testing.T, object []byte, do func(key string, value json.RawMessage)) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		do(key.(string), value)
	}
}

// depth is how deeply a valid JSON text is nested.
func depth(body []byte) int {
	deepest, current, inString := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			current++
			deepest = max(deepest, current)
		case c == '}' || c == ']':
			current--
		}
	}
	return deepest
}

func FuzzFindModel(f *testing.F) {
	for _, seed := range []string{
		`{"model":"a/x","model":"b/y"}`, `{"mod\u0065l":"b/y","Model":1}`, `{"MODEL":"a"}`,
		`{"a":[{"model":"b/y"},[],{},-0.5e+7,true,false,null],"model":"a\/x\ud83d\ude00\\ud83d"}`,
		`{"model":"\ud83d"}`, `{"model":"\ufffd\\\ufffd"}`, "{\"x\":\"\xff\"}", ` [1]`, `"a/x"`, nested(512), nested(513),
		`{"tools":[{"model":"b"},{"x":[{"model":1}]},[]],"Fallbac\u212as":1}`, `{"model\u0000":1,"EXTRA_body":[]}`, `{"tool\u017f":[{"MODEL\u0000x":"b"}]}`,
		`{"tools":[{"model":null}],"modelID":""}`, `{"tools":[1,"x",{"a":{}}` + "\n" + `],"rout\u0065":{}}`, `{"__proto__":{"model":"b"},"a.b":{"model":1}}`, "{\"K\":\"\u212a\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		model, found, err := FindModel(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body has changed")
		}
		name, wantFound, ok := oracleModel(body)
		if ok != (err == nil) || err == nil && (found != wantFound || model.Name != name) {
			t.Fatalf("FindModel(%q) = %+v, %v, %v; encoding/json reads %q, %v, %v", body, model, found, err, name, wantFound, ok)
		}
		if err != nil {
			return
		}
		var looked Found
		if err := looked.AddBody(body); err != nil || looked.Chooser != oracleChooser(t, body) {
			t.Fatalf("%q chooses by %q, %v; encoding/json by %q", body, looked.Chooser, err, oracleChooser(t, body))
		}
		// gjson takes the first of several, and looks no further.
		if read := gjson.GetBytes(body, "model"); read.Exists() != found || found && read.String() != model.Name {
			t.Fatalf("found %+v, %v; gjson reads %q", model, found, read.Raw)
		}
		if !found {
			return
		}
		var decoded struct{ Model string }
		if err := json.Unmarshal(body, &decoded); err != nil || decoded.Model != model.Name {
			t.Fatalf("a struct of encoding/json reads %q, %v", decoded.Model, err)
		}
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(body, &raw); err != nil || !bytes.Equal(raw["model"], body[model.Start:model.End]) {
			t.Fatalf("the span holds %s, encoding/json says %s", body[model.Start:model.End], raw["model"])
		}
	})
}

// chatBody is a conversation of about so many bytes, as a client writes it.
func chatBody(size int, modelFirst bool) []byte {
	const model = `"model":"corp/gpt-4o"`
	const message = `{"role":"user","content":"Here is what the function does, and why it fails:\n\n` +
		`\tif err != nil {\n\t\treturn fmt.Errorf(\"reading %s: %w\", name, err)\n\t}\n\nThe caller never sees the cause, ` +
		`because the logger swallows it. Größere Änderungen sind nicht nötig; what would you change in the code above to make it visible?"}`
	var b bytes.Buffer
	b.WriteByte('{')
	if modelFirst {
		b.WriteString(model + ",")
	}
	b.WriteString(`"messages":[` + message)
	for b.Len()+len(message)+len(model) < size {
		b.WriteString("," + message)
	}
	b.WriteByte(']')
	if !modelFirst {
		b.WriteString("," + model)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func BenchmarkFindModelFirst(b *testing.B) { benchmarkFindModel(b, true) }

func BenchmarkFindModelLast(b *testing.B) { benchmarkFindModel(b, false) }

func benchmarkFindModel(b *testing.B, modelFirst bool) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run("chat/"+strconv.Itoa(size>>10)+"KB", func(b *testing.B) {
			benchmarkBody(b, chatBody(size, modelFirst))
		})
	}
	for name, text := range map[string]string{
		"image":   strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA", 1<<20/24),
		"Chinese": strings.Repeat("网关把令牌放到请求上。", 1<<20/33),
	} {
		b.Run(name+"/1024KB", func(b *testing.B) {
			body := `{"messages":[{"content":"` + text + `"}],"model":"corp/gpt-4o"}`
			if modelFirst {
				body = `{"model":"corp/gpt-4o","messages":[{"content":"` + text + `"}]}`
			}
			benchmarkBody(b, []byte(body))
		})
	}
}

func benchmarkBody(b *testing.B, body []byte) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, found, err := FindModel(body); err != nil || !found {
			b.Fatal(found, err)
		}
	}
}
