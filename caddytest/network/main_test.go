package network

import (
	"flag"
	"os"
	"testing"
)

// buildFolder holds the gateway's binary.
var buildFolder string

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if buildFolder != "" {
		_ = os.RemoveAll(buildFolder)
	}
	os.Exit(code)
}
