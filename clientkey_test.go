package oauth2llm

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// keysOf makes client keys of names and values.
func keysOf(t *testing.T, pairs ...string) clientKeys {
	t.Helper()
	configured := map[string]ClientKey{}
	for i := 0; i < len(pairs); i += 2 {
		configured[pairs[i]] = ClientKey{Key: config.Template(pairs[i+1])}
	}
	keys, err := readClientKeys(configured, config.DefaultEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestAClientIsKnownByItsKey(t *testing.T) {
	keys := keysOf(t, "agents", "key-a", "batch", "key-b", "odd", "käy with spaces")
	for name, test := range map[string]struct {
		header http.Header
		// client is empty if none is known.
		client string
		// left are the headers that do not hold a key of the gateway.
		left []string
	}{
		"Bearer":                                {header: http.Header{"Authorization": {"Bearer key-a"}}, client: "agents"},
		"another key":                           {header: http.Header{"Authorization": {"Bearer key-b"}}, client: "batch"},
		"a key that is no token":                {header: http.Header{"X-Api-Key": {"käy with spaces"}}, client: "odd"},
		"bearer in other case":                  {header: http.Header{"Authorization": {"bEARER key-a"}}, client: "agents"},
		"spaces around it":                      {header: http.Header{"Authorization": {"Bearer   key-a  "}}, client: "agents"},
		"X-Api-Key":                             {header: http.Header{"X-Api-Key": {"key-a"}}, client: "agents"},
		"Api-Key":                               {header: http.Header{"Api-Key": {"key-a"}}, client: "agents"},
		"the same in two":                       {header: http.Header{"Authorization": {"Bearer key-a"}, "X-Api-Key": {"key-a"}}, client: "agents"},
		"beside a credential of the provider's": {header: http.Header{"Authorization": {"Bearer own"}, "X-Api-Key": {"key-a"}}, client: "agents", left: []string{"Authorization"}},
		"a second value":                        {header: http.Header{"Authorization": {"Basic x", "Bearer key-a"}}, client: "agents"},
		"no header":                             {header: http.Header{}},
		"an empty header":                       {header: http.Header{"Authorization": {""}, "X-Api-Key": {""}}, left: []string{"Authorization", "X-Api-Key"}},
		"no values":                             {header: http.Header{"Authorization": nil}, left: []string{"Authorization"}},
		"Bearer alone":                          {header: http.Header{"Authorization": {"Bearer"}}, left: []string{"Authorization"}},
		"Bearer and a space":                    {header: http.Header{"Authorization": {"Bearer "}}, left: []string{"Authorization"}},
		"no scheme":                             {header: http.Header{"Authorization": {"key-a"}}, left: []string{"Authorization"}},
		"another scheme":                        {header: http.Header{"Authorization": {"Basic key-a"}}, left: []string{"Authorization"}},
		"a scheme in X-Api-Key":                 {header: http.Header{"X-Api-Key": {"Bearer key-a"}}, left: []string{"X-Api-Key"}},
		"a beginning of it":                     {header: http.Header{"X-Api-Key": {"key-"}}, left: []string{"X-Api-Key"}},
		"more than it":                          {header: http.Header{"X-Api-Key": {"key-a "}}, left: []string{"X-Api-Key"}},
		"another case":                          {header: http.Header{"X-Api-Key": {"KEY-A"}}, left: []string{"X-Api-Key"}},
		"a client's name":                       {header: http.Header{"X-Api-Key": {"agents"}}, left: []string{"X-Api-Key"}},
		"two keys in one":                       {header: http.Header{"X-Api-Key": {"key-a, key-b"}}, left: []string{"X-Api-Key"}},
		"a header that holds none":              {header: http.Header{"X-Goog-Api-Key": {"key-a"}, "Cookie": {"key-a"}}, left: []string{"X-Goog-Api-Key", "Cookie"}},
		"underscores":                           {header: http.Header{"X_api_key": {"key-a"}}, left: []string{"X_api_key"}},
	} {
		t.Run(name, func(t *testing.T) {
			client, holder := keys.authenticate(test.header)
			switch {
			case client == nil && test.client != "":
				t.Errorf("no client is known, want %s", test.client)
			case client != nil && (client.name != test.client || client.placeholder != test.client):
				t.Errorf("the client is %s, want %q", client.name, test.client)
			}
			holder.remove(test.header)
			if len(test.header) != len(test.left) {
				t.Errorf("%v is left, want %v", test.header, test.left)
			}
			for _, name := range test.left {
				if _, left := test.header[name]; !left {
					t.Errorf("%s is gone", name)
				}
			}
		})
	}
}

func TestNoKeysKnowNobody(t *testing.T) {
	for _, header := range []http.Header{{}, {"X-Api-Key": {""}}, {"Authorization": {"Bearer "}}, {"Authorization": {"Bearer x"}}} {
		if client, _ := clientKeys(nil).authenticate(header); client != nil {
			t.Errorf("%v is %s", header, client.name)
		}
	}
}

func TestClientKeysComeFromTheirTemplates(t *testing.T) {
	t.Setenv("TEST_KEY", "from-env")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := keysOf(t, "env", "{env.TEST_KEY}", "file", "{file."+file+"}", "both", "{env.TEST_KEY}-2")
	for presented, want := range map[string]string{"from-env": "env", "from-file": "file", "from-env-2": "both"} {
		if client := keys.identify(presented); client == nil || client.name != want {
			t.Errorf("%s is the key of %v, want %s", presented, client, want)
		}
	}
	for _, presented := range []string{"{env.TEST_KEY}", "from-file\n", "TEST_KEY"} {
		if client := keys.identify(presented); client != nil {
			t.Errorf("%q is the key of %s", presented, client.name)
		}
	}
}

func TestClientKeysThatCannotWorkAreRefusedWithoutShowingThem(t *testing.T) {
	t.Setenv("TEST_EMPTY", "")
	t.Setenv("TEST_KEY", "secret-value")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		configured map[string]ClientKey
		want       string
	}{
		"no value":                  {map[string]ClientKey{"a": {}}, "client_key a"},
		"a variable that is empty":  {map[string]ClientKey{"a": {Key: "{env.TEST_EMPTY}"}}, "TEST_EMPTY"},
		"a variable that is unset":  {map[string]ClientKey{"a": {Key: "{env.TEST_NOT_SET}"}}, "TEST_NOT_SET"},
		"a file that is empty":      {map[string]ClientKey{"a": {Key: config.Template("{file." + empty + "}")}}, "client_key a"},
		"a file that is not there":  {map[string]ClientKey{"a": {Key: config.Template("{file." + empty + "-not}")}}, "client_key a"},
		"no name":                   {map[string]ClientKey{"": {Key: "secret-value"}}, "client_key"},
		"the same value twice":      {map[string]ClientKey{"a": {Key: "{env.TEST_KEY}"}, "b": {Key: "secret-value"}}, "client_key b"},
		"one good and one bad":      {map[string]ClientKey{"a": {Key: "secret-value"}, "b": {Key: "{env.TEST_NOT_SET}"}}, "client_key b"},
		"an unknown placeholder":    {map[string]ClientKey{"a": {Key: "secret-value{nonsense}"}}, "client_key a"},
		"a token of a provider":     {map[string]ClientKey{"a": {Key: "{token.corp}"}}, "client_key a"},
		"a space at its end":        {map[string]ClientKey{"a": {Key: "secret-value "}}, "white space"},
		"no models":                 {map[string]ClientKey{"a": {Key: "secret-value", Models: []string{}}}, "models is empty"},
		"what changes at each look": {map[string]ClientKey{"a": {Key: "{uuid}"}}, "client_key a"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := readClientKeys(test.configured, config.DefaultEnvironment())
			var misconfigured *config.ConfigurationError
			if keys != nil || !errors.As(err, &misconfigured) {
				t.Fatalf("got %d keys and %v, want a ConfigurationError", len(keys), err)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret-value") {
				t.Errorf("the error is %q, want %q in it and no value", err, test.want)
			}
		})
	}
}

func TestAuthenticatingAllocatesLittle(t *testing.T) {
	keys := keysOf(t, "agents", "key-a", "batch", "key-b")
	header := http.Header{"Authorization": {"Bearer key-a"}}
	if n := testing.AllocsPerRun(100, func() { keys.authenticate(header) }); n > 1 {
		t.Errorf("%v allocations, want at most 1", n)
	}
}

func TestAHashIsNoSecret(t *testing.T) {
	_, hash := newClientKey()
	if !(ClientKey{Key: config.Template(hash)}).isHash() || (ClientKey{Key: "sha-256"}).isHash() {
		t.Error("a hash is not told from a key")
	}
}
