package tokens

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnAnswerThatSaysSomethingTwiceIsRefused(t *testing.T) {
	nested := TokenResponse{Token: []string{"data.tok"}, Expiry: []ExpiryRule{{"data.life", ExpirySeconds}}}
	query := TokenResponse{Token: []string{`a.#(k=="y").tok`}}
	header := TokenResponse{Token: []string{"header:X-Token"}}
	odd := TokenResponse{Token: []string{`t\.x`, "list.1.t", "@this.deep"}}
	for _, test := range []struct {
		name     string
		response TokenResponse
		body     string
		twice    string
	}{
		{"two tokens", TokenResponse{}, `{"access_token":"cAnary1","access_token":"cAnary2","expires_in":60}`, "access_token"},
		{"the same token twice", TokenResponse{}, `{"access_token":"cAnary1","expires_in":60,"access_token":"cAnary1"}`, "access_token"},
		{"the first token is null", TokenResponse{}, `{"access_token":null,"access_token":"cAnary2"}`, "access_token"},
		{"the second token is null", TokenResponse{}, `{"access_token":"cAnary1","access_token":null}`, "access_token"},
		{"an escaped name", TokenResponse{}, `{"access_token":"cAnary1","\u0061ccess_token":"cAnary2"}`, "access_token"},
		{"two escaped names", TokenResponse{}, `{"\u0061ccess_token":"cAnary1","acces\u0073_token":"cAnary2"}`, "access_token"},
		{"three tokens", TokenResponse{}, `{"access_token":"cAnary1","access_token":"cAnary2","access_token":"cAnary3"}`, "access_token"},
		{"two lifetimes", TokenResponse{}, `{"access_token":"t","expires_in":60,"expires_in":86400}`, "expires_in"},
		{"two refresh tokens", TokenResponse{}, `{"access_token":"t","refresh_token":"cAnary1","refresh_token":"cAnary2"}`, "refresh_token"},
		{"two types", TokenResponse{}, `{"access_token":"t","token_type":"Bearer","token_type":"DPoP"}`, "token_type"},
		{"an error that says nothing, and one", TokenResponse{}, `{"error":null,"access_token":"t","error":"invalid_client"}`, "error"},
		{"two times to refresh", TokenResponse{}, `{"access_token":"t","refresh_in":6,"refresh_in":7}`, "refresh_in"},
		{"a token further in", nested, `{"data":{"tok":"cAnary1","tok":"cAnary2"}}`, "data.tok"},
		{"a lifetime further in", nested, `{"data":{"tok":"t","life":60,"life":61}}`, "data.life"},
		{"two of what the token is in", nested, `{"data":{"tok":"cAnary1"},"data":{"tok":"cAnary2"}}`, "data"},
		{"the first holds no token", nested, `{"data":{},"data":{"tok":"cAnary2"}}`, "data"},
		{"a token in an element of a query", query, `{"a":[{"k":"x"},{"k":"y","tok":"cAnary1","tok":"cAnary2"}]}`, "tok"},
		{"a name with a dot", odd, `{"t.x":"cAnary1","t.x":"cAnary2"}`, "t.x"},
		{"a token in an element", odd, `{"list":[1,{"t":"cAnary1","t":"cAnary2"}]}`, "list.1.t"},
		{"behind a modifier", odd, `{"deep":"cAnary1","deep":"cAnary2"}`, "deep"},
		{"a form", TokenResponse{}, `access_token=cAnary1&expires_in=60&access_token=cAnary2`, "access_token"},
		{"a form with an escaped name", TokenResponse{}, `access_token=cAnary1&acces%73_token=cAnary2`, "access_token"},
		{"two lifetimes in a form", TokenResponse{}, `access_token=t&expires_in=60&expires_in=61`, "expires_in"},
		{"two refresh tokens in a form", TokenResponse{}, `access_token=t&refresh_token=cAnary1&refresh_token=cAnary2`, "refresh_token"},
		{"a header", header, `{}`, "header:X-Token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testClient(&exchange{body: test.body, header: http.Header{"Content-Type": {formType}, "X-Token": {"cAnary1", "cAnary2"}}})
			c.Response = test.response
			token, err := c.Fetch(t.Context(), Want{})
			failed, ok := errors.AsType[*AuthenticationError](err)
			if !ok || failed.Code != CodeInvalidResponse || failed.Temporary() || token != (Token{}) {
				t.Fatalf("got %v, %v", token, err)
			}
			if !contains(err.Error(), "the answer holds "+test.twice+" twice") || contains(fmt.Sprintf("%v %+v", err, err), "cAnary") {
				t.Errorf("the error says %v", err)
			}
		})
	}
}

func TestWhatIsNotReadMayStandTwice(t *testing.T) {
	for name, body := range map[string]string{
		"a name of nobody":                `{"access_token":"t","x":1,"x":2,"expires_in":60}`,
		"a name that differs in its case": `{"access_token":"t","Access_Token":"u","expires_in":60}`,
		"a name that begins alike":        `{"access_token":"t","access_token_2":"u","expires_in":60}`,
		"the name elsewhere":              `{"access_token":"t","expires_in":60,"user":{"access_token":1,"access_token":2}}`,
		"the name in two places":          `{"access_token":"t","expires_in":60,"user":{"access_token":1,"expires_in":2}}`,
		"a description":                   `{"access_token":"t","expires_in":60,"message":"a","message":"b"}`,
		"a name in a text":                `{"access_token":"t","expires_in":60,"m":"\"access_token\":\"u\""}`,
		"a field of nobody in a form":     `access_token=t&x=1&x=2&expires_in=60`,
	} {
		t.Run(name, func(t *testing.T) {
			c := testClient(&exchange{body: body, header: http.Header{"Content-Type": {formType}}})
			if token, err := c.Fetch(t.Context(), Want{}); err != nil || token.Value.Reveal() != "t" || token.Lifetime != time.Minute {
				t.Errorf("got %q for %v, %v", token.Value.Reveal(), token.Lifetime, err)
			}
		})
	}
}

// The server has used the refresh token up that was sent, so a new one is kept; of two
// new ones neither is.
func TestARefreshTokenBesideARepeatedMemberIsKept(t *testing.T) {
	for _, test := range []struct{ name, members, want string }{
		{"beside two access tokens", `"access_token":"a","access_token":"b","refresh_token":"r"`, "r"},
		{"beside two lifetimes", `"access_token":"a","expires_in":1,"expires_in":2,"refresh_token":"r"`, "r"},
		{"one of two", `"access_token":"a","refresh_token":"r","refresh_token":"s"`, ""},
		{"the same twice", `"access_token":"a","refresh_token":"r","refresh_token":"r"`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testClient(nil)
			c.RefreshToken = Literal("r0")
			response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{` + test.members + `}`))}
			got, failed := c.read(response, &prepared{}, time.Now())
			if failed == nil || failed.Code != CodeInvalidResponse || got.refreshToken.Reveal() != test.want {
				t.Fatalf("kept %q, %v; want %q", got.refreshToken.Reveal(), failed, test.want)
			}
			// Whether the one that was sent is used up is unknown: it may be asked again.
			if failed.Temporary() != (test.want == "") {
				t.Errorf("temporary: %t", failed.Temporary())
			}
		})
	}
}

func TestARefusalThatRepeatsAMemberStaysARefusal(t *testing.T) {
	_, err := testClient(&exchange{status: 400, body: `{"error":"invalid_scope","x":1,"access_token":"a","access_token":"b"}`}).Fetch(t.Context(), Want{})
	if failed, ok := errors.AsType[*AuthenticationError](err); !ok || failed.Code != CodeInvalidScope {
		t.Errorf("got %v", err)
	}
}

func TestADeepAnswerIsSearchedInBoundedTime(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000)
	c := parseAnswer([]byte(deep), "application/json", nil, nil)
	for _, place := range []string{"*.tok", "a.#.a"} {
		if name, found := c.repeated(place); found {
			t.Errorf("%s stands twice", name)
		}
	}
}
