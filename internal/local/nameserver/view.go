package nameserver

import (
	"net/netip"
	"slices"
	"strings"
)

// View is all that the server knows at one moment. It never changes.
type View struct {
	// Domain is the cluster's, such as "cluster.local".
	Domain string
	// Namespaces are those that exist.
	Namespaces map[string]bool
	// Services by "NAME.NAMESPACE".
	Services map[string]Service
	// External are names outside the cluster, without a final dot, in lower case.
	External map[string][]netip.Addr
}

// Service is what DNS says of a service.
type Service struct {
	// Addresses are its cluster addresses, or those of a headless service's pods.
	Addresses []netip.Addr
	// Headless without Addresses does not exist, as the specification says.
	Headless bool
	// Alias is the name that an ExternalName service stands for.
	Alias string
	// Pods are the addresses of a headless service's pods by host name.
	Pods map[string][]netip.Addr
	// Ports by "_NAME._PROTOCOL", for SRV.
	Ports map[string]uint16
}

// answer is what a name stands for.
type answer struct {
	exists    bool // false: NXDOMAIN; true without records: no data
	addresses []netip.Addr
	alias     string
	port      uint16   // SRV
	targets   []string // SRV, names without the final dot
}

// find looks a name up: lower case, without the final dot. inside says whether
// the cluster's zone holds it.
func (v *View) find(name string) (a answer, inside bool) {
	rest, inside := strings.CutSuffix(name, "."+v.Domain)
	if name == v.Domain {
		return answer{exists: true}, true
	}
	if !inside {
		addresses, known := v.External[name]
		return answer{exists: known, addresses: addresses}, false
	}
	labels := strings.Split(rest, ".")
	slices.Reverse(labels) // svc, namespace, service, ...
	if len(labels) > 2 && labels[0] == "pod" {
		return v.podByAddress(labels), true
	}
	if labels[0] != "svc" {
		return answer{exists: labels[0] == "pod" && (len(labels) == 1 || v.Namespaces[labels[1]])}, true
	}
	if len(labels) <= 2 {
		return answer{exists: len(labels) == 1 || v.Namespaces[labels[1]]}, true
	}
	service, known := v.Services[labels[2]+"."+labels[1]]
	if !known || service.Headless && len(service.Addresses) == 0 {
		return answer{}, true
	}
	switch len(labels) {
	case 3:
		return answer{exists: true, addresses: service.Addresses, alias: service.Alias}, true
	case 4:
		addresses, known := service.Pods[labels[3]]
		return answer{exists: known || service.hasProtocol(labels[3]), addresses: addresses}, true
	case 5:
		return service.srv(labels[4]+"."+labels[3], strings.Join([]string{labels[2], labels[1], "svc", v.Domain}, ".")), true
	}
	return answer{}, true
}

// hasProtocol says whether _tcp, say, has names below it.
func (s Service) hasProtocol(label string) bool {
	for key := range s.Ports {
		if strings.HasSuffix(key, "."+label) {
			return true
		}
	}
	return false
}

// srv answers _PORT._PROTOCOL.SERVICE: the service, or each pod of a headless one.
func (s Service) srv(key, service string) answer {
	port, known := s.Ports[key]
	if !known {
		return answer{}
	}
	a := answer{exists: true, port: port}
	if !s.Headless {
		a.targets = []string{service}
		return a
	}
	for pod := range s.Pods {
		a.targets = append(a.targets, pod+"."+service)
	}
	slices.Sort(a.targets)
	return a
}

// podByAddress answers 10-244-0-3.NAMESPACE.pod.
func (v *View) podByAddress(labels []string) answer {
	if len(labels) != 3 || !v.Namespaces[labels[1]] {
		return answer{}
	}
	for _, separator := range []string{".", ":"} {
		if a, err := netip.ParseAddr(strings.ReplaceAll(labels[2], "-", separator)); err == nil {
			return answer{exists: true, addresses: []netip.Addr{a}}
		}
	}
	return answer{}
}
