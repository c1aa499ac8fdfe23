package oauth2llm

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
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
			key, hash := newClientKey()
			_, err := fmt.Fprintf(command.OutOrStdout(), "key:  %s\nhash: %s\n", key, hash)
			return err
		},
	}
}

// newClientKey makes a key of 256 random bits, and the value of client_key that
// stands for it.
func newClientKey() (key, hash string) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	key = "gw-" + base64.RawURLEncoding.EncodeToString(random)
	digest := sha256.Sum256([]byte(key))
	return key, hashPrefix + hex.EncodeToString(digest[:])
}
