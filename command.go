package oauth2llm

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/providerblock"
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

func presetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "presets [<name>]",
		Short: "Lists the presets of providers, or shows what one expands to",
		Long: `
Lists the presets that a provider block can name with preset <name>. With a
name, says what that one needs, and prints the fields that it stands for as a
provider block. A block like it can be written by hand, too, and every field of
a preset can be set to another value.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			if len(arguments) == 0 {
				return listPresets(command.OutOrStdout())
			}
			return showPreset(command.OutOrStdout(), arguments[0])
		},
	}
}

func listPresets(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	all := config.Presets()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(table, "%s\t%s\n", name, all[name].Description)
	}
	return table.Flush()
}

func showPreset(out io.Writer, name string) error {
	preset, err := config.FindPreset(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(out, "%s: %s\n\n", name, preset.Description)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, variable := range slices.Sorted(maps.Keys(preset.Vars)) {
		known := preset.Vars[variable]
		need := "optional"
		switch {
		case known.Needed():
			need = "required"
		case known.Default != "":
			need = "default " + string(known.Default)
		}
		fmt.Fprintf(table, "var %s\t%s\t%s\n", variable, known.Description, need)
	}
	for _, field := range preset.Fields {
		fmt.Fprintf(table, "%s\trequired\n", fieldLine(field))
	}
	for _, field := range preset.OptionalFields {
		fmt.Fprintf(table, "%s\toptional\n", fieldLine(field))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if preset.Unverified != "" {
		fmt.Fprintf(out, "\nnot verified: %s\n", preset.Unverified)
	}
	_, err = fmt.Fprintf(out, "\nexpands to (base_url, where LLM requests go, is yours to set):\n\n%s", providerblock.Format("<name>", preset.Provider))
	return err
}

// fieldLine says where a field is written, and what may stand in its place.
func fieldLine(field string) string {
	where := "a field of the provider"
	name := field
	if block, within, nested := strings.Cut(field, "."); nested {
		name, where = within, "a field of the provider's block "+block
	}
	switch field {
	case "client_id", "client_secret", "refresh_token":
		where += ", or " + field + "_file"
	case "jwt.key_file":
		where += ", or key"
	}
	return name + "\t" + where
}
