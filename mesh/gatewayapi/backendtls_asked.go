package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// BackendTLS is how clients speak TLS to a port of a Service, as a BackendTLSPolicy asks.
// It never changes: what is made of it depends on nothing else.
type BackendTLS struct {
	Policy      object.Ref
	Created     time.Time           // the policy
	Hostname    string              // that the server is asked for
	Names       []string            // of which its certificate must bear one; none: no certificate will do
	System      bool                // the roots are those of the proxy's image, else Authorities
	Authorities *object.Authorities // nil without System: no certificate will do
}

// serviceTLS is what policies ask for of one Service.
type serviceTLS map[string]*BackendTLS // by the name of a port; "": all others

// BackendTLS is how clients speak TLS to a port of a Service; nil when no policy asks for it.
func (x *Index) BackendTLS(s *registry.Service, port *registry.Port) *BackendTLS {
	if !s.Kubernetes() || x.backendTLS.Len() == 0 {
		return nil
	}
	of, _ := x.backendTLS.Get(s.Namespace + "/" + s.Name)
	return cmp.Or(of[port.Name], of[""])
}

// PolicyBundles are the ConfigMaps that BackendTLSPolicies name.
func (x *Index) PolicyBundles() (out []registry.Wanted) {
	for _, p := range x.policies.All() {
		for _, b := range p.bundles {
			out = append(out, registry.Wanted{Ref: b.Ref, By: p.Ref, Since: p.created})
		}
	}
	return out
}

// decides is the policy that decides about a target; nil when none names it.
func (x *Index) decides(namespace string, t policyTarget) *BackendTLSPolicy {
	of, _ := x.backendTLS.Get(namespace + "/" + t.service)
	if asked := of[t.port]; asked != nil {
		return x.BackendTLSPolicy(asked.Policy)
	}
	return nil
}

// tlsOf is what the policies for a Service ask for.
func (x *Index) tlsOf(service string) serviceTLS {
	of, _ := x.policiesOf.Get(service)
	_, name, _ := strings.Cut(service, "/")
	out := serviceTLS{}
	for _, p := range of { // the oldest first
		var asked *BackendTLS
		for _, t := range p.targets {
			if t.service == name && out[t.port] == nil {
				if asked == nil {
					asked = x.asked(p)
				}
				out[t.port] = asked
			}
		}
	}
	return out
}

// asked is what a policy asks for. Where something of it is wrong no certificate will do:
// requests fail rather than reach a server that nobody has verified.
func (x *Index) asked(p *BackendTLSPolicy) *BackendTLS {
	out := &BackendTLS{Policy: p.Ref, Created: p.created, Hostname: p.hostname}
	if p.invalid != "" {
		return out
	}
	out.Names, out.System = p.names, p.system
	out.Authorities, _ = x.authorities(p)
	return out
}

// bundleProblem is why a reference of a policy leads to no certificates.
type bundleProblem struct {
	field, message string
	winner         object.Ref // the object for which there was room; may be none
}

// authorities are those that a policy has proxies trust, and what is wrong with those that it
// names beside.
func (x *Index) authorities(p *BackendTLSPolicy) (all *object.Authorities, problems []bundleProblem) {
	if much := x.tooMuch(p); much != nil {
		return nil, []bundleProblem{*much}
	}
	return x.bundled(p)
}

// bundled are the authorities that a policy's references lead to, and what is wrong with each
// ConfigMap that has none.
func (x *Index) bundled(p *BackendTLSPolicy) (all *object.Authorities, problems []bundleProblem) {
	var a authorities
	for _, b := range p.bundles {
		if message := a.add(x, b.Ref); message != "" {
			problems = append(problems, bundleProblem{field: b.field, message: message})
		}
	}
	return a.of(p.Ref.Namespace), problems
}

// PolicyFindings are what is wrong with a BackendTLSPolicy.
func (w *View) PolicyFindings(p *BackendTLSPolicy) []object.Finding {
	out := slices.Clone(p.Findings)
	add := func(f object.Finding) { f.Object = p.Ref; out = append(out, f) }
	for _, t := range p.targets {
		if winner := w.decides(p.Ref.Namespace, t); winner != nil && winner.Ref != p.Ref {
			add(object.Finding{Field: "spec.targetRefs", Code: object.CodeConflict, Winner: winner.Ref,
				Message: fmt.Sprintf("an older policy is for %s; this one has no effect there: merge the two", t)})
		}
		switch s := w.targetService(p, t); {
		case s == nil:
			add(object.Finding{Field: "spec.targetRefs", Code: object.CodeUnreferenced, Missing: object.Ref{Kind: object.KindService, Namespace: p.Ref.Namespace, Name: t.service},
				Message: fmt.Sprintf("there is no Service %s in namespace %s; nothing follows the policy until there is: correct the name", t.service, p.Ref.Namespace)})
		case t.port != "" && !hasPort(s, t.port):
			add(object.Finding{Field: "spec.targetRefs", Code: object.CodeUnreferenced,
				Message: fmt.Sprintf("Service %s has no port %s; nothing follows the policy there: correct sectionName", t.service, t.port)})
		case s.Resolution == registry.ResolutionAlias:
			add(object.Finding{Field: "spec.targetRefs", Code: object.CodeUnsupported,
				Message: fmt.Sprintf("Service %s stands for another name (ExternalName), and connections to that do not follow the policy: use a DestinationRule for the other name", t.service)})
		}
	}
	all, problems := w.authorities(p)
	instead := "requests to the backend get 503 until then"
	if all != nil {
		instead = "only the other authorities are trusted"
	}
	for _, problem := range problems {
		add(object.Finding{Field: problem.field, Code: object.CodeSecret, Winner: problem.winner, Message: problem.message + "; " + instead})
	}
	return out
}

// targetService is the Service of a target; nil when there is none.
func (w *View) targetService(p *BackendTLSPolicy, t policyTarget) *registry.Service {
	h := w.host(strings.ToLower(t.service + "." + p.Ref.Namespace + ".svc." + object.Domain))
	if h == nil || !h.Services[0].Kubernetes() {
		return nil
	}
	return h.Services[0]
}

func hasPort(s *registry.Service, name string) bool {
	return slices.ContainsFunc(s.Ports, func(p registry.Port) bool { return p.Name == name })
}

// String names the target for people.
func (t policyTarget) String() string {
	if t.port == "" {
		return "Service " + t.service
	}
	return "port " + t.port + " of Service " + t.service
}
