//go:build linux

package local

import (
	"encoding/json"
	"fmt"
	"hash/fnv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
