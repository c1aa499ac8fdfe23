package config

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestABaseURLIsReadAtLoad(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"none":                     {"", ""},
		"a host":                   {"https://llm.example.com", "https://llm.example.com"},
		"a path and a query":       {"https://llm.example.com/api/v2/?api-version=1", "https://llm.example.com/api/v2/?api-version=1"},
		"a variable":               {"https://{env.ID}/v1", "https://id-of-env/v1"},
		"an IPv6 address":          {"http://[::1]:8080", "http://[::1]:8080"},
		"an escaped slash":         {"https://x.com/a%2Fb", "https://x.com/a%2Fb"},
		"os.environ/ as elsewhere": {"os.environ/BASE", "https://base.example.com"},
		"the model":                {"https://x.com/deployments/{model}/a?v=1", "https://x.com/deployments/m/a?v=1"},
	} {
		t.Run(name, func(t *testing.T) {
			environment := testEnvironment()
			lookup := environment.LookupEnv
			environment.LookupEnv = func(name string) (string, bool) {
				if name == "BASE" {
					return "https://base.example.com", true
				}
				return lookup(name)
			}
			p := valid(t, "")
			p.BaseURL = Template(test.text)
			bases, err := p.bases(environment)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if base := bases.Of("m"); base != nil {
				address, err := base.For("m")
				if err != nil {
					t.Fatal(err)
				}
				got = address.String()
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestAWrongBaseURLIsRefusedAndNotShown(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"no scheme":              {"llm.example.com/CANARY", "must begin with https://"},
		"another scheme":         {"ftp://llm.example.com/CANARY", "must begin with https://"},
		"a password":             {"https://u:CANARY@llm.example.com", "user name or password"},
		"a fragment":             {"https://llm.example.com/#CANARY", "fragment"},
		"a dot segment":          {"https://llm.example.com/CANARY/../x", "dot segment"},
		"an escaped dot segment": {"https://llm.example.com/CANARY/%2e%2e/x", "dot segment"},
		"a port out of range":    {"https://llm.example.com:99999/CANARY", "port"},
		"a host outside ASCII":   {"https://münchen.example.com/CANARY", "xn--"},
		"white space":            {"https://llm.example.com/CANARY x", "white space"},
		"the model as host":      {"https://{model}.example.com/CANARY", "{model} in its path only"},
		"the model in the query": {"https://llm.example.com/?CANARY={model}", "{model} in its path only"},
	} {
		t.Run(name, func(t *testing.T) {
			p := valid(t, "")
			p.BaseURL = Template(test.text)
			for _, err := range []error{(Providers{"p": p}).validate(testEnvironment()), p.ValidateLiterals("p")} {
				var invalid *ValidationError
				if !errors.As(err, &invalid) || invalid.Provider != "p" || invalid.Field != "base_url" || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v", err)
				}
				if strings.Contains(err.Error(), "CANARY") {
					t.Errorf("the error shows the URL: %v", err)
				}
			}
		})
	}
	for _, text := range []string{"{token.q}", "{uuid}", "os.environ/UNSET", "{"} {
		wantError(t, fault(t, validFields+`,"base_url":`+jsonString(text)), "base_url")
	}
}

func TestATransportNamesItsModule(t *testing.T) {
	for name, test := range map[string]struct{ raw, says string }{
		"no module":        {`{"tls":{}}`, "names no transport module"},
		"an empty name":    {`{"protocol":""}`, "names no transport module"},
		"a name of number": {`{"protocol":1}`, "names no transport module"},
		"itself":           {`{"protocol":"oauth2_llm"}`, "oauth2_llm itself"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, fault(t, validFields+`,"transport":`+test.raw), "transport", test.says)
			wantError(t, fault(t, validFields+`,"token_request":{"transport":`+test.raw+`}`), "token_request.transport", test.says)
		})
	}
	wantError(t, fault(t, validFields+`,"transport":"http"`), "transport", "must be an object")
	p := valid(t, `"transport": { "protocol" : "http", "tls": {"server_name": "x"} },"base_url":"https://x.com"`)
	if string(p.Transport) != `{"protocol":"http","tls":{"server_name":"x"}}` {
		t.Errorf("got %s", p.Transport)
	}
	encoded, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(encoded), `"transport":{"protocol":"http","tls":{"server_name":"x"}}`) {
		t.Errorf("got %s, %v", encoded, err)
	}
	if err := (Providers{"p": p}).validate(testEnvironment()); err != nil {
		t.Error(err)
	}
}

func TestABaseURLWithoutTLSIsWarnedAbout(t *testing.T) {
	for base, warned := range map[string]bool{"http://llm.example.com": true, "http://127.0.0.1:80": false, "https://llm.example.com": false} {
		p := valid(t, "")
		p.BaseURL = Template(base)
		got := false
		for _, warning := range p.warnings(DefaultEnvironment()) {
			got = got || warning.Field == "base_url"
		}
		if got != warned {
			t.Errorf("%s: warned %t", base, got)
		}
	}
}

func TestEachModelMayHaveABaseURLOfItsOwn(t *testing.T) {
	p := valid(t, `"base_url":"https://x.com/all","models":{
		"own":{"base_url":"https://own.example.com/v2","upstream":"u"},
		"listed":{},
		"a/b":{"base_url":"https://x.com/{model}"},
		"*":{"base_url":"https://any.example.com/{model}"}}`)
	if err := (Providers{"p": p}).validate(testEnvironment()); err != nil {
		t.Fatal(err)
	}
	bases, err := p.bases(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"own": "https://own.example.com/v2", "listed": "https://x.com/all", "a/b": "https://x.com/a%2Fb",
		"other": "https://any.example.com/other", "": "https://x.com/all",
	} {
		base := bases.Of(name)
		address, err := base.For(name)
		if err != nil || address.String() != want {
			t.Errorf("%q goes to %v, %v; want %s", name, address, err, want)
		}
	}
	hosts := map[string]bool{}
	for base := range bases.All {
		hosts[base.Host().Host] = true
	}
	if len(hosts) != 3 {
		t.Errorf("the hosts are %v", hosts)
	}
	if _, err := bases.Of("other").For(""); err == nil || !bases.Of("other").HasModel() || bases.Default.HasModel() {
		t.Error("a URL that needs a model is one without")
	}
	var invalid *ValidationError
	if err := fault(t, validFields+`,"models":{"m":{"base_url":"nonsense"}}`); !errors.As(err, &invalid) || invalid.Field != "models.m.base_url" {
		t.Errorf("got %v", err)
	}
}
