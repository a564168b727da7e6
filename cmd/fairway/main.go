// Command fairway is a control plane for service meshes of stock Envoys, and the
// tools of the people who run it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairway-mesh/fairway/internal/operate"
	"github.com/fairway-mesh/fairway/internal/requests"
)

// exit says what went wrong, and returns the exit status. That of diff is 1
// when something would change, as that of the tool of this name; diff, test and wait return 2 when
// something cannot be read.
func exit(err error) int {
	if errors.Is(err, operate.ErrDiffers) {
		return 1
	}
	fmt.Fprintln(os.Stderr, "fairway:", err)
	if errors.Is(err, operate.ErrNotCompared) || errors.Is(err, requests.ErrNoTest) || errors.Is(err, operate.ErrNoWait) {
		return 2
	}
	return 1
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(exit(err))
	}
}
