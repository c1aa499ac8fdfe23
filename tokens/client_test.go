package tokens

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// An exchange is a RoundTripper that answers by itself and keeps the request.
type exchange struct {
	status int
	header http.Header
	body   string
	err    error
	answer func(r *http.Request, body string) (int, string)

	request *http.Request
	sent    string
}

func (e *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	e.request = r
	if r.Body != nil {
		sent, _ := io.ReadAll(r.Body)
		e.sent = string(sent)
	}
	if e.err != nil {
		return nil, e.err
	}
	status, body := e.status, e.body
	if e.answer != nil {
		status, body = e.answer(r, e.sent)
	}
	if status == 0 {
		status = http.StatusOK
	}
	header := e.header
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func testClient(e *exchange) *Client {
	return &Client{
		Provider:     "corp",
		TokenURL:     Literal("https://login.example.com/token?tenant=" + url.QueryEscape("query-canary-1")),
		ClientID:     Literal("id"),
		ClientSecret: Literal(canary),
		Scope:        Literal("llm.read llm.write"),
		Transport:    e,
	}
}

const goodAnswer = `{"access_token":"t1","token_type":"Bearer","expires_in":3600}`

func TestTheTokenRequestOfEachAuthMethod(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		name          string
		change        func(*Client)
		body          string
		query         string
		authorization string
		contentType   string
	}{
		{
			name: "client_secret_post is the default", contentType: form,
			body: "client_id=id&client_secret=" + url.QueryEscape(canary) + "&grant_type=client_credentials&scope=llm.read+llm.write",
		},
		{
			name: "client_secret_basic is form-encoded first, the vector of AppAuth", contentType: form,
			change: func(c *Client) {
				c.AuthMethod, c.Scope = ClientSecretBasic, nil
				c.ClientID, c.ClientSecret = Literal("1PpG/Q 1"), Literal("z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=")
			},
			body:          "grant_type=client_credentials",
			authorization: "Basic MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA==",
		},
		{
			name: "client_secret_basic_raw is not encoded", contentType: form,
			change: func(c *Client) {
				c.AuthMethod, c.Scope, c.ClientSecret = ClientSecretBasicRaw, nil, Literal("p%ss w+rd")
			},
			body:          "grant_type=client_credentials",
			authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("id:p%ss w+rd")),
		},
		{
			name: "none sends the client_id alone", contentType: form,
			change: func(c *Client) { c.AuthMethod = NoAuthentication },
			body:   "client_id=id&grant_type=client_credentials&scope=llm.read+llm.write",
		},
		{
			name: "an empty scope is not sent", contentType: form,
			change: func(c *Client) { c.Scope, c.AuthMethod = Literal(""), NoAuthentication },
			body:   "client_id=id&grant_type=client_credentials",
		},
		{
			name: "grant_type none is not sent, parameters are", contentType: form,
			change: func(c *Client) {
				c.Scope, c.AuthMethod, c.GrantType = nil, NoAuthentication, GrantNone
				c.Parameters = []Parameter{{"audience", Literal("https://api")}}
			},
			body: "audience=https%3A%2F%2Fapi&client_id=id",
		},
		{
			name: "encoding json", contentType: "application/json",
			change: func(c *Client) { c.Scope, c.AuthMethod, c.Encoding = nil, NoAuthentication, EncodingJSON },
			body:   `{"client_id":"id","grant_type":"client_credentials"}`,
		},
		{
			name:   "encoding query keeps the query of token_url",
			change: func(c *Client) { c.Scope, c.AuthMethod, c.Encoding = nil, NoAuthentication, EncodingQuery },
			query:  "tenant=query-canary-1&client_id=id&grant_type=client_credentials",
		},
		{
			name:   "encoding none sends no parameters",
			change: func(c *Client) { c.Encoding, c.Method = EncodingNone, http.MethodGet },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &exchange{body: goodAnswer}
			c := testClient(e)
			if test.change != nil {
				test.change(c)
			}
			token, err := c.Fetch(t.Context(), Want{})
			if err != nil || token.Value.Reveal() != "t1" || token.Lifetime != time.Hour {
				t.Fatalf("got %v, %v", token, err)
			}
			if test.query == "" {
				test.query = "tenant=query-canary-1"
			}
			header := e.request.Header
			if e.sent != test.body || e.request.URL.RawQuery != test.query ||
				header.Get("Authorization") != test.authorization || header.Get("Content-Type") != test.contentType {
				t.Errorf("body %q, query %q, Authorization %q, Content-Type %q", e.sent, e.request.URL.RawQuery, header.Get("Authorization"), header.Get("Content-Type"))
			}
			if header.Get("Accept") != "application/json" {
				t.Errorf("Accept %q", header.Get("Accept"))
			}
			if values, replayable := header["Idempotency-Key"]; !replayable || len(values) != 0 {
				t.Error("net/http may not repeat the request on a stale connection")
			}
		})
	}
}

func TestHeadersOfTheTokenRequestReplaceTheDefaults(t *testing.T) {
	e := &exchange{body: goodAnswer}
	c := testClient(e)
	c.Header = []Parameter{{"X-Tenant", Literal("t")}, {"Content-Type", Literal("application/x-www-form-urlencoded; charset=utf-8")}}
	if _, err := c.Fetch(t.Context(), Want{}); err != nil {
		t.Fatal(err)
	}
	if e.request.Header.Get("X-Tenant") != "t" || len(e.request.Header["Content-Type"]) != 1 {
		t.Errorf("headers %v", e.request.Header)
	}
}

func jwt(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + ".sig"
}

func TestLifetimesInEveryForm(t *testing.T) {
	inAnHour := time.Now().Add(time.Hour).Unix()
	for _, test := range []struct {
		name, body string
		want       time.Duration
	}{
		{"expires_in is missing", `{"access_token":"t"}`, DefaultTTL},
		{"expires_in is null", `{"access_token":"t","expires_in":null}`, DefaultTTL},
		{"expires_in is an empty string", `{"access_token":"t","expires_in":""}`, DefaultTTL},
		{"five seconds", `{"access_token":"t","expires_in":5}`, 5 * time.Second},
		{"a string", `{"access_token":"t","expires_in":"3600"}`, time.Hour},
		{"a float", `{"access_token":"t","expires_in":3600.0}`, time.Hour},
		{"an exponent", `{"access_token":"t","expires_in":3.6e3}`, time.Hour},
		{"part of a second", `{"access_token":"t","expires_in":1.5}`, 1500 * time.Millisecond},
		{"out of the range of floats", `{"access_token":"t","expires_in":1e400}`, MaxTTL},
		{"out of the range of integers", `{"access_token":"t","expires_in":9223372036854775808}`, MaxTTL},
		{"three thousand years", `{"access_token":"t","expires_in":99999999999}`, MaxTTL},
		{"the token's own exp where expires_in is missing", fmt.Sprintf(`{"access_token":%q}`, jwt(fmt.Sprintf(`{"exp":%d}`, inAnHour))), time.Hour},
		{"a JWT without exp", fmt.Sprintf(`{"access_token":%q}`, jwt(`{}`)), DefaultTTL},
		{"an opaque token with two dots", `{"access_token":"a.b.c"}`, DefaultTTL},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := testClient(&exchange{body: test.body}).Fetch(t.Context(), Want{})
			if err != nil {
				t.Fatal(err)
			}
			if got := token.Lifetime.Round(2 * time.Second); test.want > 10*time.Second && got != test.want || test.want <= 10*time.Second && token.Lifetime != test.want {
				t.Errorf("lifetime %v, want %v", token.Lifetime, test.want)
			}
		})
	}
}

func TestRefreshInAndRefreshOnAreRead(t *testing.T) {
	for _, member := range []string{`"refresh_in":1800`, `"refresh_in":"1800"`, fmt.Sprintf(`"refresh_on":%d`, time.Now().Add(30*time.Minute).Unix())} {
		token, err := testClient(&exchange{body: `{"access_token":"t","expires_in":3600,` + member + `}`}).Fetch(t.Context(), Want{})
		if err != nil || token.RefreshIn.Round(2*time.Second) != 30*time.Minute {
			t.Errorf("%s: refresh in %v, %v", member, token.RefreshIn, err)
		}
	}
}

func TestGoodAnswersInOddForms(t *testing.T) {
	for _, test := range []struct{ name, contentType, body string }{
		{"JSON labelled text/plain", "text/plain", goodAnswer},
		{"JSON without a media type", "", goodAnswer},
		{"JSON with a charset", "application/json;charset=UTF-8", goodAnswer},
		{"a form", "application/x-www-form-urlencoded", "access_token=t1&expires_in=3600&token_type=bearer"},
		{"a form labelled text/plain", "text/plain; charset=utf-8", "access_token=t1&expires_in=3600"},
		{"bearer in small letters", "application/json", `{"access_token":"t1","token_type":"bearer","expires_in":3600}`},
		{"BEARER in capitals", "application/json", `{"access_token":"t1","token_type":"BEARER","expires_in":3600}`},
		{"no token_type", "application/json", `{"access_token":"t1","expires_in":3600}`},
		{"an error member that is null", "application/json", `{"access_token":"t1","expires_in":3600,"error":null}`},
		{"members that nobody knows", "application/json", `{"access_token":"t1","expires_in":3600,"resources":"x","a":{"b":[]}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := testClient(&exchange{body: test.body, header: http.Header{"Content-Type": {test.contentType}}}).Fetch(t.Context(), Want{})
			if err != nil || token.Value.Reveal() != "t1" || token.Lifetime != time.Hour {
				t.Errorf("got %v with %v, %v", token.Value.Reveal(), token.Lifetime, err)
			}
		})
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"2", 2 * time.Second},
		{"0.5", 500 * time.Millisecond},
		{"-3", 0},
		{"NaN", 0},
		{"soon", 0},
		{"1e400", retryAfterLimit},
		{"86400", retryAfterLimit},
		{"Tue, 24 Nov 2026 12:00:07 GMT", 7 * time.Second},
		{"Tue, 24 Nov 2026 11:00:00 GMT", 0},
		{"Wed, 25 Nov 2026 12:00:00 GMT", retryAfterLimit},
	} {
		if got := retryAfter(http.Header{"Retry-After": {test.value}}, now); got != test.want {
			t.Errorf("Retry-After %q is %v, want %v", test.value, got, test.want)
		}
	}
}

func TestOddAnswersAreWarnedAboutOnce(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	c := testClient(&exchange{body: `{"access_token":"t","scope":"llm.read"}`})
	c.Logger = zap.New(core)
	for range 3 {
		if _, err := c.Fetch(t.Context(), Want{}); err != nil {
			t.Fatal(err)
		}
	}
	if logs.Len() != 2 || logs.FilterMessageSnippet("how long").Len() != 1 || logs.FilterMessageSnippet("less than").Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
}

func TestAValueThatCannotBeReadIsTheError(t *testing.T) {
	broken := errors.New("file gone")
	for name, change := range map[string]func(*Client, Value){
		"token_url":     func(c *Client, v Value) { c.TokenURL = v },
		"client_id":     func(c *Client, v Value) { c.ClientID = v },
		"client_secret": func(c *Client, v Value) { c.ClientSecret = v },
		"scope":         func(c *Client, v Value) { c.Scope = v },
		"refresh_token": func(c *Client, v Value) { c.RefreshToken = v },
		"params":        func(c *Client, v Value) { c.Parameters = []Parameter{{"a", v}} },
		"headers":       func(c *Client, v Value) { c.Header = []Parameter{{"a", v}} },
	} {
		t.Run(name, func(t *testing.T) {
			e := &exchange{body: goodAnswer}
			c := testClient(e)
			change(c, valueFunc(func(context.Context) (Secret, error) { return Secret{}, broken }))
			if _, err := c.Fetch(t.Context(), Want{}); !errors.Is(err, broken) || e.request != nil {
				t.Errorf("got %v, sent %v", err, e.request)
			}
		})
	}
}

type valueFunc func(context.Context) (Secret, error)

func (f valueFunc) Read(ctx context.Context) (Secret, error) { return f(ctx) }

// What follows needs real sockets.

func TestRedirectsAreNotFollowed(t *testing.T) {
	var seen atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	defer evil.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(evil.URL, status))
		c := testClient(nil)
		c.TokenURL, c.Transport = Literal(server.URL), nil
		if _, err := c.Fetch(t.Context(), Want{}); err == nil || !contains(err.Error(), "redirect") {
			t.Errorf("%d: got %v", status, err)
		}
		server.Close()
	}
	if seen.Load() != 0 {
		t.Errorf("the redirect's target got %d requests", seen.Load())
	}
}

func TestAndN03AnAttemptEndsAtItsTimeout(t *testing.T) {
	for name, write := range map[string]func(net.Conn){
		"a server that never answers": func(net.Conn) {},
		"a server that answers a byte at a time": func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				for {
					connection, err := listener.Accept()
					if err != nil {
						return
					}
					go write(connection)
					defer connection.Close()
				}
			}()
			c := testClient(nil)
			c.TokenURL, c.Transport, c.Timeout = Literal("http://"+listener.Addr().String()), nil, 50*time.Millisecond
			_, err = c.Fetch(t.Context(), Want{})
			var failed *AuthenticationError
			if !errors.As(err, &failed) || failed.Code != CodeTimeout || !failed.Temporary() {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAServerThatTLSRefusesGetsNoSecret(t *testing.T) {
	var seen atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	server.Config.ErrorLog, _ = zap.NewStdLogAt(zap.NewNop(), zap.ErrorLevel)
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, address := range map[string]string{
		"a certificate of an unknown authority": server.URL,
		"a server without TLS":                  strings.Replace(plain.URL, "http:", "https:", 1),
	} {
		c := testClient(nil)
		c.TokenURL, c.Transport = Literal(address), nil
		_, err := c.Fetch(t.Context(), Want{})
		var failed *AuthenticationError
		if !errors.As(err, &failed) || failed.Code != CodeUntrusted || failed.Temporary() {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if seen.Load() != 0 {
		t.Error("the server got a request")
	}
}

func TestAnAnswerThatBreaksOffIsAnOutage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, goodAnswer)
	}))
	defer server.Close()
	c := testClient(nil)
	c.TokenURL, c.Transport = Literal(server.URL), nil
	_, err := c.Fetch(t.Context(), Want{})
	var failed *AuthenticationError
	if !errors.As(err, &failed) || failed.Code != CodeUnavailable || !failed.Temporary() {
		t.Errorf("got %v", err)
	}
}
