package main

import (
	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/demo"
	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/local/container"
	"github.com/fairway-mesh/fairway/internal/redirect"
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
		newCleanupCommand(),
		bootstrap.NewCommand(),
		container.NewCommand(),
		demo.NewCommand(),
		inject.NewCommand(),
		redirect.NewCommand(),
		sample.NewCommand(),
		newVersionCommand(),
	)
	return root
}
