package caddytest

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A strictLLM answers 401 to whatever has no valid token of corp's, before or
// after it has read the body, and keeps the rest.
type strictLLM struct {
	*httptest.Server
	auth *authServer
	// early is set for one that does not read the bodies that it refuses.
	early atomic.Bool
	// accept answers what has a valid token, 200 if it is nil; refusing, if set,
	// is called before a refusal.
	accept   http.HandlerFunc
	refusing func()
	refused  atomic.Int64
	mu       sync.Mutex
	accepted []received
	// bodies are the sums of the bodies that were accepted.
	bodies [][sha256.Size]byte
}

func newStrictLLM(t *testing.T, auth *authServer, accept http.HandlerFunc, config *tls.Config) *strictLLM {
	t.Helper()
	l := &strictLLM{auth: auth, accept: accept}
	l.Server = httptest.NewUnstartedServer(l)
	if config == nil {
		l.Start()
	} else {
		l.TLS, l.EnableHTTP2 = config, true
		l.StartTLS()
	}
	t.Cleanup(l.Close)
	return l
}

func (l *strictLLM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, problem := l.auth.check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	valid := problem == "" && client == "corp-client"
	if !valid && l.early.Load() {
		l.refuse(w)
		return
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	switch {
	case !valid:
		l.refuse(w)
		return
	case err != nil:
		return
	}
	l.mu.Lock()
	l.accepted = append(l.accepted, received{r.Method, r.RequestURI, r.Proto, r.Host, r.Header.Clone(), nil, r.Trailer.Clone(), n})
	l.bodies = append(l.bodies, [sha256.Size]byte(sum.Sum(nil)))
	l.mu.Unlock()
	if l.accept != nil {
		l.accept(w, r)
	}
}

func (l *strictLLM) refuse(w http.ResponseWriter) {
	if l.refusing != nil {
		l.refusing()
	}
	l.refused.Add(1)
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, "the token is revoked")
}

// last is the last request that was accepted, and the sum of its body.
func (l *strictLLM) last(t *testing.T) (received, [sha256.Size]byte) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.accepted) == 0 {
		t.Fatal("nothing was accepted")
	}
	return l.accepted[len(l.accepted)-1], l.bodies[len(l.bodies)-1]
}

// revoke makes the LLM refuse the token that it accepted last.
func (l *strictLLM) revoke(t *testing.T) {
	t.Helper()
	got, _ := l.last(t)
	l.auth.revoke(got.header.Get("Authorization"))
}

// A leaseSite is a gateway whose transport oauth2_llm is in front of one LLM.
type leaseSite struct {
	// fixed names the provider in the directive; bound gives it a base_url.
	fixed, bound bool
	// ca is the file of the CA of an LLM that speaks TLS.
	ca string
	// Further lines of the Caddyfile, as a corpSite's.
	provider, directive, proxy, site string
}

func (s leaseSite) start(t *testing.T, llm *strictLLM) *gateway {
	t.Helper()
	corp := corpSite{
		auth: llm.auth, fixed: s.fixed, provider: s.provider, site: s.site,
		directive: gatewayKey + s.directive, upstream: s.address(llm), proxy: "transport oauth2_llm\n" + s.proxy,
	}
	trust := "tls_trust_pool file " + s.ca
	switch {
	case s.bound:
		corp.upstream, corp.proxy = "", corp.proxy+"\ndynamic oauth2_llm"
		corp.provider += "\nbase_url " + llm.URL
		if s.ca != "" {
			corp.provider += "\ntransport http {\n" + trust + "\n}"
		}
	case s.ca != "":
		corp.proxy = "transport oauth2_llm {\n" + trust + "\n}\n" + s.proxy
	}
	return corp.start(t)
}

// address is the LLM as the site's Caddyfile names it.
func (s leaseSite) address(llm *strictLLM) string {
	if s.bound || s.ca != "" {
		return llm.URL
	}
	return strings.TrimPrefix(llm.URL, "http://")
}

// leaseSites are the ways to an LLM through transport oauth2_llm; with -short
// those that differ most.
func leaseSites() map[string]leaseSite {
	sites := map[string]leaseSite{
		"routed to a base_url":       {bound: true},
		"fixed with a static host":   {fixed: true},
		"routed to a static host":    {},
		"fixed, bound to a base_url": {fixed: true, bound: true},
	}
	if testing.Short() {
		delete(sites, "routed to a static host")
	}
	return sites
}

// plainConfig is the TLS of a server that asks for no client certificate.
func (a *authority) plainConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.issue("localhost")}}
}

// file writes the authority's certificate to a file.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
