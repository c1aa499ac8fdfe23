package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func TestABodyIsRendered(t *testing.T) {
	environment := with(testEnvironment(), map[string]string{"ODD": "\"\\{env.ID}\n<\u2028"})
	for name, test := range map[string]struct{ fields, want string }{
		"strings hold placeholders, at any depth":     {`"body":{"a":{"b":[["x{env.ID}"],{"c":"{token_url}"}]}}`, `{"a":{"b":[["xid-of-env"],{"c":"https://idp.example.com/t"}]}}`},
		"what is not a string stays as it is written": {`"body":{"a":[12345678901234567890,1.50,-0,1e400,true,null,{},[]]}`, `{"a":[12345678901234567890,1.50,-0,1e400,true,null,{},[]]}`},
		"{now} and {now_ms} are numbers":              {`"body":{"a":"{now}","b":["{now_ms}"],"c":"{now}s"}`, `{"a":1700000000,"b":[1700000000123],"c":"1700000000s"}`},
		"a value with quotes, a brace and a newline":  {`"body":{"a":"{env.ODD}"}`, `{"a":"\"\\{env.ID}\n\u003c\u2028"}`},
		"an escaped brace is a brace":                 {`"body":{"a":"\\{now}","b":"x\\{"}`, `{"a":"{now}","b":"x{"}`},
		"an empty string stays":                       {`"body":{"a":"","b":[""]}`, `{"a":"","b":[""]}`},
		"parameters stand beside it":                  {`"body":{"a":{"b":1}},"params":{"c":"{uuid}"}`, `{"a":{"b":1},"c":"00000000-0000-4000-8000-000000000000"}`},
		"parameters alone":                            {`"encoding":"json","params":{"c":"\"\\"}`, `{"c":"\"\\"}`},
		"an empty one":                                {`"body":{}`, `{}`},
		"the token of another provider":               {`"body":{"a":"{token.q}"}`, `{"a":"token-of-q"}`},
		"os.environ/":                                 {`"body":{"a":["os.environ/ID","x os.environ/ID"]}`, `{"a":["id-of-env","x os.environ/ID"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			providers, err := native(t, `"token_url":"https://idp.example.com/t","auth_method":"none","grant_type":"none","token_request":{`+test.fields+`}`)
			if err != nil {
				t.Fatal(err)
			}
			providers["q"] = valid(t, "")
			if err := providers.validate(environment); err != nil {
				t.Fatal(err)
			}
			client, err := providers["p"].client(environment)
			if err != nil {
				t.Fatal(err)
			}
			endpoint := answering()
			client.Transport = endpoint
			if _, err := client.Fetch(t.Context(), tokens.Want{}); err != nil {
				t.Fatal(err)
			}
			if endpoint.body != test.want || endpoint.request.Header.Get("Content-Type") != "application/json" {
				t.Errorf("the body is\n%s, want\n%s", endpoint.body, test.want)
			}
		})
	}
}

func TestAWrongBodyIsRefused(t *testing.T) {
	const body = "token_request.body"
	for name, test := range map[string]struct{ fields, field, want string }{
		"a list":                           {`"body":["CANARY"]`, body, "must be an object, not a list"},
		"a string":                         {`"body":"{\"CANARY\":1}"`, body, "must be an object, not a string"},
		"null":                             {`"body":null`, body, "must be an object, not null"},
		"a member twice":                   {`"body":{"a":{"b":"CANARY","b":"CANARY"}}`, body, "b is set twice"},
		"a member twice, in a list":        {`"body":{"a":[{"CANARY x":1,"CANARY x":2}]}`, body, "(a name of 8 bytes) is set twice"},
		"a member that is a parameter":     {`"body":{"a":"CANARY"},"params":{"a":"CANARY"}`, body, "a is in token_request.params too"},
		"a member that is the scope":       {`"body":{"scope":["CANARY"]}},"scope":"x","place":{`, body, "scope is sent already, from the provider's field scope"},
		"a member that is the grant":       {`"body":{"grant_type":"CANARY"}`, body, "grant_type is sent already"},
		"a member that is the client's ID": {`"body":{"client_id":"CANARY"}`, body, "client_id is sent already"},
		"a member that is the secret":      {`"body":{"client_secret":"CANARY"}`, body, "client_secret is sent already"},
		"a member that is an assertion":    {`"body":{"client_assertion":"CANARY"}`, body, "client_assertion proves the client's identity a second time"},
		"a form":                           {`"body":{"a":"CANARY"},"encoding":"form"`, body, "is sent with token_request.encoding json only"},
		"a query":                          {`"body":{"a":"CANARY"},"encoding":"query"`, body, "is sent with token_request.encoding json only"},
		"nothing at all":                   {`"body":{"a":"CANARY"},"encoding":"none"`, body, "is sent with token_request.encoding json only"},
		"a placeholder in a name":          {`"body":{"a":[{"{env.ID}":"CANARY"}]}`, "token_request.body", "a name holds a brace"},
		"a GET":                            {`"body":{"a":"CANARY"},"method":"GET"`, "token_request.encoding", "a GET request has no body"},
		"an open brace":                    {`"body":{"a":["CANARY{"]}`, body, `write a literal brace as \{`},
		"an unknown placeholder":           {`"body":{"a":{"b":"{CANARY}"}}`, body, "a name in braces must be one of"},
		"a variable that is not set":       {`"body":{"a":{"b":"CANARY{env.UNSET}"}}`, body, "UNSET is not set"},
		"a file that is missing":           {`"body":{"a":{"b":"CANARY{file./missing}"}}`, body, "the file /missing cannot be read"},
		"{model}":                          {`"body":{"a":"CANARY{model}"}`, body, "{model} can stand in base_url only"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fault(t, validFields+`,"token_request":{`+test.fields+`}`)
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
		})
	}
	// One that was not read from JSON.
	p := valid(t, "")
	p.TokenRequest.Body = JSONList("CANARY")
	wantError(t, Providers{"p": p}.validate(testEnvironment()), body, "must be a JSON object")
}

func TestABodyMayHoldWhatIsNotSentOtherwise(t *testing.T) {
	for name, fields := range map[string]string{
		"a scope that is a list":         validFields + `,"token_request":{"body":{"scope":["a","b"]}}`,
		"a grant where none is sent":     validFields + `,"grant_type":"none","token_request":{"body":{"grant_type":{"a":1}}}`,
		"the encoding in words":          validFields + `,"token_request":{"body":{"a":1},"encoding":"json","method":"PUT"}`,
		"an assertion without a client":  noSecret + `,"token_request":{"body":{"client_assertion":"{env.SECRET}"}}`,
		"names that repeat, not at once": validFields + `,"token_request":{"body":{"a":{"a":[{"a":1},{"a":2}]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := fault(t, fields); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAJSONTemplatePrintsNothing(t *testing.T) {
	p := valid(t, `"token_request":{"body":{"a":"CANARY"}},"jwt":{"alg":"HS256","key":"CANARY","claims":{"a":["CANARY"]},"header":{"a":"CANARY"}},"vars":{"a":"CANARY"}`)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, p.TokenRequest.Body, p.JWT, []any{p, p.JWT.Claims})
	}
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel))
	logger.Info("", zap.Any("provider", p), zap.Any("body", p.TokenRequest.Body), zap.Stringer("s", p.TokenRequest.Body))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "body", p.TokenRequest.Body)
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "body", p.TokenRequest.Body, "p", p)
	if strings.Contains(out.String(), "CANARY") || strings.Contains(out.String(), fmt.Sprintf("%x", "CANARY")) {
		t.Errorf("a value is in %s", out.String())
	}
	if encoded, err := json.Marshal(p.TokenRequest); err != nil || string(encoded) != `{"body":{"a":"CANARY"}}` {
		t.Errorf("JSON is the configuration itself, but got %s, %v", encoded, err)
	}
}

func TestAClientThatIsPrintedShowsNoBody(t *testing.T) {
	client, err := valid(t, `"token_request":{"body":{"a":"CANARY"}}`).client(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, client); strings.Contains(text, "CANARY") {
			t.Errorf("%s shows %s", verb, text)
		}
	}
}

func TestEqualJSONIsTheSameTemplate(t *testing.T) {
	var a, b JSONTemplate
	for text, into := range map[string]*JSONTemplate{`{"b":[1.0,"<{now}>"],"a":null}`: &a, " {\"a\" : null,\n\"b\":[1.0, \"\\u003c{now}>\"]}": &b} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	if string(a) != string(b) || string(a) != `{"a":null,"b":[1.0,"<{now}>"]}` {
		t.Errorf("got %s and %s", []byte(a), []byte(b))
	}
	for _, text := range []string{`{"a":}`, `{"a":"CANARY"`, `CANARY`, ``, `{"a":1}{"a":1}`, `[{"a":1,"a":2}]`} {
		if err := new(JSONTemplate).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		} else {
			wantNoCanary(t, err)
		}
	}
	if text := string(JSONString(`a"{env.X}`)) + string(JSONList("<", "b")); text != `"a\"{env.X}"["<","b"]` {
		t.Errorf("got %s", text)
	}
}

func TestRelativePathsWithinJSONAreResolved(t *testing.T) {
	p := valid(t, `"token_request":{"body":{"a":["x{file.a}",{"b":"{json.sub/b.json#c.d}{env.E}"}],"{file.f}":1}},"jwt":{"claims":{"c":"{file./c}{file.{env.D}/d}"},
		"key_file":"k","certificate_file":"c.pem","key_id":"{json.g#h}"},"source":"file  t"`)
	p.ResolvePaths("/f")
	for got, want := range map[string]string{
		string(p.TokenRequest.Body):                        `{"a":["x{file./f/a}",{"b":"{json./f/sub/b.json#c.d}{env.E}"}],"{file.f}":1}`,
		string(p.JWT.Claims["c"]):                          `"{file./c}{file.{env.D}/d}"`,
		string(p.JWT.KeyFile):                              "/f/k",
		string(p.JWT.CertificateFile):                      "/f/c.pem",
		string(p.JWT.KeyID):                                "{json./f/g#h}",
		string(p.Source):                                   "file /f/t",
		string(Source("self_signed").resolvePaths("/f")):   "self_signed",
		string(Source("file {env.X}").resolvePaths("/f")):  "file {env.X}",
		string(Source("file").resolvePaths("/f")):          "file",
		string(Source("file a{env.X}").resolvePaths("/f")): "file /f/a{env.X}",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
