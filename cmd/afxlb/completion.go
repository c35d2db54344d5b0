package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCompletion(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a completion script for bash, zsh or fish",
		Long: `completion prints the script by which a shell completes afxlb's verbs and flags. The
packages bring it along; elsewhere write it where the shell looks for such scripts.`,
		Example: `  afxlb completion bash > /etc/bash_completion.d/afxlb
  afxlb completion zsh > _afxlb
  afxlb completion fish > afxlb.fish`,
		Args:      exactArgs("SHELL"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			switch root := c.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(e.stdout, true)
			case "zsh":
				return root.GenZshCompletion(e.stdout)
			case "fish":
				return root.GenFishCompletion(e.stdout, true)
			}
			return usageError{fmt.Errorf("no completion for %q: want bash, zsh or fish", args[0])}
		},
	}
}
