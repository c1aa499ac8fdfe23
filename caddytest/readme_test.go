package caddytest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// What the README shows can be used as it stands.

var codeBlock = regexp.MustCompile("(?s)```(caddyfile|json)\n(.*?)```")

// readmeBlocks are the README's code blocks of a language that are meant to be
// used: a block with <words in angle brackets> is a synopsis.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, match := range codeBlock.FindAllStringSubmatch(string(readme), -1) {
		if match[1] == language && !strings.ContainsAny(match[2], "<…") {
			blocks = append(blocks, match[2])
		}
	}
	return blocks
}

const seedFile = `{"oauth2_providers": {"provider_a": {"client_id": "i", "client_secret": "s", "token_url": "https://a.example.com/t"},
	"provider_b": {"client_id": "i", "client_secret": "s", "token_url": "https://b.example.com/t"}}}`

func TestTheREADMEsCaddyfilesCanBeAdapted(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "litellm_config.json"), []byte(seedFile), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := readmeBlocks(t, "caddyfile")
	if len(blocks) < 3 {
		t.Fatalf("only %d Caddyfiles found", len(blocks))
	}
	for i, block := range blocks {
		if strings.HasPrefix(block, "log {") {
			block = ":8080 {\n" + block + "}\n"
		}
		_, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(block), map[string]any{"filename": filepath.Join(folder, "Caddyfile")})
		if err != nil {
			t.Errorf("Caddyfile %d: %v\n%s", i+1, err, block)
		}
		for _, warning := range warnings {
			if !strings.HasPrefix(block, ":8080 {\nlog") { // wrapped above
				t.Errorf("Caddyfile %d: %v", i+1, warning)
			}
		}
	}
}

// Those that are whole, with a site and its providers, can be loaded as well.
// Presets have a test of their own.
func TestTheREADMEsCaddyfilesCanBeLoaded(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "litellm_config.json"), []byte(seedFile), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for i, block := range readmeBlocks(t, "caddyfile") {
		if !strings.HasPrefix(block, "{\n") || strings.Contains(block, "preset ") {
			continue
		}
		loaded++
		example := strings.Replace(withShownFiles(t, block), "{\n", "{\n\tadmin off\n\tauto_https off\n", 1)
		if err := validateCaddyfile(folder, example); err != nil {
			t.Errorf("Caddyfile %d: %v\n%s", i+1, err, block)
		}
	}
	if loaded < 6 {
		t.Errorf("only %d Caddyfiles are whole", loaded)
	}
}

func TestTheREADMEsJSONCanBeLoaded(t *testing.T) {
	for _, name := range []string{"MY_CLIENT_ID", "MY_CLIENT_SECRET", "ID", "SECRET", "K"} {
		t.Setenv(name, "value-of-"+name)
	}
	blocks := readmeBlocks(t, "json")
	t.Chdir(t.TempDir())
	seen := map[string]int{}
	for _, block := range blocks {
		content, kind := block, "app"
		switch {
		case strings.HasPrefix(block, `{"id"`):
			continue // an answer
		case strings.Contains(block, `"oauth2_providers"`):
			kind = "file"
			content = `{"apps":{"oauth2_llm":{"config_files":["shown.json"]}}}`
			if err := os.WriteFile("shown.json", []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
		case strings.HasPrefix(block, `{"handler"`):
			kind = "handler"
			content = `{"apps":{
				"oauth2_llm":{"providers":{"corp":{"client_id":"i","client_secret":"s","token_url":"https://idp.example.com/t"}}},
				"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[` + block + `]}]}}}}}`
		default:
			if err := os.WriteFile("litellm_config.json", []byte(seedFile), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		seen[kind]++
		content = withShownFiles(t, content)
		if err := validateJSON([]byte(strings.Replace(content, "{", `{"admin":{"disabled":true},`, 1))); err != nil {
			t.Errorf("%v\n%s", err, block)
		}
	}
	if seen["app"] != 1 || seen["file"] != 1 || seen["handler"] != 1 {
		t.Errorf("found %v", seen)
	}
}

// Caddyfile.example is formatted and valid, and every provider in it is used.
func TestTheExampleIsValid(t *testing.T) {
	folder, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(content); string(formatted) != string(content) {
		t.Error("the example is not formatted as `caddy fmt` does it")
	}
	if err := validateCaddyfile(folder, string(content)); err != nil {
		t.Error(err)
	}
}
