package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
)

func newEnvoyCommand() *cobra.Command {
	version := envoyfetch.Version
	cmd := &cobra.Command{
		Use:   "envoy",
		Short: "Print the path of a stock Envoy: $ENVOY, the one in PATH, or one fetched into the cache",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := envoyfetch.Path(cmd.Context(), version)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&version, "version", version, "release of Envoy")
	return cmd
}
