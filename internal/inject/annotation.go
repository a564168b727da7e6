package inject

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/fairway-mesh/fairway/internal/annotation"
	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/redirect"
	"github.com/fairway-mesh/fairway/internal/spelling"
	"github.com/fairway-mesh/fairway/mesh"
)

// Labels and annotations of Istio (istio.io/api annotation and label packages)
// that this package reads or writes.
const (
	InjectName    = "sidecar.istio.io/inject" // label or annotation
	StatusName    = "sidecar.istio.io/status"
	TemplatesName = "inject.istio.io/templates"

	sidecarPrefix   = "sidecar.istio.io/"
	trafficPrefix   = "traffic.sidecar.istio.io/"
	readinessPrefix = "readiness.status.sidecar.istio.io/"
	proxyConfigName = "proxy.istio.io/config"
)

// settings is what the pod's annotations make of Params.
type settings struct {
	image, logLevel, componentLogLevel string
	resources                          corev1.ResourceRequirements
	concurrency                        int
	environment                        map[string]string
	drainWait                          time.Duration
	native, hold, rewriteProbes        bool
	plain                              bool // an annotation says that the proxy is no native sidecar
	resourcesSaid                      bool // annotations say resources
	holdSaid                           bool // an annotation says that the application waits
	capture                            redirect.Config
	captured                           bool // false: no init container
	readiness                          readiness
	stats                              bootstrap.Stats
}

// readiness are the numbers of the proxy's readiness probe.
type readiness struct{ initialDelay, period, failures int32 }

// reader reads one annotation into settings.
type reader func(s *settings, value string) error

// readers are the annotations that are understood. Those that concern others
// are there to be known.
func readers() map[string]reader {
	none := func(*settings, string) error { return nil }
	return map[string]reader{
		InjectName:                               none,
		mesh.LearnedScopeAnnotation:              boolean(func(*settings, bool) {}),
		StatusName:                               none,
		sidecarPrefix + "proxyImage":             func(s *settings, v string) error { s.image = v; return nil },
		sidecarPrefix + "logLevel":               logLevel,
		sidecarPrefix + "componentLogLevel":      func(s *settings, v string) error { s.componentLogLevel = v; return nil },
		sidecarPrefix + "nativeSidecar":          boolean(func(s *settings, v bool) { s.native, s.plain = v, !v }),
		sidecarPrefix + "rewriteAppHTTPProbers":  boolean(func(s *settings, v bool) { s.rewriteProbes = v }),
		sidecarPrefix + "statsInclusionPrefixes": list(func(s *settings) *[]string { return &s.stats.Prefixes }),
		sidecarPrefix + "statsInclusionSuffixes": list(func(s *settings) *[]string { return &s.stats.Suffixes }),
		sidecarPrefix + "statsInclusionRegexps":  list(func(s *settings) *[]string { return &s.stats.Regexps }),
		sidecarPrefix + "interceptionMode":       interceptionMode,
		// The four resources are read together, see readResources.
		sidecarPrefix + "proxyCPU": none, sidecarPrefix + "proxyCPULimit": none,
		sidecarPrefix + "proxyMemory": none, sidecarPrefix + "proxyMemoryLimit": none,
		trafficPrefix + "includeInboundPorts":     ports(func(s *settings, v redirect.Ports) { s.capture.IncludeInbound = v }),
		trafficPrefix + "excludeInboundPorts":     ports(func(s *settings, v redirect.Ports) { s.capture.ExcludeInbound = v.Add(s.capture.ExcludeInbound) }),
		trafficPrefix + "includeOutboundPorts":    ports(func(s *settings, v redirect.Ports) { s.capture.IncludeOutboundPorts = v }),
		trafficPrefix + "excludeOutboundPorts":    ports(func(s *settings, v redirect.Ports) { s.capture.ExcludeOutboundPorts = v }),
		trafficPrefix + "includeOutboundIPRanges": prefixes(func(s *settings, v redirect.Prefixes) { s.capture.IncludeOutbound = v }),
		trafficPrefix + "excludeOutboundIPRanges": prefixes(func(s *settings, v redirect.Prefixes) { s.capture.ExcludeOutbound = v }),
		trafficPrefix + "excludeInterfaces": func(s *settings, v string) (err error) {
			s.capture.ExcludeInterfaces, err = redirect.ParseInterfaces(v)
			return err
		},
		readinessPrefix + "initialDelaySeconds": number(func(s *settings, v int32) { s.readiness.initialDelay = v }),
		readinessPrefix + "periodSeconds":       number(func(s *settings, v int32) { s.readiness.period = v }),
		readinessPrefix + "failureThreshold":    number(func(s *settings, v int32) { s.readiness.failures = v }),
	}
}

func boolean(set func(*settings, bool)) reader {
	return func(s *settings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q: want true or false", v)
		}
		set(s, b)
		return nil
	}
}

// levels are what Envoy's --log-level takes; it refuses to start with another.
var levels = []string{"trace", "debug", "info", "warning", "warn", "error", "critical", "off"}

func logLevel(s *settings, v string) error {
	if !slices.Contains(levels, v) {
		return fmt.Errorf("%q: want one of %s", v, strings.Join(levels, ", "))
	}
	s.logLevel = v
	return nil
}

// list reads words separated by commas. They go into the proxy's arguments.
func list(field func(*settings) *[]string) reader {
	return func(s *settings, v string) error {
		for word := range strings.SplitSeq(v, ",") {
			if word = strings.TrimSpace(word); word == "" {
				continue
			}
			if *field(s) = append(*field(s), bootstrap.Escape(word)); len(*field(s)) > maxWords {
				return fmt.Errorf("more than %d words: name fewer", maxWords)
			}
		}
		return nil
	}
}

func number(set func(*settings, int32)) reader {
	return func(s *settings, v string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%q: want a whole number, not negative", v)
		}
		set(s, int32(n))
		return nil
	}
}

func ports(set func(*settings, redirect.Ports)) reader {
	return func(s *settings, v string) error {
		p, err := redirect.ParsePorts(v)
		if err == nil {
			set(s, p)
		}
		return err
	}
}

func prefixes(set func(*settings, redirect.Prefixes)) reader {
	return func(s *settings, v string) error {
		p, err := redirect.ParsePrefixes(v)
		if err == nil {
			set(s, p)
		}
		return err
	}
}

func interceptionMode(s *settings, v string) error {
	switch v {
	case "REDIRECT":
	case "NONE":
		s.captured = false
	default:
		return fmt.Errorf("%q: want REDIRECT or NONE (TPROXY needs privileges in the proxy and is not supported)", v)
	}
	return nil
}

// unknown says of an annotation of Istio or of Fairway that nothing reads it; "" of those of
// others.
func unknown(name string) string {
	domain, _, _ := strings.Cut(name, "/")
	own := domain == "fairway.mesh"
	if name == proxyConfigName || name == TemplatesName || domain != "istio.io" && !strings.HasSuffix(domain, ".istio.io") && !own {
		return ""
	}
	if meant := spelling.Closest(name, append(slices.Sorted(maps.Keys(readers())), proxyConfigName, TemplatesName)); meant != "" {
		return fmt.Sprintf("annotation %s is unknown and was ignored: did you mean %s?", name, meant)
	}
	if own {
		return fmt.Sprintf("annotation %s is unknown and was ignored: Fairway has %s", name, mesh.LearnedScopeAnnotation)
	}
	for _, prefix := range []string{sidecarPrefix, trafficPrefix, readinessPrefix, "status.sidecar.istio.io/", "proxy.istio.io/", "inject.istio.io/"} {
		if strings.HasPrefix(name, prefix) {
			return fmt.Sprintf("annotation %s is not supported and was ignored", name)
		}
	}
	return ""
}

// What is read of annotations, each far more than people write. Kubernetes takes 256 KiB of
// all annotations together, and those who ask a webhook themselves are not held to that.
const (
	maxAnnotations = 256 << 10
	maxAnnotation  = 64 << 10 // of one that is read
	maxWords       = 1000     // of a list in one
	maxExpression  = 4 << 10  // all of them together have no more than an annotation
	maxNotes       = 100      // about a pod
)

// small is an error when annotations are more than is read of them.
func small(annotations map[string]string) error {
	sum := 0
	known := readers()
	for name, value := range annotations {
		sum += len(name) + len(value)
		if (known[name] != nil || name == proxyConfigName || name == TemplatesName) && len(value) > maxAnnotation {
			return fmt.Errorf("annotation %s has %d bytes, more than %d: say less", name, len(value), maxAnnotation)
		}
	}
	if sum > maxAnnotations {
		return fmt.Errorf("annotations have %d bytes together, more than the %d that Kubernetes takes: say less", sum, maxAnnotations)
	}
	return nil
}

// readSettings reads a pod's annotations over p. notes tell what was ignored.
func readSettings(annotations map[string]string, p Params) (s settings, notes []string, err error) {
	s = settings{
		image: p.ProxyImage, logLevel: p.LogLevel, resources: p.Resources, concurrency: p.Concurrency, drainWait: p.DrainWait,
		environment: map[string]string{},
		native:      p.NativeSidecar, hold: p.HoldApplication, rewriteProbes: true,
		capture: redirect.Default(), captured: true,
		readiness: readiness{period: 15, failures: 4},
	}
	maps.Copy(s.environment, p.Environment)
	if err := small(annotations); err != nil {
		return s, nil, err
	}
	known := readers()
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if read := known[name]; read != nil {
			if err := read(&s, annotations[name]); err != nil {
				return s, nil, fmt.Errorf("annotation %s: %w", name, err)
			}
			continue
		}
		if len(notes) == maxNotes {
			continue
		}
		if note := unknown(name); note != "" {
			notes = append(notes, note)
		}
	}
	if err := s.capture.Validate(); err != nil {
		return s, nil, fmt.Errorf("annotations %s*: %w", trafficPrefix, err)
	}
	if err := s.readResources(annotations); err != nil {
		return s, nil, err
	}
	for _, text := range s.stats.Regexps {
		if len(text) > maxExpression {
			return s, nil, fmt.Errorf("annotation %sstatsInclusionRegexps: an expression has %d bytes, more than %d: say less", sidecarPrefix, len(text), maxExpression)
		}
		if _, err := syntax.Parse(text, syntax.Perl); err != nil { // which, unlike compiling, makes no more of a repetition than it says
			return s, nil, fmt.Errorf("annotation %sstatsInclusionRegexps: %w", sidecarPrefix, err)
		}
	}
	more, err := s.readProxyConfig(annotations[proxyConfigName])
	if err != nil {
		return s, nil, fmt.Errorf("annotation %s: %w", proxyConfigName, err)
	}
	if n := p.ProxyConfig.Concurrency; n != nil {
		s.concurrency = *n
	}
	maps.Copy(s.environment, p.ProxyConfig.Environment)
	return s, append(notes, more...), nil
}

// readResources follows Istio: as soon as one of the four is there, the mesh's
// defaults no longer apply to the others.
func (s *settings) readResources(annotations map[string]string) error {
	said := corev1.ResourceRequirements{}
	for _, r := range []struct {
		name string
		kind corev1.ResourceName
		to   *corev1.ResourceList
	}{
		{"proxyCPU", corev1.ResourceCPU, &said.Requests}, {"proxyMemory", corev1.ResourceMemory, &said.Requests},
		{"proxyCPULimit", corev1.ResourceCPU, &said.Limits}, {"proxyMemoryLimit", corev1.ResourceMemory, &said.Limits},
	} {
		text, ok := annotations[sidecarPrefix+r.name]
		if !ok {
			continue
		}
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() < 0 {
			return fmt.Errorf("annotation %s%s: %q: want a quantity such as 100m or 128Mi", sidecarPrefix, r.name, text)
		}
		if *r.to == nil {
			*r.to = corev1.ResourceList{}
		}
		(*r.to)[r.kind] = q
	}
	if said.Requests != nil || said.Limits != nil {
		s.resources, s.resourcesSaid = said, true
	}
	if limit, ok := s.resources.Limits[corev1.ResourceCPU]; ok && said.Limits != nil {
		s.concurrency = int(max(1, (limit.MilliValue()+999)/1000))
	}
	return nil
}

// readProxyConfig reads the fields of Istio's ProxyConfig (mesh/v1alpha1) that
// mean something without an agent.
func (s *settings) readProxyConfig(text string) (notes []string, err error) {
	fields := map[string]any{}
	if err := annotation.Read(text, &fields); err != nil {
		return nil, fmt.Errorf("not a YAML mapping: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		ok := true
		switch name {
		case "holdApplicationUntilProxyStarts":
			s.hold, ok = value.(bool)
			s.holdSaid = s.hold
		case "concurrency":
			var n float64
			n, ok = value.(float64)
			ok = ok && n >= 0 && n <= 1024
			s.concurrency = int(n)
		case "proxyMetadata":
			var variables map[string]any
			variables, ok = value.(map[string]any)
			for name, v := range variables {
				s.environment[name] = fmt.Sprint(v)
			}
		case "terminationDrainDuration":
			s.drainWait, ok = duration(value)
		case "gatewayTopology": // the control plane reads it from the Pod
		default:
			notes = append(notes, fmt.Sprintf("annotation %s: field %s is not supported and was ignored", proxyConfigName, name))
		}
		if !ok {
			return nil, fmt.Errorf("field %s: %v is not a possible value", name, value)
		}
	}
	return notes, nil
}

func duration(value any) (time.Duration, bool) {
	text, ok := value.(string)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= time.Hour
}
