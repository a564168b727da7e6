package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/internal/gateways"
	"github.com/fairway-mesh/fairway/internal/identity/kube"
)

// leaderLease is the Lease of the replica that writes.
const leaderLease = "fairway-leader"

// newCleanupCommand is what the chart runs when it is uninstalled.
func newCleanupCommand() *cobra.Command {
	var kubeconfig, namespace string
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what a control plane wrote, after it was uninstalled",
		Long: `Removes from the cluster what the control plane wrote beside what was installed: its root certificate
(Secret fairway-ca-secret), its Lease, the ConfigMap fairway-ca-root-cert of every namespace, and the GatewayClasses
istio and fairway that it made. The chart runs it when it is uninstalled. Proxies that still run can no longer prove themselves to a control plane afterwards.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := kubeConfig(kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("making a client of %s: %w", config.Host, err)
			}
			objects, err := dynamic.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("making a client of %s: %w", config.Host, err)
			}
			return cleanup(cmd.Context(), client, objects, namespace)
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "reach the Kubernetes API by this file; default: as a Pod of the cluster")
	cmd.Flags().StringVar(&namespace, "namespace", "istio-system", "namespace that the control plane ran in")
	return cmd
}

// cleanup removes everything, and once more what a replica that was about to
// end has written meanwhile.
func cleanup(ctx context.Context, client kubernetes.Interface, objects dynamic.Interface, namespace string) error {
	const settle = 2 * time.Second
	for again := range 2 {
		if again > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(settle):
			}
		}
		if err := errors.Join(removeWritten(ctx, client, namespace), gateways.RemoveClasses(ctx, objects)); err != nil {
			return err
		}
	}
	return nil
}

func removeWritten(ctx context.Context, client kubernetes.Interface, namespace string) error {
	list, err := client.CoreV1().ConfigMaps("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", kube.BundleConfigMap).String()})
	if err != nil {
		return fmt.Errorf("finding the ConfigMaps %s: %w", kube.BundleConfigMap, err)
	}
	var errs []error
	gone := func(what string, err error) {
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("removing %s: %w", what, err))
		}
	}
	for _, m := range list.Items {
		gone("ConfigMap "+m.Namespace+"/"+m.Name, client.CoreV1().ConfigMaps(m.Namespace).Delete(ctx, m.Name, metav1.DeleteOptions{}))
	}
	gone("Secret "+kube.AuthoritySecret, client.CoreV1().Secrets(namespace).Delete(ctx, kube.AuthoritySecret, metav1.DeleteOptions{}))
	gone("Lease "+leaderLease, client.CoordinationV1().Leases(namespace).Delete(ctx, leaderLease, metav1.DeleteOptions{}))
	return errors.Join(errs...)
}
