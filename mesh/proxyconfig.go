package mesh

import (
	"maps"
	"regexp"
	"slices"
	"strconv"

	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ProxySettings are what ProxyConfig objects say about a proxy. It is started
// with them: a pod that runs has those of its creation.
type ProxySettings struct {
	// Concurrency is the number of worker threads; 0 leaves it to Envoy, nil
	// says nothing.
	Concurrency *int
	// Environment holds variables by name.
	Environment map[string]string
}

// ProxySettingsOf merges the ProxyConfigs that apply to a workload: those that
// select it over that of its namespace over that of the root namespace, field
// by field and variable by variable. The oldest of each sort applies.
func (w *World) ProxySettingsOf(namespace string, labels map[string]string) ProxySettings {
	out := ProxySettings{Environment: map[string]string{}}
	merge := func(in string, of func(*ProxyConfig) bool) {
		for _, p := range w.ProxyConfigs.In(in) {
			if !of(p) {
				continue
			}
			if c := p.Spec.GetConcurrency(); c != nil && c.GetValue() >= 0 {
				out.Concurrency = new(int(c.GetValue()))
			}
			for name, value := range p.Spec.GetEnvironmentVariables() {
				if possibleVariable(name) {
					out.Environment[name] = value
				}
			}
			return
		}
	}
	forAll := func(p *ProxyConfig) bool { return len(p.Selector) == 0 }
	merge(w.Config.RootNamespace, forAll)
	if namespace != w.Config.RootNamespace {
		merge(namespace, forAll)
	}
	merge(namespace, func(p *ProxyConfig) bool { return len(p.Selector) > 0 && object.Selects(p.Selector, labels) })
	return out
}

// variableName is what Kubernetes takes of every release; newer ones take more.
var variableName = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*$`)

func possibleVariable(name string) bool { return variableName.MatchString(name) }

func (b *builder) proxyConfig(ref object.Ref, o *networkingv1beta1.ProxyConfig) {
	var p *ProxyConfig
	var findings []object.Finding
	if o != nil {
		p = policy(ref, o.ObjectMeta, o.Spec.GetSelector().GetMatchLabels(), &o.Spec)
		findings = checkProxyConfig(p)
	}
	b.world.ProxyConfigs = b.world.ProxyConfigs.with(ref, p)
	b.found(ref, findings)
	b.dirty.Status = true // pods that are made from now on follow it
	b.overlaps.stale[ref.Namespace] = struct{}{}
}

func checkProxyConfig(p *ProxyConfig) (findings []object.Finding) {
	found := func(field string, code object.Code, message string) {
		findings = append(findings, object.Finding{Object: p.Ref, Field: field, Code: code, Message: message})
	}
	if c := p.Spec.GetConcurrency(); c != nil && c.GetValue() < 0 {
		found("spec.concurrency", object.CodeInvalid, "a number of threads is not negative; it is ignored")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Spec.GetEnvironmentVariables())) {
		if !possibleVariable(name) {
			found("spec.environmentVariables", object.CodeInvalid, strconv.Quote(name)+" is no name of a variable; it is left out")
		}
	}
	if p.Spec.GetImage() != nil {
		found("spec.image", object.CodeUnsupported, "proxies are stock Envoys of one image, which the installation names; the type is ignored: use the annotation sidecar.istio.io/proxyImage for another")
	}
	return findings
}
