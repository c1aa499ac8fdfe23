package standin

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// An LLM answers to whoever sends an access token that lives.
type LLM struct {
	// Auth knows the tokens.
	Auth *AuthServer

	served, refused atomic.Int64
}

// ServeHTTP answers a chat completion.
func (l *LLM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !l.Auth.Accepts(token) {
		l.refused.Add(1)
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	l.served.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"object":"chat.completion","choices":[]}`)
}

// Served counts the requests that were answered.
func (l *LLM) Served() int64 { return l.served.Load() }

// Refused counts the requests that had no token that lives.
func (l *LLM) Refused() int64 { return l.refused.Load() }
