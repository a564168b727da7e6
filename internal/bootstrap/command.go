package bootstrap

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/version"
)

// NewCommand is "fairway bootstrap": it prints the bootstrap of one proxy.
func NewCommand() *cobra.Command {
	c := Config{Version: version.String()}
	var role, output, file string
	var labels []string
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Print the bootstrap configuration of a stock Envoy",
		Long: `Prints the bootstrap of a sidecar or gateway for a stock Envoy 1.38 or newer.

Run it with:   envoy --config-yaml "$(fairway bootstrap --output json)" ` + strings.Join(Args(), " ") + `
In a pod, names and addresses may be placeholders that the kubelet fills in: --pod '$(POD_NAME)'.`,
		Example: `  fairway bootstrap --pod web-1 --namespace shop --ip 10.0.0.7 --xds-address 127.0.0.1:15010 --plaintext
  fairway bootstrap --role router --pod gateway-1 --namespace istio-system --ip 10.0.0.8 --xds-address fairway.istio-system.svc:15012`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Role = Role(role)
			var err error
			if c.Labels, err = parseLabels(labels); err != nil {
				return err
			}
			render := map[string]func(Config) (string, error){"yaml": YAML, "json": JSON}[output]
			if render == nil {
				return fmt.Errorf("--output %q: must be yaml or json", output)
			}
			text, err := render(c)
			if err != nil {
				return err
			}
			text = strings.TrimSuffix(text, "\n") + "\n"
			if file != "" {
				return os.WriteFile(file, []byte(text), 0o644) // it holds no secret, and Envoy may run as another user
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", string(Sidecar), "sidecar or router (a gateway)")
	f.StringVar(&c.Pod, "pod", "$(POD_NAME)", "name of the pod")
	f.StringVar(&c.Namespace, "namespace", "$(POD_NAMESPACE)", "namespace of the pod")
	f.StringVar(&c.IP, "ip", "$(INSTANCE_IP)", "address of the pod, IPv4 or IPv6")
	f.StringVar(&c.IPs, "ips", "", "all addresses of the pod, comma separated (default: that of --ip)")
	f.StringVar(&c.ServiceAccount, "service-account", "", "service account of the pod")
	f.StringVar(&c.Workload, "workload", "", "name of the pod's Deployment (default: the pod's name)")
	f.StringSliceVar(&labels, "label", nil, "label of the pod, NAME=VALUE; may be repeated")
	f.StringVar(&c.ClusterID, "cluster-id", "", `name of the Kubernetes cluster (default "Kubernetes")`)
	f.StringVar(&c.ClusterDomain, "cluster-domain", DefaultClusterDomain, "DNS domain of services")
	f.StringVar(&c.Listen, "listen", "", "address of the readiness, probe and Prometheus listeners (default: any of the pod's family)")
	f.StringVar(&c.XDSAddress, "xds-address", "127.0.0.1:15010", "address of the control plane, host:port")
	f.BoolVar(&c.Plaintext, "plaintext", false, "speak to the control plane without TLS and token")
	f.StringVar(&c.CredentialDir, "credential-dir", DefaultCredentialDir, "directory with the token, the authority's certificates and their SDS files")
	f.BoolVar(&c.StateOfTheWorld, "sotw", false, "use state-of-the-world xDS instead of delta")
	f.Duration("drain-wait", 0, "")
	_ = f.MarkDeprecated("drain-wait", "it has no effect: the control plane drains proxies, and a preStop hook that sleeps keeps them alive meanwhile") // fails for unknown flags only
	f.StringSliceVar(&c.Stats.Prefixes, "stats-prefix", nil, "keep Envoy's own statistics with this prefix too; may be repeated")
	f.StringVarP(&output, "output", "o", "yaml", "yaml or json")
	f.StringVar(&file, "file", "", "write to this file (default: standard output)")
	return cmd
}

func parseLabels(list []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, l := range list {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--label %q: want NAME=VALUE", l)
		}
		labels[name] = value
	}
	return labels, nil
}
