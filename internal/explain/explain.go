package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// Step is one thing that the request meets.
type Step struct {
	What string `json:"what"` // "listener", "chain", "routes", "virtual host", "route", "cluster", "endpoints", "answer"
	Name string `json:"name,omitempty"`
	Why  string `json:"why"` // a sentence
}

// Share is a cluster with the part of such requests that it gets.
type Share struct {
	Cluster string  `json:"cluster"`
	Percent float64 `json:"percent"`
	// Sent is the request as the cluster gets it; nil for a connection.
	Sent *Sent `json:"sent,omitempty"`
	// Answer is what the route does to the headers of the cluster's answers.
	Answer Changes `json:"answer,omitzero"`
	// Flag is why the proxy itself ends what goes to the cluster ("NC", "UH"); empty: it
	// does not. Status is what it answers then; 0: it closes the connection.
	Flag   string `json:"flag,omitempty"`
	Status int    `json:"status,omitempty"`
}

// String is the cluster and its percent.
func (s Share) String() string { return fmt.Sprintf("%s %g", s.Cluster, s.Percent) }

// Answer is where a request goes.
type Answer struct {
	Steps []Step  `json:"steps"`
	To    []Share `json:"to,omitempty"` // in the order of the route; empty when the proxy itself answers
	// Status is what the proxy itself answers; 0 when a cluster does, or when
	// the connection is closed.
	Status int `json:"status,omitempty"`
	// Flag is the response flag of the access log that goes with a failure:
	// "NR", "NC", "UH"; empty when there is none.
	Flag string `json:"flag,omitempty"`
	// Location is where a redirect leads.
	Location string `json:"location,omitempty"`
	// Changes is what the route does to the headers of an answer of the proxy itself.
	Changes Changes `json:"changes,omitzero"`
	// Verdict is what the AuthorizationPolicies say that the proxy itself looks at: those
	// of a gateway, or of the server whose proxy it is. Nil: it has none for the request.
	Verdict *Verdict `json:"verdict,omitempty"`
	// VirtualHost and Route are those that the request met; nil for connections, and where
	// there is none.
	VirtualHost *routev3.VirtualHost `json:"-"`
	Route       *routev3.Route       `json:"-"`
	// Objects are those whose rules the request met, each once.
	Objects []object.Ref `json:"objects,omitempty"`
}

// walk is a request on its way.
type walk struct {
	*Resources
	Request
	Answer
	// principal is the client's name in its certificate; empty: it has shown none.
	principal string
	// certified says that the client shows a certificate of which nothing is known.
	certified bool
	// caller is who sends it to a server; nil: it is on its way out, or at a gateway.
	caller *Caller
	remote netip.Addr // what policies take for the client's address
	levels []level    // whose header operations apply, the most specific first
}

// Explain follows the request through the resources of a sidecar, as sent by
// its own pod, or of a gateway, as sent to it.
func Explain(resources *Resources, request Request) Answer {
	w := &walk{Resources: resources, Request: request}
	w.connect()
	return w.Answer
}

func (w *walk) say(what, name, format string, args ...any) {
	w.Steps = append(w.Steps, Step{what, name, fmt.Sprintf(format, args...)})
}

// end says what the proxy itself answers.
func (w *walk) end(status int, flag, format string, args ...any) {
	w.Status, w.Flag = status, flag
	what := "the connection is closed"
	if status != 0 {
		what = fmt.Sprint(status)
	}
	if flag != "" {
		what += " " + flag
	}
	w.say("answer", what, format, args...)
}

// met notes the object that a route or cluster was made of.
func (w *walk) met(m *corev3.Metadata) {
	for _, ref := range refs(m) {
		if !slices.Contains(w.Objects, ref) {
			w.Objects = append(w.Objects, ref)
		}
	}
}

// refs reads the objects that metadata names.
func refs(m *corev3.Metadata) []object.Ref {
	var out []object.Ref
	istio := m.GetFilterMetadata()["istio"].GetFields()
	kinds := map[string]object.Kind{"virtual-service": object.KindVirtualService, "destination-rule": object.KindDestinationRule}
	if p := strings.Split(strings.Trim(istio["config"].GetStringValue(), "/"), "/"); len(p) == 7 && kinds[p[5]] != "" {
		out = append(out, object.Ref{Kind: kinds[p[5]], Namespace: p[4], Name: p[6]})
	}
	if namespace, name, ok := strings.Cut(istio["delegate"].GetStringValue(), "/"); ok {
		out = append(out, object.Ref{Kind: object.KindVirtualService, Namespace: namespace, Name: name})
	}
	if f := m.GetFilterMetadata()[resource.MeshMetadata].GetFields(); f["host"].GetStringValue() != "" && f["host"].GetStringValue() != telemetry.Unknown {
		out = append(out, object.Ref{Kind: object.KindService, Namespace: f["namespace"].GetStringValue(), Name: f["name"].GetStringValue()})
	}
	return out
}

// connect finds the listener.
func (w *walk) connect() {
	outbound := w.Listeners["virtualOutbound"]
	var exact, anyAddress *listenerv3.Listener
	for _, l := range w.Listeners {
		for _, a := range addresses(l) {
			if a.GetPortValue() != w.Port || l.TrafficDirection != corev3.TrafficDirection_OUTBOUND || l == outbound {
				continue
			}
			switch {
			case w.Destination.IsValid() && a.Address == w.Destination.String():
				exact = l
			case a.Address == "0.0.0.0" && !w.Destination.Is6(), a.Address == "::" && w.Destination.Is6():
				anyAddress = l
			}
		}
	}
	to := fmt.Sprintf("port %d", w.Port)
	if w.Destination.IsValid() {
		to = fmt.Sprintf("%s port %d", w.Destination, w.Port)
	}
	switch {
	case exact != nil:
		w.say("listener", exact.Name, "The client connects to %s, which has a listener of its own.", to)
	case anyAddress != nil:
		w.say("listener", anyAddress.Name, "The client connects to %s; this listener takes the port on every address without one of its own.", to)
	case outbound != nil:
		w.say("listener", outbound.Name, "The client connects to %s, for which nothing in the mesh has a listener.", to)
	default:
		w.end(0, "", "No listener of this gateway has port %d: the connection is refused. No Gateway in force selects it with such a server, or a port of the Service leads to another one of the Pod.", w.Port)
		return
	}
	w.accept(cmp.Or(exact, anyAddress, outbound))
}

func addresses(l *listenerv3.Listener) []*corev3.SocketAddress {
	out := []*corev3.SocketAddress{l.GetAddress().GetSocketAddress()}
	for _, a := range l.AdditionalAddresses {
		out = append(out, a.GetAddress().GetSocketAddress())
	}
	return slices.DeleteFunc(out, func(a *corev3.SocketAddress) bool { return a == nil })
}

// accept finds the filter chain.
func (w *walk) accept(l *listenerv3.Listener) {
	seen := w.inspect(l)
	chain := chooseChain(l.FilterChains, seen)
	switch {
	case chain != nil:
		match := ChainMatch(chain.FilterChainMatch)
		if match == "" {
			w.say("chain", chain.Name, "It takes every connection.")
		} else {
			w.say("chain", chain.Name, "The connection is %s; of the chains that match, this one says most about it (%s).", seen, match)
		}
	case l.DefaultFilterChain != nil:
		chain = l.DefaultFilterChain
		w.say("chain", chain.Name, "The connection is %s; no other chain matches.", seen)
	default:
		w.end(0, "NR", "The connection is %s; no chain of the listener matches, and Envoy closes it.", seen)
		return
	}
	w.serve(chain)
}

// serve does what the chain says with the connection.
func (w *walk) serve(chain *listenerv3.FilterChain) {
	w.remote, w.certified = w.Source, w.principal == "" && asksCertificate(chain)
	if h := httpOf(chain); h != nil {
		if w.caller != nil && w.caller.Forwards {
			w.remote = w.caller.Client
		}
		w.request(h, chain.TransportSocket != nil)
		return
	}
	if !w.mayConnect(chain) {
		return
	}
	if t := tcpOf(chain); t != nil {
		if t.GetWeightedClusters() != nil {
			var shares []weighted
			for _, c := range t.GetWeightedClusters().Clusters {
				shares = append(shares, weighted{name: c.Name, weight: c.Weight})
			}
			w.balance(shares, 0)
			return
		}
		w.balance([]weighted{{name: t.GetCluster(), weight: 1}}, 0)
		return
	}
	w.end(0, "", "The chain neither reads requests nor leads connections on.")
}
