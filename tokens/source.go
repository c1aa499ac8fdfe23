package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A SelfSigned is a token that is a JWT of our own: nobody is asked for it.
type SelfSigned struct {
	// Provider names the provider in errors.
	Provider string
	// JWT signs a token, TTL is the life that it gives it, from now on.
	JWT Value
	TTL time.Duration
	// Response bounds the token's life.
	Response TokenResponse
}

// Fetch signs a token.
func (s *SelfSigned) Fetch(ctx context.Context, _ Want) (Token, error) {
	start := time.Now()
	value, err := s.JWT.Read(ctx)
	if err != nil {
		return Token{}, err
	}
	lifetime := orDefault(s.TTL, DefaultAssertionTTL)
	// Its exp is cut to whole seconds, and a claim can take its place.
	if exp, ok := expiryClaim(value.Reveal()); ok {
		lifetime = min(lifetime, sinceEpoch(exp, start))
	}
	if lifetime <= 0 {
		return Token{}, &AuthenticationError{Provider: s.Provider, Code: CodeInvalidResponse, Err: errSelfSigned}
	}
	return Token{Value: value, Lifetime: s.Response.WithDefaults().clamp(lifetime)}, nil
}

// errSelfSigned is about a claim exp of the configuration.
var errSelfSigned = errors.New("the signed token has expired already, by its exp claim")

// A TokenFile is a token that something else keeps in a file and rotates there.
type TokenFile struct {
	// Provider names the provider in errors.
	Provider string
	// File reads the token, Path names the file in errors.
	File Value
	Path string
	// Response says how long a token lives that does not say so itself.
	Response TokenResponse
	// Logger, if set, gets a warning when a token that is about to end is still the
	// one in the file.
	Logger *zap.Logger

	mu sync.Mutex
	// last is the token that was read last, lastTTL the life that it had when it was
	// read first.
	last    Secret
	lastTTL time.Duration
}

// renewalShare is the last part of a token's life, in which it should have been
// renewed. Kubernetes does so when 20 % are left.
const renewalShare = 0.15

// tokenFileLimit is the longest token that is read from a file. Servers take no
// longer header.
const tokenFileLimit = 16 << 10

// errTokenFile is about what a token file holds.
var errTokenFile = errors.New("holds no usable token")

// Fetch reads the token.
func (f *TokenFile) Fetch(ctx context.Context, _ Want) (Token, error) {
	start := time.Now()
	content, err := f.File.Read(ctx)
	if err != nil {
		return Token{}, err
	}
	token := strings.TrimSpace(content.Reveal())
	failed := &AuthenticationError{Provider: f.Provider, Code: CodeInvalidResponse, temporary: true}
	if problem := tokenProblem(token); problem != "" {
		failed.Err = fmt.Errorf("the token file %s %w: it %s", f.Path, errTokenFile, problem)
		return Token{}, failed
	}
	lifetime, _, err := f.Response.WithDefaults().lifetimeOf(token, start)
	if err != nil {
		failed.Err = fmt.Errorf("the token file %s %w: %w", f.Path, errTokenFile, err)
		return Token{}, failed
	}
	value := NewSecret(token)
	f.expectRenewal(value, lifetime)
	return Token{Value: value, Lifetime: lifetime}, nil
}

// expectRenewal warns where a token is about to end and nothing has renewed it.
func (f *TokenFile) expectRenewal(token Secret, left time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.last.Equal(token) {
		f.last, f.lastTTL = token, left
		return
	}
	if f.Logger != nil && left < time.Duration(renewalShare*float64(f.lastTTL)) {
		f.Logger.Warn("the token file was not renewed, and its token is about to end: check what writes that file",
			zap.String("provider", f.Provider), zap.String("file", f.Path), zap.Duration("token_ends_in", left))
	}
}

// tokenProblem says why the content of a file is not a token; empty if it is one.
func tokenProblem(token string) string {
	switch {
	case token == "":
		return "is empty"
	case len(token) > tokenFileLimit:
		return "is longer than 16 KiB"
	case token[0] == '{':
		return "holds JSON; have the token alone written to it"
	case strings.ContainsAny(token, " \t\r\n"):
		return "holds white space; have the token alone written to it, without a word such as Bearer"
	case !isSendable(token):
		return "holds a character that a header may not carry"
	}
	return ""
}

// Interface guards
var (
	_ Fetcher = (*Client)(nil)
	_ Fetcher = (*SelfSigned)(nil)
	_ Fetcher = (*TokenFile)(nil)
)
