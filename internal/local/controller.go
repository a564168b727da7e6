//go:build linux

package local

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// reconcileLoop is the controllers: it alone creates and deletes the pods of
// workloads, and computes services.
func (m *Mesh) reconcileLoop() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.wake:
		}
		m.mu.Lock()
		if m.ctx.Err() == nil {
			m.settled = m.kicks
			m.reconcileWorkloads()
			m.reconcileServices()
			m.announce()
		}
		m.mu.Unlock()
		m.relays.listen()
	}
}

// reconcileWorkloads brings pods nearer to what the workloads ask for. Called
// with mu held.
func (m *Mesh) reconcileWorkloads() {
	owned := map[Key][]*podEntry{}
	for _, name := range slices.Sorted(maps.Keys(m.pods)) {
		e := m.pods[name]
		if e.owner == (Key{}) {
			continue
		}
		if m.objects[e.owner] == nil {
			m.deletePod(e, -1)
			continue
		}
		owned[e.owner] = append(owned[e.owner], e)
	}
	for key, u := range m.objects {
		if key.Group != "apps" && key.Group != "batch" || key.Kind == "CronJob" {
			continue
		}
		w, err := readWorkload(u)
		if err != nil {
			continue // Apply has refused it, or it is of another kind
		}
		if err := m.reconcile(w, owned[key]); err != nil {
			m.config.Log.Warn("a workload cannot make its pods", "object", key.String(), "err", err)
		}
	}
}

func (m *Mesh) reconcile(w *workload, pods []*podEntry) error {
	switch {
	case w.job:
		return m.reconcileJob(w, pods)
	case w.ordered:
		return m.reconcileStateful(w, pods)
	case w.perNode:
		return m.reconcilePerNode(w, pods)
	}
	return m.reconcileReplicas(w, pods)
}

// reconcileReplicas follows the Deployment controller's rolling update.
func (m *Mesh) reconcileReplicas(w *workload, pods []*podEntry) error {
	var current, old []*podEntry
	ending, ready := 0, 0
	for _, e := range pods {
		switch {
		case e.deleting():
			ending++
			continue
		case e.finished():
			m.deletePod(e, 0) // evicted or failed for good: a new one takes its place
			continue
		case e.hash == w.hash || w.key.Kind == "ReplicaSet":
			current = append(current, e)
		default:
			old = append(old, e)
		}
		if e.ready() {
			ready++
		}
	}
	unreadyFirst := func(a, b *podEntry) int {
		if a.ready() != b.ready() {
			if b.ready() {
				return -1
			}
			return 1
		}
		return b.pod.CreationTimestamp.Compare(a.pod.CreationTimestamp.Time)
	}
	slices.SortStableFunc(current, unreadyFirst)
	slices.SortStableFunc(old, unreadyFirst)
	for _, e := range current[:max(0, len(current)-w.replicas)] {
		m.deletePod(e, -1)
		if e.ready() {
			ready--
		}
	}
	current = current[max(0, len(current)-w.replicas):]
	if w.recreate && len(old) > 0 {
		for _, e := range old {
			m.deletePod(e, -1)
		}
		return nil
	}
	if w.recreate && ending > 0 {
		return nil
	}
	for _, e := range old {
		if e.ready() && ready <= w.replicas-w.unavailable {
			break // fewer would be too few
		}
		if e.ready() {
			ready--
		}
		m.deletePod(e, -1)
		old = old[1:]
	}
	room := min(w.replicas-len(current), w.replicas+w.surge-len(current)-len(old))
	for range room {
		if err := m.createOwned(w, w.key.Name+"-"+w.hash+"-"+suffix(), nil); err != nil {
			return err
		}
	}
	return nil
}

// reconcileStateful keeps pods NAME-0, NAME-1, ... one after the other unless Parallel.
func (m *Mesh) reconcileStateful(w *workload, pods []*podEntry) error {
	byName := map[string]*podEntry{}
	for _, e := range pods {
		byName[e.pod.Name] = e
	}
	for n := range w.replicas {
		name := fmt.Sprintf("%s-%d", w.key.Name, n)
		e := byName[name]
		delete(byName, name)
		if e == nil {
			err := m.createOwned(w, name, func(p *corev1.Pod) {
				p.Spec.Hostname, p.Spec.Subdomain = name, w.service
				p.Labels["statefulset.kubernetes.io/pod-name"], p.Labels["apps.kubernetes.io/pod-index"] = name, fmt.Sprint(n)
			})
			if err != nil || !w.parallel {
				return err
			}
			continue
		}
		if !e.ready() && !w.parallel {
			if !e.deleting() && e.hash != w.hash {
				m.deletePod(e, -1) // it may never become ready
			}
			return nil
		}
	}
	// All are there and ready: first those too many, then those out of date, from the last.
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(byName))) {
		m.deletePod(byName[name], -1)
		if !w.parallel {
			return nil
		}
	}
	for _, e := range slices.Backward(pods) {
		if e.deleting() {
			return nil
		}
		if e.hash != w.hash {
			m.deletePod(e, -1)
			return nil
		}
	}
	return nil
}

// reconcilePerNode keeps one pod on each node.
func (m *Mesh) reconcilePerNode(w *workload, pods []*podEntry) error {
	on := map[string]*podEntry{}
	for _, e := range pods {
		on[e.pod.Spec.NodeName] = e
	}
	for _, n := range m.config.Nodes {
		e := on[n.Name]
		switch {
		case e == nil:
			if err := m.createOwned(w, w.key.Name+"-"+suffix(), func(p *corev1.Pod) { p.Spec.NodeName = n.Name }); err != nil {
				return err
			}
		case e.hash != w.hash && !e.deleting():
			m.deletePod(e, -1)
			return nil // one node after the other
		case !e.ready():
			return nil
		}
	}
	return nil
}

// reconcileJob runs pods until as many as asked for have succeeded.
func (m *Mesh) reconcileJob(w *workload, pods []*podEntry) error {
	open, failed := w.replicas, 0
	for _, e := range pods {
		if e.pod.Status.Phase == corev1.PodFailed {
			failed++
		} else {
			open--
		}
	}
	if failed > w.retries {
		return nil
	}
	for range open {
		if err := m.createOwned(w, w.key.Name+"-"+suffix(), nil); err != nil {
			return err
		}
	}
	return nil
}

// createOwned makes a pod of the workload's template.
func (m *Mesh) createOwned(w *workload, name string, change func(*corev1.Pod)) error {
	pod := &corev1.Pod{ObjectMeta: *w.template.ObjectMeta.DeepCopy(), Spec: *w.template.Spec.DeepCopy()}
	pod.Name, pod.Namespace = name, w.key.Namespace
	pod.Labels = relabel(pod.Labels, nil)
	controller := true
	owner := metav1.OwnerReference{APIVersion: w.key.Group + "/v1", Kind: w.key.Kind, Name: w.key.Name, UID: types.UID(w.uid), Controller: &controller}
	switch w.key.Kind {
	case "Deployment":
		pod.Labels["pod-template-hash"] = w.hash
		owner.Kind, owner.Name = "ReplicaSet", w.key.Name+"-"+w.hash
		pod.GenerateName = owner.Name + "-"
	case "StatefulSet", "DaemonSet":
		pod.Labels["controller-revision-hash"] = w.key.Name + "-" + w.hash
	case "Job":
		pod.Labels["job-name"], pod.Labels["batch.kubernetes.io/job-name"] = w.key.Name, w.key.Name
	}
	pod.OwnerReferences = []metav1.OwnerReference{owner}
	if change != nil {
		change(pod)
	}
	_, err := m.createPod(pod, w.key, w.hash)
	return err
}
