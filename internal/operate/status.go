package operate

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh/object"
)

func newStatusCommand() *cobra.Command {
	var p plane
	var o output
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [POD[.NAMESPACE]]",
		Short: "Say how far every connected proxy is",
		Long: `Lists the proxies that are connected to the control plane and, for each type of resources, whether the proxy
has accepted the newest: SYNCED, STALE (something newer is on its way, or was refused) or NOT SENT (the proxy did not
ask, or there was nothing to send). What a proxy refused is told in its own words. FAIRWAY is the version that
injected the proxy; workloads that still have proxies of another version than the control plane's are listed below.

Asks all replicas of the control plane, which it finds with the kubeconfig and reaches as kubectl port-forward does, and
says to which each proxy is connected; with --debug-address, or where somebody listens at its default, that replica alone.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			show := func() error { return p.showStatus(cmd, args, &o) }
			if !watch {
				return show()
			}
			return repeat(cmd.Context(), cmd.OutOrStdout(), show)
		},
	}
	p.flags(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "say it again every two seconds")
	cmd.ValidArgsFunction = p.complete
	o.flag(cmd)
	return cmd
}

// showStatus says it once.
func (p *plane) showStatus(cmd *cobra.Command, args []string, o *output) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	clear(p.silent) // of the round before
	list, err := p.proxies(ctx)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1:
		name := p.named(args[0])
		list = slices.DeleteFunc(list, func(x debug.Proxy) bool { return x.ID != name })
		if len(list) == 0 {
			return fmt.Errorf("no proxy %q is connected: `fairway status` lists those that are", name)
		}
	case p.namespace != "":
		list = slices.DeleteFunc(list, func(x debug.Proxy) bool { return namespaceOf(x.ID) != p.namespace })
	}
	defer p.warn(cmd.ErrOrStderr())
	if done, err := o.write(out, list); done {
		return err
	}
	if err := printStatus(out, list); err != nil {
		return err
	}
	found, err := p.findings(ctx)
	if err != nil {
		return err
	}
	printOutdated(out, found)
	printStale(out, p.views(ctx))
	return nil
}

// watchEvery is how often --watch says it again.
const watchEvery = 2 * time.Second

// repeat shows something again and again until the context ends, on a terminal in the same
// place.
func repeat(ctx context.Context, w io.Writer, show func() error) error {
	f, ok := w.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor is small
	for {
		if terminal {
			fmt.Fprint(w, "\x1b[H\x1b[2J")
		}
		if err := show(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
		if !terminal {
			fmt.Fprintln(w)
		}
	}
}

// statusTypes are the types of the table, and their columns.
var statusTypes = []string{"cds", "eds", "lds", "rds", "vhds", "sds", "ecds"}

func printStatus(w io.Writer, list []debug.Proxy) error {
	if len(list) == 0 {
		fmt.Fprintln(w, "No proxy is connected.")
		return nil
	}
	rows := [][]string{append([]string{"PROXY", "ROLE", "ENVOY", "FAIRWAY"}, append(upper(statusTypes), "CONNECTED")...)}
	several := slices.ContainsFunc(list, func(p debug.Proxy) bool { return p.Replica != "" })
	if several {
		rows[0] = append(rows[0], "REPLICA")
	}
	for _, p := range list {
		row := []string{p.ID, p.Role, cmp.Or(p.Version, "-"), cmp.Or(p.Fairway, "-")}
		for _, t := range statusTypes {
			row = append(row, cmp.Or(p.Types[t].State, "NOT SENT"))
		}
		row = append(row, time.Duration(p.ConnectedSeconds*float64(time.Second)).Round(time.Second).String())
		if several {
			row = append(row, p.Replica)
		}
		rows = append(rows, row)
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, p := range list {
		if p.TooOld {
			fmt.Fprintf(w, "\n%s: Envoy %s is too old for some of what it gets: upgrade it\n", p.ID, p.Version)
		}
		for _, t := range statusTypes {
			if s := p.Types[t]; s.LastNack != "" {
				standing := "it has accepted a newer state since"
				if len(s.Rejected) > 0 {
					standing = fmt.Sprintf("%d resources are still refused", len(s.Rejected))
				}
				fmt.Fprintf(w, "\n%s refused %s (%s): %s\n", p.ID, strings.ToUpper(t), standing, s.LastNack)
			}
		}
	}
	return nil
}

// printOutdated says which workloads have proxies that another version made.
func printOutdated(w io.Writer, found []debug.Finding) {
	for _, f := range found {
		if f.Code == string(object.CodeOutdated) {
			fmt.Fprintf(w, "\n%s: %s\n", f.Object, f.Message)
		}
	}
}

// printStale says what of the cluster replicas may not know: then SYNCED is
// in step with the replica and not with the cluster.
func printStale(w io.Writer, views []debug.View) {
	lines := debug.Stale(views)
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w, "\nWhat is known of the API server is old; SYNCED proxies are in step with their replica, not with the cluster:")
	for _, l := range lines {
		fmt.Fprintf(w, "  %s\n", l)
	}
}

func upper(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToUpper(s)
	}
	return out
}
