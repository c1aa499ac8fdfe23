package network

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/fleet"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/redisproxy"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/standin"
)

// figure prints a figure: `go test -v . | grep figure`.
func figure(t *testing.T, name, format string, values ...any) {
	t.Helper()
	t.Logf("figure %s: %s", name, fmt.Sprintf(format, values...))
}

// binary is the gateway, built once.
var binary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "network-test-")
	if err != nil {
		return "", err
	}
	buildFolder = folder
	return fleet.Build(context.Background(), folder)
})

// A site is a fleet with the servers that it uses.
type site struct {
	*fleet.Fleet
	t    *testing.T
	auth *standin.AuthServer
	llm  *standin.LLM
	// secret is the path of the file with the client secret.
	secret string
	killer *fleet.Killer
}

// The client, and its secrets.
const (
	client       = "gateway"
	firstSecret  = "the-first-secret-of-the-client"
	secondSecret = "the-second-secret-of-the-client"
)

// newAuthServer makes an authorization server. Its settings can be changed until the
// fleet is started.
func newAuthServer(life time.Duration) *standin.AuthServer {
	return &standin.AuthServer{Secrets: map[string][]string{client: {firstSecret, secondSecret}}, Life: life}
}

// startSite starts gateways with a provider corp. Options stand in oauth2_llm, fields
// in its provider.
func startSite(t *testing.T, auth *standin.AuthServer, instances int, storage, options string, fields ...string) *site {
	t.Helper()
	s := &site{t: t, auth: auth, llm: &standin.LLM{Auth: auth}, secret: filepath.Join(t.TempDir(), "secret")}
	writeSecret(t, s.secret, firstSecret)
	built, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	config := fleet.Config{Storage: storage, Options: fmt.Sprintf("%s\nprovider corp {\n\tclient_id %s\n\tclient_secret_file %s\n\ttoken_url %s\n\tbase_url %s\n\t%s\n}",
		options, client, s.secret, serve(t, s.auth)+"/token", serve(t, s.llm)+"/v1", strings.Join(fields, "\n\t"))}
	if s.Fleet, err = fleet.Start(t.Context(), built, t.TempDir(), instances, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Log(s.Problems(20))
		}
	})
	return s
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	url, stop, err := standin.Serve(handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

// writeSecret writes a file with a secret, as who rotates it does: in one step.
func writeSecret(t *testing.T, path, secret string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// awaitTokenRequest waits for the next one.
func (s *site) awaitTokenRequest() {
	s.t.Helper()
	before := s.auth.Requests(client)
	awaitThat(s.t, "a token request", func() bool { return s.auth.Requests(client) > before })
}

// awaitThat waits for something that comes by itself.
func awaitThat(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s has not come within a minute", what)
		}
	}
}

// startRedis starts a Redis server behind a proxy.
func startRedis(t *testing.T) *redisproxy.Server {
	t.Helper()
	server, err := redisproxy.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// disturb lets a toxic act for some time.
func disturb(t *testing.T, server *redisproxy.Server, toxic redisproxy.Toxic, during time.Duration) {
	t.Helper()
	if err := server.Add(toxic); err != nil {
		t.Fatal(err)
	}
	time.Sleep(during)
	if err := server.Remove(t.Context(), toxic); err != nil {
		t.Fatal(err)
	}
}
