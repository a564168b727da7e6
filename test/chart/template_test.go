package chart_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/identity/kube"
	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/test/chart"
)

// rendered are the objects of the chart by "Kind namespace/name".
type rendered map[string]runtime.Object

// render decodes what the chart renders to; a field that an API type does not
// have, or has twice, is an error.
func render(t *testing.T, namespace string, arguments ...string) rendered {
	t.Helper()
	text := helm(t, append([]string{"template", "fairway", prepared(t), "-n", namespace, "--kube-version", kubernetesVersion}, arguments...)...)
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	out := rendered{}
	for _, document := range strings.Split(text, "\n---\n") {
		var content any
		if err := yaml.Unmarshal([]byte(document), &content); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		if content == nil {
			continue
		}
		o, kind, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Errorf("%v:\n%s", err, document)
			continue
		}
		m := o.(metav1.Object)
		key := kind.Kind + " " + m.GetNamespace() + "/" + m.GetName()
		if out[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		out[key] = o
	}
	return out
}

func get[T runtime.Object](t *testing.T, r rendered, key string) T {
	t.Helper()
	o, ok := r[key].(T)
	if !ok {
		t.Fatalf("there is no %s", key)
	}
	return o
}

func TestObjects(t *testing.T) {
	r := render(t, "istio-system", "--set", "egressGateway.enabled=true")
	for _, key := range []string{
		"Deployment istio-system/fairway", "Service istio-system/fairway", "ServiceAccount istio-system/fairway", "ConfigMap istio-system/istio",
		"PodDisruptionBudget istio-system/fairway", "HorizontalPodAutoscaler istio-system/fairway",
		"Deployment istio-system/istio-ingressgateway", "Service istio-system/istio-ingressgateway", "PodDisruptionBudget istio-system/istio-ingressgateway",
		"Deployment istio-system/istio-egressgateway", "Service istio-system/istio-egressgateway", "HorizontalPodAutoscaler istio-system/istio-egressgateway",
		"MutatingWebhookConfiguration /fairway-istio-system", "ValidatingWebhookConfiguration /fairway-istio-system", "ClusterRole /fairway-istio-system",
	} {
		if r[key] == nil {
			t.Errorf("there is no %s", key)
		}
	}
	d := get[*appsv1.Deployment](t, r, "Deployment istio-system/fairway")
	if d.Spec.Replicas != nil {
		t.Error("replicas are set beside an autoscaler")
	}
	if image := d.Spec.Template.Spec.Containers[0].Image; image != "ghcr.io/fairway-mesh/fairway:v1.2.3" {
		t.Errorf("the image is %s", image)
	}
	for key, o := range r {
		if p := podOf(o); p != nil {
			checkRestricted(t, key, p)
			checkNames(t, r, key, o, p)
		}
	}
	services := map[string][]int32{"fairway": {15012, 15014, 443}, "istio-ingressgateway": {15021, 80, 8080, 443}}
	for name, want := range services {
		var ports []int32
		for _, p := range get[*corev1.Service](t, r, "Service istio-system/"+name).Spec.Ports {
			ports = append(ports, p.Port)
		}
		if !slices.Equal(ports, want) {
			t.Errorf("Service %s has ports %v, want %v", name, ports, want)
		}
	}
}

func podOf(o runtime.Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	}
	return nil
}

// checkRestricted holds a pod to the Pod Security Standard "restricted", and to
// a read-only file system.
func checkRestricted(t *testing.T, key string, p *corev1.PodTemplateSpec) {
	t.Helper()
	s := p.Spec.SecurityContext
	if s.RunAsNonRoot == nil || !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: the pod's security context is %v", key, s)
	}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || *s.Privileged || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s: the security context of %s is %v", key, c.Name, s)
		}
		if len(c.Resources.Requests) == 0 {
			t.Errorf("%s: %s requests nothing", key, c.Name)
		}
	}
}

// checkNames looks that what a Deployment is selected by, and what it names, is there.
func checkNames(t *testing.T, r rendered, key string, o runtime.Object, p *corev1.PodTemplateSpec) {
	t.Helper()
	if r["ServiceAccount istio-system/"+p.Spec.ServiceAccountName] == nil {
		t.Errorf("%s: there is no ServiceAccount %s", key, p.Spec.ServiceAccountName)
	}
	d, ok := o.(*appsv1.Deployment)
	if !ok {
		return
	}
	set := labels.Set(p.Labels)
	if s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err != nil || !s.Matches(set) {
		t.Errorf("%s does not select its pods: %v", key, err)
	}
	selectors := map[string]*metav1.LabelSelector{
		"PodDisruptionBudget": get[*policyv1.PodDisruptionBudget](t, r, "PodDisruptionBudget istio-system/"+d.Name).Spec.Selector,
		"Service":             {MatchLabels: get[*corev1.Service](t, r, "Service istio-system/"+d.Name).Spec.Selector},
	}
	for i, c := range p.Spec.TopologySpreadConstraints {
		selectors[fmt.Sprint("topologySpreadConstraints ", i)] = c.LabelSelector
	}
	if len(p.Spec.TopologySpreadConstraints) < 2 {
		t.Errorf("%s is not spread over nodes and zones", key)
	}
	for what, selector := range selectors {
		if s, err := metav1.LabelSelectorAsSelector(selector); err != nil || s.Empty() || !s.Matches(set) {
			t.Errorf("%s: the %s does not select its pods: %v", key, what, err)
		}
		for other, o := range r { // and none of the others
			if q := podOf(o); q != nil && other != key {
				if s, _ := metav1.LabelSelectorAsSelector(selector); s.Matches(labels.Set(q.Labels)) {
					t.Errorf("%s: the %s selects the pods of %s", key, what, other)
				}
			}
		}
	}
	if a := get[*autoscalingv2.HorizontalPodAutoscaler](t, r, "HorizontalPodAutoscaler istio-system/"+d.Name); a.Spec.ScaleTargetRef.Name != d.Name {
		t.Errorf("%s: the autoscaler is for %s", key, a.Spec.ScaleTargetRef.Name)
	}
}

// TestGatewayIsABootstrappedProxy holds the gateway's pods to what
// internal/bootstrap and internal/inject do.
func TestGatewayIsABootstrappedProxy(t *testing.T) {
	r := render(t, "mesh")
	p := get[*appsv1.Deployment](t, r, "Deployment mesh/istio-ingressgateway").Spec.Template
	if p.Labels["istio"] != "ingressgateway" {
		t.Errorf("the labels are %v", p.Labels)
	}
	proxy := p.Spec.Containers[0]
	if got, want := proxy.Args[2:], append(bootstrap.Args(), "--log-level", "warning", "--component-log-level", "misc:error"); !slices.Equal(got, want) {
		t.Errorf("the arguments are %v, want %v", got, want)
	}
	if h := proxy.Lifecycle.PreStop; h.HTTPGet != nil || h.Exec != nil || h.Sleep.Seconds != 15 {
		t.Errorf("the hook is %v, want 15 s of sleep and no command that strangers could give too", h)
	}
	if h := proxy.ReadinessProbe.HTTPGet; h.Path != bootstrap.ReadinessPath || h.Port.IntValue() != bootstrap.ReadinessPort {
		t.Errorf("the probe is %v", h)
	}
	if got := proxy.VolumeMounts[1].MountPath; got != bootstrap.DefaultCredentialDir {
		t.Errorf("credentials are mounted at %s", got)
	}
	sources := p.Spec.Volumes[1].Projected.Sources
	if s := sources[0].ServiceAccountToken; s.Audience != inject.TokenAudience || s.Path != bootstrap.TokenFile {
		t.Errorf("the token is %v", s)
	}
	if c := sources[1].ConfigMap; c.Name != kube.BundleConfigMap {
		t.Errorf("the roots come from %v", c)
	}
	init := p.Spec.InitContainers[0]
	file := filepath.Join(t.TempDir(), "bootstrap.yaml")
	for i := range init.Args { // as the kubelet does
		init.Args[i] = strings.NewReplacer("$(POD_NAME)", "gateway-1", "$(POD_NAMESPACE)", "mesh", "$(INSTANCE_IP)", "10.0.0.9", "/etc/envoy/bootstrap.yaml", file).Replace(init.Args[i])
	}
	cmd := bootstrap.NewCommand()
	cmd.SetArgs(init.Args[1:])
	if err := cmd.Execute(); err != nil {
		t.Fatalf("%v: %v", init.Args, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Node struct {
			ID       string
			Metadata struct{ LABELS map[string]string }
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if config.Node.ID != "router~10.0.0.9~gateway-1.mesh~mesh.svc.cluster.local" || config.Node.Metadata.LABELS["istio"] != "ingressgateway" {
		t.Errorf("the node is %+v", config.Node)
	}
	if !strings.Contains(string(text), "fairway.mesh.svc") {
		t.Error("the bootstrap does not name the control plane")
	}
}

// TestInjectionFile holds the ConfigMap to what reads it.
func TestInjectionFile(t *testing.T) {
	for _, c := range []struct {
		set    string
		native bool
	}{{"proxy.nativeSidecar=null", true}, {"proxy.nativeSidecar=true", true}, {"proxy.nativeSidecar=false", false}} {
		r := render(t, "istio-system", "--set", c.set, "--set", "proxy.image=registry.example/envoy:1,image=registry.example/fairway:1")
		base := inject.DefaultParams()
		base.NativeSidecar = true // as the cluster has it
		p, err := inject.ReadParams([]byte(get[*corev1.ConfigMap](t, r, "ConfigMap istio-system/fairway-injection").Data["injection.yaml"]), base)
		if err != nil {
			t.Fatal(err)
		}
		if p.NativeSidecar != c.native || p.ProxyImage != "registry.example/envoy:1" || p.InitImage != "registry.example/fairway:1" || p.ImagePullPolicy != corev1.PullIfNotPresent {
			t.Errorf("%s: %+v", c.set, p)
		}
		if d := inject.DefaultParams(); p.DrainWait != d.DrainWait || p.TokenLifetime != d.TokenLifetime || p.LogLevel != d.LogLevel || fmt.Sprint(p.Resources) != fmt.Sprint(d.Resources) {
			t.Errorf("the chart's defaults are not those of the program: %+v, %+v", p, d)
		}
	}
}

// TestWebhooksNeverBlockTheirOwnStart looks that no webhook asks about the
// control plane's pods or those of the system.
func TestWebhooksNeverBlockTheirOwnStart(t *testing.T) {
	r := render(t, "mesh")
	own := get[*appsv1.Deployment](t, r, "Deployment mesh/fairway").Spec.Template.Labels
	configuration := get[*admissionregistrationv1.MutatingWebhookConfiguration](t, r, "MutatingWebhookConfiguration /fairway-mesh")
	asked := func(namespace, pod labels.Set) (by []string) {
		for _, w := range configuration.Webhooks {
			n, err := metav1.LabelSelectorAsSelector(w.NamespaceSelector)
			if err != nil {
				t.Fatal(err)
			}
			p, err := metav1.LabelSelectorAsSelector(w.ObjectSelector)
			if err != nil {
				t.Fatal(err)
			}
			if n.Matches(namespace) && p.Matches(pod) {
				by = append(by, w.Name)
			}
			if *w.FailurePolicy != admissionregistrationv1.Fail || w.ClientConfig.Service.Namespace != "mesh" || w.ClientConfig.CABundle != nil {
				t.Errorf("%s: %v, %v", w.Name, *w.FailurePolicy, w.ClientConfig)
			}
		}
		return by
	}
	named := func(name, injection string) labels.Set {
		s := labels.Set{"kubernetes.io/metadata.name": name}
		if injection != "" {
			s["istio-injection"] = injection
		}
		return s
	}
	yes, no := labels.Set{"sidecar.istio.io/inject": "true"}, labels.Set{"sidecar.istio.io/inject": "false"}
	insisting := labels.Merge(own, yes)
	for _, c := range []struct {
		namespace, pod labels.Set
		want           int
	}{
		{named("mesh", "enabled"), own, 0}, {named("mesh", ""), own, 0}, {named("mesh", "enabled"), insisting, 0}, {named("mesh", ""), insisting, 0},
		{named("kube-system", "enabled"), nil, 0}, {named("kube-system", ""), yes, 0}, {named("kube-system", "enabled"), yes, 0},
		{named("shop", "enabled"), nil, 1}, {named("shop", "enabled"), yes, 1}, {named("shop", "enabled"), no, 0},
		{named("shop", ""), nil, 0}, {named("shop", ""), yes, 1}, {named("shop", "disabled"), yes, 1}, {named("shop", "disabled"), nil, 0},
		{named("mesh", ""), yes, 1}, // a gateway beside the control plane
	} {
		if got := asked(c.namespace, c.pod); len(got) != c.want {
			t.Errorf("namespace %v, pod %v: asked by %v, want %d", c.namespace, c.pod, got, c.want)
		}
	}
}

// TestRights looks that nothing more than it has to be is allowed: objects of
// any name are made, and removed, only where Gateways of the Gateway API are deployed.
func TestRights(t *testing.T) {
	for _, c := range []struct {
		deployments string
		made        []string
	}{
		{"false", nil},
		{"true", []string{"gatewayclasses", "deployments", "services", "serviceaccounts"}},
	} {
		r := render(t, "istio-system", "--set", "gatewayAPI.deployments="+c.deployments)
		role := get[*rbacv1.ClusterRole](t, r, "ClusterRole /fairway-istio-system")
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "*") || slices.Contains(rule.Verbs, "*") || slices.Contains(rule.APIGroups, "*") {
				t.Errorf("too much is allowed: %v", rule)
			}
			removes := slices.Contains(rule.Verbs, "delete") || slices.Contains(rule.Verbs, "deletecollection")
			own := slices.Equal(rule.ResourceNames, []string{kube.BundleConfigMap}) // made here, in each namespace
			if removes && !own && slices.ContainsFunc(rule.Resources, func(s string) bool { return s == "gatewayclasses" || !slices.Contains(c.made, s) }) {
				t.Errorf("what was not made here can be removed: %v", rule)
			}
			if slices.Contains(rule.Resources, "secrets") {
				t.Errorf("Secrets of all namespaces can be read: %v", rule)
			}
			writes := slices.ContainsFunc(rule.Verbs, func(v string) bool { return v == "patch" || v == "update" || v == "create" })
			beyond := slices.ContainsFunc(rule.Resources, func(s string) bool {
				return !strings.HasSuffix(s, "/status") && s != "tokenreviews" && s != "subjectaccessreviews" && !slices.Contains(c.made, s)
			})
			if writes && beyond && len(rule.ResourceNames) == 0 {
				t.Errorf("gatewayAPI.deployments=%s: any name can be written: %v", c.deployments, rule)
			}
		}
	}
	r := render(t, "istio-system", "--set", "rbac.secretNamespaces={shop,istio-system}")
	for _, namespace := range []string{"shop", "istio-system"} {
		get[*rbacv1.Role](t, r, "Role "+namespace+"/fairway-gateway-secrets")
	}
	r = render(t, "istio-system", "--set", "rbac.secretNamespaces={*}")
	role := get[*rbacv1.ClusterRole](t, r, "ClusterRole /fairway-istio-system")
	if !slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "secrets") }) {
		t.Error(`"*" does not allow to read the Secrets of all namespaces`)
	}
}

// TestNetworkPolicy: each port admits whom it has to, the plaintext port nobody.
func TestNetworkPolicy(t *testing.T) {
	if r := render(t, "mesh"); r["NetworkPolicy mesh/fairway"] != nil {
		t.Error("there is a NetworkPolicy that nobody has asked for")
	}
	own := metav1.LabelSelector{MatchLabels: map[string]string{"app": "fairway"}}
	everywhere := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}}
	block := func(cidr string) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}
	}
	named := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "monitoring"}}}
	for _, c := range []struct {
		set  string
		want map[int32][]networkingv1.NetworkPolicyPeer
	}{
		{"networkPolicy.enabled=true,controlPlane.plaintextXDS=true", map[int32][]networkingv1.NetworkPolicyPeer{
			15012: {everywhere}, 15017: nil, 15014: {{PodSelector: &own}}}},
		{"networkPolicy.enabled=true,networkPolicy.apiServer={192.0.2.7/32,2001:db8::7/128},networkPolicy.proxies[0].ipBlock.cidr=198.51.100.0/24," +
			`networkPolicy.monitoring[0].namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=monitoring`, map[int32][]networkingv1.NetworkPolicyPeer{
			15012: {everywhere, block("198.51.100.0/24")}, 15017: {block("192.0.2.7/32"), block("2001:db8::7/128")}, 15014: {{PodSelector: &own}, named}}},
	} {
		r := render(t, "mesh", "--set", c.set)
		p := get[*networkingv1.NetworkPolicy](t, r, "NetworkPolicy mesh/fairway").Spec
		if !reflect.DeepEqual(p.PodSelector, own) || !slices.Equal(p.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
			t.Errorf("%s: it is for %v of %v", c.set, p.PolicyTypes, p.PodSelector)
		}
		got := map[int32][]networkingv1.NetworkPolicyPeer{}
		for _, rule := range p.Ingress {
			for _, port := range rule.Ports {
				if _, twice := got[port.Port.IntVal]; twice || *port.Protocol != corev1.ProtocolTCP || port.EndPort != nil {
					t.Errorf("%s: port %v", c.set, port)
				}
				got[port.Port.IntVal] = rule.From
			}
			if len(rule.Ports) == 0 {
				t.Errorf("%s: a rule for all ports: %v", c.set, rule)
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.set, got, c.want)
		}
	}
}

// TestImagesByDigest: every container, those that injection adds too, has one of the
// images that were given by digest.
func TestImagesByDigest(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0123456789abcdef", 4)
	fairway, envoy := "registry.example:5000/fairway"+digest, "registry.example:5000/envoy"+digest
	r := render(t, "mesh", "--set", "egressGateway.enabled=true,image="+fairway+",proxy.image="+envoy)
	count := map[string]int{}
	for key, o := range r {
		p := podOf(o)
		if p == nil {
			continue
		}
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			if count[c.Image]++; c.Image != fairway && c.Image != envoy {
				t.Errorf("%s: %s has the image %s", key, c.Name, c.Image)
			}
		}
	}
	if count[fairway] != 4 || count[envoy] != 2 { // the control plane, the clean-up and two init containers; two gateways
		t.Errorf("the images are %v", count)
	}
	params, err := inject.ReadParams([]byte(get[*corev1.ConfigMap](t, r, "ConfigMap mesh/fairway-injection").Data["injection.yaml"]), inject.DefaultParams())
	if err != nil || params.ProxyImage != envoy || params.InitImage != fairway {
		t.Errorf("injection has the images %s and %s: %v", params.ProxyImage, params.InitImage, err)
	}
}

func TestMeshConfiguration(t *testing.T) {
	for _, c := range []struct{ namespace, want string }{
		{"istio-system", "outboundTrafficPolicy:\n  mode: REGISTRY_ONLY"},
		{"mesh", "outboundTrafficPolicy:\n  mode: REGISTRY_ONLY\nrootNamespace: mesh"},
	} {
		r := render(t, c.namespace, "--set", "meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY")
		if got := strings.TrimSpace(get[*corev1.ConfigMap](t, r, "ConfigMap "+c.namespace+"/istio").Data["mesh"]); got != c.want {
			t.Errorf("in %s: %q, want %q", c.namespace, got, c.want)
		}
		args := get[*appsv1.Deployment](t, r, "Deployment "+c.namespace+"/fairway").Spec.Template.Spec.Containers[0].Args
		if file := slices.Contains(args, "--mesh-config=/etc/fairway/mesh/mesh"); file != (c.namespace == "mesh") {
			t.Errorf("in %s the arguments are %v", c.namespace, args)
		}
	}
}

func TestWrongValues(t *testing.T) {
	dir := prepared(t)
	for set, want := range map[string]string{
		"imagen=x":                                   "imagen",
		"proxy.logLevel=loud":                        "/proxy/logLevel",
		"proxy.drainWait=5":                          "/proxy/drainWait",
		"networkPolicy.apiServer={192.0.2.7}":        "/networkPolicy/apiServer/0",
		"networkPolicy.monitoring[0].pods=x":         "/networkPolicy/monitoring/0",
		"imagePullPolicy=Sometime":                   "/imagePullPolicy",
		"ingressGateway.service.ports[0].port=99999": "/ingressGateway/service/ports/0",
	} {
		_, err := tryHelm(t, "template", "fairway", dir, "--kube-version", kubernetesVersion, "--set", set)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func TestLint(t *testing.T) {
	helm(t, "lint", "--strict", prepared(t), "--kube-version", kubernetesVersion)
	helm(t, "lint", "--strict", prepared(t), "--kube-version", kubernetesVersion, "--set", "egressGateway.enabled=true,controlPlane.plaintextXDS=true,injection.enabled=false,validation.enabled=false,networkPolicy.enabled=true")
}

func TestPackage(t *testing.T) {
	dir := t.TempDir()
	file, err := chart.Package(t.Context(), dir, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	once, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if file, err = chart.Package(t.Context(), dir, "v1.2.3"); err != nil || filepath.Base(file) != "fairway-1.2.3.tgz" {
		t.Fatalf("%s, %v", file, err)
	}
	if again, err := os.ReadFile(file); err != nil || string(again) != string(once) {
		t.Errorf("packing twice gives different packages: %v", err)
	}
	crds := helm(t, "show", "crds", file)
	for _, name := range []string{"virtualservices.networking.istio.io", "peerauthentications.security.istio.io", "telemetries.telemetry.istio.io"} {
		if !strings.Contains(crds, "name: "+name) {
			t.Errorf("the package does not hold the definition %s", name)
		}
	}
}

func TestVersion(t *testing.T) {
	for git, want := range map[string]string{"v1.2.3": "1.2.3", "1.2.3": "1.2.3", "v1.2.3-4-gabc123": "1.2.3-4-gabc123", "abc123-dirty": "0.0.0-abc123-dirty", "dev": "0.0.0-dev", "v1.2": "0.0.0-v1-2"} {
		if got := chart.Version(git); got != want {
			t.Errorf("%s: %s, want %s", git, got, want)
		}
	}
}

// TestWebhooksAsAsked: annotations for what else looks at webhook configurations, and no
// namespaces left out.
func TestWebhooksAsAsked(t *testing.T) {
	for _, none := range []string{"null", "{}"} {
		r := render(t, "istio-system", "--set", "injection.excludedNamespaces="+none, "--set-string", `webhookAnnotations.admissions\.enforcer/disabled=true`)
		m := get[*admissionregistrationv1.MutatingWebhookConfiguration](t, r, "MutatingWebhookConfiguration /fairway-istio-system")
		v := get[*admissionregistrationv1.ValidatingWebhookConfiguration](t, r, "ValidatingWebhookConfiguration /fairway-istio-system")
		for _, a := range []map[string]string{m.Annotations, v.Annotations} {
			if a["admissions.enforcer/disabled"] != "true" {
				t.Errorf("the annotations are %v", a)
			}
		}
		for _, w := range m.Webhooks {
			for _, e := range w.NamespaceSelector.MatchExpressions {
				if len(e.Values) == 0 {
					t.Errorf("%s: %s %s nothing: the API server refuses it", w.Name, e.Key, e.Operator)
				}
			}
			if w.Name == "namespace.injection.fairway-mesh.dev" && !slices.ContainsFunc(w.NamespaceSelector.MatchExpressions, func(e metav1.LabelSelectorRequirement) bool {
				return e.Operator == metav1.LabelSelectorOpNotIn && slices.Contains(e.Values, "istio-system")
			}) {
				t.Errorf("%s: the control plane's own namespace is not left out", w.Name)
			}
		}
	}
}
