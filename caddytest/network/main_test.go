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
	// The tests wait most of their time, however few cores there are.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	if buildFolder != "" {
		_ = os.RemoveAll(buildFolder)
	}
	os.Exit(code)
}
