package translate

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

var updateClusters = flag.Bool("update-clusters", false, "write what is made as the golden files of clusters")

// validated is any message with rules of its own.
type validated interface {
	proto.Message
	ValidateAll() error
}

// clustersOf are the clusters of all hosts that the view has, with what their
// rules are told, and the endpoints of those that ask for them.
func clustersOf(t testing.TB, v *mesh.View) (clusters []*clusterv3.Cluster, all []validated, findings []object.Finding) {
	t.Helper()
	sockets := NewSockets()
	for host := range v.Hosts() {
		s, endpoints := v.Service(host)
		if s == nil || s.Resolution == registry.ResolutionAlias {
			continue
		}
		for _, in := range ResolveHost(v, host).Clusters {
			c, found := Cluster(in, sockets)
			if alone, _ := Cluster(in, nil); !proto.Equal(alone, c) {
				t.Errorf("cluster %s is another when its settings are shared: %v", c.GetName(), cmp.Diff(alone, c, protocmp.Transform()))
			}
			clusters, all, findings = append(clusters, c), append(all, c), append(findings, found...)
			if in.Discovery() == DiscoverByEDS {
				e := in.endpointsInput()
				e.Endpoints, e.PeerAuthentications = endpoints, v.PeerAuthentications
				all = append(all, Endpoints(e))
			}
		}
	}
	for _, m := range all {
		if err := m.ValidateAll(); err != nil {
			t.Errorf("%v is not valid: %v", m, err)
		}
	}
	return clusters, all, findings
}

func stories(t testing.TB) []string {
	files, err := filepath.Glob("testdata/clusters/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	return files
}

// TestClusterStories compares the clusters and endpoints of whole meshes with
// golden files; the stories name the rows of the feature table that they tell.
func TestClusterStories(t *testing.T) {
	for _, file := range stories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			v := readStory(t, file).view(t)
			_, all, findings := clustersOf(t, v)
			var b strings.Builder
			for _, m := range all {
				b.WriteString("---\n" + asYAML(t, m))
			}
			for _, f := range findings {
				b.WriteString("# " + f.String() + "\n")
			}
			golden := strings.TrimSuffix(file, ".in.yaml") + ".golden.yaml"
			if *updateClusters {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v: write it with -update-clusters and read what it says", err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("not as in %s (-want +got):\n%s", golden, d)
			}
		})
	}
}

func asYAML(t testing.TB, m proto.Message) string {
	t.Helper()
	js, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.JSONToYAML(js)
	if err != nil {
		t.Fatal(err)
	}
	return string(y)
}
