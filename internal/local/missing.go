//go:build linux

package local

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

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
