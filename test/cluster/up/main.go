// Command up starts a cluster that stays, or with -down removes all that do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairway-mesh/fairway/test/cluster"
)

func main() {
	down := flag.Bool("down", false, "remove the clusters that were started")
	nodes := flag.Int("nodes", 1, "how many nodes, 1 or 2")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *down, *nodes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, down bool, nodes int) error {
	if down {
		count, err := cluster.RemoveKept()
		fmt.Printf("%d removed\n", count)
		return err
	}
	images, err := cluster.Images(ctx, "devel", os.Stderr)
	if err != nil {
		return err
	}
	c, err := cluster.Start(ctx, cluster.Options{Nodes: nodes, Images: images, Keep: true, Progress: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\n", c.Kubeconfig)
	return nil
}
