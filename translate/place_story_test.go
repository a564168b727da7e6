package translate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/fairway-mesh/fairway/mesh"
)

var updatePlaces = flag.Bool("update-places", false, "write what is made into the golden stories of places")

// TestPlaceStories tells which rule leads what on which port. A story is a txtar file: a
// sentence, in.yaml, and for each client "NAMESPACE" a part of that name with all
// virtual hosts, chains and findings. No two virtual hosts of a route configuration
// may answer to one name.
func TestPlaceStories(t *testing.T) {
	files, err := filepath.Glob("testdata/place-stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: a.Comment, Files: a.Files[:1:1]}
			for _, f := range a.Files[1:] {
				got.Files = append(got.Files, txtar.File{Name: f.Name, Data: []byte(placesSeen(t, routeWorld(t, string(a.Files[0].Data), f.Name, "")))})
			}
			if *updatePlaces {
				if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(a)), string(txtar.Format(got))); diff != "" {
				t.Errorf("go test ./translate -run TestPlaceStories -update-places writes it anew\n%s", diff)
			}
		})
	}
}

// placesSeen writes what the view has, a line each.
func placesSeen(t *testing.T, v *mesh.View) string {
	t.Helper()
	var names, lines, findings []string
	for h := range v.Hosts() {
		names = append(names, h)
	}
	for h := range v.RouteHosts() {
		names = append(names, h)
	}
	slices.Sort(names)
	answers := map[string]string{}
	for _, h := range slices.Compact(names) {
		plan := ResolveHost(v, h)
		for _, f := range plan.Findings {
			findings = append(findings, string(f.Code)+" "+f.String())
		}
		for _, in := range plan.VirtualHosts {
			vh, found := VirtualHost(in)
			for _, f := range found {
				findings = append(findings, string(f.Code)+" "+f.String())
			}
			for _, d := range vh.Domains {
				if other := answers[in.Config+" "+d]; other != "" {
					t.Errorf("on %s both %s and %s answer to %s", in.Config, other, in.Name, d)
				}
				answers[in.Config+" "+d] = in.Name
			}
			lines = append(lines, fmt.Sprintf("%s %s: %s", in.Resource(), vh.Domains, leadsTo(in)))
		}
		for _, c := range plan.Claims {
			for _, chain := range c.Chains {
				lines = append(lines, fmt.Sprintf("%s by %s sni=%v prefixes=%v -> %s", c.Key.Name(), c.Host, chain.SNI, chain.Prefixes, chain.Clusters[0].Cluster))
			}
		}
	}
	slices.Sort(lines)
	slices.Sort(findings)
	return strings.Join(append(lines, slices.Compact(findings)...), "\n") + "\n"
}

// leadsTo says what a virtual host does with requests.
func leadsTo(in VirtualHostInput) string {
	if in.Route.VirtualService == nil || in.OriginalDst || !in.Route.servesRequests() {
		return "no rule"
	}
	return "rule " + in.Route.VirtualService.Ref.Namespace + "/" + in.Route.VirtualService.Ref.Name
}
