package gatewayapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	netv1 "k8s.io/api/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// IngressClassAnnotation names the class of an Ingress; it wins over
// spec.ingressClassName.
const IngressClassAnnotation = "kubernetes.io/ingress.class"

// IngressController is what IngressClasses for the mesh's gateways name.
const IngressController = "istio.io/ingress-controller"

// Ingress is an Ingress of networking.k8s.io. It never changes.
type Ingress struct {
	Ref        object.Ref
	Created    time.Time
	Annotation *string // of the class; nil: none
	Class      string  // spec.ingressClassName
	tls        []netv1.IngressTLS
	paths      []IngressPath
	// fallback gets the requests that no path matches; nil: nothing does.
	fallback *IngressPath
	Findings []object.Finding
}

// IngressPath is one path of one host, and where it leads.
type IngressPath struct {
	Host    string // "*" for all
	Field   string // "spec.rules[0].http.paths[1]"
	Backend string // the path of its backend
	match   *networking.HTTPMatchRequest
	To      netv1.IngressServiceBackend
	ByName  bool // the port is given by its name
}

// ParseIngress reads an Ingress. What of it cannot be served is left out, with findings.
func ParseIngress(o *netv1.Ingress) *Ingress {
	in := &Ingress{Ref: object.Ref{Kind: object.KindIngress, Namespace: o.Namespace, Name: o.Name}, Created: o.CreationTimestamp.Time, Class: deref(o.Spec.IngressClassName, ""), tls: o.Spec.TLS}
	if c, ok := o.Annotations[IngressClassAnnotation]; ok {
		in.Annotation = &c
	}
	for i, rule := range o.Spec.Rules {
		host := strings.ToLower(rule.Host)
		if host == "" {
			host = "*"
		}
		if !object.ValidHost(host) {
			in.find(fmt.Sprintf("spec.rules[%d].host", i), "%q is no host; the rule is left out: write a DNS name, *.name, or nothing for all", rule.Host)
			continue
		}
		if rule.HTTP == nil {
			continue
		}
		for j := range rule.HTTP.Paths {
			field := fmt.Sprintf("spec.rules[%d].http.paths[%d]", i, j)
			if m, ok := in.match(field, &rule.HTTP.Paths[j]); ok {
				in.add(IngressPath{Host: host, Field: field, Backend: field + ".backend", match: m}, &rule.HTTP.Paths[j].Backend)
			}
		}
	}
	if b := o.Spec.DefaultBackend; b != nil {
		n := len(in.paths)
		if in.add(IngressPath{Host: "*", Field: "spec.defaultBackend", Backend: "spec.defaultBackend", match: &networking.HTTPMatchRequest{}}, b); len(in.paths) > n {
			in.fallback = &in.paths[n]
			in.paths = in.paths[:n:n]
		}
	}
	return in
}

func (in *Ingress) find(field, format string, args ...any) {
	in.Findings = append(in.Findings, object.Finding{Object: in.Ref, Field: field, Code: object.CodeInvalid, Message: fmt.Sprintf(format, args...)})
}

// match reads a path; false when no request can have it. A type that is left to
// the implementation is exact, but for ".*" at the end, which stands for anything.
func (in *Ingress) match(field string, p *netv1.HTTPIngressPath) (*networking.HTTPMatchRequest, bool) {
	out := &networking.HTTPMatchRequest{}
	kind := deref(p.PathType, string(netv1.PathTypeImplementationSpecific))
	begin, any := strings.CutSuffix(p.Path, ".*")
	switch {
	case p.Path == "" && netv1.PathType(kind) != netv1.PathTypeExact:
		return out, true
	case !strings.HasPrefix(p.Path, "/"):
		in.find(field+".path", "%q does not begin with /, so that no request has it; the path is left out", p.Path)
		return nil, false
	case netv1.PathType(kind) == netv1.PathTypePrefix:
		if prefix := strings.TrimRight(p.Path, "/"); prefix != "" {
			out.Uri = &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: prefix}}
		}
	case netv1.PathType(kind) == netv1.PathTypeImplementationSpecific && any:
		out.Uri = regex(regexp.QuoteMeta(begin) + ".*")
	default:
		out.Uri = exact(p.Path)
	}
	findings, ok := traffic.CheckMatch(in.Ref, field, out)
	in.Findings = append(in.Findings, findings...)
	return out, ok
}

// add adds a path, unless its backend is no service.
func (in *Ingress) add(p IngressPath, b *netv1.IngressBackend) {
	switch {
	case b.Service == nil && b.Resource != nil:
		in.Findings = append(in.Findings, object.Finding{Object: in.Ref, Field: p.Backend + ".resource", Code: object.CodeUnsupported, Message: "the backend is no Service, and no others are supported; it is left out: use service"})
		return
	case b.Service == nil:
		in.find(p.Backend, "the backend is no Service, and no others are supported; it is left out: use service")
		return
	case b.Service.Port.Name == "" && (b.Service.Port.Number < 1 || b.Service.Port.Number > object.MaxPort):
		in.find(p.Backend+".service.port", "the backend has neither the name nor the number of a port; it is left out: give one")
		return
	}
	p.To, p.ByName = *b.Service, b.Service.Port.Name != ""
	in.paths = append(in.paths, p)
}

// RefersByName tells whether a port of the Service is meant by its name.
func (in *Ingress) RefersByName(service object.Ref) bool {
	is := func(p IngressPath) bool {
		return p.ByName && in.Ref.Namespace == service.Namespace && p.To.Name == service.Name
	}
	return slices.ContainsFunc(in.paths, is) || in.fallback != nil && is(*in.fallback)
}

// ServedBy tells whether the mesh's gateways serve the Ingress, whose class
// is made for a controller ("" if there is no such class): an annotation must be
// the mesh's ingressClass, and without any class the mode decides
// (MeshConfig.ingressControllerMode).
func (in *Ingress) ServedBy(c *meshconfig.MeshConfig, controller string) bool {
	mode := c.GetIngressControllerMode()
	switch {
	case in.Annotation != nil:
		return mode != meshconfig.MeshConfig_OFF && *in.Annotation == IngressClass(c)
	case in.Class != "":
		return controller == IngressController
	}
	return mode == meshconfig.MeshConfig_DEFAULT
}

// IngressClass is the class of the Ingresses that the mesh serves.
func IngressClass(c *meshconfig.MeshConfig) string {
	if class := c.GetIngressClass(); class != "" {
		return class
	}
	return "istio"
}

// ingressSelector selects the gateways that serve Ingresses: by the label istio,
// which is the mesh's ingressSelector or else the name of its ingressService.
func ingressSelector(c *meshconfig.MeshConfig) map[string]string {
	label := "ingressgateway"
	if s := c.GetIngressService(); s != "" && s != "istio-ingressgateway" {
		label = s
	}
	if s := c.GetIngressSelector(); s != "" {
		label = s
	}
	return map[string]string{"istio": label}
}
