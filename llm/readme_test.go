package llm

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Who gives out keys has to know what they are good for: the README lists what a
// key for some models may call, and what may choose another model in such a call.
func TestTheREADMEListsWhatAKeyForSomeModelsMayDo(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n### Keys for some models\n")
	section, _, _ = strings.Cut(section, "\n### ")
	for _, name := range slices.Concat(modelEndpoints, modelVerbs, keywords[:], []string{deploymentHeader}) {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("the README does not name %s", name)
		}
	}
}
