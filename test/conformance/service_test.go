package conformance

import (
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairway-mesh/fairway/internal/local/nameserver"
	"github.com/fairway-mesh/fairway/internal/local/network"
)

// allocate gives a Service the cluster address that an API server would.
func (w *world) allocate(u *unstructured.Unstructured) {
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "type")
	ip, _, _ := unstructured.NestedString(u.Object, "spec", "clusterIP")
	if kind == "ExternalName" {
		return
	}
	if ip == "" {
		w.allocated++
		ip = fmt.Sprintf("10.96.0.%d", 10+w.allocated)
		_ = unstructured.SetNestedField(u.Object, ip, "spec", "clusterIP")
	}
	if _, found, _ := unstructured.NestedSlice(u.Object, "spec", "clusterIPs"); !found {
		_ = unstructured.SetNestedSlice(u.Object, []any{ip}, "spec", "clusterIPs")
	}
}

// namesAnnotation on a Deployment are names that DNS has for its pods.
const namesAnnotation = "conformance/names"

// joinServices tells the router and DNS what services there are now.
func (w *world) joinServices() error {
	view := &nameserver.View{Domain: "cluster.local", Namespaces: map[string]bool{}, Services: map[string]nameserver.Service{}, External: map[string][]netip.Addr{}}
	var virtual []network.Service
	for _, u := range w.objects {
		switch u.GetKind() {
		case "Namespace":
			view.Namespaces[u.GetName()] = true
		case "Service":
			s, joined := w.service(u)
			view.Services[u.GetName()+"."+u.GetNamespace()] = s
			virtual = append(virtual, joined...)
		}
	}
	for _, p := range w.pods {
		for _, name := range strings.Fields(p.annotations[namesAnnotation]) {
			view.External[name] = append(view.External[name], p.addresses...)
		}
	}
	w.names.Set(view)
	return w.router.SetServices(virtual)
}

// service is what kube-proxy and DNS make of a Service.
func (w *world) service(u *unstructured.Unstructured) (nameserver.Service, []network.Service) {
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "type")
	if kind == "ExternalName" {
		alias, _, _ := unstructured.NestedString(u.Object, "spec", "externalName")
		return nameserver.Service{Alias: alias}, nil
	}
	selector, _, _ := unstructured.NestedStringMap(u.Object, "spec", "selector")
	var pods []*pod
	for _, p := range w.pods {
		if len(selector) > 0 && p.namespace == u.GetNamespace() && p.listed && p.ready && contains(p.labels, selector) {
			pods = append(pods, p)
		}
	}
	ip, _, _ := unstructured.NestedString(u.Object, "spec", "clusterIP")
	if ip == "None" {
		s := nameserver.Service{Headless: true, Pods: map[string][]netip.Addr{}}
		for _, p := range pods {
			s.Addresses = append(s.Addresses, p.addresses...)
			if p.hostname != "" {
				s.Pods[p.hostname] = p.addresses
			}
		}
		return s, nil
	}
	var joined []network.Service
	ports, _, _ := unstructured.NestedSlice(u.Object, "spec", "ports")
	for _, port := range ports {
		fields := port.(map[string]any)
		number, _, _ := unstructured.NestedInt64(fields, "port")
		s := network.Service{Address: netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(number))}
		for _, p := range pods {
			s.Backends = append(s.Backends, netip.AddrPortFrom(p.addresses[0], p.target(fields, uint16(number))))
		}
		joined = append(joined, s)
	}
	return nameserver.Service{Addresses: []netip.Addr{netip.MustParseAddr(ip)}}, joined
}

// target is the pod's port that a Service's port means.
func (p *pod) target(port map[string]any, number uint16) uint16 {
	switch v := port["targetPort"].(type) {
	case int64:
		return uint16(v)
	case string:
		for _, c := range p.ports {
			if c.name == v {
				return c.number
			}
		}
	}
	return number
}

func contains(labels, selector map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}
