package oauth2llm

import (
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/providerblock"
)

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
