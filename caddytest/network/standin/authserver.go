// Package standin has an authorization server and an LLM that are as strict as
// real ones can be, and count what they are asked.
package standin

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// An AuthServer hands out access tokens for client credentials, and for the refresh
// tokens of its Grant. Its fields must not change while it serves.
type AuthServer struct {
	// Secrets are what each client may authenticate with.
	Secrets map[string][]string
	// Life is how long an access token lives.
	Life time.Duration
	// OneLive says that a new access token of a client ends the one before.
	OneLive bool
	// Grant takes refresh tokens. Without one the server takes none.
	Grant *Grant
	// Delay is how long each answer takes.
	Delay time.Duration
	// BeforeAnswer, if not nil, is called when a token request has been granted and
	// its answer has not been sent.
	BeforeAnswer func(r *http.Request)

	mu       sync.Mutex
	live     map[string]accessToken
	requests map[string]int
	refused  map[string]int
}

type accessToken struct {
	client string
	ends   time.Time
}

type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// ServeHTTP is the token endpoint.
func (s *AuthServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	answer, code := s.grant(client, secret, r.PostFormValue("grant_type"), r.PostFormValue("refresh_token"))
	time.Sleep(s.Delay)
	if code == "" && s.BeforeAnswer != nil {
		s.BeforeAnswer(r)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// grant decides on a token request. The code is that of RFC 6749 §5.2.
func (s *AuthServer) grant(client, secret, grantType, refreshToken string) (answer tokenAnswer, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count(&s.requests, client)
	switch {
	case !slices.Contains(s.Secrets[client], secret):
		code = "invalid_client"
	case grantType == "client_credentials":
	case grantType == "refresh_token" && s.Grant != nil:
		if answer.RefreshToken = s.Grant.redeem(refreshToken); answer.RefreshToken == "" {
			code = "invalid_grant"
		}
	default:
		code = "unsupported_grant_type"
	}
	if code != "" {
		count(&s.refused, client)
		return tokenAnswer{}, code
	}
	answer.AccessToken, answer.TokenType, answer.ExpiresIn = s.issue(client), "Bearer", int(s.Life.Seconds())
	return answer, ""
}

// issue makes an access token. The caller holds the lock.
func (s *AuthServer) issue(client string) string {
	now := time.Now()
	if s.live == nil {
		s.live = map[string]accessToken{}
	}
	maps.DeleteFunc(s.live, func(_ string, t accessToken) bool {
		return now.After(t.ends) || s.OneLive && t.client == client
	})
	token := rand.Text()
	s.live[token] = accessToken{client, now.Add(s.Life)}
	return token
}

// Accepts reports whether an access token lives.
func (s *AuthServer) Accepts(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.live[token]
	return ok && time.Now().Before(t.ends)
}

// Requests counts a client's token requests, refused ones too.
func (s *AuthServer) Requests(client string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[client]
}

// Refused counts a client's token requests that were refused.
func (s *AuthServer) Refused(client string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[client]
}

func count(counts *map[string]int, name string) {
	if *counts == nil {
		*counts = map[string]int{}
	}
	(*counts)[name]++
}
