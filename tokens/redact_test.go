package tokens

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// canary holds characters that every encoding changes.
const canary = `cAnary "+/&% s3cret`

// canaryForms are the ways in which a secret can hide in a text.
func canaryForms(secret string) []string {
	quoted, _ := json.Marshal(secret)
	return []string{
		secret, string(quoted[1 : len(quoted)-1]), url.QueryEscape(secret), url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
}

func wantNoCanary(t *testing.T, text, secret string) {
	t.Helper()
	for _, form := range canaryForms(secret) {
		if contains(text, form) {
			t.Errorf("the secret shows in %q", text)
		}
	}
}

func TestASecretPrintsAsRedactedEverywhere(t *testing.T) {
	type holder struct {
		Exported   Secret
		unexported Secret
	}
	secret := NewSecret(canary)
	h := holder{secret, secret}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, secret, &secret, h, []Secret{secret})
	}
	encoded, err := json.Marshal(map[string]any{"a": secret, "b": h})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(&out), zap.DebugLevel)
	zap.New(core).Info("x", zap.Any("a", secret), zap.Any("b", h), zap.Stringer("c", secret), zap.Reflect("d", h))
	wantNoCanary(t, out.String(), canary)
	if !contains(out.String(), Redacted) {
		t.Errorf("nothing was printed: %s", out.String())
	}
}

func TestAnEmptySecretIsEmpty(t *testing.T) {
	if !NewSecret("").Empty() || NewSecret("").Reveal() != "" || NewSecret("a").Empty() {
		t.Error("Empty is wrong")
	}
	if !NewSecret("a").Equal(NewSecret("a")) || NewSecret("a").Equal(NewSecret("b")) || NewSecret("a").Equal(Secret{}) {
		t.Error("Equal is wrong")
	}
}

func TestDescriptionsOfServersAreCleaned(t *testing.T) {
	var s sensitive
	s.add(NewSecret(canary))
	for _, test := range []struct{ name, text, want string }{
		{"plain words stay", "The client is unknown.", "The client is unknown."},
		{
			"identifiers of an error stay", "AADSTS7000215: Invalid client secret. Trace ID: 0a1b2c3d-0000-1111-2222-333344445555",
			"AADSTS7000215: Invalid client secret. Trace ID: 0a1b2c3d-0000-1111-2222-333344445555",
		},
		{"names of methods stay", "use token_endpoint_auth_method client_secret_basic instead", "use token_endpoint_auth_method client_secret_basic instead"},
		{"the request's own secret goes", "bad secret " + canary + " given", "bad secret [redacted] given"},
		{"what looks like a token goes", "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc is bad", "token [redacted] is bad"},
		{"quotes, control characters and line ends go", "a\"b\\c\r\nd\x00e\tf", "a'b'c d e f"},
		{"long texts are cut", strings.Repeat("word ", 100), strings.Repeat("word ", 60) + "…"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := s.clean(test.text); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
	quoted, _ := json.Marshal(canary)
	twice, _ := json.Marshal(string(quoted))
	for _, form := range append(canaryForms(canary), string(twice)) {
		wantNoCanary(t, s.clean("the secret "+form+" is wrong"), canary)
	}
	var both sensitive
	both.add(NewSecret("hunter2"))
	both.add(NewSecret("hunter2-Blue#9"))
	if got := both.clean("bad hunter2-Blue#9"); got != "bad "+Redacted {
		t.Errorf("a secret that begins another leaves %q", got)
	}
}
