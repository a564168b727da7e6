package check

import (
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate"
)

// Result is what was found.
type Result struct {
	// Invalid are reasons to refuse the object.
	Invalid []mesh.Finding
	// Warnings are what else its owner should know.
	Warnings []mesh.Finding
}

// add sorts findings by what they are; each counts once.
func (r *Result) add(findings ...mesh.Finding) {
	for _, f := range findings {
		to := &r.Warnings
		if f.Code == mesh.CodeInvalid && !mendable(f) {
			to = &r.Invalid
		}
		if !slices.Contains(*to, f) {
			*to = append(*to, f)
		}
	}
}

// mendable tells whether something else than the object itself can be at fault:
// a provider is one of the mesh configuration, a delegate an object of its own.
func mendable(f mesh.Finding) bool {
	return f.Object.Kind == mesh.KindAuthorizationPolicy && f.Field == "spec.provider.name" ||
		f.Object.Kind == mesh.KindVirtualService && strings.HasSuffix(f.Field, ".delegate")
}

// Object checks one object, by itself and in the world that it is to join; nil
// is no world, then only by itself.
func Object(o mesh.Change, w *mesh.World) Result {
	var r Result
	r.add(mesh.Check(o.Object)...)
	config := mesh.DefaultConfig()
	if w != nil {
		config = w.Config
	}
	r.add(translated(mesh.Build([]mesh.Change{o}), o.Ref.Namespace, config)...)
	if w != nil {
		r.add(w.CheckReferences(o.Object)...)
	}
	return r
}

// translated is what translation finds in a world of one object.
func translated(alone *mesh.World, namespace string, config *mesh.Config) (out []mesh.Finding) {
	for _, g := range alone.Gateways() {
		out = append(out, translate.GatewayFindings(g, config)...)
	}
	for _, p := range alone.AuthorizationPolicies.In(namespace) {
		_, findings := translate.AuthorizationHTTP(translate.AuthorizationInput{Policies: mesh.ListOf(p), Config: config})
		out = append(out, findings...)
	}
	for _, p := range alone.RequestAuthentications.In(namespace) {
		out = append(out, translate.JWTFilters(translate.JWTInput{Policies: mesh.ListOf(p), Config: config}).Findings...)
	}
	for _, t := range alone.Telemetries.In(namespace) {
		out = append(out, translate.TelemetryFindings(translate.Reporting{Telemetries: mesh.ListOf(t)}, config)...)
	}
	return out
}

// gatewayAPI begins the kinds of the Gateway API. What is wrong with their objects
// stands in their status, as the API wants it, and other controllers may read them
// too: none is refused.
const gatewayAPI = "gateway.networking.k8s.io/"

// Admission checks one object as it was written.
func Admission(o informers.Object, w *mesh.World) Result {
	var r Result
	r.add(o.Findings...)
	if o.Object == nil {
		return r
	}
	of := Object(o.Change, w)
	r.add(of.Invalid...)
	r.add(of.Warnings...)
	if strings.HasPrefix(string(o.Ref.Kind), gatewayAPI) {
		r.Warnings, r.Invalid = append(r.Invalid, r.Warnings...), nil
	}
	return r
}
