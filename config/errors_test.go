package config

import (
	"errors"
	"strings"
	"testing"
)

func TestAnErrorSaysWhereAndWhat(t *testing.T) {
	cause := errors.New("cause")
	for want, err := range map[string]error{
		"cause":                           &ConfigurationError{Err: cause},
		"f.json: cause":                   &ConfigurationError{File: "f.json", Err: cause},
		"f.json:3: cause":                 &ConfigurationError{File: "f.json", Line: 3, Err: cause},
		"f.json:3:4: cause":               &ConfigurationError{File: "f.json", Line: 3, Column: 4, Err: cause},
		"provider p: cause":               &ConfigurationError{Provider: "p", Err: cause},
		"scope: cause":                    &ValidationError{Field: "scope", Err: cause},
		"f:1:2: provider p: scope: cause": &ValidationError{File: "f", Line: 1, Column: 2, Provider: "p", Field: "scope", Err: cause},
		"f:1:2: provider p: place: cause": &ConfigurationError{File: "f", Line: 1, Column: 2, Provider: "p", Field: "place", Err: cause},
		`"a\nb": cause`:                   &ConfigurationError{File: "a\nb", Err: cause},
		"f g.json: cause":                 &ConfigurationError{File: "f g.json", Err: cause},
		"provider (a name of 7 bytes): cause": &ConfigurationError{
			Provider: "CANARY\n", Err: cause,
		},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		if !errors.Is(err, cause) {
			t.Errorf("%q has lost its cause", want)
		}
	}
}

func TestNamesThatMayBeRepeated(t *testing.T) {
	for name, shown := range map[string]bool{
		"a": true, "My_Provider-2.eu": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		"": false, "a b": false, "a/b": false, "a\n": false, "ä": false, "{a}": false, "\xff": false,
	} {
		if got := shownName(name) == name; got != shown {
			t.Errorf("%q is shown: %t", name, got)
		}
	}
}

func TestTheNearestPlaceIsThatOfAField(t *testing.T) {
	p := &Provider{origin: map[string]position{
		"": {"f", 1, 1}, "token_request": {"f", 2, 1}, "token_request.params.a.b": {"f", 3, 1}, "place": {},
	}}
	for field, line := range map[string]int{
		"": 1, "scope": 1, "token_request": 2, "token_request.params": 2, "token_request.params.a": 2, "token_request.params.a.b": 3,
		"place.header": 0, "client_id, scope": 1,
	} {
		if got := p.where(field).line; got != line {
			t.Errorf("%q: got line %d, want %d", field, got, line)
		}
	}
	if got := (*Provider)(nil).where("scope"); got != (position{}) {
		t.Errorf("got %v", got)
	}
}

// No value of any field may be seen in an error, however many are wrong.
func TestNoErrorShowsAValue(t *testing.T) {
	const wrong = `"client_id":"{CANARY","client_secret":"{CANARY}","token_url":"CANARY://CANARY","scope":"CANARY  CANARY","refresh_token":"{token.}CANARY",
		"auth_method":"CANARY","grant_type":"{file.CANARY}",
		"token_request":{"params":{"a":"CANARY{","CANARY b":"CANARY","c":"{uuid.CANARY}","scope":"CANARY","x=CANARY&y":"{"},
			"headers":{"A":["CANARY\n"],"B: CANARY":["CANARY"],"C":["{env.CANARY CANARY}"],"D: CANARY":["{"]},"method":"CANARY","encoding":"CANARY","retries":99},
		"place":{"header":"CANARY CANARY","prefix":"CANARY\n"},
		"header_up":{"set":{"A":["CANARY\n"],"B CANARY":["CANARY"]},"add":{"A":["{CANARY}"]},"default":{"C":["os.environ/CANARY CANARY"]},"delete":["CANARY CANARY"]}`
	for form, decode := range map[string]func() (Providers, error){
		"native JSON": func() (Providers, error) { return native(t, wrong) },
		"the file":    func() (Providers, error) { return parse(fileWith(wrong)) },
	} {
		t.Run(form, func(t *testing.T) {
			providers, err := decode()
			if err != nil {
				t.Fatal(err)
			}
			err = providers.validate(testEnvironment())
			if len(faultyFields(err)) < 15 {
				t.Errorf("only %v are wrong", faultyFields(err))
			}
			wantNoCanary(t, err)
			_, err = providers["p"].client(testEnvironment())
			wantNoCanary(t, err)
			_, err = providers.fingerprint("p", testEnvironment())
			wantNoCanary(t, err)
			_, err = providers["p"].headerUp(testEnvironment())
			wantNoCanary(t, err)
			wantNoCanary(t, providers["p"].ValidateLiterals("p"))
		})
	}
}
