package mesh

import (
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// checkTLS leaves out of the mesh's TLS settings what proxies do not take.
func (c *Config) checkTLS() (findings []object.Finding) {
	settings := []*meshconfig.MeshConfig_TLSConfig{c.TlsDefaults, c.MeshMTLS}
	for i, field := range []string{"tlsDefaults", "meshMTLS"} {
		t := settings[i]
		if t == nil {
			continue
		}
		var more []object.Finding
		t.CipherSuites, more = traffic.CheckCiphers(c.Ref, field+".cipherSuites", t.CipherSuites)
		findings = append(findings, more...)
		t.EcdhCurves, more = traffic.CheckCurves(c.Ref, field+".ecdhCurves", t.EcdhCurves)
		findings = append(findings, more...)
	}
	return findings
}
