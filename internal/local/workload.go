package local

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"
)

// workload is what the controllers need of a Deployment, ReplicaSet, StatefulSet,
// DaemonSet or Job.
type workload struct {
	key      Key
	uid      string
	replicas int
	template corev1.PodTemplateSpec
	hash     string // of the template

	surge, unavailable int  // of a rolling update
	recreate           bool // strategy Recreate
	ordered            bool // a StatefulSet
	parallel           bool // podManagementPolicy Parallel
	service            string
	perNode            bool // a DaemonSet
	job                bool
	retries            int // of a Job
}

// readWorkload reads any of the kinds. The old API groups have the same fields.
func readWorkload(u *unstructured.Unstructured) (*workload, error) {
	w := &workload{key: keyOf(u), uid: string(u.GetUID()), replicas: 1}
	count := func(n *int32) {
		if n != nil {
			w.replicas = int(*n)
		}
	}
	switch w.key.Kind {
	case "Deployment":
		d, err := typed[appsv1.Deployment](u)
		if err != nil {
			return nil, err
		}
		count(d.Spec.Replicas)
		w.template, w.recreate = d.Spec.Template, d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType
		if err := w.rolling(d.Spec.Strategy.RollingUpdate); err != nil {
			return nil, fmt.Errorf("%s: %w", w.key, err)
		}
	case "ReplicaSet":
		r, err := typed[appsv1.ReplicaSet](u)
		if err != nil {
			return nil, err
		}
		count(r.Spec.Replicas)
		w.template = r.Spec.Template
	case "StatefulSet":
		s, err := typed[appsv1.StatefulSet](u)
		if err != nil {
			return nil, err
		}
		count(s.Spec.Replicas)
		w.template, w.ordered, w.service = s.Spec.Template, true, s.Spec.ServiceName
		w.parallel = s.Spec.PodManagementPolicy == appsv1.ParallelPodManagement
	case "DaemonSet":
		d, err := typed[appsv1.DaemonSet](u)
		if err != nil {
			return nil, err
		}
		w.template, w.perNode = d.Spec.Template, true
	case "Job":
		j, err := typed[batchv1.Job](u)
		if err != nil {
			return nil, err
		}
		count(j.Spec.Completions)
		w.template, w.job, w.retries = j.Spec.Template, true, 6
		if j.Spec.BackoffLimit != nil {
			w.retries = int(*j.Spec.BackoffLimit)
		}
	default:
		return nil, fmt.Errorf("%s: not a workload", w.key)
	}
	if len(w.template.Spec.Containers) == 0 {
		return nil, fmt.Errorf("%s: spec.template.spec.containers: at least one container is needed", w.key)
	}
	w.hash = templateHash(w.template)
	return w, nil
}

// rolling reads maxSurge (rounded up) and maxUnavailable (rounded down), 25 % each
// by default; both zero is one unavailable.
func (w *workload) rolling(r *appsv1.RollingUpdateDeployment) error {
	quarter := intstr.FromString("25%")
	surge, unavailable := &quarter, &quarter
	if r != nil && r.MaxSurge != nil {
		surge = r.MaxSurge
	}
	if r != nil && r.MaxUnavailable != nil {
		unavailable = r.MaxUnavailable
	}
	var err error
	if w.surge, err = intstr.GetScaledValueFromIntOrPercent(surge, w.replicas, true); err != nil {
		return fmt.Errorf("maxSurge: %w", err)
	}
	if w.unavailable, err = intstr.GetScaledValueFromIntOrPercent(unavailable, w.replicas, false); err != nil {
		return fmt.Errorf("maxUnavailable: %w", err)
	}
	if w.surge == 0 && w.unavailable == 0 {
		w.unavailable = 1
	}
	return nil
}

func templateHash(t corev1.PodTemplateSpec) string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("encoding a pod template: %v", err)) // it was decoded from the same
	}
	h := fnv.New32a()
	h.Write(text)
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

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

// missing says which workload of the namespace is not as it should be, or "".
// Called with mu held.
func (m *Mesh) missing(namespace string) string {
	var out []string
	for key, u := range m.objects {
		if key.Namespace != namespace || key.Group != "apps" && key.Group != "batch" {
			continue
		}
		w, err := readWorkload(u)
		if err != nil {
			continue
		}
		want, ready, other := w.replicas, 0, 0
		if w.perNode {
			want = len(m.config.Nodes)
		}
		for _, e := range m.pods {
			switch {
			case e.owner != key:
			case w.job && e.pod.Status.Phase == corev1.PodSucceeded, !w.job && e.ready() && e.hash == w.hash:
				ready++
			case !w.job:
				other++
			}
		}
		if ready != want || other > 0 {
			out = append(out, fmt.Sprintf("%s: %d of %d pods are ready%s", key, ready, want, m.whyNot(key)))
		}
	}
	for _, e := range m.pods {
		if e.pod.Namespace == namespace && e.owner == (Key{}) && !e.ready() && !e.finished() {
			out = append(out, "Pod "+e.name()+" is not ready")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// whyNot collects what the pods of a workload say of their trouble.
func (m *Mesh) whyNot(owner Key) string {
	for _, e := range m.pods {
		if e.owner != owner || e.ready() {
			continue
		}
		if e.pod.Status.Message != "" {
			return " (" + e.pod.Status.Message + ")"
		}
		for _, c := range slices.Concat(e.pod.Status.InitContainerStatuses, e.pod.Status.ContainerStatuses) {
			if w := c.State.Waiting; w != nil && w.Message != "" {
				return fmt.Sprintf(" (container %s: %s)", c.Name, w.Message)
			}
			if t := c.LastTerminationState.Terminated; t != nil && time.Since(t.FinishedAt.Time) < time.Minute {
				return fmt.Sprintf(" (container %s ended with code %d)", c.Name, t.ExitCode)
			}
		}
	}
	return ""
}
