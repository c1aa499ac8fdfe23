package standin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// ask sends a token request; the answer's members are strings but one.
func ask(t *testing.T, endpoint string, form url.Values) (status int, answer tokenAnswer) {
	t.Helper()
	response, err := http.PostForm(endpoint, form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

func complete(t *testing.T, llm, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, llm, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	address, stop, err := Serve(handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return address
}

func credentials(client, secret string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}}
}

func TestANewTokenEndsTheOneBeforeWhereOnlyOneMayLive(t *testing.T) {
	for name, one := range map[string]bool{"one live token": true, "several": false} {
		t.Run(name, func(t *testing.T) {
			auth := &AuthServer{Secrets: map[string][]string{"a": {"s"}, "b": {"s"}}, Life: time.Minute, OneLive: one}
			llm := &LLM{Auth: auth}
			endpoint, model := serve(t, auth), serve(t, llm)
			_, first := ask(t, endpoint, credentials("a", "s"))
			_, second := ask(t, endpoint, credentials("a", "s"))
			_, others := ask(t, endpoint, credentials("b", "s"))
			want := http.StatusOK
			if one {
				want = http.StatusUnauthorized
			}
			if got := complete(t, model, first.AccessToken); got != want {
				t.Errorf("the first token: %d, want %d", got, want)
			}
			for _, token := range []string{second.AccessToken, others.AccessToken} {
				if got := complete(t, model, token); got != http.StatusOK {
					t.Errorf("a newer token: %d", got)
				}
			}
			if auth.Requests("a") != 2 || auth.Requests("b") != 1 || auth.Refused("a") != 0 {
				t.Errorf("%d and %d token requests, %d refused", auth.Requests("a"), auth.Requests("b"), auth.Refused("a"))
			}
			if llm.Served()+llm.Refused() != 3 {
				t.Errorf("%d served, %d refused", llm.Served(), llm.Refused())
			}
		})
	}
}

func TestATokenEnds(t *testing.T) {
	auth := &AuthServer{Life: time.Millisecond}
	token := auth.issue("a")
	ends := auth.live[token].ends
	for time.Now().Before(ends) {
		time.Sleep(time.Until(ends))
	}
	if auth.Accepts(token) {
		t.Error("an expired token is accepted")
	}
}

func TestATokenRequestIsRefused(t *testing.T) {
	auth := &AuthServer{Secrets: map[string][]string{"a": {"s"}}, Life: time.Minute}
	endpoint := serve(t, auth)
	refresh := credentials("a", "s")
	refresh.Set("grant_type", "refresh_token")
	for name, form := range map[string]url.Values{
		"with a wrong secret":     credentials("a", "x"),
		"of an unknown client":    credentials("b", ""),
		"with a grant it has not": refresh,
	} {
		if status, _ := ask(t, endpoint, form); status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
	}
	if auth.Refused("a") != 2 || auth.Refused("b") != 1 {
		t.Errorf("%d and %d refused", auth.Refused("a"), auth.Refused("b"))
	}
}

func TestARefreshTokenIsRedeemedBeforeTheAnswerIsSent(t *testing.T) {
	auth := &AuthServer{Secrets: map[string][]string{"a": {"s"}}, Life: time.Minute, Grant: new(Grant)}
	first := auth.Grant.Begin()
	auth.BeforeAnswer = func(*http.Request) {
		if auth.Grant.Report().Rotated != 1 {
			t.Error("the token is not spent yet")
		}
	}
	form := credentials("a", "s")
	form.Set("grant_type", "refresh_token")
	form.Set("refresh_token", first)
	if status, answer := ask(t, serve(t, auth), form); status != http.StatusOK || answer.RefreshToken == "" || answer.RefreshToken == first {
		t.Errorf("%d, another refresh token: %v", status, answer.RefreshToken != first)
	}
}
