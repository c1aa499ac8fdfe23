package tokens_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// authorizationServer answers each token request with another token.
func authorizationServer() *httptest.Server {
	number := 0
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		number++
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, number))
	}))
}

// A Client makes one token request.
func ExampleClient() {
	server := authorizationServer()
	defer server.Close()
	client := &tokens.Client{
		Provider: "corp", TokenURL: tokens.Literal(server.URL),
		ClientID: tokens.Literal("gateway"), ClientSecret: tokens.Literal("secret"), Scope: tokens.Literal("llm.read"),
	}
	token, err := client.Fetch(context.Background(), tokens.Want{})
	// A Secret does not show itself.
	fmt.Println(token.Value, token.Value.Reveal(), err)
	// Output: [redacted] token-1 <nil>
}

// A Manager keeps the token, however many ask for it.
func ExampleManager() {
	server := authorizationServer()
	defer server.Close()
	manager := tokens.NewManager("corp")
	unbind := manager.Bind(&tokens.Binding{
		Fetcher: &tokens.Client{
			Provider: "corp", TokenURL: tokens.Literal(server.URL),
			ClientID: tokens.Literal("gateway"), ClientSecret: tokens.Literal("secret"),
		},
		Retries: tokens.DefaultRetries,
	})
	defer unbind()
	for range 2 {
		token, err := manager.Token(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(token.Value.Reveal())
	}
	// Output:
	// token-1
	// token-1
}
