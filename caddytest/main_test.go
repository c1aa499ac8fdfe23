package caddytest

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain makes a run that chose all tests, but in which no gateway was
// started, fail: it has tested nothing. It also makes this binary the gateway of a
// gatewayProcess.
func TestMain(m *testing.M) {
	if path := os.Getenv(configVariable); path != "" {
		os.Exit(runGateway(path))
	}
	flag.Parse()
	code := m.Run()
	all := true
	for _, chosen := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		all = all && flag.Lookup(chosen).Value.String() == ""
	}
	if code == 0 && all && gatewaysStarted.Load() == 0 {
		fmt.Println("no end-to-end test has run a gateway")
		code = 1
	}
	os.Exit(code)
}
