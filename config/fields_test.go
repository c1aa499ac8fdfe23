package config

import (
	"reflect"
	"slices"
	"testing"
)

func TestVisitCallsForEachFieldThatIsSetInOrder(t *testing.T) {
	p := valid(t, `"scope":"","token_request":{"params":{"b":"1","a.c":"2"},"headers":{"X":["3"]},"retries":0},"place":{"prefix":""}`)
	var got []string
	changed := visit(reflect.ValueOf(p).Elem(), "", func(path string, _ reflect.Value) bool {
		got = append(got, path)
		return path == "scope"
	})
	want := []string{
		"client_id", "client_secret", "token_url", "token_request.params.a.c", "token_request.params.b", "token_request.headers.X",
		"token_request.retries", "place.prefix",
	}
	if !slices.Equal(got, want) || changed {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestVisitKeepsWhatALeafChanges(t *testing.T) {
	p := valid(t, `"token_request":{"params":{"a":"1","b":"2"}}`)
	changed := visit(reflect.ValueOf(p).Elem(), "", func(path string, v reflect.Value) bool {
		if path == "client_id" || path == "token_request.params.b" {
			v.SetString("changed")
			return true
		}
		return false
	})
	if !changed || p.ClientID != "changed" || p.TokenRequest.Params["a"] != "1" || p.TokenRequest.Params["b"] != "changed" {
		t.Errorf("got %q and %q", string(p.ClientID), string(p.TokenRequest.Params["b"]))
	}
}

// What is not part of the configuration has no name, and is neither read nor
// written.
func TestAllFieldsButTheOriginAreTheConfiguration(t *testing.T) {
	provider := reflect.TypeFor[Provider]()
	if names := fieldNames(provider); len(names) != provider.NumField()-2 || slices.Contains(names, "origin") || slices.Contains(names, "expansion") || slices.Contains(names, "") {
		t.Errorf("got %v", names)
	}
}
