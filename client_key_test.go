package oauth2llm

import (
	"testing"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// keysOf makes client keys of names and values.
func keysOf(t *testing.T, pairs ...string) clientKeys {
	t.Helper()
	configured := map[string]ClientKey{}
	for i := 0; i < len(pairs); i += 2 {
		key := configured[pairs[i]]
		key.Key = append(key.Key, config.Template(pairs[i+1]))
		configured[pairs[i]] = key
	}
	k, err := newKeyring(configured, config.DefaultEnvironment(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return k.current()
}

func TestAKeyIsExposedWhereItStandsInTheConfiguration(t *testing.T) {
	_, hash := newClientKey()
	for name, test := range map[string]struct {
		values           KeyValues
		exposed, hasFile bool
	}{
		"a key":                       {KeyValues{"key"}, true, false},
		"what looks like a hash":      {KeyValues{"sha-256"}, true, false},
		"a hash":                      {KeyValues{config.Template(hash)}, false, false},
		"a variable":                  {KeyValues{"{env.KEY}"}, false, false},
		"a file":                      {KeyValues{"{file./key}"}, false, true},
		"a member of a file":          {KeyValues{"{json./key#a}"}, false, true},
		"a key beside a file":         {KeyValues{"{file./key}", "key"}, true, true},
		"a file beside a variable":    {KeyValues{"{env.KEY}", "{file./key}"}, false, true},
		"a hash beside a variable":    {KeyValues{config.Template(hash), "{env.KEY}"}, false, false},
		"a variable with text around": {KeyValues{"key-{env.KEY}"}, false, false},
		"no value":                    {nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			key := ClientKey{Key: test.values}
			if key.isExposed() != test.exposed || key.hasFile() != test.hasFile {
				t.Errorf("exposed %t, with a file %t; want %t, %t", key.isExposed(), key.hasFile(), test.exposed, test.hasFile)
			}
		})
	}
}
