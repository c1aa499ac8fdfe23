package config

import (
	"slices"
	"testing"
)

func TestNamesThatLiteLLMTakes(t *testing.T) {
	for name, want := range map[string]bool{
		"openai": true, "azure": true, "anthropic": true, "bedrock": true, "OpenAI": true,
		"corp": false, "my_custom_provider": false, "azure_prod": false, "": false,
	} {
		if (liteLLMHint(name) != "") != want {
			t.Errorf("%q: want %t", name, want)
		}
	}
	if !slices.IsSorted(liteLLMProviders) {
		t.Error("the list is not sorted")
	}
}
