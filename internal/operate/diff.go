package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// What `fairway diff` returns, for exit statuses as those of diff.
var (
	ErrDiffers     = errors.New("something would change") // 1, and nothing to say
	ErrNotCompared = errors.New("nothing was compared")   // 2
)

// diffFlags are the settings of `fairway diff`.
type diffFlags struct {
	plane
	output
	files              []string
	config, kubeconfig string
	whole              bool
}

func newDiffCommand() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff -f PATH",
		Short: "Say what would change for which proxies if files were applied",
		Long: `Translates the mesh as it is and as it would be with the files applied, and tells for each group of proxies which
Envoy resources would be added, changed (with a diff of their YAML) or removed, and which findings would come and go.
Nothing is applied. An object of the files stands in place of the one of its name; none is deleted.

The mesh is that of a directory (--config) or of a cluster, as the current or given kubeconfig reaches it. Its proxies are
all its pods; with --debug-address those that are connected to the control plane there.

Exit status: 0 nothing would change, 1 something would, 2 it cannot be told.`,
		Example: `  fairway diff -f new-rules.yaml --config mesh/
  fairway diff -f new-rules/ --kubeconfig ~/.kube/config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("debug-address") {
				f.address = ""
			}
			err := f.run(cmd.Context(), cmd.OutOrStdout())
			if err != nil && !errors.Is(err, ErrDiffers) {
				err = fmt.Errorf("%w: %w", ErrNotCompared, err)
			}
			return err
		},
	}
	f.plane.flag(cmd)
	f.output.flag(cmd)
	p := cmd.Flags()
	p.StringArrayVarP(&f.files, "filename", "f", nil, "YAML file, or directory of such, that would be applied; may be repeated")
	p.StringVar(&f.config, "config", "", "the mesh is this directory of YAML files")
	p.StringVar(&f.kubeconfig, "kubeconfig", "", "the mesh is that of the cluster that this file leads to; default: $KUBECONFIG, or ~/.kube/config")
	p.BoolVar(&f.whole, "whole", false, "show added and removed resources whole, not only their names")
	cmd.MarkFlagsMutuallyExclusive("config", "kubeconfig")
	if err := cmd.MarkFlagRequired("filename"); err != nil {
		panic(err) // the flag is there
	}
	return cmd
}

// differing is the answer as programs read it.
type differing struct {
	Differences []Difference    `json:"differences"`
	Come        []debug.Finding `json:"findingsThatCome,omitempty"`
	Go          []debug.Finding `json:"findingsThatGo,omitempty"`
}

func (f *diffFlags) run(ctx context.Context, out io.Writer) error {
	current, err := f.mesh(ctx)
	if err != nil {
		return err
	}
	files, err := readFiles(ctx, f.files)
	if err != nil {
		return err
	}
	next := maps.Clone(current)
	maps.Copy(next, files)
	connected, err := f.connected(ctx)
	if err != nil {
		return err
	}
	d, err := compare(ctx, newOffline(current), newOffline(next), connected)
	if err != nil {
		return err
	}
	if done, err := f.write(out, d); !done {
		printDiffering(out, d, f.whole)
	} else if err != nil {
		return err
	}
	if len(d.Differences) > 0 {
		return ErrDiffers
	}
	return nil
}

// mesh reads the objects that there are.
func (f *diffFlags) mesh(ctx context.Context) (objects, error) {
	if f.config != "" {
		return readDirectory(ctx, f.config)
	}
	return readCluster(ctx, f.kubeconfig)
}

// connected are the proxies of the control plane; nil when none is asked.
func (f *diffFlags) connected(ctx context.Context) (map[string]struct{}, error) {
	if f.address == "" {
		return nil, nil
	}
	list, err := f.proxies(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]struct{}{}
	for _, p := range list {
		out[p.ID] = struct{}{}
	}
	return out, nil
}

// readFiles reads the objects of files and directories; of several of one name
// the last counts.
func readFiles(ctx context.Context, paths []string) (objects, error) {
	all := objects{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		directory := path
		if !info.IsDir() {
			if directory, err = os.MkdirTemp("", "fairway-diff-"); err != nil {
				return nil, err
			}
			defer os.RemoveAll(directory)
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(directory, "objects.yaml"), text, 0o600); err != nil {
				return nil, err
			}
		}
		read, err := readDirectory(ctx, directory)
		if err != nil {
			return nil, err
		}
		if len(read) == 0 {
			return nil, fmt.Errorf("%s has no object that the control plane reads: see `fairway check`", path)
		}
		maps.Copy(all, read)
	}
	return all, nil
}

// compare tells what the proxies of two states of the mesh see differently. A
// proxy that is only in one of them is not compared: all that it sees is new.
func compare(ctx context.Context, before, after *Offline, connected map[string]struct{}) (differing, error) {
	of := map[string][]ResourceDiffered{}
	known := map[[2]snapshot.Stack][]ResourceDiffered{}
	var views []*snapshot.View
	defer func() {
		for _, v := range views {
			v.Close()
		}
	}()
	for _, w := range after.world.Workloads() {
		old := before.Workload(w.Namespace, w.Name)
		if _, ok := connected[proxyName(w)]; old == nil || w.Ref.Kind != object.KindPod || connected != nil && !ok {
			continue
		}
		a, err := before.attach(ctx, old)
		if err != nil {
			return differing{}, err
		}
		b, err := after.attach(ctx, w)
		if err != nil {
			return differing{}, err
		}
		views = append(views, a, b) // findings are told while somebody looks
		pair := [2]snapshot.Stack{a.Current(), b.Current()}
		list, ok := known[pair]
		if !ok {
			if list, err = differences(pair[0], pair[1]); err != nil {
				return differing{}, err
			}
			known[pair] = list
		}
		of[proxyName(w)] = list
	}
	d := differing{Differences: alike(of)}
	old, now := before.Findings(), after.Findings()
	d.Come = debug.Findings(slices.DeleteFunc(slices.Clone(now), func(x object.Finding) bool { return slices.Contains(old, x) }))
	d.Go = debug.Findings(slices.DeleteFunc(slices.Clone(old), func(x object.Finding) bool { return slices.Contains(now, x) }))
	return d, nil
}

func printDiffering(w io.Writer, d differing, whole bool) {
	if len(d.Differences) == 0 {
		fmt.Fprintln(w, "Nothing would change for any proxy.")
	}
	for _, g := range d.Differences {
		printDifference(w, g, whole)
	}
	for _, l := range []struct {
		head string
		list []debug.Finding
	}{{"Findings that would come:", d.Come}, {"Findings that would go:", d.Go}} {
		if len(l.list) > 0 {
			fmt.Fprintln(w, l.head)
		}
		for _, x := range l.list {
			fmt.Fprintf(w, "  %s %s: %s\n", x.Object, x.Field, x.Message)
		}
	}
}
