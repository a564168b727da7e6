package informers

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// servedPod is a Pod as an API server gives it out after a Deployment, the
// scheduler, the injector and a kubelet have written to it: the encoded bytes.
func servedPod(tb testing.TB, service, n int) []byte {
	tb.Helper()
	now := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC))
	app, yes := fmt.Sprintf("app-%d", service), true
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}}, PeriodSeconds: 5}
	container := func(name string, port int32) corev1.Container {
		return corev1.Container{
			Name: name, Image: "registry.example.com/team/" + name + ":1.2.3", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port, Protocol: "TCP"}},
			Env:            []corev1.EnvVar{{Name: "A", Value: "some value"}, {Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}}},
			Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}},
			VolumeMounts:   []corev1.VolumeMount{{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
			ReadinessProbe: probe, LivenessProbe: probe, ImagePullPolicy: "IfNotPresent", TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File",
		}
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-5d8f7c9b4-%05d", app, n), GenerateName: app + "-5d8f7c9b4-", Namespace: fmt.Sprintf("team-%d", service%20), UID: "7c3e5f8a-0b1c-4d2e-9f3a-123456789012",
			ResourceVersion: fmt.Sprint(100000 + n), CreationTimestamp: now,
			Labels:          map[string]string{"app": app, "version": "v1", "pod-template-hash": "5d8f7c9b4", "security.istio.io/tlsMode": "istio"},
			Annotations:     map[string]string{"sidecar.istio.io/status": `{"initContainers":["proxy"],"containers":["app"],"volumes":["token","data"]}`, "kubectl.kubernetes.io/default-container": "app", "prometheus.io/scrape": "true"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-5d8f7c9b4", UID: "8c3e5f8a-0b1c-4d2e-9f3a-123456789012", Controller: &yes, BlockOwnerDeletion: &yes}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", Time: &now, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: make([]byte, 1500)}}, {Manager: "kubelet", Operation: "Update", APIVersion: "v1", Time: &now, FieldsType: "FieldsV1", Subresource: "status", FieldsV1: &metav1.FieldsV1{Raw: make([]byte, 900)}}},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{container("app", 8080), container("proxy", 15090)}, ServiceAccountName: app, DeprecatedServiceAccount: app, NodeName: fmt.Sprintf("node-%d", n%30),
			Volumes:     []corev1.Volume{{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}}}}}}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"}, {Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute"}}, SchedulerName: "default-scheduler", RestartPolicy: "Always", DNSPolicy: "ClusterFirst",
		},
		Status: corev1.PodStatus{
			Phase: "Running", PodIP: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255)}}, HostIP: "10.0.0.1", StartTime: &now, QOSClass: "Burstable",
		},
	}
	for _, c := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: c, Status: "True", LastTransitionTime: now})
	}
	for _, c := range p.Spec.Containers {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:0123456789012345678901234567890123456789012345678901234567890123", ContainerID: "containerd://0123456789012345678901234567890123456789012345678901234567890123", Ready: true, Started: &yes, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}})
	}
	b, err := p.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// liveHeap is how many bytes more are reachable after fill, whose result is
// kept until they are counted.
func liveHeap(fill func() any) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	keep := fill()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(keep)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

// podHeaps are the bytes of live heap for a pod in an informer's cache and in
// this source together with the mesh that it fills.
func podHeaps(tb testing.TB, services, each int) (untrimmed, trimmed float64) {
	encoded := make([][]byte, 0, services*each)
	for s := range services {
		for range each {
			encoded = append(encoded, servedPod(tb, s, len(encoded)))
		}
	}
	decode := func(b []byte) *corev1.Pod {
		p := &corev1.Pod{}
		if err := p.Unmarshal(b); err != nil {
			tb.Fatal(err)
		}
		return p
	}
	n := float64(len(encoded))
	untrimmed = float64(liveHeap(func() any {
		store := cache.NewStore(cache.MetaNamespaceKeyFunc)
		for _, b := range encoded {
			if err := store.Add(decode(b)); err != nil {
				tb.Fatal(err)
			}
		}
		return store
	})) / n
	trimmed = float64(liveHeap(func() any {
		world := map[object.Ref]any{}
		s := newStore(kindOf[(&kind{name: "Pod"}).groupKind()], newOutbox(), func(string, []object.Finding) {})
		for _, b := range encoded {
			if err := s.Add(decode(b)); err != nil {
				tb.Fatal(err)
			}
			for _, c := range s.out.take() {
				world[c.Ref] = c.Object
			}
		}
		return []any{world, s}
	})) / n
	runtime.KeepAlive(encoded)
	return untrimmed, trimmed
}

func TestHeapOfPodsIsAThird(t *testing.T) {
	untrimmed, trimmed := podHeaps(t, 200, 5)
	t.Logf("a pod: %.0f bytes in an informer's cache, %.0f here", untrimmed, trimmed)
	if trimmed > untrimmed/3 {
		t.Errorf("a pod takes %.0f bytes here and %.0f in an informer's cache", trimmed, untrimmed)
	}
}

func BenchmarkHeapPerPod(b *testing.B) {
	var untrimmed, trimmed float64
	for range b.N {
		untrimmed, trimmed = podHeaps(b, 2000, 5)
	}
	b.ReportMetric(untrimmed, "B/pod-untrimmed")
	b.ReportMetric(trimmed, "B/pod")
}

func BenchmarkFingerprintPod(b *testing.B) {
	p := &corev1.Pod{}
	if err := p.Unmarshal(servedPod(b, 1, 1)); err != nil {
		b.Fatal(err)
	}
	kindOf[(&kind{name: "Pod"}).groupKind()].trim(p)
	b.ReportAllocs()
	for b.Loop() {
		fingerprint(p)
	}
}

func BenchmarkParseVirtualService(b *testing.B) {
	p := newParser()
	text := []byte(virtualService("v", "v1", "  http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: a, subset: v1}, weight: 90}, {destination: {host: a, subset: v2}, weight: 10}], timeout: 3s}]\n"))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.parse(text, 1); err != nil {
			b.Fatal(err)
		}
	}
}
