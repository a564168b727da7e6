package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// delegatedRule is an HTTP rule of a VirtualService without hosts, as those of roots take it.
type delegatedRule struct {
	rule   *networking.HTTPRoute // with its names as the VirtualService means them
	origin object.Origin
	cost   bounds.RuleCost
}

// delegable are the rules that others may delegate to, copied once for all roots, and what
// they are together.
func (v *VirtualService) delegable() (out []delegatedRule, all bounds.RuleCost) {
	for i, r := range v.Spec.Http {
		if r.Delegate != nil {
			continue
		}
		d := delegatedRule{rule: resolved(r, v.Namespace), origin: v.HTTPOrigin(i)}
		d.cost.AddHTTP(r)
		out, all = append(out, d), all.Plus(d.cost, 1)
	}
	return out, all
}

// NoDelegate takes the delegate, and the namespace of what delegates.
const NoDelegate = "there is no VirtualService %s that is exported to namespace %s; the rule is left out: create it, or mend the name"

// MergeDelegates is the root with the rules of its delegates in place of those
// that delegate. find looks a delegate up by "namespace/name"; nil means that
// there is none that the root may use. Names in the delegates' rules are
// resolved, since they mean the delegate's namespace. without has the namespaces whose
// delegates have no room at this root, with who has it.
func MergeDelegates(root *VirtualService, find func(name string) *VirtualService, without map[string]object.Ref) (*VirtualService, []object.Finding) {
	merged := *root
	spec := root.Spec
	merged.Spec = &networking.VirtualService{Hosts: spec.Hosts, Gateways: spec.Gateways, ExportTo: spec.ExportTo, Tcp: spec.Tcp, Tls: spec.Tls}
	merged.origins.http = nil
	merged.Cost = bounds.CostOfRules(&networking.VirtualService{Tcp: spec.Tcp, Tls: spec.Tls})
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
			merged.Cost.AddHTTP(rule)
			continue
		}
		if cost.over {
			continue
		}
		bad := func(code object.Code, format string, args ...any) {
			findings = append(findings, object.Finding{Object: root.Ref, Field: o.Field + ".delegate", Code: code, Message: fmt.Sprintf(format, args...)})
		}
		name := DelegateName(rule.Delegate, root.Namespace)
		namespace, of, _ := strings.Cut(name, "/")
		d := find(name)
		switch {
		case d == nil:
			findings = append(findings, object.Finding{Object: root.Ref, Field: o.Field + ".delegate", Code: object.CodeDelegateMissing,
				Message: fmt.Sprintf(NoDelegate, name, root.Namespace), Missing: object.Ref{Kind: object.KindVirtualService, Namespace: namespace, Name: of}})
			continue
		case len(d.Spec.Hosts) > 0:
			bad(object.CodeInvalid, "VirtualService %s has hosts of its own, so that it is no delegate; the rule is left out: remove its hosts", name)
			continue
		}
		if winner, out := without[namespace]; out {
			findings = append(findings, noRoom(root, o.Field, namespace, winner))
			continue
		}
		if len(d.Delegates) > 0 {
			bad(object.CodeUnsupported, "VirtualService %s delegates on, which only one with hosts may; those rules of it are left out: delegate to %s directly", name, object.Shortened(strings.Join(d.Delegates[:min(3, len(d.Delegates))], ", ")))
		}
		from := newDelegating(rule, root.Namespace)
		for _, part := range d.parts {
			if !cost.afford(from, part.cost) {
				findings = append(findings, tooManyMerged(root.Ref, o.Field))
				break
			}
			findings = append(findings, from.outvoted(root.Ref, o.Field, part)...)
			r, ok := from.inherit(part.rule)
			if !ok {
				bad(object.CodeConflict, "%s of VirtualService %s matches requests that this rule does not; it is left out: narrow its match, or widen this one's", part.origin.Field, name)
				continue
			}
			add(r, part.origin)
			merged.Cost.AddHTTP(r)
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
}

// mergeCost counts what the rules of a root and of its delegates become together: each
// match of the one with each of the other.
type mergeCost struct {
	hosts, pairs, bytes int
	over                bool
}

// afford tells whether a rule of a delegate can be merged into one of its root within
// the bounds of a VirtualService.
func (c *mergeCost) afford(root *delegating, own bounds.RuleCost) bool {
	matches := max(1, len(root.rule.Match))
	c.pairs += matches * own.Matches
	c.bytes += matches * (own.Bytes + own.Matches*root.size)
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

// delegating is a root's rule that delegates, with what is the same for all rules that it
// gets.
type delegating struct {
	rule      *networking.HTTPRoute
	means     *networking.HTTPRoute // with its names as the root means them
	namespace string
	size      int                            // of the rule, in bytes
	matches   []*networking.HTTPMatchRequest // with the names of Gateways as the root means them
	inherited []protoreflect.FieldDescriptor // what it says for rules that do not say it themselves
}

func newDelegating(rule *networking.HTTPRoute, namespace string) *delegating {
	d := &delegating{rule: rule, means: resolved(rule, namespace), namespace: namespace, size: proto.Size(rule)}
	d.matches = d.means.Match
	of := rule.ProtoReflect()
	for _, name := range []protoreflect.Name{"rewrite", "timeout", "retries", "fault", "mirror", "mirrors", "cors_policy", "headers"} {
		if f := of.Descriptor().Fields().ByName(name); of.Has(f) {
			d.inherited = append(d.inherited, f)
		}
	}
	return d
}

// inherit is a delegate's rule with the matches of the root's rule, and what only the
// root's says; false when the two have no request in common.
func (d *delegating) inherit(own *networking.HTTPRoute) (*networking.HTTPRoute, bool) {
	matches, ok := bothMatches(d.matches, own.Match)
	if !ok {
		return nil, false
	}
	r, root := CopyOf(own), d.rule
	r.Match = matches
	r.Name = joinNames(root.Name, r.Name)
	inheritField(&r.Rewrite, root.Rewrite)
	inheritField(&r.Timeout, root.Timeout)
	inheritField(&r.Retries, root.Retries)
	inheritField(&r.Fault, root.Fault)
	if r.Mirror == nil {
		if r.Mirror = d.means.Mirror; r.Mirror != nil {
			r.MirrorPercentage, r.MirrorPercent = root.MirrorPercentage, root.MirrorPercent //nolint:staticcheck // the field of old is still written
		}
	}
	if len(r.Mirrors) == 0 {
		r.Mirrors = root.Mirrors // of the root's namespace, in which the merged rule's names are looked up
	}
	inheritField(&r.CorsPolicy, root.CorsPolicy)
	inheritField(&r.Headers, root.Headers)
	return r, true
}

// outvoted tells of what a root's rule says and a rule of its delegate says in its place.
// Nothing is merged within a field.
func (d *delegating) outvoted(root object.Ref, field string, part delegatedRule) (findings []object.Finding) {
	of, own := d.means.ProtoReflect(), part.rule.ProtoReflect()
	for _, f := range d.inherited {
		if !own.Has(f) || of.Get(f).Equal(own.Get(f)) {
			continue
		}
		findings = append(findings, object.Finding{Object: root, Field: field + "." + f.JSONName(), Code: object.CodeConflict, Winner: part.origin.Ref,
			Message: fmt.Sprintf("%s of the delegate says %s too, and that is in force instead of all that stands here: say it in one of the two", part.origin.Field, f.JSONName())})
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
	out := CopyOf(own)
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
	if len(root.SourceLabels) > 0 {
		labels := maps.Clone(root.SourceLabels)
		for k, v := range own.SourceLabels {
			if have, set := labels[k]; set && have != v {
				return nil, false
			}
			labels[k] = v
		}
		out.SourceLabels = labels
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

// joinText is the delegate's matches by name with the root's, within each of which
// must be the delegate's of the same name.
func joinText(own, root map[string]*networking.StringMatch, ok *bool) map[string]*networking.StringMatch {
	if len(root) == 0 {
		return own
	}
	out := maps.Clone(root)
	for k, have := range own {
		if r, both := root[k]; both {
			*ok = *ok && (sameText(r, have) || coversText(r, have))
		}
		out[k] = have
	}
	return out
}
