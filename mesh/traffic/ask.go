package traffic

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// AsksOfRoutes is what the matches of a VirtualService want to know of clients.
func AsksOfRoutes(v *VirtualService) []Ask {
	var out []Ask
	add := func(l map[string]string) {
		if len(l) > 0 {
			out = append(out, Ask{Selector: l})
		}
	}
	for _, r := range v.Spec.Http {
		for _, m := range r.Match {
			add(m.SourceLabels)
		}
	}
	for _, r := range v.Spec.Tcp {
		for _, m := range r.Match {
			add(m.SourceLabels)
		}
	}
	for _, r := range v.Spec.Tls {
		for _, m := range r.Match {
			add(m.SourceLabels)
		}
	}
	return out
}

// Ask is a fact about clients that an object wants to know.
type Ask struct {
	Selector map[string]string // whether the client has these labels; nil: nothing of the sort
	Key      string            // what value this label of the client has; "": none
	Locality bool              // where it runs
	Node     bool              // on which node
	Network  bool              // in which network
}

// AsksOfPolicy is what the traffic policies of a rule want to know.
func AsksOfPolicy(policies ...*networking.TrafficPolicy) (out []Ask) {
	for _, p := range policies {
		if p == nil {
			continue
		}
		blocks := []*networking.LoadBalancerSettings{p.LoadBalancer}
		outlier := p.OutlierDetection != nil
		for _, pl := range p.PortLevelSettings {
			blocks = append(blocks, pl.LoadBalancer)
			outlier = outlier || pl.OutlierDetection != nil
		}
		for _, lb := range blocks {
			if l := lb.GetLocalityLbSetting(); l != nil {
				outlier = true
				for _, k := range l.FailoverPriority {
					out = append(out, AskOfPriority(k))
				}
			}
		}
		if outlier { // locality failover starts with it
			out = append(out, Ask{Locality: true})
		}
	}
	return out
}

// AskOfPriority is what an entry of failoverPriority wants to know.
func AskOfPriority(entry string) Ask {
	key, _, _ := strings.Cut(entry, "=")
	return Ask{Key: key, Node: entry == "kubernetes.io/hostname"}
}
