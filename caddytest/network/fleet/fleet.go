// Package fleet runs gateways as processes of their own that share a storage, and
// sends requests to them.
package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Fleet is gateways with one configuration.
type Fleet struct {
	Instances []*Instance
}

// A Config is what all gateways of a fleet are configured with.
type Config struct {
	// Storage are the arguments of the option storage.
	Storage string
	// Options are what stands in the global option oauth2_llm.
	Options string
}

// Build builds the gateway, and gives the path of the binary. It must be called
// within this module.
func Build(ctx context.Context, folder string) (binary string, err error) {
	binary = filepath.Join(folder, "gateway")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/gateway") //nolint:gosec // The path is the caller's.
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, output)
	}
	return binary, nil
}

// Start starts some gateways, and waits until all serve. Their files are in folder.
func Start(ctx context.Context, binary, folder string, instances int, config Config) (*Fleet, error) {
	f := new(Fleet)
	for number := range instances {
		i, err := newInstance(binary, filepath.Join(folder, fmt.Sprint("instance", number)), config)
		if err == nil {
			f.Instances = append(f.Instances, i)
			err = i.start()
		}
		if err != nil {
			f.Stop()
			return nil, err
		}
	}
	for _, i := range f.Instances {
		if err := i.awaitReady(ctx); err != nil {
			f.Stop()
			return nil, err
		}
	}
	return f, nil
}

// Reload loads the configuration anew in each instance, one after the other.
func (f *Fleet) Reload(ctx context.Context) error {
	var all error
	for _, i := range f.Instances {
		all = errors.Join(all, i.Reload(ctx))
	}
	return all
}

// Stop ends all instances at once.
func (f *Fleet) Stop() {
	for _, i := range f.Instances {
		i.Kill()
	}
}

// Problems are the lines that the instances logged as warnings or errors, at most so
// many of each.
func (f *Fleet) Problems(most int) string {
	var text strings.Builder
	for number, i := range f.Instances {
		content, err := os.ReadFile(i.logPath())
		if err != nil {
			fmt.Fprintf(&text, "instance %d: %v\n", number, err)
		}
		for line := range bytes.Lines(content) {
			if bytes.Contains(line, []byte(`"level":"warn"`)) || bytes.Contains(line, []byte(`"level":"error"`)) {
				if most--; most < 0 {
					return text.String() + "…\n"
				}
				fmt.Fprintf(&text, "instance %d: %s", number, line)
			}
		}
	}
	return text.String()
}
