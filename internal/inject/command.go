package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/version"
)

// NewCommand is "fairway inject": manual injection, as istioctl kube-inject.
func NewCommand() *cobra.Command {
	p := DefaultParams()
	p.Version = version.String()
	if version.Released() {
		p.InitImage = repository + ":" + p.Version
	}
	var files []string
	var output, pullPolicy, params string
	cmd := &cobra.Command{
		Use:   "inject -f FILE",
		Short: "Add the proxy to the pods of manifests",
		Long: `Reads Kubernetes manifests (YAML or JSON, any number of documents, lists too) and writes them with the proxy
added to every pod template. Everything else stays as it is; injecting twice changes nothing.`,
		Example: `  fairway inject -f app.yaml | kubectl apply -f -
  kubectl get deployment web -o yaml | fairway inject -f - | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.ImagePullPolicy = corev1.PullPolicy(pullPolicy)
			if params != "" {
				text, err := os.ReadFile(params)
				if err != nil {
					return fmt.Errorf("reading --params: %w", err)
				}
				if p, err = ReadParams(text, p); err != nil {
					return err
				}
			}
			in, err := open(files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			var result bytes.Buffer
			if err := Documents(in, &result, p, func(object, message string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", object, message)
			}); err != nil {
				return err
			}
			if output != "" && output != "-" {
				return os.WriteFile(output, result.Bytes(), 0o644)
			}
			_, err = cmd.OutOrStdout().Write(result.Bytes())
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&files, "filename", "f", nil, "manifests, - is standard input; may be repeated")
	f.StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	f.StringVar(&params, "params", "", "YAML file with settings, as of \"fairway serve --injection\"; it wins over the flags")
	f.StringVar(&p.XDSAddress, "xds-address", p.XDSAddress, "address of the control plane, host:port")
	f.BoolVar(&p.Plaintext, "plaintext", false, "speak to the control plane without TLS and token")
	f.StringVar(&p.ProxyImage, "image", p.ProxyImage, "image of the proxy, a stock Envoy")
	f.StringVar(&p.InitImage, "init-image", p.InitImage, "image of fairway, for the init container")
	f.StringVar(&pullPolicy, "image-pull-policy", string(corev1.PullIfNotPresent), "Always, IfNotPresent or Never, for both images; \"\" leaves it to Kubernetes")
	f.BoolVar(&p.NativeSidecar, "native-sidecar", false, "run the proxy as a native sidecar (Kubernetes 1.29 and newer)")
	f.BoolVar(&p.HoldApplication, "hold-application", false, "start the application when its proxy is ready (makes it a native sidecar)")
	f.BoolVar(&p.DrainApplication, "drain-application", false, "have the application serve on for a moment when its pod ends (Kubernetes 1.30 and newer)")
	f.StringVarP(&p.Namespace, "namespace", "n", p.Namespace, "namespace of objects that name none")
	f.StringVar(&p.RootNamespace, "root-namespace", p.RootNamespace, "namespace of the control plane")
	f.StringVar(&p.ClusterDomain, "cluster-domain", p.ClusterDomain, "DNS domain of services")
	f.StringVar(&p.ClusterID, "cluster-id", p.ClusterID, `name of the Kubernetes cluster (default "Kubernetes")`)
	f.BoolVar(&p.IPv6, "ipv6", false, "the first address of pods is of IPv6")
	f.BoolVar(&p.DualStack, "dual-stack", false, "pods have addresses of IPv4 and IPv6")
	f.StringVar(&p.LogLevel, "log-level", p.LogLevel, "Envoy's log level")
	f.IntVar(&p.Concurrency, "concurrency", p.Concurrency, "Envoy's worker threads beside an application; 0 leaves it to Envoy")
	f.DurationVar(&p.DrainWait, "drain-wait", p.DrainWait, "how long a plain proxy, and a drained application, outlives the start of its pod's end")
	return cmd
}

// open reads all files as one stream.
func open(files []string, stdin io.Reader) (io.Reader, error) {
	if len(files) == 0 {
		return nil, errors.New("nothing to inject: give -f FILE, or -f - for standard input")
	}
	var all bytes.Buffer
	for i, name := range files {
		if i > 0 {
			if all.Len() > 0 && all.Bytes()[all.Len()-1] != '\n' {
				all.WriteByte('\n')
			}
			all.WriteString("---\n")
		}
		if name == "-" {
			if _, err := io.Copy(&all, io.LimitReader(stdin, MaxInput+1)); err != nil {
				return nil, fmt.Errorf("reading standard input: %w", err)
			}
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all.Write(text)
	}
	return &all, nil
}
