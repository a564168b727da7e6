package sample

import "github.com/spf13/cobra"

// sleepCommand waits to be ended: requests are made from inside its pod.
func sleepCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sleep",
		Short: "Do nothing; requests are made from inside its pod",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			<-cmd.Context().Done()
			return nil
		},
	}
}
