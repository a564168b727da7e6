package mesh

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/anyfield"
)

// TestEveryFieldOfMeshConfigIsReadOrReported: each field of MeshConfig and of its
// defaultConfig and proxyHeaders is followed, or yields a finding with its path when it alone is set.
func TestEveryFieldOfMeshConfigIsReadOrReported(t *testing.T) {
	known := map[string]bool{}
	walk := func(at string, m protoreflect.Message, whole func() *meshconfig.MeshConfig) {
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			path := at + f.JSONName()
			known[path] = true
			_, unread := unreadConfig[path]
			if read := slices.Contains(readConfig, path); read == unread {
				t.Errorf("%s is in %t, %t of the lists of what is read and what is not", path, read, unread)
			}
			anyfield.Set(m, f)
			speak(m, f)
			found := (&Config{}).checkUnread(whole().ProtoReflect())
			if unread != (len(found) == 1 && found[0].Field == path) {
				t.Errorf("%s alone yields %v", path, found)
			}
			m.Clear(f)
		}
	}
	top := &meshconfig.MeshConfig{}
	walk("", top.ProtoReflect(), func() *meshconfig.MeshConfig { return top })
	inner := &meshconfig.ProxyConfig{}
	walk("defaultConfig.", inner.ProtoReflect(), func() *meshconfig.MeshConfig { return &meshconfig.MeshConfig{DefaultConfig: inner} })
	headers := &meshconfig.ProxyConfig_ProxyHeaders{}
	walk("defaultConfig.proxyHeaders.", headers.ProtoReflect(), func() *meshconfig.MeshConfig {
		return &meshconfig.MeshConfig{DefaultConfig: &meshconfig.ProxyConfig{ProxyHeaders: headers}}
	})
	for path := range unreadConfig {
		if !known[path] {
			t.Errorf("there is no field %s", path)
		}
	}
	for _, path := range readConfig {
		if !known[path] {
			t.Errorf("there is no field %s", path)
		}
	}
}

// speak has a message that says nothing while it is empty say what is not done anyway.
func speak(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch f.Name() {
	case "zone_aware_lb_setting":
		m.Set(f, protoreflect.ValueOfMessage((&networking.ZoneAwareLoadBalancerSetting{Enabled: wrapperspb.Bool(true)}).ProtoReflect()))
	case "enable_prometheus_merge", "preserve_http1_header_case":
		m.Set(f, protoreflect.ValueOfMessage(wrapperspb.Bool(true).ProtoReflect()))
	}
}

// TestWhatIsDoneAnywayIsNoFinding: values that ask for what is done without them.
func TestWhatIsDoneAnywayIsNoFinding(t *testing.T) {
	for text, want := range map[string]int{
		"zoneAwareLbSetting: {}":                                           1,
		"zoneAwareLbSetting: {enabled: false}":                             1,
		"zoneAwareLbSetting: {enabled: true}":                              1,
		"zoneAwareLbSetting: {minClusterSize: 3}":                          1,
		"enablePrometheusMerge: false":                                     0,
		"enablePrometheusMerge: true":                                      1,
		"defaultConfig: {proxyHeaders: {attemptCount: {disabled: true}}}":  0,
		"defaultConfig: {proxyHeaders: {attemptCount: {disabled: false}}}": 1,
		"defaultConfig: {proxyHeaders: {attemptCount: {}}}":                1,
		"defaultConfig: {proxyHeaders: {preserveHttp1HeaderCase: false}}":  0,
		"defaultConfig: {proxyHeaders: {preserveHttp1HeaderCase: true}}":   1,
	} {
		_, findings, err := parseConfig(object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}, []byte(text))
		if err != nil || len(findings) != want {
			t.Errorf("%s: %v, %v", text, findings, err)
		}
	}
}

func TestUnreadFieldsOfMeshConfigAreFound(t *testing.T) {
	_, findings, err := parseConfig(object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}, []byte(`
outboundClusterStatName: "%SERVICE%"
defaultConfig:
  proxyStatsMatcher: {inclusionPrefixes: [cluster.outbound]}
  runtimeValues: {a: b}
  drainDuration: 60s
  concurrency: 2
`))
	var fields []string
	for _, f := range findings {
		fields = append(fields, f.Field)
	}
	want := []string{"defaultConfig.drainDuration", "defaultConfig.proxyStatsMatcher", "defaultConfig.runtimeValues", "outboundClusterStatName"}
	if err != nil || !slices.Equal(fields, want) {
		t.Errorf("found %v, %v, want %v", fields, err, want)
	}
}

// TestDefaultsAreChecked: what a mesh configuration says for all hosts is checked as the same
// in a rule would be, and taken out where it cannot be served.
func TestDefaultsAreChecked(t *testing.T) {
	c, findings, err := parseConfig(object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}, []byte(`
defaultTrafficPolicy: {outlierDetection: {maxEjectionPercent: 101, consecutiveLocalOriginFailures: 3}, connectionPool: {tcp: {connectTimeout: 0.0000001s}}}
localityLbSetting: {distribute: [{from: r1/*, to: {"r1/*": 40}}]}
extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a.b, port: 80, statusOnError: "teapot"}}, {name: b, envoyExtAuthzHttp: {service: a.b, port: 80, statusOnError: "503"}}, {name: c, sds: {name: x, service: a.b, port: 80}}]
`))
	var fields []string
	for _, f := range findings {
		fields = append(fields, f.Field)
	}
	slices.Sort(fields)
	want := []string{"defaultTrafficPolicy.connectionPool.tcp.connectTimeout", "defaultTrafficPolicy.outlierDetection.consecutiveLocalOriginFailures", "defaultTrafficPolicy.outlierDetection.maxEjectionPercent",
		"extensionProviders[0].envoyExtAuthzGrpc.statusOnError", "extensionProviders[2]", "localityLbSetting.distribute[r1/*]"}
	if err != nil || !slices.Equal(fields, want) {
		t.Errorf("found %v, %v, want %v", fields, err, want)
	}
	if len(c.LocalityLbSetting.Distribute) != 0 || c.ExtensionProviders[0].GetEnvoyExtAuthzGrpc().StatusOnError != "" || c.ExtensionProviders[1].GetEnvoyExtAuthzHttp().StatusOnError != "503" {
		t.Errorf("in force: %v", c.MeshConfig)
	}
}
