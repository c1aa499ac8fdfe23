package providerblock

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	// The transport that providers have in tests.
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// samples are values of the types that fields have.
var samples = map[reflect.Type]string{
	reflect.TypeFor[config.Template]():                `"text"`,
	reflect.TypeFor[config.Path]():                    `"/file"`,
	reflect.TypeFor[string]():                         `"word"`,
	reflect.TypeFor[bool]():                           `true`,
	reflect.TypeFor[*int]():                           `0`,
	reflect.TypeFor[config.Duration]():                `"1m30s"`,
	reflect.TypeFor[config.RefreshBefore]():           `"5m"`,
	reflect.TypeFor[*config.Skew]():                   `"0s"`,
	reflect.TypeFor[config.Source]():                  `"file /token"`,
	reflect.TypeFor[[]string]():                       `["/a","/b"]`,
	reflect.TypeFor[[]int]():                          `[404,410]`,
	reflect.TypeFor[map[string]config.Template]():     `{"a":"1","b":"2"}`,
	reflect.TypeFor[map[string][]config.Template]():   `{"A":["1","2"],"B":["3"]}`,
	reflect.TypeFor[map[string]config.JSONTemplate](): `{"a":"1","b":["2","3"]}`,
	reflect.TypeFor[map[string]config.Model]():        `{"m":{},"n":{"upstream":"u","base_url":"https://n.example.com"}}`,
	reflect.TypeFor[[]config.ExpiryRule]():            `[{"path":"e","unit":"unix"}]`,
	reflect.TypeFor[json.RawMessage]():                `{"protocol":"http","tls":{"client_certificate_file":"/c","client_certificate_key_file":"/k"}}`,
	reflect.TypeFor[config.JSONTemplate]():            `{"a":{"b":[1]}}`,
	reflect.TypeFor[config.Place]():                   `{"header":"X-Token","prefix":"T "}`,
	reflect.TypeFor[config.HeaderUp]():                `{"set":{"A":["1"]},"add":{"B":["2"]},"default":{"C":["3"]},"delete":["D"]}`,
}

// A new field of a provider needs nothing here if it is of a type that others are of.
func TestEachFieldIsReadAsItIsWritten(t *testing.T) {
	var try func(of reflect.Type, open, end string)
	try = func(of reflect.Type, open, end string) {
		for field := range of.Fields() {
			name := jsonName(field)
			if name == "" {
				continue
			}
			sample, known := samples[field.Type]
			if !known {
				if field.Type.Kind() != reflect.Struct {
					t.Errorf("%s is of a new type, %v: read and write it", name, field.Type)
					continue
				}
				try(field.Type, open+`{"`+name+`":`, "}"+end)
				continue
			}
			content := open + `{"` + name + `":` + sample + "}" + end
			t.Run(content, func(t *testing.T) {
				var want config.Providers
				if err := json.Unmarshal([]byte(`{"p":`+content+`}`), &want); err != nil {
					t.Fatal(err)
				}
				text := Format("p", want["p"])
				d := caddyfile.NewTestDispenser(text)
				d.Next()
				d.NextArg()
				b := &block{Dispenser: d, name: "p", provider: new(config.Provider)}
				if err := b.options(reflect.ValueOf(b.provider).Elem(), ""); err != nil {
					t.Fatalf("%v, in\n%s", err, text)
				}
				wantSame(t, b.provider, want["p"], text)
			})
		}
	}
	try(reflect.TypeFor[config.Provider](), "", "")
}

func TestAMisspeltOptionIsGuessedFromTheStruct(t *testing.T) {
	for text, says := range map[string]string{
		"provider p {\n client_idd x\n}":                  "provider p: client_idd: unknown field; did you mean client_id?",
		"provider p {\n models x\n}":                      "provider p: models: unknown field; did you mean model?",
		"provider p {\n token_request {\n params a b\n}}": "provider p: token_request.params: unknown field; did you mean param?",
		"provider p {\n jwt {\n claims a b\n}}":           "provider p: jwt.claims: unknown field; did you mean claim?",
		"provider p {\n zzzzzzzz x\n}":                    "unknown field; known are client_id, client_secret,",
	} {
		d := caddyfile.NewTestDispenser(text)
		d.Next()
		d.NextArg()
		_, err := Parse(d, "p")
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s\ngot %v, want %s", text, err, says)
		}
	}
}

// What is read in a way of its own has as many fields as are read.
func TestAStructWithASyntaxOfItsOwnIsReadWhole(t *testing.T) {
	for of, fields := range map[reflect.Type]int{
		reflect.TypeFor[config.Model](): 2, reflect.TypeFor[config.ExpiryRule](): 2,
		reflect.TypeFor[config.Place](): 3, reflect.TypeFor[config.HeaderUp](): 4,
	} {
		if of.NumField() != fields {
			t.Errorf("%v has %d fields, and %d are read and written: see by_hand.go and format.go", of, of.NumField(), fields)
		}
	}
}

func TestAnErrorBeginsWithItsPlace(t *testing.T) {
	d := caddyfile.NewTestDispenser("provider p {\n client_id\n}")
	d.Next()
	d.NextArg()
	_, err := Parse(d, "p")
	if want := "Testfile:2: provider p: client_id: takes one value, not 0"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
