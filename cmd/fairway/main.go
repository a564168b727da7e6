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

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/operate"
	"github.com/fairway-mesh/fairway/internal/requests"
)

// wrong are what commands return that looked at something and found it otherwise than
// wanted, by the names of commands with an exit status for that.
var wrong = map[string]error{"diff": operate.ErrDiffers, "test": requests.ErrFailed, "wait": operate.ErrWaited}

// exit says what went wrong, and returns the exit status. That of diff, test and wait is 1
// when they found something, and 2 when they could not look, be it for want of an argument.
func exit(cmd *cobra.Command, err error) int {
	found := wrong[cmd.Name()]
	if !errors.Is(err, operate.ErrDiffers) { // which has been shown
		fmt.Fprintln(os.Stderr, "fairway:", err)
	}
	if found != nil && !errors.Is(err, found) {
		return 2
	}
	return 1
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cmd, err := newRoot().ExecuteContextC(ctx)
	stop()
	if err != nil {
		os.Exit(exit(cmd, err))
	}
}
