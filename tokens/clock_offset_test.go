package tokens

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestTheOffsetOfAServersClockIsReadFromItsDate(t *testing.T) {
	sent := time.Date(2030, 3, 17, 17, 46, 40, 700_000_000, time.UTC)
	for _, test := range []struct {
		name string
		date string
		took time.Duration
		want time.Duration
	}{
		{"the same second", "Sun, 17 Mar 2030 17:46:40 GMT", 0, 0},
		{"five seconds ahead", "Sun, 17 Mar 2030 17:46:45 GMT", 0, 0},
		{"six seconds ahead", "Sun, 17 Mar 2030 17:46:46 GMT", 0, 6 * time.Second},
		{"five seconds behind", "Sun, 17 Mar 2030 17:46:35 GMT", 0, 0},
		{"six seconds behind", "Sun, 17 Mar 2030 17:46:34 GMT", 0, -6 * time.Second},
		{"an hour behind", "Sun, 17 Mar 2030 16:46:40 GMT", 0, -time.Hour},
		{"in the middle of a slow exchange", "Sun, 17 Mar 2030 17:46:49 GMT", 20 * time.Second, 0},
		{"at the end of a slow exchange", "Sun, 17 Mar 2030 17:47:05 GMT", 20 * time.Second, 0},
		{"beyond the end of a slow exchange", "Sun, 17 Mar 2030 17:47:06 GMT", 20 * time.Second, 6 * time.Second},
		{"before a slow exchange", "Sun, 17 Mar 2030 17:46:30 GMT", 20 * time.Second, -10 * time.Second},
		{"the date of RFC 850", "Sunday, 17-Mar-30 17:46:55 GMT", 0, 15 * time.Second},
		{"none", "", 0, 0},
		{"a date that is none", "tomorrow", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := serverClockOffset(http.Header{"Date": {test.date}}, sent, sent.Add(test.took)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestARefusedJWTIsBlamedOnTheClocks(t *testing.T) {
	const (
		ahead      = "check the clocks: the server's is 20s ahead of this machine's"
		behind     = "check the clocks: the server's is 20s behind this machine's"
		ourClock   = "check the clock of this machine"
		refused    = `{"error":"invalid_grant","error_description":"Invalid JWT"}`
		wrongProof = `{"error":"invalid_client"}`
	)
	inClientAssertion := func(c *Client) { c.AuthMethod, c.ClientAssertion = PrivateKeyJWT, Literal("a.b.c") }
	inParameter := func(c *Client) { c.Signed = true }
	for _, test := range []struct {
		name   string
		change func(*Client)
		status int
		body   string
		date   time.Duration
		want   time.Duration
		says   string
		silent string
	}{
		{"a server that is ahead", inParameter, 400, refused, 20 * time.Second, 20 * time.Second, ahead, ourClock},
		{"a server that is behind", inParameter, 400, refused, -20 * time.Second, -20 * time.Second, behind, ourClock},
		{"an identity that is not believed", inClientAssertion, 401, wrongProof, -20 * time.Second, -20 * time.Second, behind, ourClock},
		{"an error in a 200 answer", inClientAssertion, 200, wrongProof, 20 * time.Second, 20 * time.Second, ahead, ourClock},
		{"a refusal with a code of its own", inParameter, 403, `{"error":"iat"}`, 20 * time.Second, 20 * time.Second, ahead, ourClock},
		{"the same clock, invalid_grant", inParameter, 400, refused, 0, 0, ourClock, "check the clocks"},
		{"the same clock, invalid_client", inClientAssertion, 401, wrongProof, 0, 0, ourClock, "check the clocks"},
		{"the same clock, another code", inClientAssertion, 400, `{"error":"invalid_scope"}`, 0, 0, "check scope", "clock"},
		{"a request without a JWT", func(*Client) {}, 400, refused, 20 * time.Second, 0, "obtain a new one", "clock"},
		{"an outage", inParameter, 503, refused, 20 * time.Second, 0, CodeUnavailable, "clock"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				date := time.Now().Add(test.date).UTC().Format(http.TimeFormat)
				c := testClient(&exchange{status: test.status, body: test.body, header: http.Header{"Date": {date}}})
				test.change(c)
				_, err := c.Fetch(t.Context(), Want{})
				failed, ok := errors.AsType[*AuthenticationError](err)
				if !ok || failed.ServerClockOffset != test.want || !contains(err.Error(), test.says) || contains(err.Error(), test.silent) {
					t.Errorf("got %v, offset %v; want %v and %q, not %q", err, failed.ServerClockOffset, test.want, test.says, test.silent)
				}
			})
		})
	}
}

func TestTheLogSaysHowFarTheServersClockIsAhead(t *testing.T) {
	for _, ahead := range []time.Duration{time.Minute, 0} {
		synctest.Test(t, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			c := testClient(&exchange{status: 400, body: `{"error":"invalid_grant"}`, header: http.Header{"Date": {time.Now().Add(ahead).UTC().Format(http.TimeFormat)}}})
			c.Signed = true
			m := NewManager("corp")
			m.Bind(&Binding{Fetcher: c, Logger: zap.New(core)})
			if _, err := m.Token(t.Context()); err == nil {
				t.Fatal("there is a token")
			}
			synctest.Wait()
			got, logged := logs.All()[logs.Len()-1].ContextMap()["server_clock_offset"]
			if logged != (ahead != 0) || logged && got != ahead {
				t.Errorf("server_clock_offset is %v (logged: %t), want %v", got, logged, ahead)
			}
		})
	}
}
