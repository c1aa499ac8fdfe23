package caddytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/oauth2llm/caddy-oauth2-llm"
)

// gatewaysStarted counts the end-to-end cases, so that a run without any does
// not pass for a good one.
var gatewaysStarted atomic.Int64

// A gateway is a Caddy with the plugin, in this process. There is one at a time.
type gateway struct {
	t       *testing.T
	address string
	folder  string
	client  *http.Client
	// reloaded is when a configuration was loaded last, in nanoseconds.
	reloaded atomic.Int64
}

// startGateway runs Caddy with a Caddyfile. In its text, {{global}} stands for
// global options that keep the test by itself and log everything at DEBUG,
// {{global INFO}} for the same with less logged, {{global with admin}} for the
// same without a word about the admin endpoint, {{log}} and
// {{folder}} for the paths of the log and of the files, and
// {{site}} for the gateway's address.
func startGateway(t *testing.T, caddyfile string) *gateway {
	t.Helper()
	return startGatewayWith(t, caddyfile, nil)
}

// startGatewayWith does the same with files beside the Caddyfile.
func startGatewayWith(t *testing.T, caddyfile string, files map[string]string) *gateway {
	t.Helper()
	g := &gateway{
		t: t, folder: t.TempDir(), address: freeAddress(t),
		client: &http.Client{
			Timeout:   time.Minute,
			Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
		},
	}
	for name, content := range files {
		g.write(name, content)
	}
	if err := g.load(caddyfile); err != nil {
		t.Fatal(err)
	}
	gatewaysStarted.Add(1)
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		_ = caddy.Stop()
	})
	return g
}

// load adapts a Caddyfile and makes it the running configuration.
func (g *gateway) load(caddyfile string) error {
	adapted, err := g.adapt(caddyfile)
	if err != nil {
		return err
	}
	return g.loadJSON(string(adapted))
}

func (g *gateway) loadJSON(config string) error {
	defer g.reloadedNow()
	return caddy.Load([]byte(config), true)
}

// reloadedNow notes that a configuration was loaded, and waits until the server of
// the one before accepts nothing any more: Caddy closes its listener in the
// background, and a request that it accepts meanwhile is the old configuration's.
func (g *gateway) reloadedNow() {
	for end := time.Now().Add(5 * time.Second); caddy.ListenerUsage("tcp", g.address) > 1 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	g.client.CloseIdleConnections()
	g.reloaded.Store(time.Now().UnixNano())
}

func (g *gateway) adapt(caddyfile string) ([]byte, error) {
	global := func(admin, level string) string {
		return fmt.Sprintf("%s\n\tpersist_config off\n\tgrace_period 1s\n\tstorage file_system %s\n\tlog default {\n\t\toutput file %s {\n\t\t\troll_disabled\n\t\t}\n\t\tlevel %s\n\t}\n",
			admin, filepath.Join(g.folder, "storage"), g.logFile(), level)
	}
	caddyfile = strings.NewReplacer(
		"{{global}}", global("admin off", "DEBUG"), "{{global INFO}}", global("admin off", "INFO"),
		"{{global with admin}}", global("", "DEBUG"), "{{log}}", g.logFile(), "{{folder}}", g.folder, "{{site}}", "http://"+g.address).Replace(caddyfile)
	path := filepath.Join(g.folder, "Caddyfile")
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": path})
	return adapted, err
}

func (g *gateway) logFile() string { return filepath.Join(g.folder, "caddy.log") }

// log returns everything that was logged.
func (g *gateway) log() string {
	content, err := os.ReadFile(g.logFile())
	if err != nil {
		g.t.Error(err)
	}
	return string(content)
}

// write puts a file beside the Caddyfile and returns its path.
func (g *gateway) write(name, content string) string {
	g.t.Helper()
	path := filepath.Join(g.folder, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

func (g *gateway) url(path string) string { return "http://" + g.address + path }

// An answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// post sends a JSON body with the headers given as pairs.
func (g *gateway) post(path, body string, header ...string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url(path), strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return g.send(r, header...)
}

func (g *gateway) get(path string, header ...string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.url(path), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.send(r, header...)
}

func (g *gateway) send(r *http.Request, header ...string) answer {
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := g.client.Do(r)
	// Around a reload Caddy itself closes connections that it has accepted and
	// not answered (see the control of TestL02).
	for try := 0; err != nil && try < 3 && time.Since(time.Unix(0, g.reloaded.Load())) < 5*time.Second && r.GetBody != nil; try++ {
		// The next one that is idle may be one of them.
		g.client.CloseIdleConnections()
		r.Body, _ = r.GetBody()
		response, err = g.client.Do(r)
	}
	if err != nil {
		g.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		return answer{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Errorf("%s %s: reading the answer: %v", r.Method, r.URL.Path, err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// chat is a small chat completion request for a model.
func chat(model string) string {
	return fmt.Sprintf(`{"messages":[{"role":"user","content":"Say hi"}],"model":%q}`, model)
}

// wantStatus fails the test if an answer has another status.
func (a answer) wantStatus(t *testing.T, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d; body %s", a.status, status, a.body)
	}
}

// wantError fails the test if an answer is not the gateway's own error.
func (a answer) wantError(t *testing.T, status int, kind, code string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.body, fmt.Sprintf(`"type":%q`, kind)) || !strings.Contains(a.body, fmt.Sprintf(`"code":%q`, code)) {
		t.Errorf("status %d, body %s; want %d with type %s and code %s", a.status, a.body, status, kind, code)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// waitFor polls until a condition holds; it fails the test after the limit.
func waitFor(t *testing.T, limit time.Duration, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", limit)
		}
	}
}
