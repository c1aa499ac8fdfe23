// Command soak runs gateways over a disturbed Redis server for as long as it is told:
// load, reloads, kills, and tokens that live for 5 s. It prints a line a minute, and at
// the end what is off. Its exit code is 1 then.
//
//	go run ./soak -for 30m -instances 3
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	during := flag.Duration("for", 2*time.Minute, "how long the load lasts")
	instances := flag.Int("instances", 3, "how many gateways; the first one is never killed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, *during, *instances)
	stop()
	os.Exit(code)
}

// run returns the exit code.
func run(ctx context.Context, during time.Duration, instances int) int {
	folder, err := os.MkdirTemp("", "soak-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	s, err := newSoak(ctx, folder, instances)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.close()
	if err := s.soak(ctx, during); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	final := s.finish(ctx)
	fmt.Println("figure soak:", final)
	off := final.off(during)
	for _, line := range off {
		fmt.Println("off:", line)
	}
	if len(off) > 0 {
		fmt.Print(s.fleet.Problems(30))
		return 1
	}
	return 0
}
