package operate

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/internal/replicas"
)

// reach is how a command gets to the replicas of a control plane in a cluster.
type reach struct {
	kubeconfig, context, system, selector string
	direct                                bool
	tokenFile                             string
}

// flag adds the settings to a command.
func (r *reach) flag(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&r.kubeconfig, "kubeconfig", "", "how to reach the cluster; default: $KUBECONFIG, ~/.kube/config, or as a pod")
	p.StringVar(&r.context, "context", "", "context of the kubeconfig; default: its current one")
	p.StringVar(&r.system, "system-namespace", "istio-system", "namespace of the control plane")
	p.StringVar(&r.selector, "selector", "app=fairway", "labels of the control plane's pods")
	p.BoolVar(&r.direct, "direct", false, "reach the pods of the control plane by their addresses, from inside of the cluster")
	p.StringVar(&r.tokenFile, "token-file", "", "file with the Kubernetes token to show there; not needed where ports are forwarded")
}

// config is how the cluster is reached, and the namespace of the context.
func (r *reach) config() (config *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = r.kubeconfig
	loading := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: r.context})
	config, err = loading.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", errors.New("finding the cluster: there is no kubeconfig: give --kubeconfig, or set KUBECONFIG")
	}
	if err != nil {
		return nil, "", fmt.Errorf("finding the cluster: %w", err)
	}
	if namespace, _, err = loading.Namespace(); err != nil {
		return nil, "", fmt.Errorf("finding the namespace: %w", err)
	}
	config.UserAgent = "fairway"
	config.QPS, config.Burst = 100, 200 // a person waits, and asks for no more than some hundred things
	return config, namespace, nil
}

// finder finds the replicas.
func (r *reach) finder(config *rest.Config) (*replicas.Finder, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	token, err := r.token()
	return &replicas.Finder{REST: config, Client: client, Namespace: r.system, Selector: r.selector, Direct: r.direct, Token: token}, err
}

// token is what to show to the debug port; empty: nothing.
func (r *reach) token() (string, error) {
	if r.tokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(r.tokenFile)
	if err != nil {
		return "", fmt.Errorf("reading --token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
