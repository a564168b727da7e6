package debug

import (
	"fmt"
	"net/http"
	"time"

	"github.com/fairway-mesh/fairway/internal/history"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Happened is a history.Entry as JSON shows it.
type Happened struct {
	// Replica is set by who asks several.
	Replica string    `json:"replica,omitempty"`
	Time    time.Time `json:"time"`
	// Objects are what was taken in, the first of them, and MoreObjects how many there were
	// beyond these.
	Objects     []ChangedObject `json:"objects,omitempty"`
	MoreObjects int             `json:"moreObjects,omitempty"`
	Effect      *Effect         `json:"effect,omitempty"` // on proxies; not of findings
	// Came and Went are findings, the first of them, and MoreFindings how many there were
	// beyond these.
	Came         []Finding `json:"findingsThatCame,omitempty"`
	Went         []Finding `json:"findingsThatWent,omitempty"`
	MoreFindings int       `json:"moreFindings,omitempty"`
}

// ChangedObject is an object that came, went or changed.
type ChangedObject struct {
	Kind       string     `json:"kind"`
	Namespace  string     `json:"namespace,omitempty"`
	Name       string     `json:"name"`
	Deleted    bool       `json:"deleted,omitempty"`
	Generation int64      `json:"generation,omitempty"`
	Version    string     `json:"resourceVersion,omitempty"`
	By         string     `json:"by,omitempty"` // the manager of its managedFields who wrote last
	Written    *time.Time `json:"written,omitempty"`
}

// String names it as findings do.
func (o ChangedObject) String() string {
	return object.Ref{Kind: object.Kind(o.Kind), Namespace: o.Namespace, Name: o.Name}.String()
}

// Effect is what a pass did to the proxies of one replica.
type Effect struct {
	Proxies int `json:"proxies"`
	// Workloads are theirs, "NAMESPACE/NAME"; or else Namespaces where there are too many, or
	// neither where there are too many of these.
	Workloads  []string `json:"workloads,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
	Added      int      `json:"added"`
	Changed    int      `json:"changed"`
	Removed    int      `json:"removed"`
	// AtLeast says that these are more than was counted.
	AtLeast   bool              `json:"atLeast,omitempty"`
	Resources []ChangedResource `json:"resources,omitempty"` // the first of them
	Bytes     int64             `json:"bytes"`               // that all these proxies are sent, about
	// AcceptedSeconds is how long the last of the proxies took that have accepted all of it.
	AcceptedSeconds float64 `json:"acceptedSeconds"`
	Waiting         int     `json:"waiting"` // proxies that have not yet
	// Late have not until many later changes concerned them, and Left have gone before.
	Late int `json:"late,omitempty"`
	Left int `json:"left,omitempty"`
}

// ChangedResource is an Envoy resource that is another one for some proxy.
type ChangedResource struct {
	Change string `json:"change"` // added, changed or removed
	Type   string `json:"type"`   // cds, eds, lds, ...
	Name   string `json:"name"`
}

// history answers with what happened since a moment, or within so long.
func (c Config) history(w http.ResponseWriter, r *http.Request) {
	since, err := sinceOf(r.URL.Query().Get("since"), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out := []Happened{}
	for _, e := range c.History(since) {
		out = append(out, happened(e))
	}
	writeJSON(w, out)
}

// sinceOf reads "10m" or a time of RFC 3339; empty: all.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("since=%.64q is neither a duration, as 10m, nor a time of RFC 3339", text)
	}
	return t, nil
}

func happened(e history.Entry) Happened {
	out := Happened{Time: e.At, MoreObjects: e.More, MoreFindings: e.MoreFindings}
	for _, o := range e.Objects {
		c := ChangedObject{Kind: string(o.Kind), Namespace: o.Namespace, Name: o.Name, Deleted: o.Deleted, Generation: o.Generation, Version: o.By.Version, By: o.By.Manager}
		if !o.By.At.IsZero() {
			c.Written = &o.By.At
		}
		out.Objects = append(out.Objects, c)
	}
	if len(e.Came) > 0 {
		out.Came = Findings(e.Came)
	}
	if len(e.Went) > 0 {
		out.Went = Findings(e.Went)
	}
	p := e.Pass
	if p == nil {
		return out
	}
	a := p.Accepted()
	out.Effect = &Effect{
		Proxies: p.Proxies, Namespaces: p.Namespaces, Added: p.Added, Changed: p.Changed, Removed: p.Removed, AtLeast: p.More, Bytes: p.Bytes,
		AcceptedSeconds: a.Took.Seconds(), Waiting: a.Waiting, Late: a.Late, Left: a.Left,
	}
	for _, w := range p.Workloads {
		out.Effect.Workloads = append(out.Effect.Workloads, w.Namespace+"/"+w.Name)
	}
	for _, t := range p.Resources {
		out.Effect.Resources = append(out.Effect.Resources, ChangedResource{t.Change, t.Type.String(), t.Name})
	}
	return out
}
