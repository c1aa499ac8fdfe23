package fleet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An Instance is one gateway process, and what comes after it was killed.
type Instance struct {
	// URL is where it serves.
	URL string

	binary, folder, admin string
	mu                    sync.Mutex
	running               *exec.Cmd
	input                 io.Closer
}

// clientKey is what the load sends.
const clientKey = "the-key-of-those-who-send-the-load"

func newInstance(binary, folder string, config Config) (*Instance, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	i := &Instance{URL: "http://" + address, binary: binary, folder: folder, admin: admin}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	return i, os.WriteFile(i.configPath(), []byte(config.caddyfile(i)), 0o600)
}

// freeAddress is an address on loopback that is free, below the ports that the
// system gives to connections: while an instance is down nobody else shall get it.
func freeAddress() (string, error) {
	var err error
	for range 100 {
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15_000+chance(15_000))); err == nil {
			return listener.Addr().String(), listener.Close()
		}
	}
	return "", err
}

func (i *Instance) configPath() string { return filepath.Join(i.folder, "Caddyfile") }
func (i *Instance) logPath() string    { return filepath.Join(i.folder, "log") }

func (c Config) caddyfile(i *Instance) string {
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	grace_period 1s
	servers {
		protocols h1
	}
	storage %s
	log {
		output file %s
		format json
	}
	oauth2_llm {
		%s
	}
}
%s {
	oauth2_llm {
		client_key agents {env.GATEWAY_KEY}
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm {
			keepalive_idle_conns_per_host 4
		}
	}
}
`, i.admin, c.Storage, i.logPath(), strings.ReplaceAll(strings.TrimSpace(c.Options), "\n", "\n\t\t"), i.URL)
}

// start starts the process.
func (i *Instance) start() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	command := exec.Command(i.binary, "run", "--config", i.configPath(), "--adapter", "caddyfile") //nolint:gosec,noctx // The binary is the one that was built, and Kill ends it.
	command.Env = append(os.Environ(), "XDG_DATA_HOME="+i.folder, "XDG_CONFIG_HOME="+i.folder, "GATEWAY_KEY="+clientKey)
	input, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	i.running, i.input = command, input
	return nil
}

// Kill ends the process as kill -9 does, and waits until it is gone.
func (i *Instance) Kill() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running == nil {
		return
	}
	_ = i.running.Process.Kill()
	_ = i.running.Wait()
	_ = i.input.Close()
	i.running = nil
}

// Restart starts the process anew after Kill, and waits until it serves.
func (i *Instance) Restart(ctx context.Context) error {
	if err := i.start(); err != nil {
		return err
	}
	return i.awaitReady(ctx)
}

// readyLimit is how long a start may take on a busy machine.
const readyLimit = time.Minute

func (i *Instance) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve, see %s: %w", i.URL, i.logPath(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Reload loads the configuration anew, although it has not changed.
func (i *Instance) Reload(ctx context.Context) error {
	config, err := os.ReadFile(i.configPath())
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+i.admin+"/load", bytes.NewReader(config))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "text/caddyfile")
	request.Header.Set("Cache-Control", "must-revalidate")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(response.Body)
		return fmt.Errorf("a reload is answered with %s: %s", response.Status, message)
	}
	return nil
}
