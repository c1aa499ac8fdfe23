package llm

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestReplaceModel(t *testing.T) {
	for _, c := range []struct{ name, body, replacement, want string }{
		{"the prefix is removed", `{"model":"corp/gpt-4o","n":1}`, "gpt-4o", `{"model":     "gpt-4o","n":1}`},
		{"the rest may hold a slash", `{"model":"corp/meta/llama"}`, "meta/llama", `{"model":     "meta/llama"}`},
		{"the model is the last", `{"n":[1],"model":"corp/gpt"}` + "\n", "gpt", `{"n":[1],"model":     "gpt"}` + "\n"},
		{"white space around stays", "{ \"model\"\t:\r\n\"corp/gpt\" }", "gpt", "{ \"model\"\t:\r\n     \"gpt\" }"},
		{"escapes of the prefix go", `{"model":"\u0063orp\/gpt"}`, "gpt", `{"model":           "gpt"}`},
		{"escapes of the rest stay", `{"model":"corp/\u0067pt\/\"\\\n"}`, "gpt/\"\\\n", `{"model":     "\u0067pt\/\"\\\n"}`},
		{"a pair of surrogates in the prefix goes", `{"model":"\ud83d\ude00/gpt"}`, "gpt", `{"model":             "gpt"}`},
		{"a pair of surrogates in the rest stays", `{"model":"é/\ud83d\ude00"}`, "😀", `{"model":   "\ud83d\ude00"}`},
		{"a replacement character in the prefix goes", `{"model":"\ufffd/gpt"}`, "gpt", `{"model":       "gpt"}`},
		{"an escaped key stays", `{"mod\u0065l":"corp/gpt"}`, "gpt", `{"mod\u0065l":     "gpt"}`},
		{"a nested model stays", `{"a":{"model":"corp/gpt"},"model":"corp/gpt"}`, "gpt", `{"a":{"model":"corp/gpt"},"model":     "gpt"}`},
		{"the same name", `{"model":"corp\/gpt"}`, "corp/gpt", `{"model":"corp\/gpt"}`},
		{"another name of the same length", `{"model":"corp/a"}`, "meta/b", `{"model":"meta/b"}`},
		{"another name in the room of escapes", `{"model":"\u0061"}`, "meta/b", `{"model":"meta/b"}`},
		{"a shorter name that is no end of the old one", `{"model":"corp/gpt"}`, "mini", `{"model":    "mini"}`},
		{"a name that needs escapes", `{"model":"corp/gpt-4o"}`, `a"\b`, `{"model":     "a\"\\b"}`},
		{"a longer name", `{"model":"a","n":1}`, "corp/gpt", `{"model":"corp/gpt","n":1}`},
		{"a name that is longer only with its escapes", `{"model":"abc"}`, `"""`, `{"model":"\"\"\""}`},
		{"a longer name outside ASCII", `{"model":"a"}`, "模型", `{"model":"模型"}`},
		{"the longest name", `{"model":"a"}`, strings.Repeat(`"`, maxName), `{"model":"` + strings.Repeat(`\"`, maxName) + `"}`},
		{"an empty name gets one", `{"model":""}`, "a/b", `{"model":"a/b"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := []byte(c.body)
			var found Found
			if err := found.AddBody(body); err != nil || found.Where != InBody {
				t.Fatalf("found %+v, %v", found, err)
			}
			edit, changes := found.EditBody(nil, body, c.replacement, false)
			if changes != (c.want != c.body) {
				t.Errorf("it changes: %v", changes)
			}
			replaced := applied(body, edit)
			if string(replaced) != c.want {
				t.Errorf("got  %s\nwant %s", replaced, c.want)
			}
			if string(body) != c.body {
				t.Errorf("the old body is now %s", body)
			}
			if again, _, err := FindModel(replaced); err != nil || again.Name != c.replacement {
				t.Errorf("found %+v, %v afterwards", again, err)
			}
		})
	}
}

func TestReplaceFormModel(t *testing.T) {
	for name, replacement := range map[string]string{
		"shorter": "whisper-1", "equally long": "meta/whisper-2", "longer": "another/meta/whisper-large", "outside ASCII": "模型",
	} {
		t.Run(name, func(t *testing.T) {
			before := file("file", "a.wav", "RIFF\r\ncorp/whisper-1\x00\xff")
			after := field("prompt", "corp/whisper-1\r\n")
			body := []byte(form(before, field("model", "corp/whisper-1"), after))
			kept := bytes.Clone(body)
			var found Found
			if err := found.AddForm(body, []string{testForm}); err != nil || found.Where != InForm {
				t.Fatalf("found %+v, %v", found, err)
			}
			replaced := rename(&found, &url.URL{}, body, replacement)
			if want := form(before, field("model", replacement), after); string(replaced) != want {
				t.Errorf("got %q\nwant %q", replaced, want)
			}
			if !bytes.Equal(body, kept) {
				t.Error("the old body has changed")
			}
		})
	}
}

func TestEditBodyWhereThePathDecides(t *testing.T) {
	const target = "/openai/deployments/corp%2Fgpt/chat/completions"
	model := func(value string) string { return `{"n":1,"model": ` + value + `}` }
	for _, c := range []struct {
		name, body, want string
		insert           bool
	}{
		{"the same name becomes the upstream's", model(`"corp/gpt"`), model(`     "gpt"`), false},
		{"another name does", model(`"gpt-4o-mini"`), model(`        "gpt"`), false},
		{"another name that is shorter does", model(`"x"`), model(`"gpt"`), false},
		{"an empty name does", model(`""`), model(`"gpt"`), false},
		{"null does", model(`null`), model(`"gpt"`), false},
		{"the upstream's name stays", model(`"gpt"`), model(`"gpt"`), true},
		{"a missing name stays missing", `{"n":1}`, `{"n":1}`, false},
		{"a missing name is inserted", `{"n":1}`, `{"model":"gpt","n":1}`, true},
		{"a missing name is inserted into nothing", `{}`, `{"model":"gpt"}`, true},
		{"a missing name is inserted into a blank", " { \n} ", " {\"model\":\"gpt\" \n} ", true},
		{"a missing name is inserted before a blank", "\t{ \"n\" : {} }", "\t{\"model\":\"gpt\", \"n\" : {} }", true},
		{"a name deeper down is none", `{"x":{"model":"a"}}`, `{"model":"gpt","x":{"model":"a"}}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := look(parseTarget(t, target), c.body)
			if err != nil {
				t.Fatal(err)
			}
			edit, changes := found.EditBody(nil, []byte(c.body), "gpt", c.insert)
			got := applied([]byte(c.body), edit)
			if string(got) != c.want || changes != (c.want != c.body) {
				t.Errorf("got %s, %v, want %s", got, changes, c.want)
			}
			if again, found, err := FindModel(got); err != nil || found != strings.Contains(c.want, `"gpt"`) || found && again.Name != "gpt" {
				t.Errorf("found %+v, %v afterwards", again, err)
			}
		})
	}
}

func TestEditBodyOfAFormWhereThePathDecides(t *testing.T) {
	const target = "/openai/deployments/corp/whisper/audio/transcriptions"
	audio := file("file", "a.wav", "RIFF\r\n")
	for _, c := range []struct {
		name, body, want string
		insert           bool
	}{
		{"another name becomes the upstream's", form(audio, field("model", "whisper-1")), form(audio, field("model", "whisper")), false},
		{"an empty name does", form(field("model", ""), audio), form(field("model", "whisper"), audio), false},
		{"the upstream's name stays", form(field("model", "whisper")), form(field("model", "whisper")), true},
		{"a missing name stays missing", form(audio), form(audio), false},
		{"a missing name is inserted", form(audio), form(field("model", "whisper"), audio), true},
		{"a missing name is inserted into nothing", "--" + testBoundary + "--", strings.TrimSuffix(form(field("model", "whisper")), "\r\n"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := lookForm(parseTarget(t, target), c.body)
			if err != nil {
				t.Fatal(err)
			}
			edit, changes := found.EditBody(nil, []byte(c.body), "whisper", c.insert)
			got := applied([]byte(c.body), edit)
			if string(got) != c.want || changes != (c.want != c.body) {
				t.Errorf("got %q, %v, want %q", got, changes, c.want)
			}
		})
	}
}

func TestNothingIsInsertedWhereThePathDoesNotDecide(t *testing.T) {
	for _, target := range []string{"/v1/chat/completions", "/v1/models/corp%2Fgpt", "/v1/realtime?model=corp/gpt", "/v1beta/models/a:generateContent"} {
		found, err := look(parseTarget(t, target), `{"n":1}`)
		if err != nil {
			t.Fatal(err)
		}
		if edit, changes := found.EditBody(nil, []byte(`{"n":1}`), "gpt", true); changes || len(edit.Text) > 0 {
			t.Errorf("%s: %+v", target, edit)
		}
	}
	found, err := FindInURL(http.MethodPost, parseTarget(t, "/openai/deployments/a/files"))
	if _, changes := found.EditBody(nil, nil, "gpt", true); err != nil || changes {
		t.Errorf("a body that was not looked at changes: %v", err)
	}
}

func TestAnEditEnclosesOnlyWhatChanges(t *testing.T) {
	body := []byte(`{"model":"corp/meta/llama","n":1}`)
	var found Found
	if err := found.AddBody(body); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 3, 100)
	edit, changes := found.EditBody(buffer, body, "meta/llama", false)
	if !changes || string(body[edit.Start:edit.End]) != `"corp/` || string(edit.Text) != `     "` || &edit.Text[0] != &buffer[0] {
		t.Errorf("got %d to %d: %q", edit.Start, edit.End, edit.Text)
	}
}

func TestEditBodyAllocatesNothingWithABuffer(t *testing.T) {
	const body, azure = `{"messages":[],"model":"corp/gpt-4o"}`, "/openai/deployments/corp%2Fgpt/chat/completions"
	for name, c := range map[string]struct{ target, body, replacement string }{
		"a prefix that is removed":   {"/", body, "gpt-4o"},
		"the same name":              {"/", body, "corp/gpt-4o"},
		"another name":               {"/", body, "other"},
		"a name of the same length":  {"/", body, "meta/gpt-4o"},
		"a longer name":              {"/", body, "another/gpt-4o"},
		"a name that is inserted":    {azure, `{"messages":[]}`, "gpt-4o"},
		"the longest there may be":   {azure, `{}`, strings.Repeat(`"`, maxName)},
		"the longest old one, blank": {"/", `{"model":"` + strings.Repeat(`\u0061`, maxName) + `"}`, "b"},
	} {
		found, err := look(parseTarget(t, c.target), c.body)
		if err != nil {
			t.Fatal(err)
		}
		content := []byte(c.body)
		if got := testing.AllocsPerRun(100, func() {
			var buffer [2 << 10]byte
			edit, _ := found.EditBody(buffer[:0], content, c.replacement, true)
			copied(edit.Text)
		}); got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// copied stands for what a caller does with a text on its stack.
func copied(text []byte) int { return len(text) }

func FuzzReplaceModel(f *testing.F) {
	for _, body := range []string{
		`{"model":"corp/gpt-4o"}`, `{"x":[{"model":"a/b"}],"model" : "a\/b\u0063" }`, `{"model":"\ud83d\ude00/\ufffd\\x\""}`,
		`{"mod\u0065l":"é/é"}`, `{"model":""}`, `{"model":"` + strings.Repeat(`\u00e9`, 128) + `"}`, `{"model":"\\\\/\\"}`,
	} {
		for _, name := range []string{"gpt-4o", "b/c", "é", "x\"", `\`, "😀", "\ufffd", strings.Repeat("é", 128), "corp/gpt-4o"} {
			f.Add([]byte(body), name)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		model, found, err := FindModel(body)
		if err != nil || !found {
			return
		}
		if _, rest, prefixed, err := ParseName(model.Name, InBody); err == nil && prefixed {
			checkReplaceModel(t, body, model, rest)
		}
		if _, _, _, err := ParseName(name, InBody); err == nil {
			checkReplaceModel(t, body, model, name)
		}
	})
}

func checkReplaceModel(t *testing.T, body []byte, model Model, name string) {
	t.Helper()
	var looked Found
	if err := looked.AddBody(body); err != nil {
		t.Fatal(err)
	}
	edit, changes := looked.EditBody(nil, body, name, false)
	if changes != (name != model.Name) {
		t.Fatalf("%q to %q changes: %v", model.Name, name, changes)
	}
	replaced := applied(body, edit)
	again, found, err := FindModel(replaced)
	if err != nil || !found || again.Name != name {
		t.Fatalf("found %+v, %v, %v in %s", again, found, err, replaced)
	}
	if !bytes.Equal(replaced[:model.Start], body[:model.Start]) || !bytes.Equal(replaced[again.End:], body[model.End:]) {
		t.Fatalf("more than the model differs: %s became %s", body, replaced)
	}
	if strings.Trim(string(replaced[model.Start:again.Start]), " ") != "" {
		t.Fatalf("the model moved behind %q", replaced[model.Start:again.Start])
	}
	if strings.HasSuffix(model.Name, name) && len(replaced) != len(body) {
		t.Fatalf("%d bytes became %d", len(body), len(replaced))
	}
}

func FuzzURLModel(f *testing.F) {
	for _, target := range []string{
		"/v1/models/corp%2Fgpt-4o", "/v1/models/corp/gpt?x", "/v1/mod%65ls%2f%63orp/%C3%A9", "/v1/models/a%252Fb", "/v1/models/a/\"<",
		"/openai/deployments/a%2Fb/chat?model=a/b", "/openai/deployments/a/b/embeddings?model=a/b&x=%zz;y", "/openai/deployments/a/b%2Fc/?model=a/b/c",
		"/openai/deployments/a/b/c/%63ompletions", "/openai/deployments/a//embeddings", "/v1beta/models/a/b:predict?model=a/b", "/models/a%3Ab:c%64", "/models/a:b/c",
		"/v1/realtime?model=corp%2Fgpt", "/?a;b&mod%65l=a+b/c&&MODEL2", "/v1/models/a/x?model=b/y", "http://h/v1/models/a/b?model=a/b", "*",
	} {
		for _, name := range []string{"gpt", "b", "b/c", "é", "a b/c%2F?&;+#", "corp/gpt", "a:b"} {
			f.Add(target, name)
		}
	}
	f.Fuzz(func(t *testing.T, target, name string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			found, err := FindInURL(method, u)
			if err != nil || found.Where == 0 {
				continue
			}
			if read := u.Query(); found.Where&InQuery != 0 && (len(read["model"]) != 1 || read.Get("model") != found.Name) {
				t.Fatalf("found %+v, net/url reads %q", found, read)
			}
			if found.Where&InPath != 0 && !strings.Contains(u.Path+"/", "/"+found.Name+"/") && !(method == http.MethodPost && strings.Contains(u.Path, "/"+found.Name+":")) {
				t.Fatalf("found %+v, the path is %q", found, u.Path)
			}
			_, rest, prefixed, err := found.Split()
			if err != nil {
				continue
			}
			if prefixed {
				checkReplaceInURL(t, method, *u, found, rest)
			}
			checkReplaceInURL(t, method, *u, found, found.Name)
			if _, _, _, err := ParseName(name, InPath); err == nil {
				checkReplaceInURL(t, method, *u, found, name)
			}
		}
	})
}

func checkReplaceInURL(t *testing.T, method string, u url.URL, found Found, name string) {
	t.Helper()
	before := u
	found.RenameURL(&u, name)
	if decoded, err := url.PathUnescape(u.EscapedPath()); err != nil || decoded != u.Path {
		t.Fatalf("Path is %q, EscapedPath %q", u.Path, u.EscapedPath())
	}
	want := before.Path
	if found.Where&InPath != 0 {
		prefix, marker := modelPathPrefix(want)
		want = prefix + name + strings.TrimPrefix(want, prefix+found.Name)
		if rest := u.EscapedPath()[escapedOffset(u.EscapedPath(), len(prefix)):]; marker == deploymentsMarker {
			segment, _, _ := strings.Cut(rest, "/")
			if plain, err := url.PathUnescape(segment); err != nil || plain != name {
				t.Fatalf("%q in %s is not one segment of %s", name, before.RequestURI(), u.RequestURI())
			}
		}
	}
	if u.Path != want || found.Where&InPath == 0 && u.EscapedPath() != before.EscapedPath() {
		t.Fatalf("the path %q became %q", before.Path, u.Path)
	}
	// Behind an unescaped name more may look like a part of it, or like a verb.
	looksLonger := found.path.deployment && !strings.Contains(name, "/")
	looksShorter := found.Where&InPath != 0 && !found.path.deployment && !found.path.verb && strings.Contains(name, ":")
	if !looksLonger && !looksShorter {
		again, err := FindInURL(method, &u)
		if err != nil || again.Name != name || again.Where != found.Where {
			t.Fatalf("found %+v, %v: %q in %s became %s", again, err, name, before.RequestURI(), u.RequestURI())
		}
	}
	pairs, changed := strings.Split(before.RawQuery, "&"), 0
	for i, pair := range strings.Split(u.RawQuery, "&") {
		if i >= len(pairs) || pair != pairs[i] {
			changed++
		}
	}
	if most := int(found.Where & InQuery / InQuery); changed > most || strings.Count(u.RawQuery, "&") != len(pairs)-1 {
		t.Fatalf("the query %q became %q", before.RawQuery, u.RawQuery)
	}
}

func BenchmarkEditBody(b *testing.B) {
	original := chatBody(1<<10, false)
	var found Found
	if err := found.AddBody(original); err != nil {
		b.Fatal(err)
	}
	for name, replacement := range map[string]string{"shorter": "gpt-4o", "longer": "another/corp/gpt-4o"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var buffer [2 << 10]byte
				if _, changes := found.EditBody(buffer[:0], original, replacement, false); !changes {
					b.Fatal("nothing changes")
				}
			}
		})
	}
}
