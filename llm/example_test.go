package llm_test

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// Some requests name their model in the path, others in the query.
func ExampleFindInURL() {
	for _, address := range []string{
		"/v1beta/models/corp%2Fgemini-2.5-pro:generateContent",
		"/v1/realtime?model=corp/gpt-realtime",
		"/v1/chat/completions",
	} {
		target, err := url.Parse(address)
		if err != nil {
			fmt.Println(err)
			continue
		}
		found, err := llm.FindInURL(http.MethodPost, target)
		fmt.Printf("%q %v\n", found.Name, err)
	}
	// Output:
	// "corp/gemini-2.5-pro" <nil>
	// "corp/gpt-realtime" <nil>
	// "" <nil>
}
