package inject

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/workload"
)

// TestDrainApplication looks at who serves on when the pod ends, and how long.
func TestDrainApplication(t *testing.T) {
	own := &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/quit"}}}
	for name, c := range map[string]struct {
		off   bool
		job   bool
		grace int64
		want  int64 // seconds of sleep of the container without a hook; 0 is no hook
	}{
		"by default":            {grace: 30, want: 5},
		"within the grace time": {grace: 4, want: 2},
		"no time at all":        {grace: 2},
		"turned off":            {off: true, grace: 30},
		"a Job":                 {job: true, grace: 30},
	} {
		t.Run(name, func(t *testing.T) {
			p := DefaultParams()
			p.DrainApplication, p.NativeSidecar = !c.off, true
			pod := &corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &c.grace, Containers: []corev1.Container{
				{Name: "app", Lifecycle: &corev1.Lifecycle{PostStart: own}}, {Name: "other", Lifecycle: &corev1.Lifecycle{PreStop: own}},
			}}}
			if c.job {
				p.Owner = workload.Owner{Kind: "Job", Name: "work"}
			}
			got, err := Inject(pod, p)
			if err != nil {
				t.Fatal(err)
			}
			app, other := got.Pod.Spec.Containers[0].Lifecycle, got.Pod.Spec.Containers[1].Lifecycle
			if app.PostStart != own && app.PostStart.Exec == nil {
				t.Error("the container's other hook is lost")
			}
			if other.PreStop.Exec == nil || other.PreStop.Sleep != nil {
				t.Errorf("a hook of the owner's became %v", other.PreStop)
			}
			if app.PreStop == nil != (c.want == 0) || app.PreStop != nil && app.PreStop.Sleep.Seconds != c.want {
				t.Errorf("preStop is %v, want a sleep of %d s", app.PreStop, c.want)
			}
		})
	}
}
