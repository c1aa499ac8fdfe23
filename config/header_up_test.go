package config

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// resolved is the header_up of a provider, ready for use.
func resolved(t *testing.T, headerUp string) ResolvedHeaderUp {
	t.Helper()
	p := valid(t, `"header_up":{`+headerUp+`}`)
	if err := (Providers{"p": p}).validate(testEnvironment()); err != nil {
		t.Fatal(err)
	}
	h, err := p.headerUp(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What is wanted is what reverse_proxy does.
func TestHeaderUpDoesWhatThatOfReverseProxyDoes(t *testing.T) {
	for name, test := range map[string]struct {
		headerUp     string
		header, want http.Header
	}{
		"nothing":                             {``, http.Header{"A": {"1"}}, http.Header{"A": {"1"}}},
		"set a new header":                    {`"set":{"B":["2"]}`, http.Header{"A": {"1"}}, http.Header{"A": {"1"}, "B": {"2"}}},
		"set replaces all values":             {`"set":{"a":["2"]}`, http.Header{"A": {"1", "1"}}, http.Header{"A": {"2"}}},
		"set sends several values as one":     {`"set":{"A":["2","3"]}`, http.Header{"A": {"1"}}, http.Header{"A": {"2,3"}}},
		"set an empty value":                  {`"set":{"A":[""]}`, http.Header{"A": {"1"}}, http.Header{"A": {""}}},
		"add a new header":                    {`"add":{"B":["2"]}`, http.Header{}, http.Header{"B": {"2"}}},
		"add to the values that are there":    {`"add":{"a":["2","3"]}`, http.Header{"A": {"1"}}, http.Header{"A": {"1", "2", "3"}}},
		"default where there is none":         {`"default":{"a":["2","3"]}`, http.Header{}, http.Header{"A": {"2", "3"}}},
		"default where there is one":          {`"default":{"A":["2"]}`, http.Header{"A": {"1"}}, http.Header{"A": {"1"}}},
		"default where there is an empty one": {`"default":{"A":["2"]}`, http.Header{"A": {""}}, http.Header{"A": {""}}},
		"delete in any spelling":              {`"delete":["x-a"]`, http.Header{"X-A": {"1", "2"}, "X-Ab": {"1"}}, http.Header{"X-Ab": {"1"}}},
		"delete what is not there":            {`"delete":["B"]`, http.Header{"A": {"1"}}, http.Header{"A": {"1"}}},
		"delete by the beginning":             {`"delete":["x-*"]`, http.Header{"X-A": {"1"}, "X-": {"1"}, "Ax-B": {"1"}, "X": {"1"}}, http.Header{"Ax-B": {"1"}, "X": {"1"}}},
		"delete by the end":                   {`"delete":["*-ID"]`, http.Header{"A-Id": {"1"}, "A-Idx": {"1"}, "-Id": {"1"}}, http.Header{"A-Idx": {"1"}}},
		"delete by what is within":            {`"delete":["*b*"]`, http.Header{"Ab": {"1"}, "B": {"1"}, "Abc": {"1"}, "Ac": {"1"}}, http.Header{"Ac": {"1"}}},
		"delete in capitals":                  {`"delete":["X-*","*-ID"]`, http.Header{"x-lower": {"1"}, "A-id": {"1"}}, http.Header{}},
		"delete comes after set and add":      {`"set":{"X-A":["2"]},"add":{"X-B":["2"]},"delete":["X-*"]`, http.Header{"X-C": {"1"}}, http.Header{}},
		"default comes after delete":          {`"default":{"X-A":["2"]},"delete":["X-*"]`, http.Header{"X-A": {"1"}}, http.Header{"X-A": {"2"}}},
		"values of variables":                 {`"set":{"A":["{env.ID}"]},"add":{"B":["os.environ/ID","x"]}`, http.Header{}, http.Header{"A": {"id-of-env"}, "B": {"id-of-env", "x"}}},
		"an escaped brace is a brace":         {`"set":{"A":["\\{http.request.uri}"]}`, http.Header{}, http.Header{"A": {"{http.request.uri}"}}},
		"one is deleted and another added":    {`"delete":["A"],"add":{"B":["1"]}`, http.Header{"A": {"1"}, "B": {"0"}}, http.Header{"B": {"0", "1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			header := test.header.Clone()
			resolved(t, test.headerUp).Apply(header)
			if !reflect.DeepEqual(header, test.want) {
				t.Errorf("got %v, want %v", header, test.want)
			}
		})
	}
}

func TestHeaderUpChangesNoSharedValues(t *testing.T) {
	h := resolved(t, `"set":{"A":["2"]},"add":{"B":["2"],"C":["2"]},"default":{"D":["2","3","4"]}`)
	// There is room behind the values of another header, as http.Header.Clone leaves it.
	backing := []string{"1", "of another", "of another"}
	shared := http.Header{"A": backing[:1:3], "B": backing[:1:3]}
	first := http.Header{"A": shared["A"], "B": shared["B"]}
	h.Apply(first)
	if !slices.Equal(backing, []string{"1", "of another", "of another"}) || !slices.Equal(shared["A"], []string{"1"}) {
		t.Errorf("the header that shares its values has become %v, %v", shared, backing)
	}
	// Nor do two requests share what header_up gives them.
	second := make(http.Header)
	h.Apply(second)
	for name := range second {
		second[name] = append(second[name], "of the second")
	}
	third := make(http.Header)
	h.Apply(third)
	for name := range third {
		third[name] = append(third[name], "of the third")
	}
	if want := (http.Header{
		"A": {"2", "of the second"}, "B": {"2", "of the second"}, "C": {"2", "of the second"}, "D": {"2", "3", "4", "of the second"},
	}); !reflect.DeepEqual(second, want) {
		t.Errorf("got %v", second)
	}
}

func TestAWrongHeaderUpIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ headerUp, field, want string }{
		"an invalid name":                   {`"set":{"A: CANARY":["x"]}`, "header_up.set", "invalid header name"},
		"an empty name":                     {`"add":{"":["CANARY"]}`, "header_up.add", "invalid header name"},
		"a header of the connection":        {`"set":{"connection":["CANARY"]}`, "header_up.set.connection", "belongs to the connection"},
		"Host":                              {`"default":{"Host":["CANARY"]}`, "header_up.default.Host", "belongs to the connection"},
		"no value":                          {`"set":{"A":[]}`, "header_up.set.A", "has no value"},
		"two spellings":                     {`"set":{"A-B":["CANARY"],"a-b":["CANARY"]}`, "header_up.set.a-b", "in different spellings"},
		"the place of the token":            {`"set":{"authorization":["CANARY"]}`, "header_up.set.Authorization", "is where the token goes"},
		"the place of the token by default": {`"default":{"Authorization":["CANARY"]}`, "header_up.default.Authorization", "is where the token goes"},
		"set and added":                     {`"set":{"A":["CANARY"]},"add":{"a":["CANARY"]}`, "header_up.add.A", "is in header_up.set too"},
		"set and a default":                 {`"set":{"A":["CANARY"]},"default":{"A":["CANARY"]}`, "header_up.default.A", "is in header_up.set too"},
		"set and deleted":                   {`"set":{"A":["CANARY"]},"delete":["a"]`, "header_up.delete", "a is in header_up.set too"},
		"a default and deleted":             {`"default":{"A":["CANARY"]},"delete":["A"]`, "header_up.delete", "A is in header_up.default too"},
		"all headers deleted":               {`"delete":["*"]`, "header_up.delete", "invalid header name"},
		"all headers deleted twice":         {`"delete":["**"]`, "header_up.delete", "invalid header name"},
		"a star within":                     {`"delete":["CANARY*b"]`, "header_up.delete", "and * at its beginning or end"},
		"two stars at the end":              {`"delete":["CANARY**"]`, "header_up.delete", "and * at its beginning or end"},
		"an invalid name to delete":         {`"delete":["CANARY: x"]`, "header_up.delete", "invalid header name"},
		"the connection deleted":            {`"delete":["transfer-encoding"]`, "header_up.delete", "transfer-encoding belongs to the connection"},
		"a variable that is not set":        {`"set":{"A":["CANARY{env.UNSET}"]}`, "header_up.set.A", "UNSET is not set"},
		"a file that is missing":            {`"add":{"A":["{file./missing}"]}`, "header_up.add.A", "/missing cannot be read"},
		"the time":                          {`"default":{"A":["CANARY{now}"]}`, "header_up.default.A", "{now} cannot stand here"},
		"a token":                           {`"set":{"A":["CANARY{token.p}"]}`, "header_up.set.A", "{token} cannot stand here"},
		"a placeholder of Caddy":            {`"set":{"A":["{http.request.CANARY}"]}`, "header_up.set.A", `write a literal brace as \{`},
		"a line break":                      {`"set":{"A":["x\r\nCANARY: y"]}`, "header_up.set.A", "line break"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fault(t, validFields+`,"header_up":{`+test.headerUp+`}`)
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
			if lines := strings.Split(err.Error(), "\n"); len(lines) > 1 {
				t.Errorf("one fault is reported more than once: %v", err)
			}
		})
	}
}

func TestTheUsualHeaderMaySetWhatIsNotThePlace(t *testing.T) {
	if err := fault(t, validFields+`,"place":{"header":"x-api-key"},"header_up":{"set":{"Authorization":["x"]},"delete":["X-Api-Key"]}`); err != nil {
		t.Error(err)
	}
	wantError(t, fault(t, validFields+`,"place":{"header":"x-api-key"},"header_up":{"set":{"X-API-KEY":["x"]}}`), "header_up.set.X-Api-Key", "is where the token goes")
}

func TestNamesAreThoseThatMayBeSet(t *testing.T) {
	got := resolved(t, `"set":{"b":["1"],"a":["1"]},"add":{"c":["1"]},"default":{"d":["1"]},"delete":["e"]`).Names()
	if !slices.Equal(got, []string{"A", "B", "C", "D"}) {
		t.Errorf("got %v", got)
	}
}
