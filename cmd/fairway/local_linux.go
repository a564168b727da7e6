package main

import (
	"github.com/fairway-mesh/fairway/internal/demo"
	"github.com/fairway-mesh/fairway/internal/local/container"
	"github.com/spf13/cobra"
)

// localCommands need namespaces of the Linux kernel.
func localCommands() []*cobra.Command {
	return []*cobra.Command{container.NewCommand(), demo.NewCommand()}
}
