package requests

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/fairway-mesh/fairway/internal/explain"
)

// Outcome is what becomes of a request.
type Outcome struct {
	explain.Answer
	// Servers are what the proxies of the servers say, of all that may get the request.
	Servers []Server `json:"servers,omitempty"`
}

// end is how the request ends at one destination.
type end struct {
	mesh   bool // the mesh ends it
	status int  // what it answers; 0: nothing
}

// ends are how it ends at each destination.
func (o *Outcome) ends() (out []end) {
	if len(o.To)+len(o.Servers) == 0 {
		return []end{{true, o.Answer.Status}}
	}
	for _, s := range o.To {
		if s.Flag != "" {
			out = append(out, end{true, s.Status})
		}
	}
	for _, s := range o.Servers {
		i := slices.IndexFunc(o.To, func(t explain.Share) bool { return t.Cluster == s.Cluster })
		switch {
		case s.Verdict.Decision != explain.Deny:
			out = append(out, end{})
		case !s.Closed:
			out = append(out, end{true, http.StatusForbidden})
		case i >= 0 && o.To[i].Sent != nil: // the client's proxy says so
			out = append(out, end{true, http.StatusServiceUnavailable})
		default:
			out = append(out, end{mesh: true})
		}
	}
	return out
}

// whole is how all requests end; false: some end otherwise than others.
func (o *Outcome) whole() (end, bool) {
	all := o.ends()
	if len(all) == 0 {
		return end{}, true
	}
	return all[0], !slices.ContainsFunc(all, func(e end) bool { return e != all[0] })
}

// Status is what the mesh itself answers to every such request; 0: a destination answers at
// least some, or the connection is closed.
func (o *Outcome) Status() int {
	if e, all := o.whole(); all {
		return e.status
	}
	return 0
}

// Closed tells whether the client gets no answer at all.
func (o *Outcome) Closed() bool {
	e, all := o.whole()
	return all && e.mesh && e.status == 0
}

// Decided is what the policies on the way come to. It is unknown where that of one server is,
// where servers disagree, and where requests do not get to one.
func (o *Outcome) Decided() explain.Verdict {
	out := explain.Verdict{Decision: explain.Allow, Why: "No policy is about it."}
	if v := o.Verdict; v != nil {
		if out = *v; v.Decision != explain.Allow {
			return out
		}
	}
	lost := explain.Verdict{Decision: explain.Unknown, Why: "Some requests get to no server, so that none says anything of them."}
	if o.Flag == "UH" || o.Flag == "NC" || slices.ContainsFunc(o.To, func(s explain.Share) bool { return s.Flag != "" }) {
		return lost
	}
	for i, s := range o.Servers {
		switch first := o.Servers[0]; {
		case i == 0:
			out = s.Verdict
		case s.Verdict.Decision != first.Verdict.Decision:
			return explain.Verdict{Decision: explain.Unknown, Why: fmt.Sprintf("%s says %s and %s says %s.", first.Workload, first.Verdict.Decision, s.Workload, s.Verdict.Decision)}
		case s.Verdict.By != out.By:
			out.By, out.Why = "", fmt.Sprintf("%s decides at %s, and %s at %s.", named(first.Verdict.By), first.Workload, named(s.Verdict.By), s.Workload)
		}
	}
	return out
}

// named is a policy, or that there is none.
func named(policy string) string {
	if policy == "" {
		return "no policy by itself"
	}
	return policy
}
