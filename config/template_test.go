package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestTemplate(t *testing.T) {
	file := writeFile(t, "of file\n")
	folder := filepath.Dir(file)
	account := filepath.Join(folder, "account.json")
	rewrite(t, account, `{"a":{"b":"of member"},"c":["one","two"],"d":false}`)
	environment := with(testEnvironment(), map[string]string{"FOLDER": folder, "VALUE": "value", "FILE": file})
	for name, test := range map[string]struct{ template, want string }{
		"plain text is itself":                         {`se cret`, "se cret"},
		"nothing is nothing":                           {``, ""},
		"a variable is replaced":                       {`{env.SECRET}`, "secret-of-env"},
		"os.environ/ is a variable":                    {`os.environ/SECRET`, "secret-of-env"},
		"os.environ/ within text is text":              {`x os.environ/SECRET`, "x os.environ/SECRET"},
		"a file is read without its newline":           {`{file.` + file + `}`, "of file"},
		"a member of a JSON file":                      {`{json.` + account + `#a.b}`, "of member"},
		"a member of a list, and text":                 {`x{json.` + account + `#c.1}y`, "xtwoy"},
		"a member that is not a string is its JSON":    {`{json.` + account + `#c}{json.` + account + `#d}`, `["one","two"]false`},
		"a variable in a path":                         {`{file.{env.FOLDER}/value}`, "of file"},
		"a variable in the path of a JSON file":        {`{json.{env.FOLDER}/account.json#a.b}`, "of member"},
		"variables within text and paths":              {`{env.ID}{file.{env.FOLDER}/{env.VALUE}}{env.ID}`, "id-of-envof fileid-of-env"},
		"a path that is os.environ/":                   {`{file.os.environ/FILE}`, "of file"},
		"placeholders stand beside text":               {`a{env.ID}b{env.SECRET}c`, "aid-of-envbsecret-of-envc"},
		"placeholders stand side by side":              {`{env.ID}{env.ID}`, "id-of-envid-of-env"},
		"an escaped brace is a brace":                  {`a\{env.SECRET}`, "a{env.SECRET}"},
		"an escaped brace may end the text":            {`a\{`, "a{"},
		"two escaped braces are two":                   {`\{\{`, "{{"},
		"a backslash before a backslash is one":        {`\\{x`, `\{x`},
		"other backslashes are literal":                {`a\b\`, `a\b\`},
		"a backslash after a placeholder is no escape": {`{env.ID}\`, `id-of-env\`},
		"a closing brace outside is literal":           {`a}b`, "a}b"},
		"the time in seconds":                          {`{now}`, "1700000000"},
		"the time in milliseconds":                     {`{now_ms}`, "1700000000123"},
		"a UUID":                                       {`{uuid}`, "00000000-0000-4000-8000-000000000000"},
		"the token of another provider":                {`{token.q}`, "token-of-q"},
		"the provider's own token URL":                 {`{token_url}`, "https://idp.example.com/token"},
	} {
		t.Run(name, func(t *testing.T) {
			p := valid(t, "")
			if test.template != "" {
				p.TokenRequest.Params = map[string]Template{"x": Template(test.template)}
			}
			client, err := p.client(environment)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(client.Parameters) > 0 {
				got = read(t, client.Parameters[0].Value)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAWrongTemplateIsRefusedAndNotShown(t *testing.T) {
	for name, test := range map[string]struct{ template, want string }{
		"an unclosed brace":                 {`CANARY{env.SECRET`, `write a literal brace as \{`},
		"a name that is not known":          {`CANARY{CANARY}`, `write a literal brace as \{`},
		"Caddy's other placeholders":        {`{http.request.header.CANARY}`, "must be one of"},
		"an empty name":                     {`CANARY{}`, "must be one of"},
		"a variable without a name":         {`CANARY{env.}`, "no name after its dot"},
		"a file without a name":             {`CANARY{file.}`, "no name after its dot"},
		"a token without a name":            {`CANARY{token.}`, "no name after its dot"},
		"a placeholder in another":          {`{env.{env.DIR}CANARY}`, "must be one of"},
		"a path that is not fixed":          {`{file.{uuid}/CANARY}`, "a path may hold {env.NAME}"},
		"a variable in a path, not set":     {`{file.{env.UNSET}/CANARY}`, "UNSET is not set"},
		"a variable in a path, empty":       {`{json.{env.EMPTY}/CANARY#x}`, "EMPTY is empty"},
		"a path within a path":              {`{file.{file./CANARY}}`, "a path may hold {env.NAME}"},
		"a token in a path":                 {`{json.{token.q}#CANARY}`, "a path may hold {env.NAME}"},
		"an unclosed brace in a path":       {`{file.{env.DIR/CANARY}`, `write a literal brace as \{`},
		"a JSON file without a path":        {`{json.#CANARY}`, "needs the path of a file"},
		"a JSON file that is missing":       {`{json./missing#CANARY}`, "the file /missing cannot be read"},
		"a preset variable without a name":  {`{var.}CANARY`, "no name after its dot"},
		"{jwt} with a dot":                  {`{jwt.CANARY}`, "must be one of"},
		"a member without a name":           {`{json./CANARY#}`, "the name of a member"},
		"a file without a member":           {`{json./CANARY}`, "the name of a member"},
		"a variable that is not set":        {`{var.x}CANARY`, "no variable x is set: add var x VALUE"},
		"a word with a dot too many":        {`{uuid.CANARY}`, "must be one of"},
		"{jwt} without a jwt block":         {`{jwt}`, "jwt block"},
		"{key_fingerprint} without a block": {`{key_fingerprint}`, "jwt block"},
		"os.environ/ without a name":        {`os.environ/`, "must be followed by the name of an environment variable"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fault(t, validFields+`,"token_request":{"params":{"x":`+jsonString(test.template)+`}}`)
			wantError(t, err, "token_request.params.x", test.want)
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%v", err)
			}
		})
	}
	wantError(t, fault(t, `"client_id":"i","client_secret":"s","token_url":"https://x.com/{token_url}"`), "token_url", "refers to itself")
}

func TestATemplatePrintsNothing(t *testing.T) {
	p := valid(t, `"refresh_token":"CANARY","token_request":{"params":{"x":"CANARY"},"headers":{"X-A":["CANARY"]}},"header_up":{"set":{"X-B":["CANARY"]}}`)
	var out bytes.Buffer
	client, err := p.client(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, p.RefreshToken, *p, []any{p})
		fmt.Fprintf(&out, verb+verb, Providers{"p": p}, client)
	}
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel))
	logger.Info("", zap.Any("provider", p), zap.Any("copy", *p), zap.Any("client", client.RefreshToken), zap.Any("template", p.RefreshToken), zap.Stringer("s", p.RefreshToken))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "template", p.RefreshToken)
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "template", p.RefreshToken, "p", p)
	if strings.Contains(out.String(), "CANARY") || strings.Contains(out.String(), fmt.Sprintf("%x", "CANARY")) {
		t.Errorf("the secret is in %s", out.String())
	}
	if !strings.Contains(out.String(), `"refresh_token":true`) {
		t.Error("a logged provider does not name its fields")
	}
	if encoded, _ := json.Marshal(p); !bytes.Contains(encoded, []byte(`"refresh_token":"CANARY"`)) {
		t.Errorf("JSON is the configuration itself, but got %s", encoded)
	}
}

func TestResolveGivesWhatIsReadAtLoad(t *testing.T) {
	secret, err := Template("a{env.SECRET}").Resolve(testEnvironment())
	if err != nil || secret.Reveal() != "asecret-of-env" {
		t.Errorf("got %v", err)
	}
	for _, template := range []Template{"{uuid}", "{now}", "{now_ms}", "{token.x}", "{token_url}", "{", "os.environ/UNSET", "{env.EMPTY}"} {
		_, err := template.Resolve(testEnvironment())
		if _, ok := errors.AsType[*ConfigurationError](err); !ok {
			t.Errorf("%q: got %v", string(template), err)
		}
	}
}

func TestRelativePathsAreResolvedAgainstAFolder(t *testing.T) {
	folder := t.TempDir()
	p := valid(t, `"client_id_file":"id","refresh_token_file":"{env.DIR}/rt",
		"token_request":{"params":{"a":"x\\{{file.a}{env.B}{file./b}"},"headers":{"X":["{file.sub/h}"]}},"header_up":{"set":{"Y":["{file.y}"]}}`)
	p.ClientSecretFile = "{env.ID}-secret"
	p.RefreshToken = "os.environ/X"
	p.Scope = "{file.unclosed"
	p.ResolvePaths(folder)
	for got, want := range map[string]string{
		string(p.ClientIDFile):                       filepath.Join(folder, "id"),
		string(p.RefreshTokenFile):                   "{env.DIR}/rt",
		string(p.ClientSecretFile):                   "{env.ID}-secret",
		string(p.TokenRequest.Params["a"]):           `x\{{file.` + filepath.Join(folder, "a") + `}{env.B}{file./b}`,
		string(p.TokenRequest.Headers["X"][0]):       `{file.` + filepath.Join(folder, "sub/h") + `}`,
		string(p.HeaderUp.Set["Y"][0]):               `{file.` + filepath.Join(folder, "y") + `}`,
		string(p.RefreshToken):                       "os.environ/X",
		string(p.Scope):                              "{file.unclosed",
		string(Path("s-{env.A}").ResolvePaths("/f")): "/f/s-{env.A}",
		string(Path("s").ResolvePaths("/f{x")):       `/f\{x/s`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"", "{", "}", `\{`, `\\{x}`, "{env.ID}", "os.environ/ID", "os.environ/", "{file./etc/hostname}", "a{token.q}b{uuid}{now}{now_ms}", "{token_url}", "{jwt}", "{{env.ID}}", "{json./a#b.c}", "{file.{env.ID}/x}", "{token.{var.x}}", "{var.x}", "{key_fingerprint}"} {
		f.Add(seed)
	}
	constant := []error{errNoVariable, errUnclosed, errUnknown, errNameless, errNeedsJWT, errMember, errPath}
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := Template(text).parse()
		if err != nil {
			// An error that is always the same cannot hold the text.
			if !slices.Contains(constant, err) {
				t.Errorf("the error %v is made for this text", err)
			}
		} else {
			raw := ""
			for _, p := range parts {
				raw += p.raw
			}
			if raw != text {
				t.Errorf("the parts of %q are %q", text, raw)
			}
		}
		// What is escaped is itself, but for a variable.
		value, err := literal(text).constant(testEnvironment())
		if !strings.HasPrefix(text, osEnviron) && (err != nil || value != text) {
			t.Errorf("%q escaped is %q, %v", text, value, err)
		}
		resolved := Template(text).ResolvePaths("/folder")
		if resolved.ResolvePaths("/folder") != resolved {
			t.Errorf("%q is resolved to %q, and again to something else", text, string(resolved))
		}
		path := Path(text).ResolvePaths("/folder")
		if path != Path(text) && path.ResolvePaths("/folder") != path {
			t.Errorf("the path %q is resolved to %q, and again to something else", text, path)
		}
	})
}
