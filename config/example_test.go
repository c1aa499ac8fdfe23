package config_test

import (
	"fmt"
	"log"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// The providers of a file are resolved: their variables are read and the rules are
// checked. What obtains a provider's token can be built then.
func ExampleLoadFile() {
	declared, err := config.LoadFile(filepath.Join("testdata", "environment.json"))
	if err != nil {
		log.Fatal(err)
	}
	variables := map[string]string{"MY_CLIENT_ID": "gateway", "MY_CLIENT_SECRET": "a-secret"}
	environment := config.Environment{LookupEnv: func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}}
	resolved, err := declared.Resolve(environment, nil)
	if err != nil {
		log.Fatal(err)
	}
	for name, provider := range resolved {
		fetcher := provider.Fetcher(zap.NewNop(), nil)
		fmt.Printf("%s: a %T, whose token goes into the header %s\n", name, fetcher, provider.Place.Header)
	}
	// Output: my_provider: a *tokens.Client, whose token goes into the header Authorization
}

// All faults of a file are found at once. No error shows a value.
func ExampleLoadFile_faults() {
	_, err := config.LoadFile(filepath.Join("testdata", "wrong.json"))
	fmt.Println(filepath.ToSlash(err.Error()))
	// Output:
	// testdata/wrong.json:4:20: provider my_provider: client_id: must not be a placeholder: this field is literal in the file; write os.environ/NAME
	// testdata/wrong.json:5:7: provider my_provider: client_secrets: unknown field; did you mean client_secret?
}
