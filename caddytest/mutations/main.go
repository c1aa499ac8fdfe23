// Command mutations shows that the tests of what must never break would notice it: it
// breaks one line of the code at a time, and each must turn a named test red.
//
//	go run ./caddytest/mutations
//	go run ./caddytest/mutations -run 'claim'
//
// The files stay as they are: the compiler gets the changed one beside them. It ends
// with status 1 if a test does not notice, or if a change no longer fits the code.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A mutation is a change of one place in the code, and the test that must notice.
type mutation struct {
	name string
	file string
	// old stands exactly once in the file.
	old, with string
	// test is the name of a test in the package of the file.
	test string
}

// timeout bounds one test: a change may keep it from ending.
const timeout = 3 * time.Minute

func main() {
	only := flag.String("run", "", "a regular expression for the names of mutations")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	folder, err := os.MkdirTemp("", "mutations")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	noticed, failed := 0, 0
	for _, m := range mutations {
		if !wanted.MatchString(m.name) {
			continue
		}
		if problem := m.try(folder); problem != "" {
			fmt.Printf("FAIL  %s: %s\n", m.name, problem)
			failed++
			continue
		}
		fmt.Printf("ok    %s: %s notices\n", m.name, m.test)
		noticed++
	}
	_ = os.RemoveAll(folder)
	fmt.Printf("figure mutations: %d of %d noticed\n", noticed, noticed+failed)
	if failed > 0 || noticed == 0 {
		os.Exit(1)
	}
}

// try runs the test on the changed code. It says what is wrong, if anything is.
func (m mutation) try(folder string) (problem string) {
	content, err := os.ReadFile(m.file)
	if err != nil {
		return err.Error()
	}
	if n := strings.Count(string(content), m.old); n != 1 {
		return fmt.Sprintf("what it changes stands %d times in %s: fit it to the code", n, m.file)
	}
	changed := filepath.Join(folder, "changed.go")
	overlay := filepath.Join(folder, "overlay.json")
	absolute, err := filepath.Abs(m.file)
	if err != nil {
		return err.Error()
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{absolute: changed}})
	if err != nil {
		return err.Error()
	}
	for path, text := range map[string]string{changed: strings.Replace(string(content), m.old, m.with, 1), overlay: string(replace)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err.Error()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "test", "-vet=off", "-overlay", overlay, "-run", "^"+m.test+"$", "./"+filepath.Dir(m.file)) //nolint:gosec // what is run stands in this folder
	output, err := command.CombinedOutput()
	switch text := string(output); {
	case ctx.Err() != nil:
		// A test that does not end has noticed as well.
		return ""
	case err == nil && strings.Contains(text, "no tests to run"):
		return m.test + " does not exist"
	case err == nil:
		return m.test + " does not notice"
	case strings.Contains(text, "[build failed]"):
		return "the changed code cannot be built:\n" + text
	}
	return ""
}
