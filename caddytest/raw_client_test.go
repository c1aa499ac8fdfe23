package caddytest

import (
	"bufio"
	"net"
	"testing"
	"time"
)

// A rawClient is a connection to the gateway.
type rawClient struct {
	net.Conn
	reader *bufio.Reader
}

func (g *gateway) dial(t *testing.T) rawClient {
	t.Helper()
	connection, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	return rawClient{connection, bufio.NewReader(connection)}
}
