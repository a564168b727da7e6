package operate

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/snapshot"
)

// Difference is what some proxies, who all see it alike, would be sent.
type Difference struct {
	Proxies   []string           `json:"proxies"`
	Resources []ResourceDiffered `json:"resources"`
}

// ResourceDiffered is a resource that would be another.
type ResourceDiffered struct {
	Change  string   `json:"change"` // added, changed or removed
	Type    string   `json:"type"`   // cds, eds, lds, ...
	Name    string   `json:"name"`
	Objects []string `json:"objects,omitempty"` // what it is made of
	// Diff is how its YAML changes, a unified diff.
	Diff string `json:"diff"`
}

// kinds are what people call the types.
var kinds = [snapshot.NumTypes]string{
	snapshot.Cluster: "cluster", snapshot.Endpoint: "endpoints", snapshot.Secret: "secret", snapshot.ExtensionConfig: "extension", snapshot.Runtime: "runtime values",
	snapshot.Listener: "listener", snapshot.RouteConfig: "route table", snapshot.VirtualHost: "virtual host",
}

// differences lists what differs between two stacks, of which the secrets are
// nobody's business.
func differences(before, after snapshot.Stack) (out []ResourceDiffered, err error) {
	for t := range snapshot.NumTypes {
		if t == snapshot.Secret {
			continue
		}
		for _, d := range before.Diff(after, t) {
			r := ResourceDiffered{Change: "changed", Type: t.String(), Name: d.Name}
			switch {
			case d.Old == nil:
				r.Change = "added"
			case d.New == nil:
				r.Change = "removed"
			}
			for _, o := range cmp.Or(d.New, d.Old).Owners {
				r.Objects = append(r.Objects, o.String())
			}
			if r.Diff, err = yamlDiff(d.Old, d.New); err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// yamlDiff compares two versions of a resource, of which one may be nil.
func yamlDiff(before, after *snapshot.Resource) (string, error) {
	a, err := yamlLines(before)
	if err != nil {
		return "", err
	}
	b, err := yamlLines(after)
	if err != nil {
		return "", err
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: a, B: b, Context: 3})
	if err != nil {
		return "", fmt.Errorf("comparing: %w", err)
	}
	return text, nil
}

func yamlLines(r *snapshot.Resource) ([]string, error) {
	if r == nil {
		return nil, nil
	}
	text, err := r.JSON()
	if err != nil {
		return nil, err
	}
	if text, err = yaml.JSONToYAML(text); err != nil {
		return nil, fmt.Errorf("showing %s %s: %w", r.Type, r.Name, err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n")+"\n", "\n"), nil
}

// alike joins proxies that would be sent the same, and orders what is left by
// its first proxy.
func alike(of map[string][]ResourceDiffered) []Difference {
	groups := map[string]*Difference{}
	for proxy, resources := range of {
		if len(resources) == 0 {
			continue
		}
		var key bytes.Buffer
		for _, r := range resources {
			fmt.Fprintln(&key, r.Change, r.Type, r.Name, r.Diff)
		}
		g := groups[key.String()]
		if g == nil {
			g = &Difference{Resources: resources}
			groups[key.String()] = g
		}
		g.Proxies = append(g.Proxies, proxy)
	}
	out := make([]Difference, 0, len(groups))
	for _, g := range groups {
		slices.Sort(g.Proxies)
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Difference) int { return slices.Compare(a.Proxies, b.Proxies) })
	return out
}

// shownProxies is how many proxies are named at the head of a difference.
const shownProxies = 8

func printDifference(w io.Writer, d Difference, whole bool) {
	names := strings.Join(d.Proxies[:min(len(d.Proxies), shownProxies)], ", ")
	if more := len(d.Proxies) - shownProxies; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	count := "1 proxy"
	if n := len(d.Proxies); n > 1 {
		count = fmt.Sprintf("%d proxies", n)
	}
	fmt.Fprintf(w, "%s: %s\n", count, names)
	for _, r := range d.Resources {
		made := ""
		if len(r.Objects) > 0 {
			made = "  (" + strings.Join(r.Objects, ", ") + ")"
		}
		fmt.Fprintf(w, "  %-8s %s %s%s\n", r.Change, kindOf(r.Type), r.Name, made)
		if r.Change != "changed" && !whole {
			continue
		}
		for line := range strings.Lines(r.Diff) {
			fmt.Fprint(w, "    ", line)
		}
	}
	fmt.Fprintln(w)
}

func kindOf(short string) string {
	for t, name := range kinds {
		if snapshot.Type(t).String() == short { //nolint:gosec // NumTypes is small
			return name
		}
	}
	return short
}
