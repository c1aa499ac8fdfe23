package tokens

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestFailuresAreToldApart(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html"}}
	for _, test := range []struct {
		name      string
		exchange  exchange
		code      string
		temporary bool
		says      string
	}{
		{"expires_in is negative", exchange{body: `{"access_token":"t","expires_in":-1}`}, CodeInvalidResponse, false, "expires_in"},
		{"an exp that has passed", exchange{body: fmt.Sprintf(`{"access_token":%q}`, jwt(`{"exp":1000}`))}, CodeInvalidResponse, false, "expired"},
		{"an error in a 200 answer", exchange{body: `{"error":"invalid_client"}`}, CodeInvalidClient, false, "client_secret"},
		{"an empty 200 answer", exchange{body: ``}, CodeInvalidResponse, true, "no access_token"},
		{"an empty object", exchange{body: `{}`}, CodeInvalidResponse, true, "no access_token"},
		{"an empty token", exchange{body: `{"access_token":""}`}, CodeInvalidResponse, true, "no access_token"},
		{"a list", exchange{body: `[]`}, CodeInvalidResponse, true, "no access_token"},
		{"a token that is no string", exchange{body: `{"access_token":17}`}, CodeInvalidResponse, false, "the token must be a string"},
		{"a web page with 200", exchange{body: "<html>Sign in", header: html}, CodeInvalidResponse, true, "(text/html): the server says: Sign in;"},
		{"a web page with 502", exchange{status: 502, body: "<html>No backend", header: html}, CodeUnavailable, true, "(text/html): the server says: No backend;"},
		{"a web page with 503", exchange{status: 503, body: "<html>No backend", header: html}, CodeUnavailable, true, "(text/html): the server says: No backend;"},
		{"a form that is an error", exchange{status: 400, body: "error=invalid_scope&error_description=no", header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}, CodeInvalidScope, false, "check scope"},
		{"JSON that is cut off", exchange{body: `{"access_token":"t`}, CodeInvalidResponse, true, "no access_token"},
		{"a redirect", exchange{status: 307, header: http.Header{"Location": {"https://evil.example/x?canary"}}}, CodeRefused, false, "evil.example"},
		{"a token with a line end", exchange{body: `{"access_token":"a\r\nX: y"}`}, CodeInvalidResponse, false, "character"},
		{"a token with a NUL", exchange{body: `{"access_token":"a\u0000"}`}, CodeInvalidResponse, false, "character"},
		{"a token with a space", exchange{body: `{"access_token":"a b"}`}, CodeInvalidResponse, false, "character"},
		{"token_type mac", exchange{body: `{"access_token":"t","token_type":"mac"}`}, CodeInvalidResponse, false, "token_type"},
		{"token_type DPoP", exchange{body: `{"access_token":"t","token_type":"DPoP"}`}, CodeInvalidResponse, false, "token_type"},
		{"token_type N_A", exchange{body: `{"access_token":"t","token_type":"N_A"}`}, CodeInvalidResponse, false, "token_type"},
		{"invalid_client", exchange{status: 401, body: `{"error":"invalid_client","error_description":"unknown client"}`}, CodeInvalidClient, false, "unknown client"},
		{"invalid_client with 400", exchange{status: 400, body: `{"error":"invalid_client"}`}, CodeInvalidClient, false, "HTTP 400"},
		{"unauthorized_client", exchange{status: 400, body: `{"error":"unauthorized_client"}`}, CodeUnauthorizedClient, false, "grant_type"},
		{"invalid_scope", exchange{status: 400, body: `{"error":"invalid_scope"}`}, CodeInvalidScope, false, "scope"},
		{"unsupported_grant_type", exchange{status: 400, body: `{"error":"unsupported_grant_type"}`}, CodeUnsupportedGrantType, false, "grant_type"},
		{"invalid_target", exchange{status: 400, body: `{"error":"invalid_target"}`}, CodeInvalidTarget, false, "resource"},
		{"a refusal with a code of its own", exchange{status: 403, body: `{"error":"access_denied"}`}, CodeRefused, false, "access_denied"},
		{"a refusal without a code", exchange{status: 404, body: `not here`}, CodeRefused, false, "HTTP 404"},
		{"an error object in place of a code", exchange{status: 400, body: `{"error":{"message":{"a":"canary"}}}`}, CodeRefused, false, "HTTP 400"},
		{"too many requests", exchange{status: 429, body: `{"error":"invalid_request"}`}, CodeUnavailable, true, "HTTP 429"},
		{"408", exchange{status: 408}, CodeUnavailable, true, "HTTP 408"},
		{"500", exchange{status: 500}, CodeUnavailable, true, "HTTP 500"},
		{"504", exchange{status: 504}, CodeUnavailable, true, "HTTP 504"},
		{"500 with a code that is a refusal", exchange{status: 500, body: `{"error":"invalid_client"}`}, CodeInvalidClient, false, "HTTP 500"},
		{"temporarily_unavailable with 400", exchange{status: 400, body: `{"error":"temporarily_unavailable"}`}, CodeUnavailable, true, "temporarily_unavailable"},
		{"retry_on of the configuration", exchange{status: 423}, CodeUnavailable, true, "HTTP 423"},
		{"an answer over 1 MiB", exchange{body: `{"access_token":"` + strings.Repeat("x", answerLimit) + `"}`}, CodeInvalidResponse, false, "1 MiB"},
		{"a refused connection", exchange{err: &url.Error{Op: "Post", URL: "https://h/?canary", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}}, CodeUnavailable, true, "connection refused"},
		{"the connection ends", exchange{err: io.ErrUnexpectedEOF}, CodeUnavailable, true, "EOF"},
		{"no answer in time", exchange{err: context.DeadlineExceeded}, CodeTimeout, true, "timeout"},
		{"nesting that would exhaust a stack", exchange{body: `{"access_token":"t","x":` + strings.Repeat("[", 1<<19)}, CodeInvalidResponse, true, "no access_token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testClient(&test.exchange)
			c.RetryOn = []int{423}
			_, err := c.Fetch(t.Context(), Want{})
			var failed *AuthenticationError
			if !errors.As(err, &failed) {
				t.Fatalf("got %v", err)
			}
			if failed.Code != test.code || failed.Temporary() != test.temporary {
				t.Errorf("code %s, temporary %v; want %s, %v", failed.Code, failed.Temporary(), test.code, test.temporary)
			}
			text := err.Error()
			if !contains(text, test.says) || !contains(text, "provider corp") {
				t.Errorf("the error says %q, want %q in it", text, test.says)
			}
			if contains(text, "canary") || contains(text, "cAnary") {
				t.Errorf("the error shows what it must not: %q", text)
			}
		})
	}
}

func TestAServerThatEchoesSecretsPutsNoneIntoAnError(t *testing.T) {
	for _, form := range canaryForms(canary) {
		for _, member := range []string{"error", "error_description", "error_uri"} {
			body, _ := json.Marshal(map[string]string{"error": "invalid_client", member: form, "access_token": "answer-canary-value"})
			_, err := testClient(&exchange{status: 401, body: string(body)}).Fetch(t.Context(), Want{})
			wantNoCanary(t, fmt.Sprintf("%v %+v %#v", err, err, err), canary)
		}
	}
	body := `{"error":"invalid_client","error_description":"the token answer-canary-value and query-canary-1","access_token":"answer-canary-value"}`
	_, err := testClient(&exchange{status: 401, body: body}).Fetch(t.Context(), Want{})
	if contains(err.Error(), "canary") {
		t.Errorf("the error shows %q", err)
	}
}

// net/http quotes what breaks HTTP, and that may be what it was sent.
func TestAnAnswerThatIsNoHTTPIsNotQuoted(t *testing.T) {
	for name, answer := range map[string]string{
		"an echo":                 "",
		"a status line":           "HTTP/1.1 " + canary + "\r\n\r\n",
		"a header line":           "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"a transfer encoding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: cAnary\r\n\r\n",
		"a length":                "HTTP/1.1 200 OK\r\nContent-Length: cAnary\r\n\r\n",
		"a chunk that is no size": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncAnary\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				defer connection.Close()
				sent := make([]byte, 64<<10)
				n, _ := connection.Read(sent)
				if answer == "" {
					_, _ = connection.Write(sent[:n])
					return
				}
				_, _ = io.WriteString(connection, answer)
			}()
			c := testClient(nil)
			c.Transport, c.Encoding = &http.Transport{DisableKeepAlives: true}, EncodingQuery
			c.TokenURL = Literal("http://" + listener.Addr().String() + "/token")
			_, err = c.Fetch(t.Context(), Want{})
			failed, ok := errors.AsType[*AuthenticationError](err)
			if !ok || failed.Code != CodeUnavailable || !failed.Temporary() {
				t.Fatalf("got %v", err)
			}
			text := fmt.Sprintf("%v %+v", err, errors.Unwrap(err))
			wantNoCanary(t, text, canary)
			if contains(text, "cAnary") || contains(text, "client_secret=") {
				t.Errorf("the error quotes the answer: %s", text)
			}
		})
	}
}

func TestOnlyTLSThatBlamesCertificateOrVersionIsFinal(t *testing.T) {
	alert := func(text string) error {
		return &url.Error{Op: "Post", URL: "https://h/?canary", Err: &net.OpError{Op: "remote error", Err: errors.New("tls: " + text)}}
	}
	for _, test := range []struct {
		name string
		err  error
		code string
	}{
		{"a certificate of nobody known", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, CodeUntrusted},
		{"a server that speaks no TLS", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, CodeUntrusted},
		{"an old version", errors.New("tls: server selected unsupported protocol version 301"), CodeUntrusted},
		{"an alert about the version", alert("protocol version not supported"), CodeUntrusted},
		{"an alert about the client's certificate", alert("certificate required"), CodeUntrusted},
		{"an alert that can pass", alert("internal error"), CodeUnavailable},
		{"an alert that the server was closed", alert("user canceled"), CodeUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := testClient(&exchange{err: test.err}).Fetch(t.Context(), Want{})
			failed, _ := errors.AsType[*AuthenticationError](err)
			if strings.Contains(test.name, "client's certificate") && !contains(err.Error(), "set tls_client_auth") || strings.Contains(test.name, "speaks no TLS") && !contains(err.Error(), "begin with http://") {
				t.Errorf("the advice is wrong: %v", err)
			}
			if failed == nil || failed.Code != test.code || failed.Temporary() != (test.code == CodeUnavailable) || contains(err.Error(), "canary") {
				t.Errorf("got %v, want %s", err, test.code)
			}
		})
	}
}

func TestErrorCodesAndDescriptionsAreReadInManyPlaces(t *testing.T) {
	for _, test := range []struct {
		name, contentType, body string
		code                    string
		says                    string
	}{
		{"RFC 6749", "", `{"error":"invalid_scope","error_description":"no such scope"}`, CodeInvalidScope, "the server says: no such scope"},
		{"errorCode and errorMessage", "", `{"errorCode":"BXNIM0415E","errorMessage":"Provided API key could not be found."}`, CodeRefused, "the server's error code is BXNIM0415E: the server says: Provided API key could not be found."},
		{"an object with a status", "", `{"error":{"code":403,"message":"x","status":"PERMISSION_DENIED"}}`, CodeRefused, "error code is PERMISSION_DENIED"},
		{"an object with a code that is a word", "", `{"error":{"code":"invalid_client"}}`, CodeInvalidClient, "check client_id"},
		{"an object with a code that is a number", "", `{"error":{"code":401,"title":"Unauthorized"}}`, CodeRefused, "error code is 401"},
		{"code and message", "", `{"code":"IAM.0011","message":"unknown account"}`, CodeRefused, "error code is IAM.0011: the server says: unknown account"},
		{"a code that is a number", "", `{"code":50001,"message":"no"}`, CodeRefused, "error code is 50001"},
		{"the first place wins", "", `{"code":"c","errorCode":"b","error":"unauthorized_client","message":"m","error_description":"d"}`, CodeUnauthorizedClient, "the server says: d"},
		{"a place with no code is passed over", "", `{"error":"not a code","errorCode":"","code":"invalid_client"}`, CodeInvalidClient, "invalid_client"},
		{"an empty description is passed over", "", `{"error":"invalid_client","error_description":"","errorMessage":{"a":1},"message":"m"}`, CodeInvalidClient, "the server says: m"},
		{"Okta", "", `{"errorCode":"E0000011","errorSummary":"Invalid token provided"}`, CodeRefused, "error code is E0000011: the server says: Invalid token provided"},
		{"Google", "", `{"error":{"code":403,"message":"Permission denied on resource.","status":"PERMISSION_DENIED"}}`, CodeRefused, "error code is PERMISSION_DENIED: the server says: Permission denied on resource."},
		{"Apigee's fault", "", `{"fault":{"faultstring":"Invalid client identifier","detail":{"errorcode":"keymanagement.service.invalid_client"}}}`, CodeRefused, "error code is keymanagement.service.invalid_client: the server says: Invalid client identifier"},
		{"Apigee's Error", "", `{"ErrorCode":"invalid_client","Error":"ClientId is Invalid"}`, CodeInvalidClient, "the server says: ClientId is Invalid"},
		{"RFC 6749 wins over all of these", "", `{"Error":"e","fault":{"faultstring":"f"},"errorSummary":"s","error":"invalid_client","error_description":"d"}`, CodeInvalidClient, "the server says: d"},
		{"a page", "text/html; charset=utf-8", `<html><head><title>403 Forbidden</title></head></html>`, CodeRefused, "holds no error code (text/html): the server says: 403 Forbidden"},
		{"a code that says later", "", `{"errorCode":"temporarily_unavailable"}`, CodeUnavailable, "temporarily_unavailable"},
		{"a form", formType, "error=invalid_client&message=no", CodeInvalidClient, "the server says: no"},
		{"a code that is too long", "", `{"code":"` + strings.Repeat("c", 65) + `"}`, CodeRefused, "holds no error code"},
		{"a code with a line end", "", `{"code":"a\nb"}`, CodeRefused, "holds no error code"},
		{"a code that is a list", "", `{"error":["invalid_client"]}`, CodeRefused, "holds no error code"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := testClient(&exchange{status: 400, body: test.body, header: http.Header{"Content-Type": {test.contentType}}}).Fetch(t.Context(), Want{})
			failed, ok := errors.AsType[*AuthenticationError](err)
			if !ok || failed.Code != test.code || !contains(err.Error(), test.says) {
				t.Errorf("got %v, want %s and %q", err, test.code, test.says)
			}
		})
	}
}

func TestASecretInAnyPlaceOfAnErrorIsHidden(t *testing.T) {
	for _, place := range append(slices.Concat(errorPlaces, descriptionPlaces), "other") {
		for _, secret := range []string{canary, "s3cretWord"} {
			c := testClient(nil)
			c.ClientSecret = Literal(secret)
			var value any = secret
			names := strings.Split(place, ".")
			slices.Reverse(names)
			for _, name := range names {
				value = map[string]any{name: value}
			}
			body, _ := json.Marshal(value)
			for _, status := range []int{200, 400} {
				c.Transport = &exchange{status: status, body: string(body)}
				_, err := c.Fetch(t.Context(), Want{})
				wantNoCanary(t, fmt.Sprintf("%v %+v", err, err), secret)
			}
		}
	}
}

func TestADescriptionThatIsNoStringIsNotShown(t *testing.T) {
	_, err := testClient(&exchange{status: 401, body: `{"error":"invalid_client","error_description":{"msg":"cAnary \u0022+\/&% s3cret"}}`}).Fetch(t.Context(), Want{})
	if contains(err.Error(), "cAnary") || !contains(err.Error(), "invalid_client") {
		t.Errorf("got %v", err)
	}
}

// What is redacted in a log must not change what an error means.
func TestAnErrorCodeIsComparedAsItIsSent(t *testing.T) {
	c := testClient(&exchange{status: http.StatusBadRequest, body: `{"error":"invalid_client"}`})
	c.Encoding, c.Body = EncodingJSON, Literal(`{"type":"client"}`)
	_, err := c.Fetch(t.Context(), Want{})
	var failed *AuthenticationError
	if !errors.As(err, &failed) || failed.Code != CodeInvalidClient {
		t.Errorf("got %v", err)
	}
}

func TestAnErrorThatSaysNothingIsNone(t *testing.T) {
	for _, text := range []string{"null", `""`, "false", "0", "{}", "[]"} {
		token, err := testClient(&exchange{body: `{"error":` + text + `,"access_token":"t","expires_in":60}`}).Fetch(t.Context(), Want{})
		if err != nil || token.Value.Reveal() != "t" {
			t.Errorf("error %s: %v", text, err)
		}
	}
	for _, text := range []string{`"x"`, "true", "1", `{"code":1}`, `["x"]`} {
		if _, err := testClient(&exchange{body: `{"error":` + text + `,"access_token":"t","expires_in":60}`}).Fetch(t.Context(), Want{}); err == nil {
			t.Errorf("error %s is none", text)
		}
	}
}

// Whoever is paged wants to know whether clients notice, and when they will.
func TestAFailureWhileATokenIsInHandIsAWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		e := &fakeEndpoint{lifetime: 100 * time.Second}
		m := NewManager("corp")
		m.jitter = func() float64 { return 0.5 }
		m.Bind(&Binding{Fetcher: e, Logger: zap.New(core)})
		mustToken(t, m)
		e.set(func(e *fakeEndpoint) {
			e.fail = func(int) error { return &AuthenticationError{Code: CodeInvalidClient} }
		})
		time.Sleep(60 * time.Second)
		mustToken(t, m)
		synctest.Wait()
		line := logs.All()[0]
		if line.Level != zap.WarnLevel || line.Message != "no new access token, the one in hand serves on" || line.ContextMap()["token_ends_in"] != 40*time.Second {
			t.Errorf("%v %q %v", line.Level, line.Message, line.ContextMap())
		}
		time.Sleep(40 * time.Second)
		if _, err := m.Token(t.Context()); err == nil {
			t.Fatal("there is a token")
		}
		synctest.Wait()
		if line := logs.All()[logs.Len()-1]; line.Level != zap.ErrorLevel || line.Message != "no access token" {
			t.Errorf("%v %q", line.Level, line.Message)
		}
	})
}
