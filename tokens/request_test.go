package tokens

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

func TestTheJSONBodyOfATokenRequest(t *testing.T) {
	for _, test := range []struct {
		name   string
		body   Value
		params []Parameter
		want   string
	}{
		{"parameters alone", nil, []Parameter{{"audience", Literal("https://api?a&b")}}, `{"audience":"https://api?a\u0026b","client_id":"id","grant_type":"client_credentials"}`},
		{"an empty text counts as none", Literal(""), nil, `{"client_id":"id","grant_type":"client_credentials"}`},
		{
			"what nests stands beside parameters", Literal(`{"auth":{"identity":{"methods":["password"],"x":[{"y":null},true]}}}`),
			[]Parameter{{"a", Literal("b")}},
			`{"a":"b","auth":{"identity":{"methods":["password"],"x":[{"y":null},true]}},"client_id":"id","grant_type":"client_credentials"}`,
		},
		{
			"numbers keep their digits", Literal(`{"id":12345678901234567890,"ids":[9007199254740993,1.10,-0,1E5]}`), nil,
			`{"client_id":"id","grant_type":"client_credentials","id":12345678901234567890,"ids":[9007199254740993,1.10,-0,1E5]}`,
		},
		{"a parameter wins", Literal(`{"grant_type":["x"],"a":1}`), []Parameter{{"a", Literal("b")}}, `{"a":"b","client_id":"id","grant_type":"client_credentials"}`},
		{"white space around it", Literal(" \n{\"a\":1}\n"), nil, `{"a":1,"client_id":"id","grant_type":"client_credentials"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &exchange{body: goodAnswer}
			c := testClient(e)
			c.AuthMethod, c.Encoding, c.Scope, c.Body, c.Parameters = NoAuthentication, EncodingJSON, nil, test.body, test.params
			if _, err := c.Fetch(t.Context(), Want{}); err != nil {
				t.Fatal(err)
			}
			if e.sent != test.want || e.request.Header.Get("Content-Type") != "application/json" || e.request.ContentLength != int64(len(test.want)) {
				t.Errorf("sent %s\nwant %s", e.sent, test.want)
			}
		})
	}
}

func TestABodyThatIsNoJSONObjectIsNotSent(t *testing.T) {
	for _, body := range []string{"null", "[]", `"cAnary"`, "1", `{"a":"cAnary`, `{"a":"cAnary"} {"b":1}`, `cAnary`} {
		e := &exchange{body: goodAnswer}
		c := testClient(e)
		c.Encoding, c.Body = EncodingJSON, Literal(body)
		_, err := c.Fetch(t.Context(), Want{})
		failed, ok := errors.AsType[*AuthenticationError](err)
		if !ok || failed.Code != CodeRefused || failed.Temporary() || !contains(err.Error(), "must be a JSON object") || contains(err.Error(), "cAnary") || e.request != nil {
			t.Errorf("%s: got %v, sent %q", body, err, e.sent)
		}
	}
}

func TestSecretsInTheBodyAreHiddenFromAServerThatEchoesThem(t *testing.T) {
	for _, echo := range []string{"wrong: bOdy pw", "wrong: bOdy%20pw", "wrong: bOdy+pw", "wrong: Yk9keSBwdw==", "wrong: in-a list, deEp er"} {
		body := `{"error":"invalid_client","error_description":"` + echo + `"}`
		c := testClient(&exchange{status: 401, body: body})
		c.Encoding, c.Body = EncodingJSON, Literal(`{"auth":{"password":"bOdy pw","list":["in-a list",{"deeper":"deEp er"}],"n":1}}`)
		_, err := c.Fetch(t.Context(), Want{})
		if err == nil || !contains(err.Error(), "wrong: [redacted]") {
			t.Errorf("%s: got %v", echo, err)
		}
		for _, secret := range []string{"bOdy", "in-a", "deEp", "Yk9keSBwdw"} {
			if contains(err.Error(), secret) {
				t.Errorf("%s: the error shows %v", echo, err)
			}
		}
	}
}

func TestHeadersTakeThePlaceOfTheDefaults(t *testing.T) {
	e := &exchange{body: goodAnswer}
	c := testClient(e)
	c.AuthMethod, c.ClientSecret = NoAuthentication, nil
	c.Header = []Parameter{
		{"accept", Literal("application/vnd.x+json")},
		{"USER-AGENT", Literal("mine/1")},
		{"content-type", Literal(formType + "; charset=utf-8")},
		{"Authorization", Literal("ApiKey " + canary)},
		{"X-Two", Literal("1")},
		{"x-two", Literal("2")},
	}
	if _, err := c.Fetch(t.Context(), Want{}); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Accept": {"application/vnd.x+json"}, "User-Agent": {"mine/1"}, "Content-Type": {formType + "; charset=utf-8"},
		"Authorization": {"ApiKey " + canary}, "X-Two": {"1", "2"}, "Idempotency-Key": {},
	}
	if !maps.EqualFunc(e.request.Header, want, slices.Equal[[]string]) {
		t.Errorf("headers %v\nwant    %v", e.request.Header, want)
	}
}

func TestWhatProvesTheClientsIdentityIsAllThatIsSentOfIt(t *testing.T) {
	const form = "grant_type=client_credentials"
	const assertionType = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
	for _, test := range []struct {
		name   string
		method AuthMethod
		id     Value
		want   string
	}{
		{"private_key_jwt", PrivateKeyJWT, Literal("id"), "client_assertion=signed.cAnary.jwt&" + assertionType + "&client_id=id&" + form},
		{"client_secret_jwt", ClientSecretJWT, Literal("id"), "client_assertion=signed.cAnary.jwt&" + assertionType + "&client_id=id&" + form},
		{"tls_client_auth", TLSClientAuth, Literal("id"), "client_id=id&" + form},
		{"none", NoAuthentication, Literal("id"), "client_id=id&" + form},
		{"none without a client_id", NoAuthentication, nil, form},
		{"none with a client_id that is empty", NoAuthentication, Literal(""), form},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &exchange{body: goodAnswer}
			c := testClient(e)
			c.AuthMethod, c.ClientID, c.Scope = test.method, test.id, nil
			c.ClientAssertion = Literal("signed.cAnary.jwt")
			if _, err := c.Fetch(t.Context(), Want{}); err != nil {
				t.Fatal(err)
			}
			if e.sent != test.want || e.request.Header["Authorization"] != nil {
				t.Errorf("sent %s, Authorization %v\nwant %s", e.sent, e.request.Header["Authorization"], test.want)
			}
			e.status, e.body = 401, `{"error":"invalid_client","error_description":"signed.cAnary.jwt"}`
			if _, err := c.Fetch(t.Context(), Want{}); err == nil || contains(err.Error(), "cAnary") != (test.method == TLSClientAuth || test.method == NoAuthentication) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Every retry of a signed assertion signs anew.
func TestEachRequestHasAnAssertionOfItsOwn(t *testing.T) {
	e := &exchange{body: goodAnswer}
	c := testClient(e)
	a := newAssertion(t, "ES256")
	c.AuthMethod, c.ClientAssertion = PrivateKeyJWT, a
	var sent []string
	for range 2 {
		if _, err := c.Fetch(t.Context(), Want{}); err != nil {
			t.Fatal(err)
		}
		form, _ := url.ParseQuery(e.sent)
		verified(t, form.Get("client_assertion"), "ES256", keyFor("ES256"))
		sent = append(sent, form.Get("client_assertion"))
	}
	if sent[0] == sent[1] {
		t.Error("an assertion was sent twice")
	}
	a.Key = Literal("no key")
	e.request = nil
	_, err := c.Fetch(t.Context(), Want{})
	if _, ok := errors.AsType[*AssertionError](err); !ok || e.request != nil {
		t.Errorf("got %v, sent %v", err, e.request)
	}
}

func TestABodyOrAssertionThatCannotBeReadIsTheError(t *testing.T) {
	broken := errors.New("file gone")
	for name, change := range map[string]func(*Client, Value){
		"body":      func(c *Client, v Value) { c.Encoding, c.Body = EncodingJSON, v },
		"assertion": func(c *Client, v Value) { c.AuthMethod, c.ClientAssertion = PrivateKeyJWT, v },
	} {
		e := &exchange{body: goodAnswer}
		c := testClient(e)
		change(c, valueFunc(func(context.Context) (Secret, error) { return Secret{}, broken }))
		if _, err := c.Fetch(t.Context(), Want{}); !errors.Is(err, broken) || e.request != nil {
			t.Errorf("%s: got %v, sent %v", name, err, e.request)
		}
	}
}
