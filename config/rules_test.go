package config

import (
	"errors"
	"strings"
	"testing"
)

func TestProviderNames(t *testing.T) {
	for name, test := range map[string]struct{ provider, want string }{
		"a word":                         {"corp", ""},
		"letters, digits and separators": {"my_provider-2.eu", ""},
		"capitals are letters as well":   {"OpenAI", ""},
		"a digit":                        {"7", ""},
		"128 bytes":                      {strings.Repeat("a", 128), ""},
		"three dots are not a path":      {"...", ""},
		"a slash":                        {"CANARY/b", "may only hold letters"},
		"a dot":                          {".", `must not be "." or ".."`},
		"two dots":                       {"..", `must not be "." or ".."`},
		"an empty name":                  {"", "the name is empty"},
		"300 characters":                 {strings.Repeat("CANARY", 50), "longer than 128 bytes"},
		"129 characters":                 {strings.Repeat("a", 129), "longer than 128 bytes"},
		"a space":                        {"CANARY b", "may only hold letters"},
		"a line break at the end":        {"CANARY\n", "may only hold letters"},
		"a colon":                        {"CANARY:b", "may only hold letters"},
		"a brace, as in a placeholder":   {"{env.CANARY}", "may only hold letters"},
		"a letter that is not ASCII":     {"CANARY-ä", "may only hold letters"},
		"a letter that only looks like":  {"CANARY\u0430", "may only hold letters"},
		"a byte that is not a character": {"CANARY\xff", "may only hold letters"},
		"a backslash":                    {`CANARY\b`, "may only hold letters"},
	} {
		t.Run(name, func(t *testing.T) {
			err := (Providers{test.provider: valid(t, "")}).validate(testEnvironment())
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			misconfigured, ok := errors.AsType[*ConfigurationError](err)
			if !ok || misconfigured.Provider != test.provider || misconfigured.Field != "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			wantNoCanary(t, err)
		})
	}
}

// tokenURLs are wrong token URLs, with what is wrong with them.
var tokenURLs = map[string]struct{ url, want string }{
	"an https URL":                           {"https://example.com/token", ""},
	"capitals":                               {"HTTPS://EXAMPLE.COM/t", ""},
	"no path":                                {"https://example.com", ""},
	"a query":                                {"https://example.com?x=1", ""},
	"Entra ID":                               {"https://login.microsoftonline.com/t/oauth2/v2.0/token", ""},
	"a name within a cluster":                {"https://svc.ns.svc.cluster.local/t", ""},
	"a TLD of six letters":                   {"https://example.museum/t", ""},
	"http on localhost":                      {"http://localhost:9/token", ""},
	"http on 127.0.0.1":                      {"http://127.0.0.1:80/t", ""},
	"http elsewhere works":                   {"http://example.com/token", ""},
	"a single label":                         {"https://keycloak/token", ""},
	"a single label with a port":             {"https://keycloak:8443/token", ""},
	"an internal name":                       {"https://idp.internal/oauth", ""},
	"a TLD of ten letters":                   {"https://auth.company.technology/token", ""},
	"IPv6 loopback":                          {"http://[::1]:8080/t", ""},
	"IPv6 without a port":                    {"https://[2001:db8::1]/t", ""},
	"an underscore":                          {"https://a_b.example.com/t", ""},
	"an umlaut":                              {"https://münchen.de/t", ""},
	"the greatest port":                      {"https://example.com:65535/t", ""},
	"an escaped space":                       {"https://example.com/to%20ken", ""},
	"user name and password":                 {"https://CANARY:CANARY@example.com/token", "holds a user name or password"},
	"a user name":                            {"https://CANARY@example.com/token", "holds a user name or password"},
	"an empty user name":                     {"https://@example.com/CANARY", "holds a user name or password"},
	"a fragment":                             {"https://example.com#CANARY", "holds a fragment"},
	"an empty fragment":                      {"https://example.com/CANARY#", "holds a fragment"},
	"a space":                                {"https://example.com/CANARY ken", "holds white space"},
	"a space before":                         {" https://example.com/CANARY", "holds white space"},
	"a line break at the end":                {"https://example.com/CANARY\n", "holds white space"},
	"a tab":                                  {"https://example.com/\tCANARY", "holds white space"},
	"a NUL byte":                             {"https://example.com/\x00CANARY", "a control character"},
	"a space that is not ASCII":              {"https://example.com/\u00a0CANARY", "holds white space"},
	"ftp":                                    {"ftp://CANARY.com", "must begin with https://"},
	"file":                                   {"file:///etc/CANARY", "must begin with https://"},
	"javascript":                             {"javascript:CANARY", "must begin with https://"},
	"relative":                               {"/oauth/CANARY", "must begin with https://"},
	"without a scheme":                       {"CANARY.com/token", "must begin with https://"},
	"without a scheme, with a port":          {"CANARY.com:443/token", "must begin with https://"},
	"an address without a scheme":            {"127.0.0.1:8080/CANARY", "must be a URL, such as https://host.example.com/path"},
	"relative to a scheme":                   {"//CANARY.com/token", "must begin with https://"},
	"a URL that is one word":                 {"not-a-url", "must begin with https://"},
	"no host":                                {"https:///CANARY", "has no host"},
	"a port and no host":                     {"https://:443/CANARY", "has no host"},
	"no slashes":                             {"https:CANARY.com/token", "has no host"},
	"a scheme alone":                         {"https://", "has no host"},
	"a port too great":                       {"https://example.com:99999/CANARY", "has a port"},
	"port 65536":                             {"https://example.com:65536/CANARY", "has a port"},
	"port 0":                                 {"https://example.com:0/CANARY", "has a port"},
	"a colon without a port":                 {"https://example.com:/CANARY", "has a port"},
	"a port that is a word":                  {"https://example.com:CANARY/", "must be a URL, such as https://host.example.com/path"},
	"an escape that is none":                 {"https://example.com/%zzCANARY", "must be a URL, such as https://host.example.com/path"},
	"a bracket that is not closed":           {"https://[::1/CANARY", "must be a URL, such as https://host.example.com/path"},
	"a backslash that hides the host":        {`https://example.com\@CANARY.com/`, "must be a URL, such as https://host.example.com/path"},
	"a variable that holds user information": {"os.environ/URL", "holds a user name or password"},
}

func TestTokenURLs(t *testing.T) {
	environment := testEnvironment()
	environment.LookupEnv = func(string) (string, bool) { return "https://CANARY:CANARY@example.com/token", true }
	for name, test := range tokenURLs {
		t.Run(name, func(t *testing.T) {
			p := valid(t, "")
			p.TokenURL = Template(test.url)
			err := (Providers{"p": p}).validate(environment)
			wantInvalid(t, err, "token_url", test.want)
		})
	}
}

// wantInvalid checks that a value is refused for a reason, or not at all.
func wantInvalid(t *testing.T, err error, field, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	invalid, ok := errors.AsType[*ValidationError](err)
	if !ok || invalid.Provider != "p" || invalid.Field != field || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	wantNoCanary(t, err)
}

func TestAnHTTPTokenURLIsWarnedAboutUnlessItIsLoopback(t *testing.T) {
	for url, warned := range map[string]bool{
		"https://example.com/token": false, "http://localhost:9/token": false, "http://LOCALHOST./t": false, "http://idp.localhost/t": false,
		"http://127.0.0.1:80/t": false, "http://127.255.0.9/t": false, "http://[::1]:8080/t": false, "http://[::ffff:127.0.0.1]/t": false,
		"http://example.com/token": true, "HTTP://example.com": true, "http://10.0.0.1/t": true, "http://localhost.example.com/t": true,
		"http://notlocalhost/t": true, "http://0.0.0.0/t": true, "http://127.0.0.1.example.com/": true, "http://[fe80::1%25eth0]/t": true,
		"http://999.999.999.999/t": true, "http://keycloak/t": true, "http://[::]/": true,
	} {
		t.Run(url, func(t *testing.T) {
			p := valid(t, "")
			p.TokenURL = Template(url)
			if err := (Providers{"p": p}).validate(testEnvironment()); err != nil {
				t.Fatal(err)
			}
			warnings := p.warnings(DefaultEnvironment())
			if !warned && len(warnings) > 0 || warned && (len(warnings) != 1 || warnings[0].Field != "token_url") {
				t.Errorf("got %v", warnings)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	for name, test := range map[string]struct{ scope, want string }{
		"no scope":                       {"", ""},
		"one scope":                      {"read", ""},
		"two scopes":                     {"read write", ""},
		"a comma is part of a scope":     {"read,write", ""},
		"a URL":                          {"api://x/.default", ""},
		"all printable characters":       {"!#$%&'()*+,-./09:;<=>?@AZ[]^_`az|}~", ""},
		"two spaces":                     {"read  CANARY", "holds an empty value"},
		"two spaces alone":               {"  ", "holds an empty value"},
		"one space alone":                {" ", "holds an empty value"},
		"a space before":                 {" CANARY", "holds an empty value"},
		"a space behind":                 {"CANARY ", "holds an empty value"},
		"a tab":                          {"\t", "a character that no scope may have"},
		"a tab between scopes":           {"read\tCANARY", "a character that no scope may have"},
		"a line break":                   {"read\nCANARY", "a character that no scope may have"},
		"a line break at the end":        {"CANARY\n", "a character that no scope may have"},
		"a line break alone":             {"\n", "a character that no scope may have"},
		"a quote":                        {`"CANARY"`, "a character that no scope may have"},
		"a backslash":                    {`CANARY\x`, "a character that no scope may have"},
		"a letter that is not ASCII":     {"CANARYä", "a character that no scope may have"},
		"a control character":            {"CANARY\x7f", "a character that no scope may have"},
		"a byte that is not a character": {"CANARY\xff", "a character that no scope may have"},
		"a NUL byte":                     {"CANARY\x00", "a character that no scope may have"},
		"a scope in a variable, quoted":  {"{env.SCOPE}", "a character that no scope may have"},
	} {
		t.Run(name, func(t *testing.T) {
			environment := testEnvironment()
			lookup := environment.LookupEnv
			environment.LookupEnv = func(name string) (string, bool) {
				if name == "SCOPE" {
					return `"CANARY"`, true
				}
				return lookup(name)
			}
			p := valid(t, "")
			p.Scope = Template(test.scope)
			wantInvalid(t, (Providers{"p": p}).validate(environment), "scope", test.want)
		})
	}
}

func TestHeaderNames(t *testing.T) {
	for _, name := range []string{"X", "x-api-key", "AI-Resource-Group", "!#$%&'*+-.^_`|~09"} {
		if !IsHeaderName(name) {
			t.Errorf("%q is a header's name", name)
		}
	}
	for _, name := range []string{"", " ", "X Y", "X:", "X\n", "Xä", "X\xff", "X/Y", "(X)", "X{Y}", `"X"`, "X,Y", "X\x00"} {
		if IsHeaderName(name) {
			t.Errorf("%q is not the name of a header", name)
		}
	}
}

func TestHeaderValues(t *testing.T) {
	for _, value := range []string{"", "a b", "a\tb", "ä", "\xff", `{"a":1}`} {
		if err := checkHeaderValue(value); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
	for _, value := range []string{"a\r\nX: y", "a\n", "\r", "\x00", "\x7f", "\x1b"} {
		if checkHeaderValue(value) == nil {
			t.Errorf("%q is not the value of a header", value)
		}
	}
}

func TestConnectionHeadersAreKnownInAnySpelling(t *testing.T) {
	for _, name := range []string{"host", "Content-Length", "transfer-encoding", "TE", "connection", "KEEP-ALIVE", "upgrade", "Proxy-Authorization"} {
		if !isConnectionHeader(name) {
			t.Errorf("%s belongs to the connection", name)
		}
	}
	for _, name := range []string{"Authorization", "Content-Type", "X-Host", ""} {
		if isConnectionHeader(name) {
			t.Errorf("%s does not belong to the connection", name)
		}
	}
}
