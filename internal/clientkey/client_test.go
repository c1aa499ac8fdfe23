package clientkey

import (
	"testing"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// keysOf makes client keys of names and values.
func keysOf(t *testing.T, pairs ...string) Keys {
	t.Helper()
	configured := map[string]Declared{}
	for i := 0; i < len(pairs); i += 2 {
		key := configured[pairs[i]]
		key.Key = append(key.Key, config.Template(pairs[i+1]))
		configured[pairs[i]] = key
	}
	k, err := New(configured, config.DefaultEnvironment(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return k.Current()
}

func TestAKeyIsExposedWhereItStandsInTheConfiguration(t *testing.T) {
	_, hash := Generate()
	for name, test := range map[string]struct {
		values           Values
		exposed, hasFile bool
	}{
		"a key":                       {Values{"key"}, true, false},
		"what looks like a hash":      {Values{"sha-256"}, true, false},
		"a hash":                      {Values{config.Template(hash)}, false, false},
		"a variable":                  {Values{"{env.KEY}"}, false, false},
		"a file":                      {Values{"{file./key}"}, false, true},
		"a member of a file":          {Values{"{json./key#a}"}, false, true},
		"a key beside a file":         {Values{"{file./key}", "key"}, true, true},
		"a file beside a variable":    {Values{"{env.KEY}", "{file./key}"}, false, true},
		"a hash beside a variable":    {Values{config.Template(hash), "{env.KEY}"}, false, false},
		"a variable with text around": {Values{"key-{env.KEY}"}, false, false},
		"no value":                    {nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			key := Declared{Key: test.values}
			if key.isExposed() != test.exposed || key.hasFile() != test.hasFile {
				t.Errorf("exposed %t, with a file %t; want %t, %t", key.isExposed(), key.hasFile(), test.exposed, test.hasFile)
			}
		})
	}
}
