package message

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// edits are those that llm makes of models.
var edits = map[string]struct {
	before string
	edit   func(t *testing.T, body []byte) llm.Edit
	after  string
}{
	"a shorter name in place": {
		`{"model":"corp/m","x":1}`, renaming("", "m", false), `{"model":     "m","x":1}`,
	},
	"a longer name": {
		`{"model":"m","x":1}`, renaming("", "a-longer-name", false), `{"model":"a-longer-name","x":1}`,
	},
	"a name that is longer than 64 bytes": {
		`{"model":"corp/` + strings.Repeat("n", 100) + `","x":1}`, renaming("", "m", false), `{"model":` + strings.Repeat(" ", 104) + `"m","x":1}`,
	},
	"a form that shifts": {
		formOf("corp/m"), renaming("multipart/form-data; boundary=b", "m", false), formOf("m"),
	},
	"a form that grows": {
		formOf("m"), renaming("multipart/form-data; boundary=b", "longer", false), formOf("longer"),
	},
	"an insertion": {
		`{"x":1}`, renaming("", "m", true), `{"model":"m","x":1}`,
	},
}

func formOf(model string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nRIFF\r\n--b--\r\n"
}

// renaming makes the edit that gives a body's model another name, or inserts it.
func renaming(form, name string, insert bool) func(*testing.T, []byte) llm.Edit {
	return func(t *testing.T, body []byte) llm.Edit {
		t.Helper()
		path := "/v1/chat/completions"
		if insert {
			path = "/openai/deployments/corp%2Fm/chat/completions"
		}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
		found, err := llm.FindInURL(http.MethodPost, r.URL)
		if err == nil && form != "" {
			err = found.AddForm(body, []string{form})
		} else if err == nil {
			err = found.AddBody(body)
		}
		if err != nil {
			t.Fatal(err)
		}
		edit, changes := found.EditBody(nil, body, name, insert)
		if !changes {
			t.Fatal("nothing changes")
		}
		return edit
	}
}

func TestTheBodyIsForwardedEditedAndRestoredAsItCame(t *testing.T) {
	for name, test := range edits {
		for _, encoded := range []bool{false, true} {
			for _, shared := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, encoded %v, handed out before %v", name, encoded, shared), func(t *testing.T) {
					came, coding := test.before, []string(nil)
					if encoded {
						came, coding = compressed(t, test.before), []string{"gzip"}
					}
					m, r := heldMessage(t, came)
					r.Header = http.Header{"Content-Digest": {"d"}, "Content-Md5": {"d"}, "X-Other": {"o"}}
					if encoded {
						r.Header["Content-Encoding"] = coding
					}
					if err := m.Decode(coding, 1<<20); err != nil {
						t.Fatal(err)
					}
					if shared {
						forwarded(m, r)
					}
					before := string(m.Content())
					if err := m.Edit(test.edit(t, m.Content())); err != nil {
						t.Fatal(err)
					}
					for range 2 {
						out := forwarded(m, r)
						if got, err := all(out.Body); err != nil || got != test.after || out.ContentLength != int64(len(got)) {
							t.Errorf("%q is forwarded with length %d, %v", got, out.ContentLength, err)
						}
						if out.Header["Content-Encoding"] != nil || out.Header["Content-Digest"] != nil || out.Header["Content-Md5"] != nil || out.Header["X-Other"] == nil {
							t.Errorf("the header is %v", out.Header)
						}
						m.forwardView = forward{}
						if got, err := attempted(m); err != nil || got != test.after {
							t.Errorf("%q is sent, %v", got, err)
						}
						if got, err := later(r.Body); err != nil || got != came {
							t.Errorf("%q goes on from the request that came, %v", got, err)
						}
					}
					if got, err := all(r.Body); err != nil || got != came {
						t.Errorf("%q is restored, %v", got, err)
					}
					if before != test.before {
						t.Errorf("%q was decoded", before)
					}
					if err := m.AsItCame(); err != nil {
						t.Fatal(err)
					}
					out := forwarded(m, r)
					if got, err := all(out.Body); err != nil || got != came || out.Header["Content-Digest"] == nil || (out.Header["Content-Encoding"] != nil) != encoded {
						t.Errorf("%q is passed on, %v, with %v", got, err, out.Header)
					}
				})
			}
		}
	}
}

// A body without a coding is changed in place, and keeps what describes its bytes
// unless they change.
func TestABodyThatNeedsNoDecodingStaysWhereItIs(t *testing.T) {
	for name, test := range map[string]struct {
		coding []string
		want   http.Header
	}{
		"none is named":     {nil, http.Header{"Content-Digest": {"d"}}},
		"identity is named": {[]string{"identity"}, http.Header{"Content-Digest": {"d"}}},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := heldMessage(t, formOf("corp/m"))
			r.Header = http.Header{"Content-Digest": {"d"}}
			if test.coding != nil {
				r.Header["Content-Encoding"] = test.coding
			}
			if err := m.Decode(test.coding, 1<<20); err != nil {
				t.Fatal(err)
			}
			out := &http.Request{Header: r.Header.Clone(), ContentLength: r.ContentLength}
			m.describe(out)
			if len(out.Header) != 1 || out.Header.Get("Content-Digest") != "d" {
				t.Errorf("the header is %v", out.Header)
			}
			first := &m.content[0]
			if err := m.Edit(edits["a form that shifts"].edit(t, m.Content())); err != nil {
				t.Fatal(err)
			}
			if &m.content[0] != first {
				t.Error("the body was copied")
			}
		})
	}
}

func TestTheLengthSaysWhatIsForwarded(t *testing.T) {
	for name, test := range map[string]struct {
		length   int64
		encoding []string
		edit     bool
		want     string
	}{
		"as it came":        {length: 18, want: "18"},
		"that was in parts": {length: -1, encoding: []string{"chunked"}, want: "18"},
		"that was edited":   {length: 18, edit: true, want: "20"},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := taken(strings.NewReader(`{"model":"corp/m"}`), test.length)
			if err := m.Hold(1000); err != nil {
				t.Fatal(err)
			}
			if test.edit {
				if err := m.Edit(llm.Edit{Start: 0, End: 0, Text: []byte("  ")}); err != nil {
					t.Fatal(err)
				}
			}
			r.TransferEncoding = test.encoding
			if test.length >= 0 {
				r.Header.Set("Content-Length", "18")
			}
			out := forwarded(m, r)
			if fmt.Sprint(out.ContentLength) != test.want || out.Header.Get("Content-Length") != test.want || out.TransferEncoding != nil {
				t.Errorf("length %d, header %v, encoding %v", out.ContentLength, out.Header, out.TransferEncoding)
			}
		})
	}
}
