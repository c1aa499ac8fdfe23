package caddytest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// A gatewayProcess is a gateway in a process of its own, so that its memory can be
// measured: this test binary, run once more.
type gatewayProcess struct {
	*gateway
	ask     io.Writer
	answers *bufio.Reader
	idle    measures
}

// measures are what a process says of itself: its resident memory now and at most
// since it was asked last, what its heap and stacks take, all in bytes, and its
// goroutines.
type measures struct{ resident, most, inUse, goroutines int64 }

// configVariable names the environment variable with the path of the configuration
// that makes this binary a gateway.
const configVariable = "CADDYTEST_GATEWAY"

// startProcess runs a site's gateway in a process of its own.
func (s corpSite) startProcess(t *testing.T) *gatewayProcess {
	t.Helper()
	g := &gateway{
		t: t, folder: t.TempDir(), address: freeAddress(t),
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}},
	}
	adapted, err := g.adapt(s.caddyfile(g.address))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), configVariable+"="+g.write("caddy.json", string(adapted)), "GOMAXPROCS=2")
	command.Stderr = os.Stderr
	ask, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		ask.Close()
		_ = command.Wait()
	})
	gatewaysStarted.Add(1)
	return &gatewayProcess{gateway: g, ask: ask, answers: bufio.NewReader(answers)}
}

// rest measures the gateway at rest, after requests as they are usual.
func (p *gatewayProcess) rest() {
	p.t.Helper()
	p.measure()
	for range 20 {
		p.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(p.t, http.StatusOK)
	}
	p.idle = p.measure()
}

// measure asks the gateway for its measures, after it has given back what it does
// not need.
func (p *gatewayProcess) measure() measures {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.ask); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.answers.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	var m measures
	if _, err := fmt.Sscan(line, &m.resident, &m.most, &m.inUse, &m.goroutines); err != nil {
		p.t.Fatal(err)
	}
	return m
}

// runGateway is what the process does. It returns its exit code.
func runGateway(path string) int {
	config, err := os.ReadFile(path)
	if err == nil {
		err = caddy.Load(config, true)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		debug.FreeOSMemory()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		fmt.Println(statusOf("VmRSS"), statusOf("VmHWM"), memory.HeapInuse+memory.StackInuse, runtime.NumGoroutine())
		// The most is counted anew from here (proc_pid_clear_refs(5)).
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	}
	return 0
}

// statusOf is a number of kilobytes in /proc/self/status, in bytes.
func statusOf(name string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), name+":")
	var kilobytes int64
	_, _ = fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10
}
