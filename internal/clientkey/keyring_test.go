package clientkey

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

func writeKey(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func knows(k *Keyring, key string) bool {
	client, _ := k.Current().Authenticate(http.Header{"X-Api-Key": {key}})
	return client != nil
}

func TestAKeyInAFileIsIssuedAndRevokedWithoutAReload(t *testing.T) {
	folder := t.TempDir()
	first, second := filepath.Join(folder, "first"), filepath.Join(folder, "second")
	writeKey(t, first, "one\n")
	writeKey(t, second, "two\n")
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		k, err := New(map[string]Declared{
			"first":  {Key: Values{config.Template("{file." + first + "}")}},
			"second": {Key: Values{config.Template("{file." + second + "}")}},
			"fixed":  {Key: Values{"three"}},
		}, config.DefaultEnvironment(), zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		want := func(when string, one, uno, two bool) {
			t.Helper()
			if knows(k, "one") != one || knows(k, "uno") != uno || knows(k, "two") != two || !knows(k, "three") {
				t.Errorf("%s: one %t, uno %t, two %t, three %t", when, knows(k, "one"), knows(k, "uno"), knows(k, "two"), knows(k, "three"))
			}
		}
		want("at first", true, false, true)
		writeKey(t, first, "uno\n")
		time.Sleep(keyInterval - time.Millisecond)
		want("within a second", true, false, true)
		time.Sleep(time.Millisecond)
		want("after a rotation", false, true, true)
		if err := os.Remove(second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keyInterval)
		want("after a file has gone", false, true, false)
		time.Sleep(10 * keyInterval)
		want("long after", false, true, false)
		if n := logs.FilterMessageSnippet("a client is refused").Len(); n != 1 {
			t.Errorf("%d lines about the missing key, want 1", n)
		}
		writeKey(t, second, "two\n")
		time.Sleep(keyInterval)
		want("when it is back", false, true, true)
		// Nobody is taken for another, and what is revoked is revoked.
		writeKey(t, second, "uno\n")
		time.Sleep(keyInterval)
		want("with one key for two", false, false, false)
		writeKey(t, second, "two\n")
		time.Sleep(keyInterval)
		want("with a key for each", false, true, true)
		for _, entry := range logs.All() {
			if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "uno") || strings.Contains(text, "two\n") {
				t.Errorf("the log shows a key: %s", text)
			}
		}
	})
}

// The log tells what becomes of the clients while a file changes: each step is
// what stands in the files of a and b, and what the log says of it.
func TestTheLogTellsOnceWhatHasBecomeOfKeys(t *testing.T) {
	const (
		k1, k2, k3 = "secret-1-of-16-bytes", "secret-2-of-16-bytes", "secret-3-of-16-bytes"
		gone       = "(gone)"
	)
	const (
		refused   = "error a is refused until"
		partly    = "error a of 1 cannot be used"
		recovered = "info a of 1 can be used again"
		changed   = "info a of 1 have changed"
	)
	type step struct {
		a, b string
		good []string
		logs []string
	}
	for name, steps := range map[string][]step{
		"a rotation":                        {{k2, k3, []string{k2}, []string{changed}}},
		"a rotation that overlaps":          {{k1 + "\n" + k2, k3, []string{k1, k2}, []string{"info a of 2 have changed"}}, {k2, k3, []string{k2}, []string{changed}}},
		"nothing new":                       {{k1, k3, []string{k1}, nil}, {"\n" + k1 + "\r\n\n" + k1, k3, []string{k1}, nil}},
		"lines in another order":            {{k1 + "\n" + k2, k3, []string{k1, k2}, []string{"info a of 2 have changed"}}, {k2 + "\n" + k1, k3, []string{k1, k2}, nil}},
		"a file that is gone":               {{gone, k3, nil, []string{refused}}, {gone, k3, nil, nil}, {k1, k3, []string{k1}, []string{recovered}}},
		"a file that is gone, then another": {{gone, k3, nil, []string{refused}}, {k2, k3, []string{k2}, []string{recovered}}},
		"a file that is emptied":            {{"", k3, nil, []string{refused}}, {"\n\n", k3, nil, []string{refused}}, {gone, k3, nil, []string{refused}}, {gone, k3, nil, nil}},
		"a line with a control character":   {{k1 + "\nx\x01", k3, []string{k1}, []string{partly}}, {k1 + "\nx\x01", k3, []string{k1}, nil}, {k1, k3, []string{k1}, []string{recovered}}},
		"a rotation beside such a line":     {{k1 + "\nx\x01", k3, []string{k1}, []string{partly}}, {k2 + "\nx\x01", k3, []string{k2}, []string{changed}}},
		"another reason":                    {{k1 + "\nx\x01", k3, []string{k1}, []string{partly}}, {k1 + "\n\ufeff" + k2, k3, []string{k1}, []string{partly}}},
		"a byte order mark":                 {{"\ufeff" + k1, k3, nil, []string{refused}}},
		"half a hash":                       {{k1 + "\nsha256:00", k3, []string{k1}, []string{partly}}},
		"a key of another":                  {{k1 + "\n" + k3, k3, []string{k1}, []string{partly, "error b is refused until"}}, {k1, k3, []string{k1, k3}, []string{recovered, "info b of 1 can be used again"}}},
		"a key that is another's by now":    {{k1, k1 + "\n" + k3, []string{k3}, []string{refused, "error b of 1 cannot be used"}}, {k2, k1 + "\n" + k3, []string{k1, k2, k3}, []string{recovered, "info b of 2 can be used again"}}},
		"two that swap their keys":          {{k3, k1, []string{k1, k3}, []string{changed, "info b of 1 have changed"}}},
		"a short key":                       {{"short", k3, []string{"short"}, []string{changed, "warn a fewer than 16"}}, {"short", k3, []string{"short"}, nil}, {"tiny", k3, []string{"tiny"}, []string{changed, "warn a fewer than 16"}}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write := func(name, content string) config.Template {
				path := filepath.Join(folder, name)
				if content == gone {
					_ = os.Remove(path)
				} else {
					writeKey(t, path, content)
				}
				return config.Template("{file." + path + "}")
			}
			configured := map[string]Declared{"a": {Key: Values{write("a", k1)}}, "b": {Key: Values{write("b", k3)}}, "c": {Key: Values{"fixed"}}}
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				k, err := New(configured, config.DefaultEnvironment(), zap.New(core))
				if err != nil {
					t.Fatal(err)
				}
				for i, step := range steps {
					write("a", step.a)
					write("b", step.b)
					time.Sleep(keyInterval)
					k.Current()
					if got, want := logs.TakeAll(), step.logs; !saysAll(got, want) {
						t.Errorf("step %d: the log says %v, want %v", i+1, got, want)
					}
					for _, key := range []string{k1, k2, k3, "short", "tiny"} {
						if good := slices.Contains(step.good, key); key != k3 && knows(k, key) != good || key == k3 && good && !knows(k, key) {
							t.Errorf("step %d: %s is good: %t", i+1, key, knows(k, key))
						}
					}
					if !knows(k, "fixed") {
						t.Errorf("step %d: the client of a fixed key is refused", i+1)
					}
				}
			})
		})
	}
}

// saysAll reports whether log lines are these, in order. Each is the level, the
// client, the number of its keys if that is given, and words of the message. None
// of them shows a key or a hash.
func saysAll(entries []observer.LoggedEntry, want []string) bool {
	if len(entries) != len(want) {
		return false
	}
	for i, entry := range entries {
		fields := entry.ContextMap()
		line := fmt.Sprintf("%s %v ", entry.Level, fields["client_key"])
		if keys, ok := fields["keys"]; ok {
			line += fmt.Sprintf("of %v ", keys)
		}
		prefix, words, _ := strings.Cut(want[i], " ")
		client, words, _ := strings.Cut(words, " ")
		if strings.HasPrefix(words, "of ") {
			number, rest, _ := strings.Cut(words[len("of "):], " ")
			client, words = client+" of "+number, rest
		}
		if line != prefix+" "+client+" " || !strings.Contains(entry.Message, words) || strings.Contains(fmt.Sprint(entry.Message, fields), "secret-") {
			return false
		}
		if (entry.Level == zapcore.ErrorLevel) != (fields["error"] != nil) {
			return false
		}
	}
	return true
}

func TestWhatIsARiskIsWarnedAboutWithoutShowingIt(t *testing.T) {
	key, hash := Generate()
	t.Setenv("TEST_SHORT", "short-canary")
	t.Setenv("TEST_LONG", "long-canary-of-more-bytes")
	const exposed, short = "a the key stands in the configuration", "a a key has fewer than 16 bytes and can be guessed: make one with `caddy oauth2-llm key`"
	for name, test := range map[string]struct {
		values Values
		want   []string
	}{
		"a literal key":         {Values{"literal-canary-of-more-bytes"}, []string{exposed}},
		"a short literal key":   {Values{"short-canary"}, []string{exposed, short}},
		"two short keys":        {Values{"short-canary", "{env.TEST_SHORT}-2"}, []string{exposed, short}},
		"a short key elsewhere": {Values{"{env.TEST_SHORT}"}, []string{short}},
		"a short key in a file": {Values{keyFile(t, "long-canary-of-more-bytes\nshort-canary")}, []string{short}},
		"a long key elsewhere":  {Values{"{env.TEST_LONG}"}, nil},
		"a hash":                {Values{config.Template(hash)}, nil},
		"a key that was made":   {Values{keyFile(t, key)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			k, err := New(map[string]Declared{"a": {Key: test.values}}, config.DefaultEnvironment(), zap.New(core))
			if err != nil {
				t.Fatal(err)
			}
			k.Warn()
			all := logs.All()
			if len(all) != len(test.want) {
				t.Fatalf("the log says %v, want %v", all, test.want)
			}
			for i, entry := range all {
				line := fmt.Sprint(entry.ContextMap()["client_key"], " ", entry.Message)
				if entry.Level != zap.WarnLevel || !strings.HasPrefix(line, test.want[i]) || strings.Contains(fmt.Sprint(entry), "canary") {
					t.Errorf("the log says %v, want %s", entry, test.want[i])
				}
			}
		})
	}
}

func TestAKeyMayBeGivenByItsHash(t *testing.T) {
	key, hash := Generate()
	if !regexp.MustCompile(`^gw-[A-Za-z0-9_-]{43}$`).MatchString(key) || !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(hash) {
		t.Errorf("got %s and %s", key, hash)
	}
	other, _ := Generate()
	k, err := New(map[string]Declared{"a": {Key: Values{config.Template(hash)}}}, config.DefaultEnvironment(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if !knows(k, key) || knows(k, hash) || knows(k, other) || knows(k, "") {
		t.Error("the key is not known by its hash, or something else is")
	}
}
