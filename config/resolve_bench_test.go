package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkLoadOfAThousandProviders is what a load of a large configuration takes: it is
// decoded, resolved, and what obtains the tokens is built.
func BenchmarkLoadOfAThousandProviders(b *testing.B) {
	content := aThousandProviders()
	environment := testEnvironment()
	b.ReportAllocs()
	for b.Loop() {
		var declared Providers
		if err := json.Unmarshal(content, &declared); err != nil {
			b.Fatal(err)
		}
		resolved, err := declared.Resolve(environment, nil)
		if err != nil || len(resolved) != 1000 {
			b.Fatal(err)
		}
		for _, provider := range resolved {
			if provider.Fetcher(nil, nil) == nil {
				b.Fatal("nothing obtains the token")
			}
		}
	}
}

// aThousandProviders are half plain clients and half of a preset.
func aThousandProviders() []byte {
	var content strings.Builder
	for i := range 500 {
		fmt.Fprintf(&content, `,"plain%d":{%s,"scope":"a b","base_url":"https://llm%[1]d.example.com/v1","models":{"m":{}},"token_request":{"params":{"audience":"x"}}}`, i, validFields)
		fmt.Fprintf(&content, `,"azure%d":{"preset":"azure_openai","vars":{"tenant":"t%[1]d"},"client_id":"i","client_secret":"{env.SECRET}","base_url":"https://llm.example.com/v1"}`, i)
	}
	return []byte("{" + content.String()[1:] + "}")
}
