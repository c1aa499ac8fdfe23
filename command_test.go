package oauth2llm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/providerblock"
)

func TestTheKeyCommandPrintsAKeyAndItsHash(t *testing.T) {
	command := keyCommand()
	var out bytes.Buffer
	command.SetOut(&out)
	command.SetArgs(nil)
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`^key:  (gw-\S+)\nhash: (sha256:\S+)\n$`).FindStringSubmatch(out.String())
	if match == nil {
		t.Fatalf("got %s", out.String())
	}
	digest := sha256.Sum256([]byte(match[1]))
	if want := "sha256:" + hex.EncodeToString(digest[:]); match[2] != want {
		t.Errorf("the hash is %s, want %s", match[2], want)
	}
	command.SetArgs([]string{"argument"})
	command.SetErr(&bytes.Buffer{})
	if err := command.Execute(); err == nil {
		t.Error("an argument is accepted")
	}
}

func TestThePresetsCommandListsThemAll(t *testing.T) {
	command, out := presetsCommand(), new(strings.Builder)
	command.SetOut(out)
	command.SetArgs([]string{})
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	for name, preset := range config.Presets() {
		if !strings.Contains(out.String(), name+" ") || !strings.Contains(out.String(), preset.Description) {
			t.Errorf("%s is not listed", name)
		}
	}
}

func TestThePresetsCommandShowsWhatOneNeedsAndExpandsTo(t *testing.T) {
	for name, preset := range config.Presets() {
		t.Run(name, func(t *testing.T) {
			command, out := presetsCommand(), new(strings.Builder)
			command.SetOut(out)
			command.SetArgs([]string{name})
			if err := command.Execute(); err != nil {
				t.Fatal(err)
			}
			shown := []string{preset.Description, preset.Unverified, providerblock.Format("<name>", preset.Provider)}
			for variable, known := range preset.Vars {
				shown = append(shown, "var "+variable+" ", known.Description, string(known.Default))
			}
			for _, field := range preset.Fields {
				shown = append(shown, field[strings.Index(field, ".")+1:]+" ")
			}
			for _, text := range shown {
				if !strings.Contains(out.String(), text) {
					t.Errorf("%q is missing in\n%s", text, out)
				}
			}
		})
	}
}

func TestThePresetsCommandGuessesAMisspeltName(t *testing.T) {
	command := presetsCommand()
	command.SilenceErrors, command.SilenceUsage = true, true
	command.SetArgs([]string{"azure_openia"})
	if err := command.Execute(); err == nil || err.Error() != "azure_openia: unknown preset; did you mean azure_openai?" {
		t.Errorf("got %v", err)
	}
}
