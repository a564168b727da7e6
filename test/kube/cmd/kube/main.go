// Command kube runs an API server for tests until it is interrupted:
//
//	go run ./test/kube/cmd/kube
//
// It prints the KUBECONFIG to use, and where the programs of Kubernetes are.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairway-mesh/fairway/test/kube"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	rbac := flag.Bool("rbac", false, "turn authorization on")
	flag.Parse()
	dir, err := kube.Build(ctx, os.Stderr)
	if err != nil {
		return err
	}
	s, err := kube.Start(ctx, kube.Options{RBAC: *rbac})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Printf("export KUBECONFIG=%s PATH=%s:$PATH\n", s.Kubeconfig, dir)
	<-ctx.Done()
	return nil
}
