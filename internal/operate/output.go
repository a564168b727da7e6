package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Commands are the commands of this package.
func Commands() []*cobra.Command {
	return []*cobra.Command{newStatusCommand(), newConfigCommand(), newExplainCommand(), newDiffCommand(), newWaitCommand(), newHistoryCommand()}
}

// output is how a command writes its answer: "" and "table" are for people, and so is "wide",
// which says more, of commands that have it; "json" and "yaml" are for programs.
type output struct {
	form string
	wide bool // the command has it
}

func (o *output) flag(cmd *cobra.Command) {
	usage := "table, json or yaml"
	if o.wide {
		usage = "table, wide, json or yaml"
	}
	cmd.Flags().StringVarP(&o.form, "output", "o", "table", usage)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.forms(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// forms are those that the command has.
func (o *output) forms() []string {
	if o.wide {
		return []string{"table", "wide", "json", "yaml"}
	}
	return []string{"table", "json", "yaml"}
}

// check says that there is no such form.
func (o *output) check() error {
	if o.form != "" && !slices.Contains(o.forms(), o.form) {
		return fmt.Errorf("-o %s: there are %s", o.form, strings.Join(o.forms(), ", "))
	}
	return nil
}

// write hands the value out as JSON or YAML; false: people are to read it.
func (o *output) write(w io.Writer, v any) (bool, error) {
	switch o.form {
	case "", "table", "wide":
		return false, o.check()
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return true, e.Encode(v)
	case "yaml":
		text, err := yaml.Marshal(v)
		if err != nil {
			return true, err
		}
		_, err = w.Write(text)
		return true, err
	}
	return true, o.check()
}

// table writes rows in columns, the first row as the head.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t"))
	}
	return t.Flush()
}
