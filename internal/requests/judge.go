package requests

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// Judge lists what of an outcome is otherwise than wanted, in sentences.
func (w *Want) Judge(namespace string, o *Outcome) (wrong []string) {
	tell := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(w.To) > 0 {
		if problem := w.destinations(namespace, o); problem != "" {
			tell("%s", problem)
		}
	}
	if w.Status != 0 && o.Status() != w.Status {
		got := fmt.Sprintf("it is %d", o.Status())
		if o.Status() == 0 {
			got = "the mesh does not answer all: " + o.end()
		}
		tell("want status %d, and %s", w.Status, got)
	}
	if w.Closed && !o.Closed() {
		tell("want the connection closed, and it is not: %s", o.end())
	}
	if w.Location != "" && w.Location != o.Location {
		tell("want location %q, and it is %q", w.Location, o.Location)
	}
	for _, t := range o.To {
		if t.Sent == nil {
			continue
		}
		if w.Path != "" && w.Path != t.Sent.Path {
			tell("want path %q at %s, and it is %q", w.Path, t.Cluster, t.Sent.Path)
		}
		if w.Host != "" && w.Host != t.Sent.Host {
			tell("want host %q at %s, and it is %q", w.Host, t.Cluster, t.Sent.Host)
		}
		wrong = append(wrong, headers("header", " at "+t.Cluster, w.Headers, t.Sent.Header, nil)...)
		wrong = append(wrong, headers("answer's header", " from "+t.Cluster, w.Answer, t.Answer.Set, append([]string{}, t.Answer.Remove...))...)
	}
	if len(o.To) == 0 {
		if w.Path+w.Host != "" || len(w.Headers) > 0 {
			tell("want the request at a destination, and %s", o.end())
		}
		wrong = append(wrong, headers("answer's header", "", w.Answer, o.Changes.Set, nil)...)
	}
	return append(wrong, w.policy(namespace, o)...)
}

// policy compares what policies come to.
func (w *Want) policy(namespace string, o *Outcome) (wrong []string) {
	d := o.Decided()
	if w.Policy != "" && w.Policy != string(d.Decision) {
		wrong = append(wrong, fmt.Sprintf("want policies to say %s, and they say %s: %s", w.Policy, d.Decision, d.Why))
	}
	by := w.By
	if by != "" && !strings.Contains(by, "/") {
		by = namespace + "/" + by
	}
	if by != "" && by != d.By {
		got := d.By
		if got == "" {
			got = "none"
		}
		wrong = append(wrong, fmt.Sprintf("want AuthorizationPolicy %s to decide, and it is %s: %s", by, got, d.Why))
	}
	return wrong
}

// end is how the way ends, in words.
func (o *Outcome) end() string {
	if len(o.To) == 0 {
		if len(o.Steps) == 0 {
			return "it goes to the server directly"
		}
		last := o.Steps[len(o.Steps)-1]
		return last.Name + ": " + last.Why
	}
	var to []string
	for _, t := range o.To {
		to = append(to, t.String())
	}
	return "it goes to " + strings.Join(to, ", ")
}

// destinations compares where requests go.
func (w *Want) destinations(namespace string, o *Outcome) string {
	left := slices.Clone(o.To)
	for _, d := range w.To {
		i := slices.IndexFunc(left, func(t explain.Share) bool { return d.is(namespace, t.Cluster) })
		if i < 0 {
			return fmt.Sprintf("want destination %s, and %s", d, o.end())
		}
		if got := left[i].Percent; d.Weight != 0 && math.Abs(got-d.Weight) > 0.5 {
			return fmt.Sprintf("want %g%% at %s, and it gets %.4g%%", d.Weight, d, got)
		}
		if end := left[i]; end.Flag != "" {
			return fmt.Sprintf("want destination %s, and what would go there ends at the proxy (%d %s)", d, end.Status, end.Flag)
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		return fmt.Sprintf("want no destination but those named, and %.4g%% go to %s", left[0].Percent, left[0].Cluster)
	}
	return ""
}

// is tells whether a cluster is the destination's.
func (d Destination) is(namespace, cluster string) bool {
	if d.Cluster != "" {
		return d.Cluster == cluster
	}
	host, port, subset, ok := resource.SplitCluster(cluster)
	full := d.Host + "." + namespace + ".svc." + object.Domain
	return ok && subset == d.Subset && (d.Port == 0 || d.Port == port) &&
		(host == d.Host || host == full || host == d.Host+".svc."+object.Domain)
}

// String names the destination as a rule does.
func (d Destination) String() string {
	out := d.Host + d.Cluster
	if d.Port != 0 {
		out += fmt.Sprintf(":%d", d.Port)
	}
	if d.Subset != "" {
		out += " subset " + d.Subset
	}
	return out
}

// headers compares headers. Of those that may come from elsewhere only removed ones are
// known to be missing.
func headers(what, where string, want map[string]*string, got http.Header, removed []string) (wrong []string) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		key := http.CanonicalHeaderKey(name)
		value, there := strings.Join(got.Values(key), ","), len(got.Values(key)) > 0
		switch {
		case want[name] == nil && there:
			wrong = append(wrong, fmt.Sprintf("want no %s %s%s, and it is %q", what, name, where, value))
		case want[name] == nil && removed != nil && !slices.Contains(removed, key):
			wrong = append(wrong, fmt.Sprintf("want no %s %s%s, and no rule removes it", what, name, where))
		case want[name] != nil && !there:
			wrong = append(wrong, fmt.Sprintf("want %s %s%s to be %q, and nothing sets it", what, name, where, *want[name]))
		case want[name] != nil && *want[name] != "*" && *want[name] != value:
			wrong = append(wrong, fmt.Sprintf("want %s %s%s to be %q, and it is %q", what, name, where, *want[name], value))
		}
	}
	return wrong
}
