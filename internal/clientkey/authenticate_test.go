package clientkey

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/credentials"
)

func TestAClientIsKnownByItsKey(t *testing.T) {
	keys := keysOf(t, "agents", "key-a", "agents", "key-a2", "batch", "key-b", "odd", "käy with spaces")
	for name, test := range map[string]struct {
		header http.Header
		// client is empty if none is known.
		client string
		// left is what does not hold a key of the gateway.
		left http.Header
	}{
		"Bearer":                                {header: http.Header{"Authorization": {"Bearer key-a"}}, client: "agents"},
		"another key of the client":             {header: http.Header{"Authorization": {"Bearer key-a2"}}, client: "agents"},
		"another client":                        {header: http.Header{"Authorization": {"Bearer key-b"}}, client: "batch"},
		"a key with a space in it":              {header: http.Header{"X-Api-Key": {"käy with spaces"}}, client: "odd"},
		"bearer in other case":                  {header: http.Header{"Authorization": {"bEARER key-a"}}, client: "agents"},
		"spaces around it":                      {header: http.Header{"Authorization": {"Bearer   key-a  "}}, client: "agents"},
		"X-Api-Key":                             {header: http.Header{"X-Api-Key": {"key-a"}}, client: "agents"},
		"Api-Key":                               {header: http.Header{"Api-Key": {"key-a"}}, client: "agents"},
		"X-Goog-Api-Key":                        {header: http.Header{"X-Goog-Api-Key": {"key-a"}}, client: "agents"},
		"the same in two":                       {header: http.Header{"Authorization": {"Bearer key-a"}, "X-Api-Key": {"key-a"}}, client: "agents"},
		"beside a credential of the provider's": {header: http.Header{"Authorization": {"Bearer own"}, "X-Api-Key": {"key-a"}}, client: "agents", left: http.Header{"Authorization": {"Bearer own"}}},
		"a second value":                        {header: http.Header{"Authorization": {"Basic x", "Bearer key-a"}}, client: "agents"},
		"no header":                             {header: http.Header{}},
		"an empty header":                       {header: http.Header{"Authorization": {""}, "X-Api-Key": {""}}, left: http.Header{"Authorization": {""}, "X-Api-Key": {""}}},
		"no values":                             {header: http.Header{"Authorization": nil}, left: http.Header{"Authorization": nil}},
		"Bearer alone":                          {header: http.Header{"Authorization": {"Bearer"}}, left: http.Header{"Authorization": {"Bearer"}}},
		"Bearer and a space":                    {header: http.Header{"Authorization": {"Bearer "}}, left: http.Header{"Authorization": {"Bearer "}}},
		"no scheme":                             {header: http.Header{"Authorization": {"key-a"}}, left: http.Header{"Authorization": {"key-a"}}},
		"another scheme":                        {header: http.Header{"Authorization": {"Basic key-a"}}, left: http.Header{"Authorization": {"Basic key-a"}}},
		"a scheme in X-Api-Key":                 {header: http.Header{"X-Api-Key": {"Bearer key-a"}}, left: http.Header{"X-Api-Key": {"Bearer key-a"}}},
		"a beginning of it":                     {header: http.Header{"X-Api-Key": {"key-"}}, left: http.Header{"X-Api-Key": {"key-"}}},
		"more than it":                          {header: http.Header{"X-Api-Key": {"key-a "}}, left: http.Header{"X-Api-Key": {"key-a "}}},
		"another case":                          {header: http.Header{"X-Api-Key": {"KEY-A"}}, left: http.Header{"X-Api-Key": {"KEY-A"}}},
		"a client's name":                       {header: http.Header{"X-Api-Key": {"agents"}}, left: http.Header{"X-Api-Key": {"agents"}}},
		"two keys in one":                       {header: http.Header{"X-Api-Key": {"key-a, key-b"}}, left: http.Header{"X-Api-Key": {"key-a, key-b"}}},
		"headers that hold none":                {header: http.Header{"Xi-Api-Key": {"key-a"}, "Cookie": {"key-a"}}, left: http.Header{"Xi-Api-Key": {"key-a"}, "Cookie": {"key-a"}}},
		"underscores":                           {header: http.Header{"X_api_key": {"key-a"}}, left: http.Header{"X_api_key": {"key-a"}}},

		"the first that is good decides": {header: http.Header{
			"Authorization": {"Bearer key-b"}, "X-Api-Key": {"key-a"}, "Api-Key": {"key-a"}, "X-Goog-Api-Key": {"key-a"},
			"Sec-Websocket-Protocol": {"openai-insecure-api-key.key-a"},
		}, client: "batch"},
		"X-Api-Key before Api-Key":        {header: http.Header{"X-Api-Key": {"key-b"}, "Api-Key": {"key-a"}}, client: "batch"},
		"Api-Key before X-Goog-Api-Key":   {header: http.Header{"X-Goog-Api-Key": {"key-b"}, "Api-Key": {"key-a"}}, client: "agents"},
		"X-Goog-Api-Key before protocols": {header: http.Header{"X-Goog-Api-Key": {"key-b"}, "Sec-Websocket-Protocol": {"openai-insecure-api-key.key-a"}}, client: "batch"},
		"the first of two lines":          {header: http.Header{"X-Api-Key": {"key-b", "key-a"}}, client: "batch"},
		"what is not good hides nothing": {header: http.Header{
			"Authorization": {"Bearer other"}, "X-Api-Key": {"other"}, "Api-Key": {"other"}, "X-Goog-Api-Key": {"key-a"},
		}, client: "agents", left: http.Header{"Authorization": {"Bearer other"}, "X-Api-Key": {"other"}, "Api-Key": {"other"}}},
		"what is not good after it stays": {
			header: http.Header{"X-Api-Key": {"key-a"}, "X-Goog-Api-Key": {"own"}, "Sec-Websocket-Protocol": {"openai-insecure-api-key.own"}},
			client: "agents", left: http.Header{"X-Goog-Api-Key": {"own"}, "Sec-Websocket-Protocol": {"openai-insecure-api-key.own"}},
		},

		"a WebSocket protocol": {header: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key.key-a"}}, client: "agents"},
		"among other protocols": {
			header: http.Header{"Sec-Websocket-Protocol": {"realtime, openai-insecure-api-key.key-a,openai-beta.realtime-v1"}},
			client: "agents", left: http.Header{"Sec-Websocket-Protocol": {"realtime, openai-beta.realtime-v1"}},
		},
		"in a second line of protocols": {
			header: http.Header{"Sec-Websocket-Protocol": {"realtime", "openai-beta.realtime-v1,\topenai-insecure-api-key.key-b "}},
			client: "batch", left: http.Header{"Sec-Websocket-Protocol": {"realtime, openai-beta.realtime-v1"}},
		},
		"the first of two protocols": {header: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key.key-b, openai-insecure-api-key.key-a"}}, client: "batch"},
		"a protocol that is not good before one that is": {
			header: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key.own, openai-insecure-api-key.key-a"}},
			client: "agents", left: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key.own"}},
		},
		"a protocol in other case": {header: http.Header{"Sec-Websocket-Protocol": {"OpenAI-Insecure-API-Key.key-a"}}, client: "agents"},
		"a protocol without a key": {header: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key."}}, left: http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key."}}},
		"a key as a protocol":      {header: http.Header{"Sec-Websocket-Protocol": {"key-a"}}, left: http.Header{"Sec-Websocket-Protocol": {"key-a"}}},
		"a part of the prefix":     {header: http.Header{"Sec-Websocket-Protocol": {"api-key.key-a, openai"}}, left: http.Header{"Sec-Websocket-Protocol": {"api-key.key-a, openai"}}},
		"protocols of all other forms": {
			header: http.Header{"Authorization": {"Bearer key-a"}, "Sec-Websocket-Protocol": {",, realtime ,"}},
			client: "agents", left: http.Header{"Sec-Websocket-Protocol": {",, realtime ,"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, holder := keys.Authenticate(test.header)
			switch {
			case client == nil && test.client != "":
				t.Errorf("no client is known, want %s", test.client)
			case client != nil && (client.Name != test.client || client.Placeholder != test.client):
				t.Errorf("the client is %s, want %q", client.Name, test.client)
			}
			original := test.header.Clone()
			forwarded := maps.Clone(test.header) // shares its values, as the filter does
			holder.Remove(forwarded)
			if test.left == nil {
				test.left = http.Header{}
			}
			if !reflect.DeepEqual(forwarded, test.left) {
				t.Errorf("%q is left, want %q", forwarded, test.left)
			}
			if !reflect.DeepEqual(test.header, original) {
				t.Errorf("the client's own header has become %q", test.header)
			}
		})
	}
}

// Whoever sends thousands of keys keeps the gateway busy before anybody knows who it is.
func TestARequestWithManyKeysIsNobodys(t *testing.T) {
	keys := keysOf(t, "agents", "key-a")
	wrong := slices.Repeat([]string{"wrong"}, 15)
	protocols := strings.Repeat("openai-insecure-api-key.wrong, ", 15)
	for name, test := range map[string]struct {
		header http.Header
		want   bool
	}{
		"16 in a header":                {http.Header{"X-Api-Key": append([]string{"key-a"}, wrong...)}, true},
		"17 in a header":                {http.Header{"X-Api-Key": append([]string{"key-a", "wrong"}, wrong...)}, false},
		"17 in two headers":             {http.Header{"Authorization": {"Bearer key-a"}, "Api-Key": append([]string{"wrong"}, wrong...)}, false},
		"16 in subprotocols":            {http.Header{"Sec-Websocket-Protocol": {protocols + "openai-insecure-api-key.key-a"}}, true},
		"17 in subprotocols":            {http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key.key-a, " + protocols, "openai-insecure-api-key.wrong"}}, false},
		"17 in a header and the list":   {http.Header{"Authorization": {"Bearer key-a"}, "Sec-Websocket-Protocol": {protocols + "openai-insecure-api-key.wrong"}}, false},
		"many subprotocols without one": {http.Header{"Authorization": {"Bearer key-a"}, "Sec-Websocket-Protocol": {strings.Repeat("realtime, ", 100)}}, true},
		"many headers of other schemes": {http.Header{"Authorization": append(slices.Repeat([]string{"Basic eDp5"}, 100), "Bearer key-a")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			client, holder := keys.Authenticate(test.header)
			if got := client != nil; got != test.want || !test.want && !reflect.DeepEqual(holder, Holder{}) {
				t.Errorf("known %t, by %v, want %t", got, holder, test.want)
			}
		})
	}
}

func TestNoKeysKnowNobody(t *testing.T) {
	for _, header := range []http.Header{
		{},
		{"X-Api-Key": {""}},
		{"Authorization": {"Bearer "}},
		{"Authorization": {"Bearer x"}},
		{"Sec-Websocket-Protocol": {"openai-insecure-api-key."}},
		{"Sec-Websocket-Protocol": {""}},
	} {
		if client, _ := Keys(nil).Authenticate(header); client != nil {
			t.Errorf("%v is %s", header, client.Name)
		}
	}
}

// What is kept for the provider loses a key of this gateway nevertheless.
func TestAHeaderThatIsKeptLosesAKeyOfTheGateway(t *testing.T) {
	keys := keysOf(t, "agents", "key-a")
	from := http.Header{"Authorization": {"Bearer key-a"}, "X-Goog-Api-Key": {"key-a"}, "Api-Key": {"own"}, "Cookie": {"own"}}
	_, holder := keys.Authenticate(from)
	to := credentials.NewFilter([]string{"Authorization", "X-Goog-Api-Key", "Api-Key", "Cookie"}).Header(from, 1)
	holder.Remove(to)
	if want := (http.Header{"Api-Key": {"own"}, "Cookie": {"own"}}); !reflect.DeepEqual(to, want) {
		t.Errorf("%q is forwarded, want %q", to, want)
	}
}

func TestAuthenticatingAllocatesLittle(t *testing.T) {
	key, _ := Generate()
	keys := keysOf(t, "agents", "key-a", "batch", "key-b", "long", key)
	for name, test := range map[string]struct {
		header http.Header
		most   float64
	}{
		"no header":           {http.Header{"Accept": {"*/*"}}, 0},
		"a short key":         {http.Header{"Authorization": {"Bearer key-a"}}, 0},
		"a long key":          {http.Header{"Authorization": {"Bearer " + key}}, 1},
		"protocols without":   {http.Header{"Authorization": {"Bearer key-a"}, "Sec-Websocket-Protocol": {"realtime, v1"}}, 0},
		"a key in a protocol": {http.Header{"Sec-Websocket-Protocol": {"realtime, openai-insecure-api-key.key-a"}}, 1},
	} {
		if n := testing.AllocsPerRun(100, func() { keys.Authenticate(test.header) }); n > test.most {
			t.Errorf("%s: %v allocations, want at most %v", name, n, test.most)
		}
	}
}

func TestEveryOneOfManyKeysIsKnown(t *testing.T) {
	pairs := []string{}
	for i := range 100 {
		pairs = append(pairs, fmt.Sprintf("client-%d", i), fmt.Sprintf("key-%d", i))
	}
	keys := keysOf(t, pairs...)
	for i := range 100 {
		if client := keys.identify(fmt.Sprintf("key-%d", i)); client == nil || client.Name != fmt.Sprintf("client-%d", i) {
			t.Errorf("key %d is of %v", i, client)
		}
	}
	if client := keys.identify("key-100"); client != nil {
		t.Errorf("a key that was not issued is of %s", client.Name)
	}
}
