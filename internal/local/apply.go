//go:build linux

package local

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Apply creates or replaces objects, as kubectl apply does with whole manifests:
// several documents, Lists, any version of a kind. All are checked before the
// first is written.
func (m *Mesh) Apply(ctx context.Context, manifests []byte) error {
	objects, err := parse(manifests)
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	for _, u := range objects {
		if err := check(u); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ctx.Err(); err != nil {
		return fmt.Errorf("the local mesh has ended: %w", err)
	}
	for _, u := range objects {
		if err := m.put(u); err != nil {
			return err
		}
	}
	m.announce()
	m.kick()
	return ctx.Err()
}

// check refuses what cannot be read later.
func check(u *unstructured.Unstructured) error {
	var err error
	switch k := keyOf(u); k.Group + "/" + k.Kind {
	case "/Service":
		_, err = typed[corev1.Service](u)
	case "/Pod":
		_, err = typed[corev1.Pod](u)
	case "apps/Deployment", "apps/ReplicaSet", "apps/StatefulSet", "apps/DaemonSet", "batch/Job":
		_, err = readWorkload(u)
	}
	return err
}

// put stores one object. Called with mu held.
func (m *Mesh) put(u *unstructured.Unstructured) error {
	key := keyOf(u)
	if key.Namespace != "" && m.objects[Key{"", "Namespace", "", key.Namespace}] == nil {
		return fmt.Errorf("%s: namespace %s does not exist: create it first", key, key.Namespace)
	}
	if key == (Key{"", "Pod", key.Namespace, key.Name}) {
		return m.putPod(u)
	}
	old := m.objects[key]
	if key.Group == "" && key.Kind == "Service" {
		var err error
		if u, err = m.completeService(u, old); err != nil {
			return err
		}
	}
	if key.Kind == "CronJob" {
		m.config.Log.Warn("a CronJob does nothing: the local mesh has no clock for it", "object", key.String())
	}
	m.stamp(u, old)
	return m.store(u)
}

// stamp gives an object what the API server gives it. Called with mu held.
func (m *Mesh) stamp(u, old *unstructured.Unstructured) {
	m.version++
	u.SetResourceVersion(strconv.FormatInt(m.version, 10))
	if old == nil {
		u.SetUID(types.UID(uuid.NewString()))
		u.SetCreationTimestamp(metav1.Now())
		u.SetGeneration(1)
		return
	}
	u.SetUID(old.GetUID())
	u.SetCreationTimestamp(old.GetCreationTimestamp())
	u.SetGeneration(old.GetGeneration())
	if !reflect.DeepEqual(u.Object["spec"], old.Object["spec"]) {
		u.SetGeneration(old.GetGeneration() + 1)
	}
}

// store keeps the object and shows it to the control plane. Called with mu held.
func (m *Mesh) store(u *unstructured.Unstructured) error {
	key := keyOf(u)
	m.objects[key] = u
	if !forControlPlane(key) {
		return nil
	}
	return m.state.write(u)
}

// forControlPlane says whether the control plane reads such objects. It is not
// given workloads: it knows pods.
func forControlPlane(k Key) bool {
	switch k.Group {
	case "":
		switch k.Kind {
		case "Service", "Pod", "Node", "Namespace", "Secret", "ConfigMap", "Endpoints":
			return true
		}
		return false
	case "discovery.k8s.io", "gateway.networking.k8s.io":
		return true
	}
	return strings.HasSuffix(k.Group, ".istio.io")
}

// Delete deletes the objects that the manifests name, as kubectl delete -f does;
// those that do not exist are no error. Pods end gracefully, in the background.
func (m *Mesh) Delete(ctx context.Context, manifests []byte) error {
	objects, err := parse(manifests)
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range objects {
		if err := m.drop(keyOf(u)); err != nil {
			return err
		}
	}
	m.announce()
	m.kick()
	return ctx.Err()
}

// drop deletes one object. What it owned follows in the reconcile loop. Called
// with mu held.
func (m *Mesh) drop(key Key) error {
	if key.Group == "" && key.Kind == "Pod" {
		if e := m.pods[key.Namespace+"/"+key.Name]; e != nil {
			m.deletePod(e, -1)
		}
		return nil
	}
	if m.objects[key] == nil {
		return nil
	}
	if key.Kind == "Namespace" && key.Group == "" {
		for k := range m.objects {
			if k.Namespace == key.Name {
				if err := m.drop(k); err != nil {
					return err
				}
			}
		}
	}
	delete(m.objects, key)
	return m.state.remove(key)
}

// Label sets labels of an object, as kubectl label --overwrite does; an empty
// value removes the label.
func (m *Mesh) Label(ctx context.Context, key Key, labels map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key.Kind == "Pod" && key.Group == "" {
		e := m.pods[key.Namespace+"/"+key.Name]
		if e == nil {
			return fmt.Errorf("%s does not exist", key)
		}
		e.pod.Labels = relabel(e.pod.Labels, labels)
		return m.publishPod(e)
	}
	old := m.objects[key]
	if old == nil {
		return fmt.Errorf("%s does not exist", key)
	}
	u := old.DeepCopy()
	u.SetLabels(relabel(u.GetLabels(), labels))
	m.stamp(u, old)
	if err := m.store(u); err != nil {
		return err
	}
	m.announce()
	m.kick()
	return ctx.Err()
}

func relabel(old, change map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range old {
		out[k] = v
	}
	for k, v := range change {
		if v == "" {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

// Scale sets the number of replicas of a Deployment, ReplicaSet or StatefulSet.
func (m *Mesh) Scale(ctx context.Context, kind, namespace, name string, replicas int) error {
	return m.edit(ctx, Key{"apps", kind, namespace, name}, func(u *unstructured.Unstructured) error {
		return unstructured.SetNestedField(u.Object, int64(replicas), "spec", "replicas")
	})
}

// Restart replaces the pods of a workload, as kubectl rollout restart does.
func (m *Mesh) Restart(ctx context.Context, kind, namespace, name string) error {
	return m.edit(ctx, Key{"apps", kind, namespace, name}, func(u *unstructured.Unstructured) error {
		return unstructured.SetNestedField(u.Object, uuid.NewString(), "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
	})
}

func (m *Mesh) edit(ctx context.Context, key Key, f func(*unstructured.Unstructured) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.objects[key]
	if old == nil {
		return fmt.Errorf("%s does not exist", key)
	}
	u := old.DeepCopy()
	if err := f(u); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	m.stamp(u, old)
	if err := m.store(u); err != nil {
		return err
	}
	m.announce()
	m.kick()
	return ctx.Err()
}

// get reads an object into its type; nil if it is not there or not readable.
// Called with mu held.
func get[T any](m *Mesh, key Key) *T {
	u := m.objects[key]
	if u == nil {
		return nil
	}
	object, err := typed[T](u)
	if err != nil {
		m.config.Log.Warn("an object cannot be read", "object", key.String(), "err", err)
		return nil
	}
	return object
}

// configMap and secret answer the kubelet, which does not hold mu.
func (m *Mesh) configMap(namespace, name string) *corev1.ConfigMap {
	m.mu.Lock()
	defer m.mu.Unlock()
	return get[corev1.ConfigMap](m, Key{"", "ConfigMap", namespace, name})
}

func (m *Mesh) secret(namespace, name string) *corev1.Secret {
	m.mu.Lock()
	defer m.mu.Unlock()
	return get[corev1.Secret](m, Key{"", "Secret", namespace, name})
}
