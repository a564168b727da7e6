package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/internal/identity"
)

// newAuthorityCommand is "fairway ca": what people do with the mesh's roots.
func newAuthorityCommand() *cobra.Command {
	var kubeconfig, namespace string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show the root certificates of the mesh",
		Long: `Shows the root certificates that proxies trust now, and which of them signs. They are kept in the Secret
fairway-ca-secret of the control plane's namespace, or plugged in by the Secret cacerts.`,
		Example: `  fairway ca
  fairway ca rotate
  kubectl exec -n istio-system deploy/fairway -- /fairway ca rotate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openAuthority(cmd.Context(), kubeconfig, namespace)
			if err != nil {
				return err
			}
			return printAuthority(cmd.OutOrStdout(), a)
		},
	}
	f := cmd.PersistentFlags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "reach the Kubernetes API by this file; default: as kubectl does, or as a Pod of the cluster")
	f.StringVarP(&namespace, "namespace", "n", first(os.Getenv("POD_NAMESPACE"), "istio-system"), "namespace of the control plane")
	cmd.AddCommand(newRotateCommand(&kubeconfig, &namespace))
	return cmd
}

func newRotateCommand(kubeconfig, namespace *string) *cobra.Command {
	var overlap time.Duration
	var lost bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Begin to replace the self-signed root certificate",
		Long: `Makes a new root certificate. Every proxy trusts it from now on, beside the old one; it signs when the overlap is
over, and the old one stays trusted until the last certificate that it signed has expired. No connection is cut.
Control planes do this by themselves before a root expires. While a rotation is under way, nothing more is begun.
An authority that is plugged in by the Secret cacerts is rotated by replacing what that Secret holds.

With --lost it makes a root where the old one's key is lost, so that control planes can start again: none of them runs
any more, and there is no backup of the Secret. The old root stays trusted for a day; yet workloads whose proxies have
not come to a control plane since cannot talk to those whose proxies have.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lost {
				return replaceLost(cmd, *kubeconfig, *namespace)
			}
			o, err := authorityOptions(*kubeconfig, *namespace)
			if err != nil {
				return err
			}
			o.Overlap = overlap
			a, err := identity.New(o)
			if err != nil {
				return err
			}
			if err := a.RotateRoot(cmd.Context()); err != nil {
				return err
			}
			if a, err = openAuthority(cmd.Context(), *kubeconfig, *namespace); err != nil { // as it is now
				return fmt.Errorf("the rotation is under way; %w", err)
			}
			return printAuthority(cmd.OutOrStdout(), a)
		},
	}
	cmd.Flags().BoolVar(&lost, "lost", false, "the key of the root is lost for good: make another one, for control planes that wait for it")
	cmd.Flags().DurationVar(&overlap, "overlap", time.Hour, "how long the new root is trusted before it signs; the kubelet takes up to two minutes to tell every pod")
	return cmd
}

// replaceLost makes a root in place of one whose key is lost.
func replaceLost(cmd *cobra.Command, kubeconfig, namespace string) error {
	o, err := authorityOptions(kubeconfig, namespace)
	if err != nil {
		return err
	}
	if err := identity.ReplaceLost(cmd.Context(), o); err != nil {
		return err
	}
	a, err := identity.Open(cmd.Context(), o)
	if err != nil {
		return err
	}
	return printAuthority(cmd.OutOrStdout(), a)
}

// authorityOptions find the authority of a cluster.
func authorityOptions(kubeconfig, namespace string) (identity.Options, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return identity.Options{}, fmt.Errorf("finding the cluster: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return identity.Options{}, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	o := identity.Options{Existing: true, Log: slog.New(slog.DiscardHandler)}
	keepIn(&o, client, namespace)
	return o, nil
}

// openAuthority opens the authority of a cluster, which must be there already.
func openAuthority(ctx context.Context, kubeconfig, namespace string) (*identity.Authority, error) {
	o, err := authorityOptions(kubeconfig, namespace)
	if err != nil {
		return nil, err
	}
	entries, _, err := o.Storage.Load(ctx)
	if err == nil && entries == nil {
		entries, err = o.PluggedIn(ctx)
	}
	if err != nil {
		return nil, err
	}
	if told, wrong := o.Told(ctx); entries == nil && wrong == nil && len(told) == 0 {
		return nil, fmt.Errorf("there is neither %s nor %s: does a control plane run in this namespace (--namespace)?", o.Storage, o.PluggedInName)
	}
	return identity.Open(ctx, o)
}

// printAuthority shows the roots, and when they were put back.
func printAuthority(out io.Writer, a *identity.Authority) error {
	if err := printRoots(out, a.Roots()); err != nil {
		return err
	}
	m := a.Mended()
	if m.Fault == "" {
		return nil
	}
	_, err := fmt.Fprintf(out, "\nput back on %s: %s\n", m.At.Local().Format(time.DateTime), faultText(m.Fault))
	return err
}

func printRoots(out io.Writer, roots []identity.Root) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FINGERPRINT\tEXPIRES\tSIGNS")
	for _, r := range roots {
		signs := "no more"
		switch {
		case r.Signing:
			signs = "now"
		case !r.SignsFrom.IsZero():
			signs = "from " + r.SignsFrom.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%.16s\t%s\t%s\n", r.Fingerprint, r.NotAfter.Format(time.DateOnly), signs)
	}
	return w.Flush()
}
