package sample

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"
)

// NewCommand is "fairway sample": one sub-command per application.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sample",
		Short: "Run a sample application of the tutorials",
	}
	cmd.AddCommand(
		web("flaskapp", "GET /env/NAME answers an environment variable, GET /fetch?url=U the body of U, /echo its request", 80, flaskapp),
		sleepCommand(),
		getCommand(),
		web("kubia", "Answers: You've hit VERSION HOSTNAME", 8080, kubia),
		productpageCommand(),
		web("details", "The bank's list of products", bankPort, details),
		addedvaluesCommand(),
		styletransferCommand(),
		web("gallery", "A site outside the mesh, where styles come from", 80, gallery),
	)
	return cmd
}

// bankPort is the port of all services of the bank.
const bankPort = 9080

// identity is what an application says about itself.
type identity struct {
	Version string `json:"version"` // environment variable version, as in the tutorials' manifests
	Pod     string `json:"pod"`     // host name
}

func self() identity {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return identity{Version: cmp.Or(os.Getenv("version"), "v1"), Pod: cmp.Or(os.Getenv("HOSTNAME"), host)}
}
