//go:build linux

package kubelet

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func machine() *Machine {
	return &Machine{
		Fairway: "/opt/fairway", Envoy: "/opt/envoy", NodeIP: netip.MustParseAddr("10.244.0.1"),
		Nameserver: netip.MustParseAddr("10.96.0.10"), ClusterDomain: "cluster.local", Log: slog.New(slog.DiscardHandler),
		Objects: Objects{
			ConfigMap: func(namespace, name string) *corev1.ConfigMap {
				if namespace+"/"+name != "shop/settings" {
					return nil
				}
				return &corev1.ConfigMap{Data: map[string]string{"COLOUR": "red", "SIZE": "9"}}
			},
			Secret: func(namespace, name string) *corev1.Secret {
				if namespace+"/"+name != "shop/key" {
					return nil
				}
				return &corev1.Secret{Data: map[string][]byte{"password": []byte("12345")}}
			},
			Token: func(pod *corev1.Pod, audience string, _ time.Duration) (string, error) {
				return "token of " + pod.Name + " for " + audience, nil
			},
		},
	}
}

func pod(t *testing.T, spec string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "u-1", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": "a\nb"}},
		Status:     corev1.PodStatus{PodIP: "10.244.0.9", PodIPs: []corev1.PodIP{{IP: "10.244.0.9"}, {IP: "fd00::9"}}},
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEnvironment(t *testing.T) {
	p := pod(t, `
nodeName: node-1
serviceAccountName: seller
containers:
- name: app
  resources: {limits: {cpu: 1500m, memory: 64Mi}}
  envFrom: [{prefix: CONF_, configMapRef: {name: settings}}, {secretRef: {name: gone, optional: true}}]
  env:
  - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: FULL, value: "$(NAME).$(NAMESPACE) costs $$(NAME)"}
  - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: LATER, value: "$(NAME).$(NAMESPACE)"}
  - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
  - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
  - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
  - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
  - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
  - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
  - {name: PASSWORD, valueFrom: {secretKeyRef: {name: key, key: password}}}
  - {name: MAYBE, valueFrom: {configMapKeyRef: {name: settings, key: nothing, optional: true}}}
  - {name: NAME, value: changed}
`)
	env, err := machine().environment(p, &p.Spec.Containers[0])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"HOSTNAME=web-0", "HOME=/", "CONF_COLOUR=red", "CONF_SIZE=9", "NAME=changed", "FULL=web-0.$(NAMESPACE) costs $(NAME)", "NAMESPACE=shop",
		"LATER=web-0.shop", "IPS=10.244.0.9,fd00::9", "HOST=10.244.0.1", "NODE=node-1", "ACCOUNT=seller", "APP=web", "CPU=2", "MEMORY=64", "PASSWORD=12345",
	}
	if !slices.Equal(env, want) {
		t.Errorf("got  %q\nwant %q", env, want)
	}
	if got := expand([]string{"--name=$(NAME)", "$(NOTHING)", "$$(NAME)"}, env); !slices.Equal(got, []string{"--name=changed", "$(NOTHING)", "$(NAME)"}) {
		t.Errorf("arguments: %q", got)
	}
}

func TestEnvironmentRefused(t *testing.T) {
	for entry, says := range map[string]string{
		"{name: X, valueFrom: {fieldRef: {fieldPath: spec.nothing}}}":                       "spec.nothing",
		"{name: X, valueFrom: {configMapKeyRef: {name: gone, key: a}}}":                     "ConfigMap shop/gone does not exist",
		"{name: X, valueFrom: {secretKeyRef: {name: key, key: a}}}":                         "key a does not exist",
		"{name: X, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: \"-1\"}}}": "",
		"{name: X, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['nothing']\"}}}":     "",
		"{name: X, valueFrom: {}}": "not supported",
	} {
		p := pod(t, "containers: [{name: app, env: ["+entry+"]}]")
		_, err := machine().environment(p, &p.Spec.Containers[0])
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", entry, err, says)
		}
	}
	c := &corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1")}}}
	if _, err := resourceField(c, &corev1.ResourceFieldSelector{Resource: "limits.cpu", Divisor: resource.MustParse("-1")}); err == nil {
		t.Error("a negative divisor was accepted")
	}
}

func TestCommand(t *testing.T) {
	m := machine()
	for _, c := range []struct {
		container corev1.Container
		want      string // or a part of the error
	}{
		{corev1.Container{Image: "ghcr.io/fairway-mesh/fairway:latest", Args: []string{"sample", "kubia"}}, "fairway sample kubia"},
		{corev1.Container{Image: "docker.io/envoyproxy/envoy:distroless-v1.40.0", Args: []string{"-c", "x"}}, "envoy -c x"},
		{corev1.Container{Image: "registry:5000/envoy@sha256:abc"}, "envoy"},
		{corev1.Container{Image: "busybox", Command: []string{"sh", "-c"}, Args: []string{"true"}}, "sh -c true"},
		{corev1.Container{Image: "x", Command: []string{"/no/such/place/envoy"}}, "envoy"},
		{corev1.Container{Image: "nginx:1"}, "pulls no images"},
	} {
		got, err := m.command(&c.container)
		if err != nil {
			got = []string{err.Error()}
		}
		if text := strings.Join(got, " "); text != c.want && (err == nil || !strings.Contains(text, c.want)) {
			t.Errorf("%s %v: %q, want %q", c.container.Image, c.container.Command, text, c.want)
		}
	}
}

func TestResolver(t *testing.T) {
	for spec, want := range map[string]string{
		"{}": "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
		"{dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.1], searches: [a.example], options: [{name: ndots, value: \"2\"}, {name: edns0}]}}": "nameserver 192.0.2.1\nsearch a.example\noptions ndots:2 edns0\n",
	} {
		if got := machine().resolver(pod(t, spec)); got != want {
			t.Errorf("%s:\n%s", spec, got)
		}
	}
}

func TestVolumes(t *testing.T) {
	m, p := machine(), pod(t, `
containers:
- name: app
  volumeMounts: [{name: scratch, mountPath: /scratch}, {name: all, mountPath: /all, subPath: deep, readOnly: true}]
volumes:
- {name: scratch, emptyDir: {}}
- {name: conf, configMap: {name: settings, items: [{key: SIZE, path: sizes/shoe}]}}
- {name: key, secret: {secretName: key}}
- name: all
  projected:
    sources:
    - {serviceAccountToken: {path: token, audience: fairway}}
    - {configMap: {name: settings}}
    - {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
`)
	dir := t.TempDir()
	made, err := m.volumes(p, dir)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"conf/sizes/shoe": "9", "key/password": "12345", "all/token": "token of web-0 for fairway", "all/COLOUR": "red", "all/labels": "app=\"web\"\n",
	} {
		if text, err := os.ReadFile(filepath.Join(dir, "volumes", path)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	mounted, err := mounts(&p.Spec.Containers[0], made)
	if err != nil || len(mounted) != 2 || mounted[1].Source != filepath.Join(made["all"], "deep") || !mounted[1].ReadOnly {
		t.Errorf("mounts: %+v, %v", mounted, err)
	}
	for spec, says := range map[string]string{
		"{volumes: [{name: x, nfs: {server: s, path: /}}]}":                                       "not supported",
		"{volumes: [{name: x, configMap: {name: settings, items: [{key: SIZE, path: ../out}]}}]}": "within the volume",
		"{volumes: [{name: x, configMap: {name: settings, items: [{key: NOTHING, path: a}]}}]}":   "NOTHING",
	} {
		if _, err := m.volumes(pod(t, spec), t.TempDir()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", spec, err, says)
		}
	}
}
