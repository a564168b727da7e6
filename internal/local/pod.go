//go:build linux

package local

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/local/kubelet"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// podEntry is a pod and who runs it. Guarded by Mesh.mu.
type podEntry struct {
	pod    *corev1.Pod // as the API shows it
	owner  Key         // the workload; zero for a pod of its own
	hash   string      // of the template it was made from
	runner *kubelet.Pod
}

func (e *podEntry) name() string   { return e.pod.Namespace + "/" + e.pod.Name }
func (e *podEntry) deleting() bool { return e.pod.DeletionTimestamp != nil }

func (e *podEntry) ready() bool {
	for _, c := range e.pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && !e.deleting()
		}
	}
	return false
}

func (e *podEntry) finished() bool {
	return e.pod.Status.Phase == corev1.PodSucceeded || e.pod.Status.Phase == corev1.PodFailed
}

// putPod creates a pod from a manifest, or changes the labels and annotations of
// one that runs. Called with mu held.
func (m *Mesh) putPod(u *unstructured.Unstructured) error {
	pod, err := typed[corev1.Pod](u)
	if err != nil {
		return err
	}
	if e := m.pods[pod.Namespace+"/"+pod.Name]; e != nil {
		e.pod.Labels, e.pod.Annotations = relabel(e.pod.Labels, pod.Labels), relabel(e.pod.Annotations, pod.Annotations)
		return m.publishPod(e)
	}
	_, err = m.createPod(pod, Key{}, "")
	return err
}

// createPod admits a pod as the API server with the injection webhook would, gives
// it addresses and a node, and runs it. Called with mu held.
func (m *Mesh) createPod(pod *corev1.Pod, owner Key, hash string) (*podEntry, error) {
	var labels map[string]string
	if ns := m.objects[Key{"", "Namespace", "", pod.Namespace}]; ns != nil {
		labels = ns.GetLabels()
	}
	if inject.Wanted(pod, labels) {
		result, err := inject.Inject(pod, m.injection)
		if err != nil {
			return nil, fmt.Errorf("Pod %s/%s: injecting the proxy: %w", pod.Namespace, pod.Name, err)
		}
		pod = result.Pod
	}
	pod = pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	pod.UID = types.UID(uuid.NewString())
	pod.CreationTimestamp = metav1.Now()
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = "default"
	}
	if pod.Spec.RestartPolicy == "" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for j := range list[i].Ports {
				if p := &list[i].Ports[j]; p.Protocol == "" {
					p.Protocol = corev1.ProtocolTCP
				}
			}
		}
	}
	if err := m.schedule(pod); err != nil {
		return nil, fmt.Errorf("Pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	v4, v6, err := m.addresses.nextPod(m.podAddressUsed)
	if err != nil {
		return nil, err
	}
	addresses := []netip.Addr{v4}
	if m.config.IPv6 {
		addresses = append(addresses, v6)
	}
	e := &podEntry{pod: pod, owner: owner, hash: hash}
	e.pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	m.pods[e.name()] = e
	e.runner = kubelet.NewPod(m.machine, pod, addresses, func(s corev1.PodStatus) { m.podChanged(e, s) })
	m.tasks.Go(func() { m.runPod(e) })
	return e, m.publishPod(e)
}

func (m *Mesh) runPod(e *podEntry) {
	_ = e.runner.Run(m.ctx) // why it did not start is in its status
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.deleting() || m.ctx.Err() != nil {
		delete(m.pods, e.name())
		if err := m.state.remove(Key{"", "Pod", e.pod.Namespace, e.pod.Name}); err != nil && m.ctx.Err() == nil {
			m.config.Log.Error("a pod's file stays", "err", err)
		}
	}
	m.announce()
	m.kick()
}

// schedule chooses the node with the fewest pods. Called with mu held.
func (m *Mesh) schedule(pod *corev1.Pod) error {
	if pod.Spec.NodeName != "" {
		return nil
	}
	pods := map[string]int{}
	for _, e := range m.pods {
		pods[e.pod.Spec.NodeName]++
	}
	for _, n := range m.config.Nodes {
		fits := true
		for k, v := range pod.Spec.NodeSelector {
			fits = fits && (n.Labels[k] == v || k == "kubernetes.io/hostname" && v == n.Name || k == "kubernetes.io/os" && v == "linux")
		}
		if fits && (pod.Spec.NodeName == "" || pods[n.Name] < pods[pod.Spec.NodeName]) {
			pod.Spec.NodeName = n.Name
		}
	}
	if pod.Spec.NodeName == "" {
		return fmt.Errorf("no node has the labels of its nodeSelector")
	}
	return nil
}

func (m *Mesh) podAddressUsed(a netip.Addr) bool {
	for _, e := range m.pods {
		for _, ip := range e.pod.Status.PodIPs {
			if ip.IP == a.String() {
				return true
			}
		}
	}
	return false
}

// podChanged receives a new status from the kubelet.
func (m *Mesh) podChanged(e *podEntry, status corev1.PodStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pods[e.name()] != e {
		return
	}
	e.pod.Status = status
	if err := m.publishPod(e); err != nil {
		m.config.Log.Error("a pod's status is not published", "err", err)
	}
}

// publishPod shows the pod to the control plane. Called with mu held.
func (m *Mesh) publishPod(e *podEntry) error {
	m.version++
	e.pod.ResourceVersion = fmt.Sprint(m.version)
	m.announce()
	m.kick()
	if m.ctx.Err() != nil {
		return nil //nolint:nilerr // nobody reads any more
	}
	return m.state.write(untyped(e.pod, "v1", "Pod"))
}

// deletePod begins a pod's end: its deletionTimestamp is seen before anything
// happens to it. Negative grace is the pod's own. Called with mu held.
func (m *Mesh) deletePod(e *podEntry, grace time.Duration) {
	if e.deleting() {
		return
	}
	seconds := int64(30)
	if s := e.pod.Spec.TerminationGracePeriodSeconds; s != nil {
		seconds = *s
	}
	if grace >= 0 {
		seconds = int64(grace / time.Second)
	}
	when := metav1.NewTime(time.Now().Add(time.Duration(seconds) * time.Second))
	e.pod.DeletionTimestamp, e.pod.DeletionGracePeriodSeconds = &when, &seconds
	if err := m.publishPod(e); err != nil {
		m.config.Log.Error("a pod's end is not published", "err", err)
	}
	e.runner.Delete(time.Duration(seconds) * time.Second)
}

// DeletePod deletes one pod, named NAMESPACE/NAME, with a grace for its end
// (negative: the pod's own; zero: killed at once).
func (m *Mesh) DeletePod(name string, grace time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.pods[name]
	if e == nil {
		return fmt.Errorf("Pod %s does not exist", name)
	}
	m.deletePod(e, grace)
	return nil
}

// suffix is what Kubernetes appends to names to make them unique.
func suffix() string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, 5)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}
