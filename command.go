package oauth2llm

import (
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "oauth2-llm",
		Short: "Tools for the LLM gateway",
		CobraFunc: func(command *cobra.Command) {
			command.AddCommand(keyCommand(), presetsCommand())
		},
	})
}

func keyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Makes a random client key and its hash",
		Long: `
Makes a random key for a client of the gateway, and its hash. Give the key to
the client, and put the hash into the configuration:

	client_key <name> sha256:…

Whoever reads the configuration cannot use the gateway then.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			key, hash := clientkey.Generate()
			_, err := fmt.Fprintf(command.OutOrStdout(), "key:  %s\nhash: %s\n", key, hash)
			return err
		},
	}
}
