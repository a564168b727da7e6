package mesh

import (
	"strconv"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// checkTracing tells what of the tracing of a mesh configuration is not acted
// upon.
func (c *Config) checkTracing() (findings []object.Finding) {
	found := func(field, message string) {
		findings = append(findings, object.Finding{Object: c.Ref, Field: field, Code: object.CodeUnsupported, Message: message})
	}
	for i, p := range c.GetExtensionProviders() {
		field := "extensionProviders[" + strconv.Itoa(i) + "]"
		var headers []*meshconfig.MeshConfig_ExtensionProvider_HttpHeader
		switch {
		case p.GetZipkin() != nil:
			headers = p.GetZipkin().GetHeaders()
		case p.GetOpentelemetry() != nil:
			o := p.GetOpentelemetry()
			headers = append(append(headers, o.GetHttp().GetHeaders()...), o.GetGrpc().GetInitialMetadata()...)
			if o.GetServiceAttributeEnrichment() != 0 {
				found(field+".opentelemetry.serviceAttributeEnrichment", "spans name the service by its workload and namespace; the field is ignored: take it out")
			}
			if o.GetDynatraceSampler() != nil {
				found(field+".opentelemetry.dynatraceSampler", "samplers of providers are not supported; Telemetry's randomSamplingPercentage decides")
			}
		case p.GetLightstep() != nil, p.GetStackdriver() != nil, p.GetOpencensus() != nil:
			found(field, "stock Envoy has no such tracer; no spans are reported to it: use opentelemetry")
		}
		if p.GetSds() != nil {
			found(field, "no secrets are read from an SDS server, so that the provider is never used: put certificates into Secrets, which credentialName names")
		}
		for _, h := range headers {
			if h.GetEnvName() != "" {
				found(field, "header "+strconv.Quote(h.GetName())+": envName is not supported; the header is not sent: use value")
			}
		}
	}
	t := c.GetDefaultConfig().GetTracing()
	if t == nil || !c.GetEnableTracing() {
		return findings
	}
	if t.GetLightstep() != nil || t.GetStackdriver() != nil || t.GetOpenCensusAgent() != nil {
		found("defaultConfig.tracing", "stock Envoy has no such tracer; no spans are reported to it: use an opentelemetry provider")
	} else if _, ok := c.proxyTracer(); !ok && t.GetTracer() != nil {
		found("defaultConfig.tracing", "the address is not host:port; no spans are reported to it")
	}
	if t.GetTlsSettings() != nil {
		found("defaultConfig.tracing.tlsSettings", "TLS to the tracer follows the DestinationRule of its service; the field is ignored")
	}
	if s := t.GetSampling(); s < 0 || s > 100 {
		found("defaultConfig.tracing.sampling", "not from 0 to 100; 1 is used")
	}
	return findings
}
