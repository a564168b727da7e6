package mesh

import (
	"fmt"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// ClientCertificate is what the router of the view shows to servers that a BackendTLSPolicy
// has it verify. A cluster serves the routes of all Gateways: where those of the Gateway API
// do not name the same certificate none is shown, and findings tell the Gateways that name
// one.
func (v *View) ClientCertificate() (traffic.ClientCertificate, []object.Finding) {
	if v.certificate == nil {
		return traffic.ClientCertificate{}, nil
	}
	return v.certificate()
}

func (v *View) clientCertificate() (out traffic.ClientCertificate, findings []object.Finding) {
	var first *traffic.Gateway
	var naming []*traffic.Gateway
	agree := true
	for _, g := range v.SelectedGateways() {
		if !g.OfAPI() {
			continue
		}
		if first == nil {
			first = g
		}
		agree = agree && g.Certificate.Secret == first.Certificate.Secret
		if g.Certificate.Secret != (object.Ref{}) && g.Certificate.By == g.Ref {
			naming = append(naming, g)
		}
	}
	if first == nil || agree {
		if len(naming) > 0 {
			out = naming[0].Certificate
		}
		return out, nil
	}
	for _, g := range naming {
		other := first
		if other.Ref == g.Ref {
			other = nil
		}
		f := object.Finding{Object: g.Ref, Field: "spec.tls.backend.clientCertificateRef", Code: object.CodeConflict,
			Message: fmt.Sprintf("not all Gateways on the pods of namespace %s name this certificate, and their connections to servers are the same; no certificate is shown: name it in all of them, or give this Gateway pods of its own", v.Scope.Namespace)}
		if other != nil {
			f.Winner = other.Ref
		}
		findings = append(findings, f)
	}
	return traffic.ClientCertificate{}, findings
}
