package requests

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/operate"
)

// What the command returns, for exit statuses.
var (
	ErrFailed = errors.New("requests are not as wanted: see above") // 1
	ErrNoTest = errors.New("nothing was tested")                    // 2
)

// flags are the settings of "fairway test".
type flags struct {
	manifests  []string
	kubeconfig string
	cluster    bool
	output     string
}

// NewCommand is "fairway test".
func NewCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Test what becomes of requests: where they go, what is answered, what policies say",
		Long: `Reads files of requests with what is expected of each, translates the mesh as the control plane would, and follows
every request through the proxies on its way: listener, route, clusters, and the policies of the servers. No request is
sent, and no Envoy is needed.

The mesh is that of the manifests that the file names, or that -f names; workloads have one pod each, with a proxy unless
their template says otherwise. With --cluster or --kubeconfig it is that of a cluster, with the manifests of -f in place
of its own objects: what would become of requests if they were applied. docs/request-tests.md describes the file.

Exit status: 0 all requests are as wanted, 1 some are not, 2 something cannot be read.`,
		Example: `  fairway test samples/tests/flaskapp.yaml
  fairway test requests.yaml -f manifests/ -o junit > report.xml
  fairway test requests.yaml --cluster -f new-rules.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.cluster = f.cluster || cmd.Flags().Changed("kubeconfig")
			err := f.run(cmd, args)
			if err != nil && !errors.Is(err, ErrFailed) {
				err = fmt.Errorf("%w: %w", ErrNoTest, err)
			}
			return err
		},
	}
	p := cmd.Flags()
	p.StringSliceVarP(&f.manifests, "filename", "f", nil, "manifests, or a folder of them, in place of those that the files name; may be repeated")
	p.BoolVar(&f.cluster, "cluster", false, "the mesh is that of the cluster of the current kubeconfig")
	p.StringVar(&f.kubeconfig, "kubeconfig", "", "the mesh is that of the cluster that this file leads to; default of --cluster: $KUBECONFIG, or ~/.kube/config")
	p.StringVarP(&f.output, "output", "o", "text", "text, json or junit (JUnit XML)")
	return cmd
}

func (f *flags) run(cmd *cobra.Command, files []string) error {
	write := formats[f.output]
	if write == nil {
		return fmt.Errorf("-o %s: want text, json or junit", f.output)
	}
	var suites []*Suite
	for _, name := range files {
		of, err := ReadFile(name)
		if err != nil {
			return err
		}
		suites = append(suites, of...)
	}
	var all []Result
	var m *Mesh
	var of []string
	for _, s := range suites {
		manifests := f.manifests
		if manifests == nil && !f.cluster {
			manifests = s.Manifests
		}
		if len(manifests) == 0 && !f.cluster {
			return fmt.Errorf("%s: there is no mesh: name manifests in the file or by -f, or a cluster by --cluster", s.file)
		}
		if m == nil || !slices.Equal(of, manifests) {
			var kubeconfig *string
			if f.cluster {
				kubeconfig = &f.kubeconfig
			}
			offline, err := operate.ReadMesh(cmd.Context(), kubeconfig, manifests, cmd.InOrStdin())
			if err != nil {
				return err
			}
			m, of = NewMesh(offline), manifests
		}
		all = append(all, s.Run(cmd.Context(), m)...)
	}
	if err := write(cmd.OutOrStdout(), all); err != nil {
		return fmt.Errorf("writing what came of the requests: %w", err)
	}
	if failed(all) > 0 {
		return ErrFailed
	}
	return nil
}
