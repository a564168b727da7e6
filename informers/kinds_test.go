package informers

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestMeshAppliesWhatIsRead: each kind that is read does something to the mesh, and the mesh
// knows none that nobody reads.
func TestMeshAppliesWhatIsRead(t *testing.T) {
	read := []object.Kind{object.KindMeshConfigFile, object.KindIssuer} // a file, see meshConfigFile, and what internal/issuers finds out
	for _, k := range kinds() {
		read = append(read, k.mesh)
	}
	slices.Sort(read)
	if applied := mesh.Kinds(); !slices.Equal(read, applied) {
		t.Errorf("kinds that are read: %v\nkinds that the mesh applies: %v", read, applied)
	}
}

// TestKindsOfIstioAreKnown: those that are read as messages of istio.io/api, and no others.
func TestKindsOfIstioAreKnown(t *testing.T) {
	for _, k := range kinds() {
		if k.proto != k.mesh.Istio() {
			t.Errorf("%s is of Istio's API: %v; it is said to be: %v", k.mesh, k.proto, k.mesh.Istio())
		}
	}
}

// TestChartGrantsWhatIsRead: the chart lets the control plane watch each kind that is read.
func TestChartGrantsWhatIsRead(t *testing.T) {
	granted := map[string]bool{} // "group/resource"
	rule := regexp.MustCompile(`(?m)apiGroups: \[(.*)\]\n\s+resources: \[(.*)\]\n(?:\s+resourceNames: .*\n)?\s+verbs: \[(.*)\]`)
	for _, file := range []string{"clusterrole.yaml", "role.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "charts", "fairway", "templates", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rule.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[3], "get") {
				continue
			}
			for _, group := range strings.Split(m[1], ", ") {
				for _, resource := range strings.Split(m[2], ", ") {
					granted[strings.Trim(group, `"`)+"/"+resource] = true
				}
			}
		}
	}
	for _, k := range kinds() {
		if !granted[k.group+"/"+k.resource] {
			t.Errorf("no role of the chart lets the control plane read %s of group %q", k.resource, k.group)
		}
	}
}
