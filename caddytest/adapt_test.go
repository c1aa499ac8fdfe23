package caddytest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

var update = flag.Bool("update", false, "write what Caddyfiles are adapted to into testdata/adapt")

const adaptSeparator = "\n----------\n"

// TestCaddyfilesAreAdapted compares each Caddyfile in testdata/adapt with the
// JSON below it. $FOLDER stands for that folder.
func TestCaddyfilesAreAdapted(t *testing.T) {
	folder, err := filepath.Abs("testdata/adapt")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.caddyfiletest"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".caddyfiletest")
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			caddyfile, want, _ := strings.Cut(string(content), adaptSeparator)
			adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile+"\n"), map[string]any{"filename": filepath.Join(folder, "Caddyfile")})
			if err != nil {
				t.Fatal(err)
			}
			for _, warning := range warnings {
				if !strings.Contains(warning.Message, "not formatted") {
					t.Errorf("warning: %v", warning)
				}
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, adapted, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.TrimSpace(indented.String()), folder, "$FOLDER")
			if *update {
				if err := os.WriteFile(file, []byte(caddyfile+adaptSeparator+got+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != strings.TrimSpace(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
