package caddytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// An authServer is an OAuth2 authorization server: the go-oidc library behind
// a handler that counts, delays and breaks token requests. Its access tokens
// are signed JWTs, so that whoever is given one can check it.
type authServer struct {
	t       *testing.T
	address string
	handler http.Handler
	key     *ecdsa.PrivateKey
	// tls, if set, is what it is reached with.
	tls    *tls.Config
	grants grants

	mu       sync.Mutex
	listener net.Listener
	server   *http.Server
	revoked  map[string]bool
	// forms are what all token requests have sent.
	forms []url.Values

	tokenRequests atomic.Int64
	lifetime      atomic.Int64 // seconds
	delay         atomic.Int64 // nanoseconds
	// refreshIn, if set, adds refresh_in to answers, in seconds.
	refreshIn atomic.Int64
	// gate, if set, holds token requests until it is closed.
	gate atomic.Pointer[chan struct{}]
	// fault, if set, answers token requests in place of the server.
	fault atomic.Pointer[http.HandlerFunc]
	// lastForm is what the last token request sent that the server answered.
	lastForm atomic.Pointer[url.Values]
}

// newAuthServer starts an authorization server that knows the clients.
func newAuthServer(t *testing.T, clients ...oauthClient) *authServer {
	t.Helper()
	return newTLSAuthServer(t, nil, clients...)
}

// newTLSAuthServer starts one that speaks HTTPS if there is a configuration for
// it.
func newTLSAuthServer(t *testing.T, config *tls.Config, clients ...oauthClient) *authServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &authServer{t: t, key: key, tls: config, revoked: map[string]bool{}}
	s.lifetime.Store(3600)
	s.start("127.0.0.1:0")
	s.register(clients...)
	t.Cleanup(s.stop)
	return s
}

func (s *authServer) issuer() string {
	if s.tls != nil {
		return "https://" + s.address
	}
	return "http://" + s.address
}

func (s *authServer) tokenURL() string { return s.issuer() + "/token" }

// start makes the server listen; stop makes connections to it fail.
func (s *authServer) start(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address = listener.Addr().String()
	s.listener = listener
	if s.tls != nil {
		listener = tls.NewListener(listener, s.tls)
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func(server *http.Server) { _ = server.Serve(listener) }(s.server)
}

func (s *authServer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Close()
}

func (s *authServer) restart() { s.start(s.address) }

func (s *authServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	handler := s.handler
	s.mu.Unlock()
	if r.URL.Path == "/token" {
		s.tokenRequests.Add(1)
		if err := r.ParseForm(); err == nil {
			s.mu.Lock()
			s.forms = append(s.forms, r.PostForm)
			s.mu.Unlock()
		}
		time.Sleep(time.Duration(s.delay.Load()))
		if gate := s.gate.Load(); gate != nil {
			<-*gate
		}
		if fault := s.fault.Load(); fault != nil {
			(*fault)(w, r)
			return
		}
		s.lastForm.Store(&r.PostForm)
	}
	r = withClientCertificate(r)
	refreshIn := s.refreshIn.Load()
	if r.URL.Path != "/token" || refreshIn == 0 {
		handler.ServeHTTP(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(recorder.Code)
	fmt.Fprintf(w, `{"refresh_in":%d,%s`, refreshIn, strings.TrimPrefix(recorder.Body.String(), "{"))
}

func (s *authServer) setGate(gate chan struct{}) {
	if gate == nil {
		s.gate.Store(nil)
		return
	}
	s.gate.Store(&gate)
}

func (s *authServer) setFault(fault http.HandlerFunc) {
	if fault == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&fault)
}

// sent returns what all token requests have sent, those that a fault answered
// too.
func (s *authServer) sent() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.forms)
}

// check returns the client that a token was issued to, or what is wrong with
// the token.
func (s *authServer) check(token string) (client string, problem string) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", "no token of this server"
	}
	var claims struct {
		jwt.Claims
		ClientID string `json:"client_id"`
	}
	if err := parsed.Claims(s.key.Public(), &claims); err != nil {
		return "", "signed by someone else"
	}
	// exp counts whole seconds: it is up to one earlier than expires_in says.
	if err := claims.ValidateWithLeeway(jwt.Expected{Time: time.Now(), Issuer: s.issuer()}, time.Second); err != nil {
		return "", "not valid: " + err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked[token] {
		return "", "revoked"
	}
	return claims.ClientID, ""
}

// revoke makes check refuse a token, which is an Authorization header's value.
func (s *authServer) revoke(authorization string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked[strings.TrimPrefix(authorization, "Bearer ")] = true
}
