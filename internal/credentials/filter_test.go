package credentials

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
		"every known credential": {
			from: http.Header{
				"Authorization": {"a"}, "X-Api-Key": {"a"}, "Api-Key": {"a"}, "X-Goog-Api-Key": {"a"}, "Xi-Api-Key": {"a"},
				"Ocp-Apim-Subscription-Key": {"a"}, "Proxy-Authorization": {"a"}, "Cookie": {"a", "b"}, "Accept": {"*/*"},
			},
			want: http.Header{"Accept": {"*/*"}},
		},
		"names that only look like one": {
			from: http.Header{"X-Api-Key-Id": {"a"}, "Openai-Organization": {"o"}, "Anthropic-Version": {"1"}},
			want: http.Header{"X-Api-Key-Id": {"a"}, "Openai-Organization": {"o"}, "Anthropic-Version": {"1"}},
		},
		"underscores": {
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
		"a place with underscores": {
			place: "X_Token",
			from:  http.Header{"X-Token": {"a"}, "X_token": {"a"}},
			want:  http.Header{},
		},
		"a header that the gateway sets is left for header_up to treat": {
			set:  []string{"X-Group"},
			from: http.Header{"X-Group": {"a"}},
			want: http.Header{"X-Group": {"a"}},
		},
		"Connection and Trailer that name guarded fields": {
			place: "X-Token", set: []string{"X_Group"},
			from: http.Header{
				"Connection": {"close, Authorization, x-token", "X_GROUP,X-Hop ,, X_Api_Key"},
				"Trailer":    {"Authorization", "X-Checksum"},
			},
			want: http.Header{"Connection": {"close, X-Hop, "}, "Trailer": {"X-Checksum"}},
		},
		"Connection that names nothing else": {
			from: http.Header{"Connection": {"Authorization"}, "Trailer": {"cookie, AUTHORIZATION"}},
			want: http.Header{},
		},
		"Connection that names no guarded field stays as it is": {
			from: http.Header{"Connection": {"keep-alive,X-Hop", " Upgrade"}},
			want: http.Header{"Connection": {"keep-alive,X-Hop", " Upgrade"}},
		},
		"a key among WebSocket protocols": {
			from: http.Header{"Sec-Websocket-Protocol": {"realtime,openai-insecure-api-key.sk-1", "OpenAI-Insecure-API-Key.sk-2, v1"}},
			want: http.Header{"Sec-Websocket-Protocol": {"realtime, v1"}},
		},
		"a key as the only WebSocket protocol": {
			from: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key."}},
			want: http.Header{},
		},
		"what makes another request of one": {
			from: http.Header{
				"X-Http-Method-Override": {"DELETE"}, "X-Http-Method": {"DELETE"}, "X-Method-Override": {"DELETE"},
				"X-Original-Url": {"/admin"}, "X-Rewrite-Url": {"/admin"}, "X-Override-Url": {"/admin"}, "Proxy": {"evil:1"},
				"X-Original-Filename": {"a"}, "Proxy-Status": {"b"}, "X-Url": {"c"},
			},
			want: http.Header{"X-Original-Filename": {"a"}, "Proxy-Status": {"b"}, "X-Url": {"c"}},
		},
		"what makes another request of one, in other spellings": {
			from: http.Header{
				"X_http_method_override": {"a"}, "X-Http_method-Override": {"a"}, "X_HTTP_METHOD": {"a"}, "X_original_url": {"a"},
				"PROXY": {"a"}, "proxy": {"a"}, "x_rewrite-url": {"a"},
			},
			want: http.Header{},
		},
		"what makes another request of one cannot be kept": {
			kept: []string{"Proxy", "x-original-url", "Cookie"},
			from: http.Header{"Proxy": {"a"}, "X-Original-Url": {"a"}, "X_original_url": {"a"}, "Cookie": {"a"}},
			want: http.Header{"Cookie": {"a"}},
		},
		"what makes another request of one, in lists of names": {
			from: http.Header{"Connection": {"close, X-HTTP-Method-Override", "proxy"}, "Trailer": {"x_original_url, X-Checksum"}},
			want: http.Header{"Connection": {"close"}, "Trailer": {"X-Checksum"}},
		},
		"no headers at all": {from: http.Header{}, want: http.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			filter := NewFilter(test.kept, test.set...)
			if test.place != "" {
				filter.Remove(test.place)
			}
			before := test.from.Clone()
			got := filter.Header(test.from, 1)
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

func TestWhatMakesAnotherRequestOfOneIsTakenOffWhatIsPassedOn(t *testing.T) {
	for name, test := range map[string]struct{ from, want http.Header }{
		"every one of them": {
			from: http.Header{
				"X-Http-Method-Override": {"DELETE"}, "X-Http-Method": {"a"}, "X-Method-Override": {"a"}, "X-Original-Url": {"a"},
				"X-Rewrite-Url": {"a"}, "X-Override-Url": {"a"}, "Proxy": {"a"}, "Authorization": {"own"}, "Cookie": {"own"},
			},
			want: http.Header{"Authorization": {"own"}, "Cookie": {"own"}},
		},
		"underscores":          {from: http.Header{"X_http_method_override": {"a"}, "X-Original_url": {"a"}, "X_own": {"a"}}, want: http.Header{"X_own": {"a"}}},
		"named in Connection":  {from: http.Header{"Connection": {"keep-alive, proxy", "X-Own"}}, want: http.Header{"Connection": {"keep-alive, X-Own"}}},
		"announced in Trailer": {from: http.Header{"Trailer": {"X_HTTP_Method"}}, want: http.Header{}},
		"lists of other names": {from: http.Header{"Connection": {"X-Own ,Authorization"}, "Trailer": {"X-Own"}}, want: http.Header{"Connection": {"X-Own ,Authorization"}, "Trailer": {"X-Own"}}},
		"nothing":              {from: http.Header{}, want: http.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			shared := maps.Clone(test.from)
			before := shared.Clone()
			RemoveOverrides(test.from)
			if !reflect.DeepEqual(test.from, test.want) {
				t.Errorf("got %q, want %q", test.from, test.want)
			}
			if !reflect.DeepEqual(shared, before) {
				t.Errorf("the client's own values have become %q", shared)
			}
		})
	}
}

func TestTrailersBringNothingThatIsTakenOffHeaders(t *testing.T) {
	trailer := func() http.Header {
		return http.Header{"X-Checksum": {"1"}, "Authorization": {"a"}, "X_http_method": {"a"}, "Proxy": {"a"}, "X-Original-Url": nil}
	}
	guarding, passing := trailer(), trailer()
	NewFilter(nil).FilterTrailer(guarding)
	if want := (http.Header{"X-Checksum": {"1"}}); !reflect.DeepEqual(guarding, want) {
		t.Errorf("%q is left, want %q", guarding, want)
	}
	// A request that is passed on keeps the client's own credentials.
	new(Filter).FilterTrailer(passing)
	if want := (http.Header{"X-Checksum": {"1"}, "Authorization": {"a"}}); !reflect.DeepEqual(passing, want) {
		t.Errorf("%q is left, want %q", passing, want)
	}
}

func TestOnlyAWebSocketIsAnUpgrade(t *testing.T) {
	for name, test := range map[string]struct{ from, want http.Header }{
		"a WebSocket":                  {from: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, want: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}},
		"in another case":              {from: http.Header{"Upgrade": {"WebSocket"}, "Connection": {"keep-alive, upgrade"}}, want: http.Header{"Upgrade": {"WebSocket"}, "Connection": {"keep-alive, upgrade"}}},
		"with spaces":                  {from: http.Header{"Upgrade": {" websocket\t"}, "Connection": {"Upgrade"}}, want: http.Header{"Upgrade": {" websocket\t"}, "Connection": {"Upgrade"}}},
		"h2c":                          {from: http.Header{"Upgrade": {"h2c"}, "Connection": {"Upgrade, HTTP2-Settings"}, "Http2-Settings": {"x"}}, want: http.Header{"Connection": {"HTTP2-Settings"}, "Http2-Settings": {"x"}}},
		"a list that begins with it":   {from: http.Header{"Upgrade": {"websocket, h2c"}, "Connection": {"Upgrade"}}, want: http.Header{}},
		"a list that ends with it":     {from: http.Header{"Upgrade": {"h2c,websocket"}, "Connection": {"close,UPGRADE"}}, want: http.Header{"Connection": {"close"}}},
		"two lines":                    {from: http.Header{"Upgrade": {"websocket", "h2c"}, "Connection": {"upgrade"}}, want: http.Header{}},
		"two equal lines":              {from: http.Header{"Upgrade": {"websocket", "websocket"}, "Connection": {"upgrade"}}, want: http.Header{}},
		"a version":                    {from: http.Header{"Upgrade": {"websocket/13"}, "Connection": {"upgrade"}}, want: http.Header{}},
		"an empty value":               {from: http.Header{"Upgrade": {""}, "Connection": {"upgrade"}}, want: http.Header{}},
		"no values":                    {from: http.Header{"Upgrade": nil, "Connection": nil}, want: http.Header{"Connection": nil}},
		"Connection in several lines":  {from: http.Header{"Upgrade": {"TLS/1.0"}, "Connection": {"Upgrade", "X-Hop, upgrade ", "close"}}, want: http.Header{"Connection": {"X-Hop, close"}}},
		"Connection alone":             {from: http.Header{"Connection": {"Upgrade, keep-alive"}}, want: http.Header{"Connection": {"keep-alive"}}},
		"Upgrade alone":                {from: http.Header{"Upgrade": {"h2c"}, "X-Upgrade": {"h2c"}}, want: http.Header{"X-Upgrade": {"h2c"}}},
		"a request without an upgrade": {from: http.Header{"Connection": {"keep-alive , X-Hop"}}, want: http.Header{"Connection": {"keep-alive , X-Hop"}}},
		"nothing":                      {from: http.Header{}, want: http.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			shared := maps.Clone(test.from)
			before := shared.Clone()
			OnlyWebSocket(http.MethodGet, test.from)
			if !reflect.DeepEqual(test.from, test.want) {
				t.Errorf("got %q, want %q", test.from, test.want)
			}
			if !reflect.DeepEqual(shared, before) {
				t.Errorf("the client's own values have become %q", shared)
			}
		})
	}
	header := http.Header{"Connection": {"keep-alive"}}
	if n := testing.AllocsPerRun(100, func() { OnlyWebSocket(http.MethodGet, header); RemoveOverrides(header) }); n > 0 {
		t.Errorf("%v allocations for a request without an upgrade", n)
	}
}

func TestTheFilteredHeaderCannotChangeTheClients(t *testing.T) {
	values := make([]string, 1, 4)
	values[0] = "a"
	from := http.Header{"X-List": values}
	to := NewFilter(nil).Header(from, 1)
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
	filter := NewFilter(nil)
	var to http.Header
	// A map of this size takes four: itself, its directory and its tables.
	if n := testing.AllocsPerRun(100, func() { to = filter.Header(from, 2) }); n > 5 {
		t.Errorf("%v allocations for %d headers, want at most 5", n, len(from))
	}
	if len(to) != len(from)-1 {
		t.Errorf("%d headers are left of %d", len(to), len(from))
	}
	var query string
	if n := testing.AllocsPerRun(100, func() { query = filter.Query("api-version=2025-04-01-preview&model=gpt-4o") }); n > 3 {
		t.Errorf("%v allocations for the query %s, want at most 3", n, query)
	}
}

func TestTheFilterTakesCredentialsOffAQuery(t *testing.T) {
	filter := NewFilter(nil)
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
		t.Run(query, func(t *testing.T) {
			got := filter.Query(query)
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
		if got := CanonicalField(name); got != want {
			t.Errorf("%q is looked up as %q, want %q", name, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = CanonicalField("X-Stainless-Runtime") }); n > 0 {
		t.Errorf("%v allocations for a name without underscores", n)
	}
	if all := slices.Sorted(maps.Keys(clientCredentials)); len(all) != 8 {
		t.Errorf("the documented headers are 8, those removed %v", all)
	}
}
