package mesh

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/anyfield"
)

// TestEveryFieldOfMeshConfigIsReadOrReported: each field of MeshConfig and of its
// defaultConfig is followed, or yields a finding with its path when it alone is set.
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
