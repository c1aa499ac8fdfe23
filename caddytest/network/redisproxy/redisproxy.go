// Package redisproxy runs a Redis server behind a proxy that disturbs what passes.
package redisproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/alicebob/miniredis/v2"
	"github.com/rs/zerolog"
)

// A Toxic is a disturbance, as toxiproxy names it. It acts on what the server
// answers.
type Toxic string

// The disturbances.
const (
	// Latency lets each answer wait.
	Latency Toxic = `{"name":"latency","type":"latency","attributes":{"latency":15,"jitter":10}}`
	// Slicer sends answers in small pieces, with a pause after each.
	Slicer Toxic = `{"name":"slicer","type":"slicer","attributes":{"average_size":8,"size_variation":4,"delay":2000}}`
	// Reset breaks connections off once something is answered.
	Reset Toxic = `{"name":"reset_peer","type":"reset_peer","attributes":{"timeout":0}}`
	// Timeout lets no answer pass, and then closes the connection.
	Timeout Toxic = `{"name":"timeout","type":"timeout","attributes":{"timeout":1500}}`
)

// name is the name in a Toxic.
func (t Toxic) name() string {
	_, rest, _ := strings.Cut(string(t), `"name":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// A Server is a Redis server behind a proxy.
type Server struct {
	// Kind is redis-server where it is installed, else miniredis.
	Kind string
	// Address is the proxy's.
	Address string

	proxy *toxiproxy.Proxy
	stop  func()
}

// Start starts a server and its proxy. Its files, if it has any, are in folder.
func Start(ctx context.Context, folder string) (*Server, error) {
	s := new(Server)
	address, err := s.startRedis(ctx, folder)
	if err != nil {
		return nil, err
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	s.proxy = toxiproxy.NewProxy(api, "redis", "127.0.0.1:0", address)
	if err := s.Up(); err != nil {
		s.stop()
		return nil, err
	}
	s.Address = s.proxy.Listen
	return s, nil
}

func (s *Server) startRedis(ctx context.Context, folder string) (address string, err error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		s.Kind = "miniredis"
		server, err := miniredis.Run()
		if err != nil {
			return "", err
		}
		s.stop = server.Close
		return server.Addr(), nil
	}
	s.Kind = "redis-server"
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address = free.Addr().String()
	if err := free.Close(); err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(address)
	command := exec.Command(binary, "--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", "", "--appendonly", "no") //nolint:gosec,noctx // What is found in PATH is meant, and Stop ends it.
	if err := command.Start(); err != nil {
		return "", err
	}
	s.stop = func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	if err := awaitServer(ctx, address); err != nil {
		s.stop()
		return "", err
	}
	return address, nil
}

func awaitServer(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not serve: %w", errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Add begins a disturbance.
func (s *Server) Add(t Toxic) error {
	_, err := s.proxy.Toxics.AddToxicJson(strings.NewReader(string(t)))
	return err
}

// Remove ends a disturbance.
func (s *Server) Remove(ctx context.Context, t Toxic) error {
	return s.proxy.Toxics.RemoveToxic(ctx, t.name())
}

// Down closes all connections, and takes no others until Up.
func (s *Server) Down() { s.proxy.Stop() }

// Up takes connections again.
func (s *Server) Up() error { return s.proxy.Start() }

// Stop ends the proxy and the server.
func (s *Server) Stop() {
	s.Down()
	s.stop()
}
