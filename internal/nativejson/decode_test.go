package nativejson

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

type declarations struct {
	Providers config.Providers `json:"providers,omitempty"`
}

type options struct {
	declarations

	Name  string         `json:"name,omitempty"`
	Size  int64          `json:"size,omitempty"`
	On    bool           `json:"on,omitempty"`
	Wait  caddy.Duration `json:"wait,omitempty"`
	Names []string       `json:"names,omitempty"`
	Keys  map[string]key `json:"keys,omitempty"`
}

type key struct {
	Models []string `json:"models,omitempty"`
}

func TestWhatIsRightIsRead(t *testing.T) {
	var got options
	err := Decode([]byte(`{"name":"n","size":1,"on":true,"wait":"1d","names":["a"],"keys":{"k":{"models":["m"]}},"providers":{}}`), &got)
	want := options{Name: "n", Size: 1, On: true, Wait: caddy.Duration(24 * time.Hour), Names: []string{"a"}, Keys: map[string]key{"k": {[]string{"m"}}}}
	want.Providers = config.Providers{}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := Decode([]byte("null"), &got); err != nil {
		t.Errorf("null: %v", err)
	}
}

func TestWhatIsWrongIsSaidInTheWordsOfJSON(t *testing.T) {
	for content, says := range map[string]string{
		`{"size":"32MiB"}`:                "size: must be a whole number, not a string",
		`{"size":1.5}`:                    "size: must be a whole number, not a number",
		`{"name":5}`:                      "name: must be a string, not a number",
		`{"on":"yes"}`:                    "on: must be true or false, not a string",
		`{"wait":"soon"}`:                 `wait: must be a duration such as "15s"`,
		`{"wait":[]}`:                     `wait: must be a duration such as "15s"`,
		`{"names":"a"}`:                   "names: must be a list, not a string",
		`{"keys":[]}`:                     "keys: must be an object, not a list",
		`{"keys":{"k":{"models":true}}}`:  "models: must be a list, not true or false",
		`{"keys":{"k":{"model":[]}}}`:     `keys: unknown field "model"`,
		`{"nam":"x"}`:                     `"nam": unknown field; did you mean name?`,
		`{"providers":{"p":{"scope":5}}}`: "provider p: scope: must be a string, not a number",
		`[]`:                              "must be an object, not a list",
	} {
		err := Decode([]byte(content), new(options))
		if err == nil || !strings.Contains(err.Error(), says) || !errors.As(err, new(*config.ConfigurationError)) {
			t.Errorf("%s: got %v, want %s", content, err, says)
		}
		if err != nil && (strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "int64")) {
			t.Errorf("%s: %v names a Go type", content, err)
		}
	}
}

func TestEachMistakeIsNamed(t *testing.T) {
	err := Decode([]byte(`{"size":"a","on":"b"}`), new(options))
	if err == nil || !strings.Contains(err.Error(), "size:") || !strings.Contains(err.Error(), "on:") {
		t.Errorf("got %v", err)
	}
}
