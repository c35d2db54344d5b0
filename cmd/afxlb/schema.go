package main

import (
	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/config"
)

func newSchema(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the config file's JSON Schema, for editors",
		Long: `schema prints the JSON Schema (2020-12) of the config file. Editors complete keys by it,
show what each is for, and mark what is misspelt. It knows the shape of a file; what its
keys mean together is for check to say.

Editors with yaml-language-server look for a first line such as this, where make install
has put it:
  # yaml-language-server: $schema=/usr/local/share/afxlb/afxlb.schema.json`,
		Example: `  afxlb schema > afxlb.schema.json`,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			_, err := e.stdout.Write(config.Schema())
			return err
		},
	}
}
