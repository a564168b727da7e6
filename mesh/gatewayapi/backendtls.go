package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// What the API's definition lets one BackendTLSPolicy hold. Files are not checked by it.
const (
	maxPolicyTargets = 16
	maxPolicyBundles = 8
	maxPolicyNames   = 5
)

// BackendTLSPolicy is a BackendTLSPolicy, read once. It never changes.
type BackendTLSPolicy struct {
	Ref        object.Ref
	generation int64
	created    time.Time
	targets    []policyTarget
	hostname   string
	names      []string // of which the server's certificate must bear one
	system     bool     // the roots are those of the proxy's image
	bundles    []policyBundle
	// invalid says why no connection can be made as the policy asks, and kind which
	// of its references is of a kind that holds no roots; "": nothing is wrong.
	invalid, kind string
	Findings      []object.Finding
}

// policyBundle is a ConfigMap with roots, and where the policy names it.
type policyBundle struct {
	object.Ref
	field string
}

// policyTarget is a Service of the policy's namespace, or one of its ports.
type policyTarget struct {
	service string
	port    string // its name; "": all ports that no other policy names
}

func parseBackendTLSPolicy(o *gatewayv1.BackendTLSPolicy) *BackendTLSPolicy {
	p := &BackendTLSPolicy{Ref: object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: o.Namespace, Name: o.Name}, generation: o.Generation, created: o.CreationTimestamp.Time}
	for i, t := range o.Spec.TargetRefs[:min(len(o.Spec.TargetRefs), maxPolicyTargets)] {
		if t.Group != "" || t.Kind != "Service" {
			p.find(fmt.Sprintf("spec.targetRefs[%d]", i), object.CodeUnsupported, "policies are attached to Services only; the reference is ignored: name a Service")
			continue
		}
		target := policyTarget{string(t.Name), deref(t.SectionName, "")}
		if !slices.Contains(p.targets, target) {
			p.targets = append(p.targets, target)
		}
	}
	if len(o.Spec.TargetRefs) > maxPolicyTargets {
		p.find("spec.targetRefs", object.CodeInvalid, "more than %d references; the others are ignored: write another policy for them", maxPolicyTargets)
	}
	for name := range o.Spec.Options {
		p.find("spec.options", object.CodeUnsupported, "no option is known, and %s is ignored like all others: remove it", name)
		break
	}
	p.validation(&o.Spec.Validation)
	if p.invalid != "" {
		p.find("spec.validation", object.CodeInvalid, "%s; requests to the backend get 503", p.invalid)
	}
	return p
}

// validation reads how the server is verified.
func (p *BackendTLSPolicy) validation(v *gatewayv1.BackendTLSPolicyValidation) {
	p.hostname = strings.ToLower(string(v.Hostname))
	if p.hostname == "" || !object.ValidHost(p.hostname) || object.IsWildcard(p.hostname) {
		p.invalid, p.hostname = fmt.Sprintf("hostname %q is no DNS name: write the name for which the server has a certificate", v.Hostname), ""
	}
	for _, n := range v.SubjectAltNames[:min(len(v.SubjectAltNames), maxPolicyNames)] {
		switch name := string(n.URI); {
		case n.Type == gatewayv1.HostnameSubjectAltNameType && n.Hostname != "":
			p.names = append(p.names, strings.ToLower(string(n.Hostname)))
		case n.Type == gatewayv1.URISubjectAltNameType && strings.Contains(name, "://"):
			p.names = append(p.names, name)
		default:
			p.invalid = fmt.Sprintf("subjectAltNames has an entry of type %s without its value, or with a URI that has no scheme://: write both", n.Type)
		}
	}
	if len(v.SubjectAltNames) > maxPolicyNames {
		p.invalid = fmt.Sprintf("subjectAltNames has more than %d entries: write fewer", maxPolicyNames)
	}
	if len(v.SubjectAltNames) == 0 && p.hostname != "" {
		p.names = []string{p.hostname}
	}
	p.roots(v)
}

// roots reads by whom the server's certificate must be signed.
func (p *BackendTLSPolicy) roots(v *gatewayv1.BackendTLSPolicyValidation) {
	known := deref(v.WellKnownCACertificates, "")
	switch {
	case known != "" && len(v.CACertificateRefs) > 0:
		p.invalid = "both caCertificateRefs and wellKnownCACertificates are given: leave out one of them"
	case known == string(gatewayv1.WellKnownCACertificatesSystem):
		p.system = true
	case known != "":
		p.invalid = fmt.Sprintf("wellKnownCACertificates %q is not known: use System", known)
	case len(v.CACertificateRefs) == 0:
		p.invalid = "no authority is named: set caCertificateRefs or wellKnownCACertificates"
	case len(v.CACertificateRefs) > maxPolicyBundles:
		p.invalid = fmt.Sprintf("caCertificateRefs has more than %d entries: write fewer", maxPolicyBundles)
	default:
		for i, c := range v.CACertificateRefs {
			if c.Group != "" || c.Kind != "ConfigMap" {
				p.kind = fmt.Sprintf("caCertificateRefs[%d] is of kind %s, which holds no certificates of authorities here: use a ConfigMap", i, strings.TrimPrefix(string(c.Group)+"/"+string(c.Kind), "/"))
				field := fmt.Sprintf("spec.validation.caCertificateRefs[%d].kind", i)
				if c.Group != "" {
					field = fmt.Sprintf("spec.validation.caCertificateRefs[%d].group", i)
				}
				p.find(field, object.CodeUnsupported, "%s/%s holds no certificates of authorities here; requests to the backend get 503 unless another reference does: use a ConfigMap, whose group is empty", c.Group, c.Kind)
				continue
			}
			p.bundles = append(p.bundles, policyBundle{
				object.Ref{Kind: object.KindConfigMap, Namespace: p.Ref.Namespace, Name: string(c.Name)},
				fmt.Sprintf("spec.validation.caCertificateRefs[%d].name", i),
			})
		}
	}
}

func (p *BackendTLSPolicy) find(field string, code object.Code, format string, args ...any) {
	p.Findings = append(p.Findings, object.Finding{Object: p.Ref, Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
}

// Attached tells whether the policy names any Service.
func (p *BackendTLSPolicy) Attached() bool { return len(p.targets) > 0 }

// services are the keys of the Services that a policy names, each once; none of nil.
func (p *BackendTLSPolicy) services() (out []string) {
	if p == nil {
		return nil
	}
	for _, t := range p.targets {
		if key := p.Ref.Namespace + "/" + t.service; !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}

// olderPolicy is the order of precedence of policies for one target: by age, then by name.
func olderPolicy(a, b *BackendTLSPolicy) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.Ref.Name, b.Ref.Name))
}
