package snapshot

import (
	"fmt"
	"sync"
	"weak"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Type is a sort of Envoy resource, in the order in which what is new must
// reach a proxy: nothing refers to a later type.
type Type uint8

// The types that Fairway serves.
const (
	Cluster         Type = iota // CDS
	Endpoint                    // EDS; named as its cluster, or as that cluster's service_name
	Secret                      // SDS
	ExtensionConfig             // ECDS
	Runtime                     // RTDS
	Listener                    // LDS
	RouteConfig                 // RDS; a frame: the route configuration without virtual hosts and with vhds unset
	VirtualHost                 // VHDS; named ROUTECONFIG/NAME, which is the name within the message as well
	NumTypes                    // how many there are
)

var types = [NumTypes]struct{ short, url string }{
	Cluster:         {"cds", "type.googleapis.com/envoy.config.cluster.v3.Cluster"},
	Endpoint:        {"eds", "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"},
	Secret:          {"sds", "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"},
	ExtensionConfig: {"ecds", "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"},
	Runtime:         {"rtds", "type.googleapis.com/envoy.service.runtime.v3.Runtime"},
	Listener:        {"lds", "type.googleapis.com/envoy.config.listener.v3.Listener"},
	RouteConfig:     {"rds", "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"},
	VirtualHost:     {"vhds", "type.googleapis.com/envoy.config.route.v3.VirtualHost"},
}

// String is the short name: "cds", "eds", ...
func (t Type) String() string {
	if t < NumTypes {
		return types[t].short
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// TypeURL is the name of the type on the wire; empty for a type that does not exist.
func (t Type) TypeURL() string {
	if t < NumTypes {
		return types[t].url
	}
	return ""
}

// TypeOf finds the type of a type URL.
func TypeOf(url string) (Type, bool) {
	for t := range NumTypes {
		if types[t].url == url {
			return t, true
		}
	}
	return 0, false
}

// Key names one resource.
type Key struct {
	Type Type
	Name string
}

// Resource is one encoded Envoy resource. It is immutable and shared by
// pointer; make it by NewResource.
type Resource struct {
	Type   Type
	leased bool // see Leased
	era    int  // see Era
	// Name is the resource's name on the wire.
	Name string
	// Version is a hash of the body in hexadecimal: equal bytes have equal versions on all replicas.
	Version string
	// Needs are the resources of other types that a proxy asks for once it
	// holds this one: endpoints and secrets of a cluster, route
	// configurations, extensions and secrets of a listener.
	Needs []Key
	// Owners are the objects that the resource was made of.
	Owners []object.Ref

	sum   uint64 // hash of name and version; 0 for one that is hidden
	body  []byte // a part of entry
	entry []byte
	lean  *lean // not nil: body and entry are not kept
}

// deterministic encodes equal messages alike.
var deterministic = proto.MarshalOptions{Deterministic: true}

// NewResource encodes message deterministically. It fails when the message
// cannot be encoded (text that is not UTF-8) or bears another name.
func NewResource(t Type, name string, message proto.Message, owners ...object.Ref) (*Resource, error) {
	if got, ok := nameOf(message); ok && got != name {
		return nil, fmt.Errorf("encoding %s resource %q: the message is named %q", t, name, got)
	}
	needs, err := needsOf(message)
	if err != nil {
		return nil, fmt.Errorf("encoding %s resource %q: %w", t, name, err)
	}
	r := &Resource{Type: t, Name: name, Needs: needs, Owners: owners}
	encoding := deterministic
	size := encoding.Size(message)
	encoding.UseCachedSize = true // of the line above
	if err := r.seal(size, func(b []byte) ([]byte, error) { return encoding.MarshalAppend(b, message) }); err != nil {
		return nil, fmt.Errorf("encoding %s resource %q: %w", t, name, err)
	}
	return r, nil
}

// hide makes a resource that hides the one of its name in the layer below.
func hide(t Type, name string) *Resource { return &Resource{Type: t, Name: name} }

// size is how many bytes the body has.
func (r *Resource) size() int {
	if r.lean != nil {
		return r.lean.size
	}
	return len(r.body)
}

// Hidden tells whether there is nothing to see: the resource only hides the
// one of its name in the layer below.
func (r *Resource) Hidden() bool { return r.Version == "" }

func versionOf(body []byte) string { return hex(xxhash.Sum64(body)) }

func hex(v uint64) string { return fmt.Sprintf("%016x", v) }

// Same says whether a proxy that holds one of the two needs nothing of the
// other. Who owns them does not matter.
func (r *Resource) Same(o *Resource) bool {
	return r == o || r != nil && o != nil && r.Type == o.Type && r.Name == o.Name && r.Version == o.Version
}

// Interner gives equal resources one pointer, so that layers which hold the
// same bytes share them. It keeps none of them: a resource goes when no layer
// and no stream holds it. Safe for concurrent use.
type Interner struct {
	mu    sync.Mutex
	known map[internKey]weak.Pointer[Resource]
	room  int // how many there may be before those that went are looked for
}

type internKey struct {
	key     Key
	version string
}

// mapRoom is how many entries a map may have had before it is made anew to give
// back its room.
const mapRoom = 1024

// NewInterner returns an Interner that knows nothing.
func NewInterner() *Interner {
	return &Interner{known: map[internKey]weak.Pointer[Resource]{}, room: mapRoom}
}

// Intern returns the resource with the bytes and owners of r that it has seen
// first, which may be r.
func (i *Interner) Intern(r *Resource) *Resource {
	key := internKey{Key{r.Type, r.Name}, r.Version}
	i.mu.Lock()
	defer i.mu.Unlock()
	if known := i.known[key].Value(); known != nil && string(known.body) == string(r.body) && sameOwners(known.Owners, r.Owners) {
		return known
	}
	if len(i.known) >= i.room {
		i.prune()
	}
	i.known[key] = weak.Make(r)
	return r
}

// Prune forgets the names of resources that have gone.
func (i *Interner) Prune() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.prune()
}

func (i *Interner) prune() {
	live := make(map[internKey]weak.Pointer[Resource], len(i.known)/2) // a map that was once large stays so
	for key, r := range i.known {
		if r.Value() != nil {
			live[key] = r
		}
	}
	i.known, i.room = live, max(mapRoom, 2*len(live))
}

func sameOwners(a, b []object.Ref) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
