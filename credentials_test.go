package oauth2llm

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestTheFilterTakesCredentialsOffHeaders(t *testing.T) {
	for name, test := range map[string]struct {
		kept, set  []string
		place      string
		from, want http.Header
	}{
		"H03 every known credential": {
			from: http.Header{
				"Authorization": {"a"}, "X-Api-Key": {"a"}, "Api-Key": {"a"}, "X-Goog-Api-Key": {"a"}, "Xi-Api-Key": {"a"},
				"Ocp-Apim-Subscription-Key": {"a"}, "Proxy-Authorization": {"a"}, "Cookie": {"a", "b"}, "Accept": {"*/*"},
			},
			want: http.Header{"Accept": {"*/*"}},
		},
		"H03 names that only look like one": {
			from: http.Header{"X-Api-Key-Id": {"a"}, "Openai-Organization": {"o"}, "Anthropic-Version": {"1"}},
			want: http.Header{"X-Api-Key-Id": {"a"}, "Openai-Organization": {"o"}, "Anthropic-Version": {"1"}},
		},
		"H07 underscores": {
			from: http.Header{"X_api_key": {"a"}, "Api_key": {"a"}, "X_API_KEY": {"a"}, "X-Goog_api-Key": {"a"}, "X_trace": {"1"}},
			want: http.Header{"X_trace": {"1"}},
		},
		"a header that is kept": {
			kept: []string{"cookie"},
			from: http.Header{"Cookie": {"a"}, "Api-Key": {"a"}},
			want: http.Header{"Cookie": {"a"}},
		},
		"a kept header where the token goes": {
			kept: []string{"Cookie"}, place: "cookie",
			from: http.Header{"Cookie": {"a"}},
			want: http.Header{},
		},
		"the provider's own place": {
			place: "x-token",
			from:  http.Header{"X-Token": {"a"}, "X_token": {"a"}, "Accept": {"*/*"}},
			want:  http.Header{"Accept": {"*/*"}},
		},
		"H07 a place with underscores": {
			place: "X_Token",
			from:  http.Header{"X-Token": {"a"}, "X_token": {"a"}},
			want:  http.Header{},
		},
		"a header that the gateway sets is left for header_up to treat": {
			set:  []string{"X-Group"},
			from: http.Header{"X-Group": {"a"}},
			want: http.Header{"X-Group": {"a"}},
		},
		"H01 Connection and Trailer that name guarded fields": {
			place: "X-Token", set: []string{"X_Group"},
			from: http.Header{
				"Connection": {"close, Authorization, x-token", "X_GROUP,X-Hop ,, X_Api_Key"},
				"Trailer":    {"Authorization", "X-Checksum"},
			},
			want: http.Header{"Connection": {"close, X-Hop, "}, "Trailer": {"X-Checksum"}},
		},
		"H01 Connection that names nothing else": {
			from: http.Header{"Connection": {"Authorization"}, "Trailer": {"cookie, AUTHORIZATION"}},
			want: http.Header{},
		},
		"H01 Connection that names no guarded field stays as it is": {
			from: http.Header{"Connection": {"keep-alive,X-Hop", " Upgrade"}},
			want: http.Header{"Connection": {"keep-alive,X-Hop", " Upgrade"}},
		},
		"H03 a key among WebSocket protocols": {
			from: http.Header{"Sec-Websocket-Protocol": {"realtime,openai-insecure-api-key.sk-1", "OpenAI-Insecure-API-Key.sk-2, v1"}},
			want: http.Header{"Sec-Websocket-Protocol": {"realtime, v1"}},
		},
		"H03 a key as the only WebSocket protocol": {
			from: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key."}},
			want: http.Header{},
		},
		"no headers at all": {from: http.Header{}, want: http.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			filter := newCredentialFilter(test.kept, test.set...)
			if test.place != "" {
				filter.remove(test.place)
			}
			before := test.from.Clone()
			got := filter.header(test.from, 1)
			if list := got["Connection"]; len(list) == 1 {
				// Empty elements of a list mean nothing.
				got["Connection"] = []string{strings.ReplaceAll(list[0], ", , ", ", ")}
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if !reflect.DeepEqual(test.from, before) {
				t.Errorf("the client's own headers have become %q", test.from)
			}
		})
	}
}

func TestTheFilteredHeaderCannotChangeTheClients(t *testing.T) {
	values := make([]string, 1, 4)
	values[0] = "a"
	from := http.Header{"X-List": values}
	to := newCredentialFilter(nil).header(from, 1)
	to.Add("X-List", "b")
	to.Set("X-New", "c")
	if !reflect.DeepEqual(from, http.Header{"X-List": {"a"}}) || values[:2][1] != "" {
		t.Errorf("the client's headers have become %q, with %q behind them", from, values[:2])
	}
}

func TestTheHeaderFilterAllocatesLittle(t *testing.T) {
	from := http.Header{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Connection", "Content-Length", "Content-Type", "Sec-Fetch-Mode",
		"User-Agent", "X-Stainless-Arch", "X-Stainless-Lang", "X-Stainless-Os", "X-Stainless-Package-Version", "X-Stainless-Retry-Count",
		"X-Stainless-Runtime", "X-Stainless-Runtime-Version",
	} {
		from[name] = []string{"keep-alive"}
	}
	filter := newCredentialFilter(nil)
	var to http.Header
	// A map of this size takes four: itself, its directory and its tables.
	if n := testing.AllocsPerRun(100, func() { to = filter.header(from, 2) }); n > 5 {
		t.Errorf("%v allocations for %d headers, want at most 5", n, len(from))
	}
	if len(to) != len(from)-1 {
		t.Errorf("%d headers are left of %d", len(to), len(from))
	}
	var query string
	if n := testing.AllocsPerRun(100, func() { query = filter.query("api-version=2025-04-01-preview&model=gpt-4o") }); n > 3 {
		t.Errorf("%v allocations for the query %s, want at most 3", n, query)
	}
}

func TestTheFilterTakesCredentialsOffAQuery(t *testing.T) {
	filter := newCredentialFilter(nil)
	for query, want := range map[string]string{
		"":                              "",
		"a=1":                           "a=1",
		"key=x":                         "",
		"key":                           "",
		"KEY=x&Api-Key=x&API_key=x":     "",
		"a=1&key=x&b=2":                 "a=1&b=2",
		"access_token=x&a=1":            "a=1",
		"a=1&access%5Ftoken=x":          "a=1",
		"%6B%65%79=x":                   "",
		"api+key=x":                     "api+key=x",
		"a=%zz&%zz=key&b":               "a=%zz&%zz=key&b",
		"a=%2f%2F+&&key=x&":             "a=%2f%2F+&",
		"keys=1&monkey=2&x_api_key_x=3": "keys=1&monkey=2&x_api_key_x=3",
		"a=key=x&model=key":             "a=key=x&model=key",
		"a=1;key=x&b=2":                 "b=2",
		"key=x;a=1":                     "",
		"a=1;b=2":                       "a=1;b=2",
	} {
		t.Run("H03 "+query, func(t *testing.T) {
			got := filter.query(query)
			// Empty pairs mean nothing.
			if strings.Trim(strings.ReplaceAll(got, "&&", "&"), "&") != strings.Trim(strings.ReplaceAll(want, "&&", "&"), "&") {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestOnlyUnderscoresMakeAnotherField(t *testing.T) {
	for name, want := range map[string]string{
		"X-Api-Key": "X-Api-Key", "X_api_key": "X-Api-Key", "X-Api_key": "X-Api-Key", "AUTHORIZATION": "AUTHORIZATION",
		"_": "-", "": "", "X_token": "X-Token",
	} {
		if got := canonicalField(name); got != want {
			t.Errorf("%q is looked up as %q, want %q", name, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = canonicalField("X-Stainless-Runtime") }); n > 0 {
		t.Errorf("%v allocations for a name without underscores", n)
	}
	if all := slices.Sorted(maps.Keys(clientCredentials)); len(all) != 8 {
		t.Errorf("the documented headers are 8, those removed %v", all)
	}
}
