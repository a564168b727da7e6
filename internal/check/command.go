package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/mesh"
)

// patience is how long a cluster may take to tell its objects.
const patience = time.Minute

// NewCommand is "fairway check".
func NewCommand() *cobra.Command {
	var files []string
	var kubeconfig string
	cmd := &cobra.Command{
		Use:   "check -f FILE|DIR",
		Short: "Say what is wrong with objects of the mesh before they are applied",
		Long: `Reads Kubernetes manifests and says what of them the mesh could not serve: invalid values, with object, field and
remedy, and as warnings what else would not be as it is written, such as hosts and subsets that do not exist and rules
that are never used. The control plane's validating webhook finds the same, and that of injection what of pods and
their templates no proxy can be added to.

The objects are looked at together; with --kubeconfig also together with those of a cluster. Exits with 1 when
something is invalid.`,
		Example: `  fairway check -f manifests/
  kubectl kustomize . | fairway check -f - --kubeconfig ~/.kube/config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return errors.New("nothing to check: give -f FILE, -f DIR, or -f - for standard input")
			}
			texts, err := read(files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			var base []mesh.Change
			if kubeconfig != "" {
				ctx, cancel := context.WithTimeout(cmd.Context(), patience)
				defer cancel()
				if base, err = cluster(ctx, kubeconfig); err != nil {
					return err
				}
			}
			return report(cmd.OutOrStdout(), base, texts)
		},
	}
	cmd.Flags().StringSliceVarP(&files, "filename", "f", nil, "manifests, or a folder of them; - is standard input; may be repeated")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "look at the objects together with those of this cluster")
	return cmd
}

// report checks the texts and prints what was found. The error says that
// something is invalid.
func report(w io.Writer, base []mesh.Change, texts []text) error {
	var objects []informers.Object
	var places []string // of the objects
	invalid, warnings := 0, 0
	for _, t := range texts {
		found, findings, err := informers.Parse(t.content)
		if err != nil {
			fmt.Fprintf(w, "invalid  %s: %v\n", t.name, err)
			invalid++
		}
		for _, f := range findings {
			fmt.Fprintf(w, "warning  %s: %s\n", t.name, f)
			warnings++
		}
		inject.Check(t.content, func(line int, err error) {
			fmt.Fprintf(w, "invalid  %s:%d: the proxy cannot be added: %v\n", t.name, line, err)
			invalid++
		})
		for _, o := range found {
			objects = append(objects, o)
			places = append(places, fmt.Sprintf("%s:%d", t.name, o.Line))
		}
	}
	results, others := Set(base, objects)
	for _, f := range others {
		fmt.Fprintf(w, "warning  %s\n", f)
		warnings++
	}
	for i, r := range results {
		for _, f := range r.Invalid {
			fmt.Fprintf(w, "invalid  %s: %s\n", places[i], f)
		}
		for _, f := range r.Warnings {
			fmt.Fprintf(w, "warning  %s: %s\n", places[i], f)
		}
		invalid, warnings = invalid+len(r.Invalid), warnings+len(r.Warnings)
	}
	fmt.Fprintf(w, "%d objects: %d invalid, %d warnings\n", len(objects), invalid, warnings)
	if invalid > 0 {
		return errors.New("invalid objects: see above")
	}
	return nil
}
