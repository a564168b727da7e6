package main

import (
	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/check"
	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/operate"
	"github.com/fairway-mesh/fairway/internal/redirect"
	"github.com/fairway-mesh/fairway/internal/requests"
	"github.com/fairway-mesh/fairway/internal/sample"
	"github.com/spf13/cobra"
)

// newRoot puts the commands together. Each belongs to the package that does its work.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "fairway",
		Short:         "A control plane for service meshes of stock Envoys",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newServeCommand(),
		newAuthorityCommand(),
		newCleanupCommand(),
		bootstrap.NewCommand(),
		check.NewCommand(),
		inject.NewCommand(),
		redirect.NewCommand(),
		requests.NewCommand(),
		sample.NewCommand(),
		newEnvoyCommand(),
		newVersionCommand(),
	)
	root.AddCommand(operate.Commands()...)
	root.AddCommand(localCommands()...)
	return root
}
