package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// ownerLabel names on a ConfigMap the namespace of the control plane that keeps
// it.
const ownerLabel = "fairway-control-plane"

// Told reads for identity.Options.Told what two namespaces were told in which no
// tenant writes: that of the control plane and kube-system. What another control plane keeps does not count.
func Told(client kubernetes.Interface, namespace string) func(context.Context) (map[string][]byte, error) {
	return func(ctx context.Context) (map[string][]byte, error) {
		out := map[string][]byte{}
		for _, n := range []string{namespace, metav1.NamespaceSystem} {
			m, err := client.CoreV1().ConfigMaps(n).Get(ctx, BundleConfigMap, metav1.GetOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", n, BundleConfigMap, err)
			}
			if owner := m.Labels[ownerLabel]; owner == "" || owner == namespace {
				out["ConfigMap "+n+"/"+BundleConfigMap] = []byte(m.Data[BundleKey])
			}
		}
		return out, nil
	}
}
