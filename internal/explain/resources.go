package explain

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
	_ "github.com/fairway-mesh/fairway/translate" // makes the messages within Any known
)

// Resources are what one proxy holds, by resource name. A route configuration
// holds its virtual hosts, however they reach the proxy. Nil maps are empty.
type Resources struct {
	Listeners map[string]*listenerv3.Listener
	Routes    map[string]*routev3.RouteConfiguration
	Clusters  map[string]*clusterv3.Cluster
	Endpoints map[string]*endpointv3.ClusterLoadAssignment
	// NotHeld are the virtual hosts among those of Routes that the proxy does not hold: it
	// learns its scope, and asks for them when it needs them.
	NotHeld map[string]bool
}

// Dump is what the control plane's /debug/config_dump answers: resources in the
// JSON form of protobuf, by short type name ("cds", "vhds", ...) and name, and [snapshot.NotHeld].
type Dump map[string]map[string]json.RawMessage

// Decode reads a dump. Types that do not decide where a request goes are left
// out. The error names the resource that cannot be read.
func Decode(d Dump) (*Resources, error) {
	r := NewResources()
	hosts := map[string]*routev3.VirtualHost{}
	for _, err := range []error{
		decode(d["lds"], r.Listeners), decode(d["rds"], r.Routes), decode(d["vhds"], hosts),
		decode(d["cds"], r.Clusters), decode(d["eds"], r.Endpoints),
	} {
		if err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		r.join(name, hosts[name])
	}
	for name := range d[snapshot.NotHeld] {
		r.NotHeld[name] = true
	}
	return r, nil
}

// join adds a virtual host that travelled by itself to its table.
func (r *Resources) join(name string, host *routev3.VirtualHost) {
	of, _, _ := strings.Cut(name, "/")
	frame := r.Routes[of]
	if frame == nil {
		frame = &routev3.RouteConfiguration{Name: of}
		r.Routes[of] = frame
	}
	frame.VirtualHosts = append(frame.VirtualHosts, host)
}

// NewResources are none.
func NewResources() *Resources {
	return &Resources{
		Listeners: map[string]*listenerv3.Listener{}, Routes: map[string]*routev3.RouteConfiguration{},
		Clusters: map[string]*clusterv3.Cluster{}, Endpoints: map[string]*endpointv3.ClusterLoadAssignment{}, NotHeld: map[string]bool{},
	}
}

// Add reads a resource of a short type name ("cds", "vhds", ...) as it goes over the wire.
// Types that do not decide where a request goes are passed over.
func (r *Resources) Add(short, name string, body []byte) error {
	var into proto.Message
	switch short {
	case "lds":
		l := &listenerv3.Listener{}
		r.Listeners[name], into = l, l
	case "rds":
		c := &routev3.RouteConfiguration{}
		if before := r.Routes[name]; before != nil { // its hosts came first
			defer func() { c.VirtualHosts = append(c.VirtualHosts, before.VirtualHosts...) }()
		}
		r.Routes[name], into = c, c
	case "vhds":
		h := &routev3.VirtualHost{}
		r.join(name, h)
		into = h
	case "cds":
		c := &clusterv3.Cluster{}
		r.Clusters[name], into = c, c
	case "eds":
		a := &endpointv3.ClusterLoadAssignment{}
		r.Endpoints[name], into = a, a
	default:
		return nil
	}
	if err := proto.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading %s %q: %w", short, name, err)
	}
	return nil
}

// decode reads the resources of one type. What a later version has added to the
// messages is passed over.
func decode[M any, P interface {
	*M
	proto.Message
}](from map[string]json.RawMessage, into map[string]P) error {
	for name, text := range from {
		message := P(new(M))
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, message); err != nil {
			return fmt.Errorf("reading %s %q: %w", message.ProtoReflect().Descriptor().Name(), name, err)
		}
		into[name] = message
	}
	return nil
}
