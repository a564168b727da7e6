package webhook

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/internal/identity"
	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// odd are pods of shapes that people have, and what an API server that asks the webhook
// must say: taken with a proxy, taken without ("none"), or refused with these words.
var odd = []struct{ name, want, spec string }{
	{"several containers, named ports, probes of all kinds", "", `{containers: [
		{name: web, image: "i:1", ports: [{name: http, containerPort: 8080}], livenessProbe: {httpGet: {path: live, port: http}}, readinessProbe: {httpGet: {path: /r, port: "8080", httpHeaders: [{name: Host, value: w.example}]}}, startupProbe: {tcpSocket: {port: http}}},
		{name: rpc, image: "i:1", livenessProbe: {grpc: {port: 9090, service: l}}, readinessProbe: {exec: {command: [ls]}}, startupProbe: {grpc: {port: 9090}}},
		{name: tls, image: "i:1", readinessProbe: {httpGet: {scheme: HTTPS, path: "/q?a=b", port: 8443}}, lifecycle: {preStop: {httpGet: {path: /bye, port: 8443}}, postStart: {exec: {command: [ls]}}}}]}`},
	{"the node's network", "none", `{hostNetwork: true, containers: [{name: a, image: "i:1"}]}`},
	{"a proxy on the node's network", "spec.hostNetwork is set", `{hostNetwork: true, containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto}]}`},
	{"users of OpenShift", "", `{securityContext: {fsGroup: 1000670000, seLinuxOptions: {level: "s0:c26,c5"}}, containers: [{name: a, image: "i:1", securityContext: {runAsUser: 1000670000}}, {name: istio-proxy, image: auto, securityContext: {runAsUser: 1000670000, runAsNonRoot: true}}]}`},
	{"parts of probes", "", `{containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto, readinessProbe: {failureThreshold: 30}, startupProbe: {periodSeconds: 3}, livenessProbe: {timeoutSeconds: 9}}]}`},
	{"a proxy with a capability", "", `{containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}`},
	{"another probe and another hook", "", `{containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto, readinessProbe: {exec: {command: [ls]}}, lifecycle: {preStop: {exec: {command: [ls]}}}}]}`},
	{"requests over our limits", "", `{containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto, resources: {requests: {memory: 4Gi, cpu: "3"}}}]}`},
	{"limits below our requests", "", `{containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto, resources: {limits: {memory: 32Mi, cpu: 10m}}}]}`},
	{"a proxy among init containers", "", `{initContainers: [{name: early, image: "i:1"}, {name: istio-proxy, image: auto, restartPolicy: Always, resources: {requests: {cpu: 50m}}}], containers: [{name: a, image: "i:1"}]}`},
	{"two proxies", "keep one", `{initContainers: [{name: istio-proxy, image: auto}], containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto}]}`},
	{"native sidecars of its own", "", `{initContainers: [{name: h, image: "i:1", restartPolicy: Always, startupProbe: {httpGet: {port: 9000}}}], containers: [{name: a, image: "i:1"}]}`},
	{"a tight budget", "", `{resources: {requests: {cpu: 200m, memory: 200Mi}, limits: {cpu: "1", memory: 512Mi}}, containers: [{name: a, image: "i:1", resources: {requests: {cpu: 200m}}}]}`},
	{"limits of the pod alone", "", `{resources: {limits: {cpu: "1", memory: 512Mi}}, containers: [{name: a, image: "i:1", resources: {requests: {cpu: 300m}}}]}`},
	{"a budget that nothing is left of, init containers that stay", "", `{resources: {requests: {cpu: 200m, memory: 100Mi}}, initContainers: [{name: h, image: "i:1", restartPolicy: Always, resources: {requests: {cpu: 100m}}}], containers: [{name: a, image: "i:1", resources: {requests: {cpu: 100m, memory: 100Mi}}}]}`},
	{"Windows", "none", `{os: {name: windows}, containers: [{name: a, image: "i:1"}]}`},
	{"TCP and UDP on one port of the proxy", "", `{containers: [{name: a, image: "i:1"}, {name: istio-proxy, image: auto, ports: [{containerPort: 443, protocol: TCP}, {containerPort: 443, protocol: UDP}]}]}`},
	{"a service account without tokens, DNS of its own, volumes", "", `{automountServiceAccountToken: false, dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.1]}, shareProcessNamespace: true, volumes: [{name: v, emptyDir: {}}], containers: [{name: a, image: "i:1", volumeMounts: [{name: v, mountPath: /v}]}, {name: istio-proxy, image: auto, volumeMounts: [{name: v, mountPath: /v}], env: [{name: POD_NAME, value: mine}, {name: Z, value: $(POD_NAME)}]}]}`},
	{"a task", "", `{restartPolicy: Never, activeDeadlineSeconds: 60, terminationGracePeriodSeconds: 1, containers: [{name: a, image: "i:1"}]}`},
}

// TestOddPods has a real API server ask the webhook about odd pods: with the defaults that
// it adds before, and the validation that it does after.
func TestOddPods(t *testing.T) {
	server := kubetest.Start(t, kube.Options{NoCRDs: true})
	client := kubernetes.NewForConfigOrDie(server.REST)
	authority, err := identity.Open(t.Context(), identity.Options{Storage: &identity.Memory{}, RootLifetime: time.Hour, LeafLifetime: time.Minute, Overlap: time.Second, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	c := config()
	c.Certificate = certificate.GetCertificate
	go func() { ended <- Serve(ctx, l, c) }()
	trust := &Trust{Client: client, Authority: authority, Name: "fairway-test", Log: quiet()}
	go func() { ended <- trust.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	configure(t, client, l.Addr().String())
	pods := &creator{client: client}
	eventually(t, "the API server believes it", func() bool { return pods.create(t.Context()) == nil })
	for _, o := range odd {
		t.Run(o.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "odd"}}
			if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(o.spec, "\t", " ")), &pod.Spec); err != nil {
				t.Fatal(err)
			}
			pod.Spec.ServiceAccountName = "default"
			made, err := client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if o.want != "" && o.want != "none" {
				if err == nil || !strings.Contains(err.Error(), o.want) {
					t.Errorf("got %v, want it refused with %q", err, o.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkOdd(t, made, o.want == "none")
		})
	}
}

// checkOdd holds that there is one proxy, and that nothing is left to be filled in.
func checkOdd(t *testing.T, pod *corev1.Pod, none bool) {
	t.Helper()
	proxies := 0
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Image == "auto" {
			t.Errorf("container %s pulls the image %s", c.Name, c.Image)
		}
		if c.Name != inject.ProxyContainer {
			continue
		}
		proxies++
		if s := c.SecurityContext; *s.RunAsUser != 1337 && *s.RunAsGroup != 1337 {
			t.Errorf("nobody can tell the proxy from the application: %+v", s)
		}
		if c.ReadinessProbe == nil || c.StartupProbe == nil || len(c.VolumeMounts) == 0 || len(c.Env) < 5 {
			text, _ := json.Marshal(c)
			t.Errorf("the proxy lacks something of ours: %s", text)
		}
	}
	if want := map[bool]int{true: 0, false: 1}[none]; proxies != want {
		t.Errorf("there are %d proxies, want %d", proxies, want)
	}
}
