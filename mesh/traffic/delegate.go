package traffic

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// NoDelegate takes the delegate, and the namespace of what delegates.
const NoDelegate = "there is no VirtualService %s that is exported to namespace %s; the rule is left out: create it, or mend the name"

// MergeDelegates is the root with the rules of its delegates in place of those
// that delegate. find looks a delegate up by "namespace/name"; nil means that
// there is none that the root may use. Names in the delegates' rules are
// resolved, since they mean the delegate's namespace.
func MergeDelegates(root *VirtualService, find func(name string) *VirtualService) (*VirtualService, []object.Finding) {
	merged := *root
	spec := root.Spec
	merged.Spec = &networking.VirtualService{Hosts: spec.Hosts, Gateways: spec.Gateways, ExportTo: spec.ExportTo, Tcp: spec.Tcp, Tls: spec.Tls}
	merged.origins.http = nil
	var findings []object.Finding
	add := func(r *networking.HTTPRoute, o object.Origin) {
		merged.Spec.Http = append(merged.Spec.Http, r)
		merged.origins.http = append(merged.origins.http, o)
	}
	cost := mergeCost{hosts: max(1, len(root.Hosts))}
	for i, rule := range spec.Http {
		o := root.HTTPOrigin(i)
		if rule.Delegate == nil {
			add(rule, o)
			continue
		}
		if cost.over {
			continue
		}
		bad := func(code object.Code, format string, args ...any) {
			findings = append(findings, object.Finding{Object: root.Ref, Field: o.Field + ".delegate", Code: code, Message: fmt.Sprintf(format, args...)})
		}
		name := DelegateName(rule.Delegate, root.Namespace)
		d := find(name)
		switch {
		case d == nil:
			namespace, of, _ := strings.Cut(name, "/")
			findings = append(findings, object.Finding{Object: root.Ref, Field: o.Field + ".delegate", Code: object.CodeDelegateMissing,
				Message: fmt.Sprintf(NoDelegate, name, root.Namespace), Missing: object.Ref{Kind: object.KindVirtualService, Namespace: namespace, Name: of}})
			continue
		case len(d.Spec.Hosts) > 0:
			bad(object.CodeInvalid, "VirtualService %s has hosts of its own, so that it is no delegate; the rule is left out: remove its hosts", name)
			continue
		}
		if len(d.Delegates) > 0 {
			bad(object.CodeUnsupported, "VirtualService %s delegates on, which only one with hosts may; those rules of it are left out: delegate to %s directly", name, object.Shortened(strings.Join(d.Delegates[:min(3, len(d.Delegates))], ", ")))
		}
		for j, part := range d.Spec.Http {
			from := d.HTTPOrigin(j)
			if part.Delegate != nil || from.Ref != d.Ref {
				continue
			}
			if !cost.afford(rule, part) {
				findings = append(findings, tooManyMerged(root.Ref, o.Field))
				break
			}
			r := resolved(part, d.Namespace)
			findings = append(findings, outvoted(root.Ref, o.Field, rule, part, from)...)
			if !inherit(r, rule, root.Namespace) {
				bad(object.CodeConflict, "%s of VirtualService %s matches requests that this rule does not; it is left out: narrow its match, or widen this one's", from.Field, name)
				continue
			}
			add(r, from)
		}
	}
	merged.completed(root)
	return &merged, findings
}

// completed gathers what the rules say, now that those of delegates of the root are
// among them.
func (v *VirtualService) completed(root *VirtualService) {
	v.Destinations = nil
	v.SetDestinations(object.Domain)
	v.Delegates = root.Delegates
	v.Cost = bounds.CostOfRules(v.Spec)
}

// mergeCost counts what the rules of a root and of its delegates become together: each
// match of the one with each of the other.
type mergeCost struct {
	hosts, pairs, bytes int
	over                bool
}

// afford tells whether a rule of a delegate can be merged into one of its root within
// the bounds of a VirtualService.
func (c *mergeCost) afford(root, own *networking.HTTPRoute) bool {
	pairs := max(1, len(root.Match)) * max(1, len(own.Match))
	c.pairs += pairs
	c.bytes += pairs * (proto.Size(root) + proto.Size(own))
	c.over = c.over || c.pairs*c.hosts > bounds.MaxRoutes || c.pairs > bounds.MaxMatches || c.bytes*c.hosts > bounds.MaxExpanded
	return !c.over
}

// DelegatedField is that of findings about rules and those of delegates together.
const DelegatedField = "spec.http × rules of delegates"

func tooManyMerged(root object.Ref, field string) object.Finding {
	return object.Finding{Object: root, Field: DelegatedField, Code: object.CodeInvalid, Message: fmt.Sprintf(
		"the matches of its rules and of its delegates' multiply to more than %d, or with the hosts to more than %d routes or %d bytes; what %s delegates is left out from there on, and all delegating rules after it: delegate from fewer rules",
		bounds.MaxMatches, bounds.MaxRoutes, bounds.MaxExpanded, field)}
}

// DelegateName is the "namespace/name" of what a rule of the namespace delegates to.
func DelegateName(d *networking.Delegate, namespace string) string {
	if d.Namespace != "" {
		namespace = d.Namespace
	}
	return namespace + "/" + d.Name
}

// resolved is a copy of a rule with its names as the namespace means them.
func resolved(rule *networking.HTTPRoute, namespace string) *networking.HTTPRoute {
	r := proto.CloneOf(rule)
	EachDestination(&networking.VirtualService{Http: []*networking.HTTPRoute{r}}, func(d *networking.Destination) {
		if d != nil {
			d.Host = object.ResolveHost(d.Host, namespace, object.Domain)
		}
	})
	resolveGateways(r.Match, namespace)
	return r
}

func resolveGateways(matches []*networking.HTTPMatchRequest, namespace string) {
	for _, m := range matches {
		for i, g := range m.Gateways {
			m.Gateways[i] = ResolveGateway(g, namespace)
		}
	}
}

// inherit gives a delegate's rule the matches of the root's rule, and what
// only the root's says; false when the two have no request in common.
func inherit(r, root *networking.HTTPRoute, namespace string) bool {
	rootMatches := make([]*networking.HTTPMatchRequest, 0, len(root.Match))
	for _, m := range root.Match {
		rootMatches = append(rootMatches, proto.CloneOf(m))
	}
	resolveGateways(rootMatches, namespace)
	matches, ok := bothMatches(rootMatches, r.Match)
	if !ok {
		return false
	}
	r.Match = matches
	r.Name = joinNames(root.Name, r.Name)
	inheritField(&r.Rewrite, root.Rewrite)
	inheritField(&r.Timeout, root.Timeout)
	inheritField(&r.Retries, root.Retries)
	inheritField(&r.Fault, root.Fault)
	if r.Mirror == nil {
		r.Mirror = proto.CloneOf(root.Mirror)
		if root.Mirror != nil {
			r.Mirror.Host = object.ResolveHost(root.Mirror.Host, namespace, object.Domain)
			r.MirrorPercentage, r.MirrorPercent = root.MirrorPercentage, root.MirrorPercent //nolint:staticcheck // the field of old is still written
		}
	}
	if len(r.Mirrors) == 0 {
		r.Mirrors = root.Mirrors // of the root's namespace, in which the merged rule's names are looked up
	}
	inheritField(&r.CorsPolicy, root.CorsPolicy)
	inheritField(&r.Headers, root.Headers)
	return true
}

// outvoted tells of what a root's rule says and a rule of its delegate says in its place.
// Nothing is merged within a field.
func outvoted(root object.Ref, field string, rule, part *networking.HTTPRoute, from object.Origin) (findings []object.Finding) {
	of, own := rule.ProtoReflect(), part.ProtoReflect()
	for _, name := range []protoreflect.Name{"rewrite", "timeout", "retries", "fault", "mirror", "mirrors", "cors_policy", "headers"} {
		f := of.Descriptor().Fields().ByName(name)
		if !of.Has(f) || !own.Has(f) || of.Get(f).Equal(own.Get(f)) {
			continue
		}
		findings = append(findings, object.Finding{Object: root, Field: field + "." + f.JSONName(), Code: object.CodeConflict, Winner: from.Ref,
			Message: fmt.Sprintf("%s of the delegate says %s too, and that is in force instead of all that stands here: say it in one of the two", from.Field, f.JSONName())})
	}
	return findings
}

func inheritField[T any](own **T, root *T) {
	if *own == nil {
		*own = root
	}
}

func joinNames(root, own string) string {
	if root == "" || own == "" {
		return root + own
	}
	return root + "-" + own
}

// bothMatches are the matches of requests that both lists match; false when
// one of the delegate's fits none of the root's.
func bothMatches(root, own []*networking.HTTPMatchRequest) ([]*networking.HTTPMatchRequest, bool) {
	if len(root) == 0 {
		return own, true
	}
	if len(own) == 0 {
		return root, true
	}
	var out []*networking.HTTPMatchRequest
	for _, m := range own {
		fits := false
		for _, r := range root {
			if both, ok := bothMatch(r, m); ok {
				fits = true
				out = append(out, both)
			}
		}
		if !fits {
			return nil, false
		}
	}
	return out, true
}

// bothMatch is the match of requests that both match; false where it cannot be
// written as one, or is narrower than own because of root.
func bothMatch(root, own *networking.HTTPMatchRequest) (*networking.HTTPMatchRequest, bool) {
	out := proto.CloneOf(own)
	if own.Uri == nil {
		out.Uri, out.IgnoreUriCase = root.Uri, root.IgnoreUriCase
	} else if root.Uri != nil && !coversURI(root, own) {
		return nil, false
	}
	ok := true
	within := func(to **networking.StringMatch, r *networking.StringMatch) {
		if *to == nil {
			*to = r
		} else if r != nil {
			ok = ok && coversText(r, *to)
		}
	}
	within(&out.Scheme, root.Scheme)
	within(&out.Method, root.Method)
	within(&out.Authority, root.Authority)
	out.Headers = joinText(out.Headers, root.Headers, &ok)
	out.WithoutHeaders = joinText(out.WithoutHeaders, root.WithoutHeaders, &ok)
	out.QueryParams = joinText(out.QueryParams, root.QueryParams, &ok)
	for k, v := range root.SourceLabels {
		if have, set := out.SourceLabels[k]; set && have != v {
			return nil, false
		}
		if out.SourceLabels == nil {
			out.SourceLabels = map[string]string{}
		}
		out.SourceLabels[k] = v
	}
	if out.Port == 0 {
		out.Port = root.Port
	}
	if out.SourceNamespace == "" {
		out.SourceNamespace = root.SourceNamespace
	}
	if len(out.Gateways) == 0 {
		out.Gateways = root.Gateways
	} else if len(root.Gateways) > 0 {
		ok = ok && !slices.ContainsFunc(out.Gateways, func(g string) bool { return !slices.Contains(root.Gateways, g) })
	}
	ok = ok && (root.Port == 0 || out.Port == root.Port) && (root.SourceNamespace == "" || out.SourceNamespace == root.SourceNamespace)
	out.Name = joinNames(root.Name, own.Name)
	return out, ok
}

// joinText adds the root's matches by name to the delegate's, each of which
// must be within the root's of the same name.
func joinText(own, root map[string]*networking.StringMatch, ok *bool) map[string]*networking.StringMatch {
	for k, r := range root {
		if have, set := own[k]; set {
			*ok = *ok && (sameText(r, have) || coversText(r, have))
			continue
		}
		if own == nil {
			own = map[string]*networking.StringMatch{}
		}
		own[k] = r
	}
	return own
}
