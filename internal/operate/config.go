package operate

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/explain"
)

// sections are what `fairway config` can show: the types of a dump that belong
// to each, and its table.
var sections = []struct {
	name  string
	types []string
	rows  func(*explain.Resources) [][]string
}{
	{"listeners", []string{"lds"}, listenerRows},
	{"routes", []string{"rds", "vhds"}, routeRows},
	{"clusters", []string{"cds"}, clusterRows},
	{"endpoints", []string{"eds"}, endpointRows},
}

// sectionNames are what the command takes.
var sectionNames = []string{"listeners", "routes", "clusters", "endpoints", "all"}

func newConfigCommand() *cobra.Command {
	var p plane
	var o output
	cmd := &cobra.Command{
		Use:   "config POD[.NAMESPACE] [listeners|routes|clusters|endpoints|all]",
		Short: "Show what the control plane holds for one proxy",
		Long: `Shows the Envoy resources that the control plane holds for one connected proxy, as tables or, with -o, whole in
the JSON form of protobuf. Secrets are never shown.

Asks the replica that the proxy is connected to: see fairway status.`,
		Example: `  fairway config flaskapp-v1-0.default routes
  fairway config flaskapp-v1-0.default clusters -o yaml`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer func() { p.warn(cmd.ErrOrStderr()) }()
			section := "all"
			if len(args) == 2 {
				section = args[1]
			}
			if !slices.Contains(sectionNames, section) {
				return fmt.Errorf("there is no section %q: name one of %s", section, strings.Join(sectionNames, ", "))
			}
			d, err := p.dump(cmd.Context(), p.named(args[0]), false)
			if err != nil {
				return err
			}
			return showConfig(cmd.OutOrStdout(), d, section, o)
		},
	}
	p.flags(cmd)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return sectionNames, cobra.ShellCompDirectiveNoFileComp
		}
		return p.complete(cmd, args, begun)
	}
	o.flag(cmd)
	return cmd
}

// showConfig writes a section of the dump.
func showConfig(w io.Writer, d explain.Dump, section string, o output) error {
	if done, err := o.write(w, part(d, section)); done {
		return err
	}
	r, err := explain.Decode(d)
	if err != nil {
		return err
	}
	first := true
	for _, s := range sections {
		if section != "all" && section != s.name {
			continue
		}
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		if err := table(w, s.rows(r)); err != nil {
			return err
		}
	}
	return nil
}

// part is what of a dump belongs to a section.
func part(d explain.Dump, section string) explain.Dump {
	if section == "all" {
		return d
	}
	out := explain.Dump{}
	for _, s := range sections {
		for _, t := range s.types {
			if s.name == section && d[t] != nil {
				out[t] = d[t]
			}
		}
	}
	return out
}
