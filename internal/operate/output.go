package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Commands are the commands of this package.
func Commands() []*cobra.Command {
	return []*cobra.Command{newStatusCommand(), newConfigCommand(), newExplainCommand(), newDiffCommand(), newWaitCommand()}
}

// output is how a command writes its answer: "" is for people, "json" and
// "yaml" for programs.
type output struct{ form string }

func (o *output) flag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.form, "output", "o", "", "json or yaml, in place of a table")
}

// write hands the value out as JSON or YAML; false: people are to read it.
func (o *output) write(w io.Writer, v any) (bool, error) {
	switch o.form {
	case "":
		return false, nil
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
	return true, fmt.Errorf("-o %s: there are json and yaml", o.form)
}

// table writes rows in columns, the first row as the head.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t"))
	}
	return t.Flush()
}
