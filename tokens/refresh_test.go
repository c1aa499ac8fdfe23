package tokens

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// refreshClient returns a client with a refresh token and the grants that its
// requests used, in order.
func refreshClient(answers func(form url.Values) (int, string)) (*Client, *[]string) {
	used := &[]string{}
	e := &exchange{answer: func(_ *http.Request, body string) (int, string) {
		form, _ := url.ParseQuery(body)
		*used = append(*used, strings.TrimSpace(form.Get("grant_type")+" "+form.Get("refresh_token")))
		return answers(form)
	}}
	c := testClient(e)
	c.RefreshToken = Literal("r0")
	c.Storage = &SharedStorage{}
	return c, used
}

func fetch3(t *testing.T, c *Client) {
	t.Helper()
	for range 3 {
		if _, err := c.Fetch(t.Context(), Want{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARefreshTokenIsUsedFirst(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(form url.Values) (int, string)
		used   string
	}{
		{
			"an answer without one keeps the old one",
			func(url.Values) (int, string) { return 200, goodAnswer },
			"refresh_token r0, refresh_token r0, refresh_token r0",
		},
		{
			"a rotated one replaces it",
			func(form url.Values) (int, string) {
				return 200, `{"access_token":"t","expires_in":60,"refresh_token":"` + form.Get("refresh_token") + `+"}`
			},
			"refresh_token r0, refresh_token r0+, refresh_token r0++",
		},
		{
			"invalid_grant falls back to client credentials, for good",
			func(form url.Values) (int, string) {
				if form.Get("grant_type") == GrantRefreshToken {
					return 400, `{"error":"invalid_grant"}`
				}
				return 200, goodAnswer
			},
			"refresh_token r0, client_credentials, client_credentials, client_credentials",
		},
		{
			"a refresh token in a client credentials answer is ignored",
			func(form url.Values) (int, string) {
				if form.Get("grant_type") == GrantRefreshToken {
					return 400, `{"error":"invalid_grant"}`
				}
				return 200, `{"access_token":"t","expires_in":60,"refresh_token":"other"}`
			},
			"refresh_token r0, client_credentials, client_credentials, client_credentials",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, used := refreshClient(test.answer)
			fetch3(t, c)
			if got := strings.Join(*used, ", "); got != test.used {
				t.Errorf("used %s\nwant %s", got, test.used)
			}
		})
	}
}

func TestANewRefreshTokenInTheConfigurationBeginsAnew(t *testing.T) {
	c, used := refreshClient(func(form url.Values) (int, string) {
		if form.Get("refresh_token") == "r0" {
			return 400, `{"error":"invalid_grant"}`
		}
		return 200, goodAnswer
	})
	fetch3(t, c)
	c.RefreshToken = Literal("r1")
	*used = nil
	fetch3(t, c)
	if got := strings.Join(*used, ", "); got != "refresh_token r1, refresh_token r1, refresh_token r1" {
		t.Errorf("used %s", got)
	}
}

func TestARotatedRefreshTokenOutlivesTheClient(t *testing.T) {
	answer := func(form url.Values) (int, string) {
		return 200, `{"access_token":"t","expires_in":60,"refresh_token":"` + form.Get("refresh_token") + `+"}`
	}
	first, _ := refreshClient(answer)
	fetch3(t, first)
	second, used := refreshClient(answer)
	second.Storage = first.Storage
	fetch3(t, second)
	if (*used)[0] != "refresh_token r0+++" {
		t.Errorf("used %s first", (*used)[0])
	}
}

func TestWithoutClientCredentialsInvalidGrantIsTheError(t *testing.T) {
	c, _ := refreshClient(func(url.Values) (int, string) { return 400, `{"error":"invalid_grant"}` })
	c.ClientSecret, c.AuthMethod = nil, NoAuthentication
	_, err := c.Fetch(t.Context(), Want{})
	var failed *AuthenticationError
	if !errors.As(err, &failed) || failed.Code != CodeInvalidGrant || failed.Temporary() {
		t.Errorf("got %v", err)
	}
}

// A refresh token that the operator wants used alone is, even after another client
// that shares it has fallen back to its credentials.
func TestGrantTypeRefreshTokenDoesNotFallBack(t *testing.T) {
	refused := func(form url.Values) (int, string) {
		if form.Get("grant_type") == GrantRefreshToken {
			return 400, `{"error":"invalid_grant"}`
		}
		return 200, goodAnswer
	}
	for name, test := range map[string]struct {
		before func(*SharedStorage)
		used   string
	}{
		"alone": {func(*SharedStorage) {}, "refresh_token r0"},
		"beside a client that has fallen back": {func(shared *SharedStorage) {
			other, _ := refreshClient(refused)
			other.Storage = shared
			fetch3(t, other)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answers := refused
			c, used := refreshClient(func(form url.Values) (int, string) { return answers(form) })
			c.GrantType = GrantRefreshToken
			test.before(c.Storage)
			for range 2 {
				_, err := c.Fetch(t.Context(), Want{})
				failed, ok := errors.AsType[*AuthenticationError](err)
				if !ok || failed.Code != CodeInvalidGrant || failed.Temporary() {
					t.Fatalf("got %v", err)
				}
			}
			// It is not asked for again, even if the server would take it now.
			answers = func(url.Values) (int, string) { return 200, goodAnswer }
			_, _ = c.Fetch(t.Context(), Want{})
			if got := strings.Join(*used, ", "); got != test.used {
				t.Errorf("used %q, want %q", got, test.used)
			}
		})
	}
}

func TestAnyProofOfTheClientsIdentityIsFallenBackTo(t *testing.T) {
	for _, test := range []struct {
		method AuthMethod
		change func(*Client)
		falls  bool
	}{
		{ClientSecretBasic, func(*Client) {}, true},
		{PrivateKeyJWT, func(c *Client) { c.ClientSecret, c.ClientAssertion = nil, Literal("signed") }, true},
		{ClientSecretJWT, func(c *Client) { c.ClientAssertion = Literal("signed") }, true},
		{TLSClientAuth, func(c *Client) { c.ClientSecret = nil }, true},
		{NoAuthentication, func(c *Client) { c.ClientSecret = nil }, false},
	} {
		t.Run(string(test.method), func(t *testing.T) {
			var assertions []string
			c, used := refreshClient(func(form url.Values) (int, string) {
				assertions = append(assertions, form.Get("client_assertion"))
				if form.Get("grant_type") == GrantRefreshToken {
					return 400, `{"error":"invalid_grant"}`
				}
				return 200, goodAnswer
			})
			c.AuthMethod = test.method
			test.change(c)
			want := "refresh_token r0, client_credentials"
			if !test.falls {
				want = "refresh_token r0"
			}
			if _, err := c.Fetch(t.Context(), Want{}); (err == nil) != test.falls || strings.Join(*used, ", ") != want {
				t.Errorf("used %v, %v", *used, err)
			}
			for _, assertion := range assertions {
				if c.ClientAssertion != nil && assertion != "signed" {
					t.Errorf("sent the assertion %q", assertion)
				}
			}
		})
	}
}

func TestKeepingARotatedRefreshTokenInMemoryIsLoggedOnce(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	c, _ := refreshClient(func(form url.Values) (int, string) {
		return 200, `{"access_token":"t","expires_in":60,"refresh_token":"` + form.Get("refresh_token") + `+"}`
	})
	c.Logger = zap.New(core)
	fetch3(t, c)
	if logs.Len() != 1 || !contains(logs.All()[0].Message, "memory only") {
		t.Errorf("logged %v", logs.All())
	}
}

func TestARefreshRequestIsRetriedOnlyWhereItWasCertainlyNotUsed(t *testing.T) {
	for _, test := range []struct {
		name     string
		exchange exchange
		retried  bool
	}{
		{"nothing was sent", exchange{err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, true},
		{"the server says later", exchange{status: 503}, true},
		{"too many requests", exchange{status: 429}, true},
		{"no answer arrived", exchange{err: io.ErrUnexpectedEOF}, false},
		{"the server failed", exchange{status: 500}, false},
		{"the answer was empty", exchange{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testClient(&test.exchange)
			c.RefreshToken = Literal("r0")
			_, err := c.Fetch(t.Context(), Want{})
			var failed *AuthenticationError
			if !errors.As(err, &failed) || worthRetrying(failed, firstRetryDelay) != test.retried {
				t.Errorf("retried: %v, want %v (%v)", worthRetrying(failed, firstRetryDelay), test.retried, err)
			}
			if _, replayable := test.exchange.request.Header["Idempotency-Key"]; replayable {
				t.Error("net/http may repeat a refresh request")
			}
		})
	}
}

// The server has used the old one up, whatever is wrong with the rest.
func TestARotatedRefreshTokenIsKeptBesideAnAccessTokenOfNoUse(t *testing.T) {
	for name, rest := range map[string]string{
		"no access token":          `"access_token":""`,
		"a negative lifetime":      `"access_token":"a","expires_in":-1`,
		"a token of another type":  `"access_token":"a","token_type":"mac"`,
		"a token with a line end":  `"access_token":"a\r\n"`,
		"an access token, at last": `"access_token":"a","expires_in":60`,
	} {
		t.Run(name, func(t *testing.T) {
			c, used := refreshClient(func(form url.Values) (int, string) {
				return 200, `{"refresh_token":"` + form.Get("refresh_token") + `+",` + rest + `}`
			})
			for range 2 {
				_, _ = c.Fetch(t.Context(), Want{})
			}
			if got := strings.Join(*used, ", "); got != "refresh_token r0, refresh_token r0+" {
				t.Errorf("used %s", got)
			}
		})
	}
}

// Two configurations may hold one refresh token: they take turns.
func TestOneRefreshTokenIsUsedByOneClientAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var using, most atomic.Int64
		shared := &SharedStorage{}
		newClient := func() *Client {
			c, _ := refreshClient(func(url.Values) (int, string) {
				most.Store(max(most.Load(), using.Add(1)))
				time.Sleep(time.Second)
				using.Add(-1)
				return 200, goodAnswer
			})
			c.Storage = shared
			return c
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := newClient().Fetch(t.Context(), Want{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 1 {
			t.Errorf("%d requests at once used the refresh token", most.Load())
		}
		// Who waits too long gets a timeout and has sent nothing.
		go func() { _, _ = newClient().Fetch(t.Context(), Want{}) }()
		synctest.Wait()
		c := newClient()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Fetch(ctx, Want{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}
