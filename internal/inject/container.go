package inject

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/redirect"
	"github.com/fairway-mesh/fairway/internal/workload"
)

// initContainer captures the pod's traffic and ends. It has one capability, and
// that only as root, since Kubernetes gives others none.
func initContainer(capture redirect.Config, resources corev1.ResourceRequirements, p Params) corev1.Container {
	root := int64(0)
	return corev1.Container{
		Name: InitContainer, Image: p.InitImage, ImagePullPolicy: p.ImagePullPolicy,
		Args:      append([]string{"redirect"}, capture.Args()...),
		Resources: resources,
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: &root, RunAsGroup: &root, RunAsNonRoot: new(false),
			Privileged: new(false), AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}, Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// proxyContainer is a stock Envoy with everything in its arguments.
func proxyContainer(config bootstrap.Config, s settings, p Params) (corev1.Container, error) {
	line, err := bootstrap.JSON(config)
	if err != nil {
		return corev1.Container{}, err
	}
	args := append([]string{"--config-yaml", line}, bootstrap.Args()...)
	if s.logLevel != "" {
		args = append(args, "--log-level", s.logLevel)
	}
	if levels := s.componentLevels(); levels != "" {
		args = append(args, componentLevelFlag, levels)
	}
	if s.concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(s.concurrency))
	}
	user, group := int64(redirect.DefaultProxyUID), int64(redirect.DefaultProxyGID)
	c := corev1.Container{
		Name: ProxyContainer, Image: s.image, ImagePullPolicy: p.ImagePullPolicy,
		Args:      args,
		Env:       environment(config, s.environment),
		Ports:     []corev1.ContainerPort{{Name: "http-envoy-prom", ContainerPort: bootstrap.PrometheusPort, Protocol: corev1.ProtocolTCP}},
		Resources: s.resources,
		StartupProbe: &corev1.Probe{
			ProbeHandler: ready(), PeriodSeconds: 1, TimeoutSeconds: 3, FailureThreshold: 600,
		},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: ready(), TimeoutSeconds: 3,
			InitialDelaySeconds: s.readiness.initialDelay, PeriodSeconds: s.readiness.period, FailureThreshold: s.readiness.failures,
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: &user, RunAsGroup: &group, RunAsNonRoot: new(true),
			Privileged: new(false), AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	if !p.Plaintext {
		c.VolumeMounts = []corev1.VolumeMount{{Name: CredentialVolume, MountPath: bootstrap.DefaultCredentialDir, ReadOnly: true}}
	}
	return c, nil
}

// ready asks Envoy whether the control plane's first answer is at work.
func ready() corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
		Path: bootstrap.ReadinessPath, Port: intstr.FromInt32(bootstrap.ReadinessPort),
	}}
}

// environment gives the placeholders in the bootstrap their values, and tracers
// the name of the proxy. What people add comes last; the placeholders are not theirs.
func environment(config bootstrap.Config, added map[string]string) []corev1.EnvVar {
	var vars []corev1.EnvVar
	for _, v := range []struct{ name, path string }{
		{"POD_NAME", "metadata.name"},
		{"POD_NAMESPACE", "metadata.namespace"},
		{"INSTANCE_IP", "status.podIP"},
		{"INSTANCE_IPS", "status.podIPs"},
		{"SERVICE_ACCOUNT", "spec.serviceAccountName"},
	} {
		vars = append(vars, corev1.EnvVar{Name: v.name, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: v.path},
		}})
	}
	ours := len(vars)
	for _, v := range bootstrap.Environment(config) {
		vars = append(vars, corev1.EnvVar{Name: v.Name, Value: v.Value})
	}
	at := make(map[string]int, len(vars))
	for i, v := range slices.Backward(vars) {
		at[v.Name] = i
	}
	for _, name := range slices.Sorted(maps.Keys(added)) {
		i, known := at[name]
		switch {
		case !known:
			vars = append(vars, corev1.EnvVar{Name: name, Value: added[name]})
		case i < ours:
		case name == bootstrap.ResourceAttributes && !strings.Contains(added[name], "service.name="):
			vars[i].Value += "," + added[name]
		default:
			vars[i].Value = added[name]
		}
	}
	return vars
}

// bootstrapConfig describes the proxy of a pod that does not exist yet.
func bootstrapConfig(role bootstrap.Role, pod *corev1.Pod, owner workload.Owner, p Params) bootstrap.Config {
	labels := map[string]string{}
	for k, v := range pod.Labels {
		labels[bootstrap.Escape(k)] = bootstrap.Escape(v)
	}
	workload := bootstrap.Escape(owner.Name)
	if workload == "" {
		workload = "$(POD_NAME)"
	}
	return bootstrap.Config{
		Version: bootstrap.Escape(p.Version),
		Role:    role, Pod: "$(POD_NAME)", Namespace: "$(POD_NAMESPACE)", IP: "$(INSTANCE_IP)", IPs: "$(INSTANCE_IPS)",
		IPv6: p.IPv6, DualStack: p.DualStack,
		ServiceAccount: "$(SERVICE_ACCOUNT)", Workload: workload, Labels: labels,
		ClusterID: p.ClusterID, ClusterDomain: p.ClusterDomain,
		XDSAddress: p.XDSAddress, Plaintext: p.Plaintext,
	}
}

// outlive keeps a container for a while when its pod ends: that long it serves on,
// and the control plane, which learns of the end at once, drains its proxy.
func outlive(c *corev1.Container, wait time.Duration) {
	if seconds := int64(wait / time.Second); seconds > 0 {
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}}
	}
}

// drainWait shortens the wait of the preStop hook to what the pod's grace
// period leaves: the kubelet kills when it is over.
func drainWait(want time.Duration, pod *corev1.Pod) time.Duration {
	grace := 30 * time.Second
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
	}
	return max(0, min(want, grace-2*time.Second))
}

// drainApplication lets the pod's containers serve on for a while when it ends.
// Those with a preStop hook have been told by their owner what to do.
func drainApplication(pod *corev1.Pod, wait time.Duration) {
	seconds := int64(wait / time.Second)
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if seconds < 1 || c.Name == ProxyContainer || c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			continue
		}
		if c.Lifecycle == nil {
			c.Lifecycle = &corev1.Lifecycle{}
		}
		c.Lifecycle.PreStop = &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}
	}
}

// credentialVolume puts the token beside the authority's certificates, and the
// files that tell Envoy to read both.
func credentialVolume(p Params) corev1.Volume {
	return corev1.Volume{Name: CredentialVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: TokenAudience, ExpirationSeconds: new(int64(p.TokenLifetime / time.Second)), Path: bootstrap.TokenFile,
			}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: AuthorityConfigMap}}},
		},
	}}}
}

// status is what StatusName holds, in Istio's form.
func status(native, captured, credentials bool) string {
	inits, containers, volumes := "", "", ""
	if captured {
		inits = strconv.Quote(InitContainer)
	}
	if native && inits != "" {
		inits += ","
	}
	if native {
		inits += strconv.Quote(ProxyContainer)
	} else {
		containers = strconv.Quote(ProxyContainer)
	}
	if credentials {
		volumes = strconv.Quote(CredentialVolume)
	}
	return fmt.Sprintf(`{"initContainers":[%s],"containers":[%s],"volumes":[%s],"imagePullSecrets":null,"revision":"default"}`, inits, containers, volumes)
}

const componentLevelFlag = "--component-log-level"

// componentLevels is what Envoy's flag is given. Where warnings are logged and
// nobody asks for more, Envoy's of fields that it calls deprecated are not: it
// writes one for each route of each virtual host that it receives, and those
// fields are what the oldest supported release knows.
func (s settings) componentLevels() string {
	if s.componentLogLevel == "" && (s.logLevel == "" || s.logLevel == "warning" || s.logLevel == "warn") {
		return "misc:error"
	}
	return s.componentLogLevel
}
