package clientkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

func TestValuesOfAKeyAreAStringOrAList(t *testing.T) {
	for name, test := range map[string]struct {
		read string
		want Values
		// written is what is written, if not what was read.
		written string
	}{
		"a string":              {read: `"{env.K}"`, want: Values{"{env.K}"}},
		"a list":                {read: `["{env.NEW}","{env.OLD}"]`, want: Values{"{env.NEW}", "{env.OLD}"}},
		"a list of one":         {read: `["{env.K}"]`, want: Values{"{env.K}"}, written: `"{env.K}"`},
		"an empty string":       {read: `""`, want: Values{""}},
		"a list of nothing":     {read: `[]`, want: Values{}},
		"null":                  {read: `null`},
		"letters to be escaped": {read: `"a\u003cb\u0026c"`, want: Values{"a<b&c"}},
	} {
		t.Run(name, func(t *testing.T) {
			var key keyField
			if err := json.Unmarshal([]byte(`{"key":`+test.read+`}`), &key); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(key.Key, test.want) {
				t.Errorf("%d values are read, want %d", len(key.Key), len(test.want))
			}
			want := `{"key":` + test.read + `}`
			if test.written != "" {
				want = `{"key":` + test.written + `}`
			}
			if got, err := json.Marshal(key); err != nil || string(got) != want {
				t.Errorf("%s, %v is written, want %s", got, err, want)
			}
		})
	}
}

func TestOtherValuesOfAKeyAreRefusedWithoutShowingThem(t *testing.T) {
	for name, text := range map[string]string{
		"a number": `17171717`, "a boolean": `true`, "an object": `{"17171717":"17171717"}`,
		"a number in a list": `["17171717",17171717]`, "a list in a list": `[["17171717"]]`,
	} {
		t.Run(name, func(t *testing.T) {
			var keys map[string]keyField
			err := json.Unmarshal([]byte(`{"a":{"key":`+text+`}}`), &keys)
			if !errors.As(err, new(*config.ConfigurationError)) || !strings.Contains(err.Error(), "client_keys key: must be a string, or a list of strings") {
				t.Fatalf("got %v, want a ConfigurationError about client_keys key", err)
			}
			if strings.Contains(err.Error(), "17171717") {
				t.Errorf("the error %q shows the value", err)
			}
		})
	}
}

func TestValuesOfAKeyAreNotPrinted(t *testing.T) {
	key := keyField{Key: Values{"canary-1", "canary-2"}}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "key", key.Key)
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{})
	encoded, err := encoder.EncodeEntry(zapcore.Entry{}, []zapcore.Field{zap.Any("key", key.Key)})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", key, key, key, key.Key, key.Key), logged.String(), encoded.String()} {
		if strings.Contains(text, "canary") || !strings.Contains(text, "[redacted]") {
			t.Errorf("%s is printed", text)
		}
	}
}

// A keyField is where values stand in JSON.
type keyField struct {
	Key Values `json:"key"`
}
