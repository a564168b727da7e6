package snapshot

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Role is what a proxy is for.
type Role string

// The roles, as written in node ids.
const (
	RoleSidecar Role = "sidecar"
	RoleRouter  Role = "router" // a gateway
)

// Client is what the transport and the first message of a stream say about a
// proxy. Only Identity is proven; the rest is what the proxy says of itself.
type Client struct {
	NodeID         string
	Role           Role
	IP             string // of the pod, from the node id
	Pod            string // name of the pod, from the node id
	Namespace      string // metadata NAMESPACE, or from the node id
	Domain         string // DNS suffix of the namespace, "default.svc.cluster.local"
	Labels         map[string]string
	ServiceAccount string // metadata SERVICE_ACCOUNT; may be empty
	ClusterID      string // metadata CLUSTER_ID; may be empty
	NodeName       string // metadata NODE_NAME, the Kubernetes node; may be empty
	Unprivileged   bool   // metadata UNPRIVILEGED_POD: it cannot listen on ports below 1024
	Workload       string // metadata WORKLOAD_NAME, the Deployment or other owner; may be empty
	Fairway        string // metadata FAIRWAY_VERSION, of the Fairway that made its bootstrap; may be empty
	Locality       Locality
	UserAgent      string  // "envoy", "gRPC Go", ...
	Version        Version // of Envoy; zero when the client is none or does not say
	// Extensions are the names of the extensions that Envoy was built with;
	// nil when the client does not say.
	Extensions map[string]struct{}
	Delta      bool // the stream speaks the incremental protocol
	VHDS       bool // virtual hosts go to it one by one
	Peer       string
	// First is the type that its first message is about. Returns tells whether it holds
	// resources of that type from an earlier stream; Runtime is the version of the layer
	// RuntimeName that it holds then, empty when the message is about another type.
	First    Type
	Returns  bool
	Runtime  string
	Identity Identity
}

// HasExtension says whether Envoy has the extension of that name; true for a
// client that does not list any.
func (c Client) HasExtension(name string) bool {
	if len(c.Extensions) == 0 {
		return true
	}
	_, ok := c.Extensions[name]
	return ok
}

// match holds what a proxy says of itself to what the world knows: a credential
// that names no pod is not enough to be one of another service account, and
// nobody has the address of another's Pod.
func (c Client) match(w *mesh.World) error {
	if c.Identity == (Identity{}) {
		return nil
	}
	pod := w.Workload(c.Namespace, c.Pod)
	if pod != nil && c.Identity.PodUID != "" && pod.UID != c.Identity.PodUID {
		pod = nil // its successor, of which the world does not know yet
	}
	if pod != nil && accountOf(pod) != c.Identity.ServiceAccount {
		return status.Errorf(codes.PermissionDenied, "the proxy says that it is pod %s/%s, which runs as service account %q, and its credential is that of %s: correct its node id",
			c.Namespace, c.Pod, accountOf(pod), c.Identity)
	}
	if pod != nil {
		return nil // it is what the world says, whatever else the proxy does
	}
	if c.Role == RoleRouter && c.Identity.PodUID != "" {
		// By its labels a gateway is given what others own: only the API
		// server's word counts for those, and is on its way.
		return status.Errorf(codes.Unavailable, "%s is not known yet: try again", c.Identity)
	}
	// What follows is believed, since nobody knows better yet.
	if a, err := netip.ParseAddr(c.IP); err == nil && !a.IsLoopback() {
		if owner := w.WorkloadAt(a); owner != nil && (owner.Namespace != c.Namespace || accountOf(owner) != c.Identity.ServiceAccount) {
			return status.Errorf(codes.PermissionDenied, "the proxy says that its address is %s, which is that of %s: correct its node id", c.IP, owner.Ref)
		}
	}
	return nil
}

// accountOf is the service account of a Pod or WorkloadEntry of the world.
func accountOf(w *registry.Workload) string { return cmp.Or(w.ServiceAccount, "default") }

// Locality is where a proxy says that it runs (envoy.config.core.v3.Locality).
type Locality struct {
	Region, Zone, SubZone string
}

// Version is a version of Envoy. The zero Version is an unknown one.
type Version struct {
	Major, Minor, Patch uint32
}

// AtLeast says whether v is major.minor or newer.
func (v Version) AtLeast(major, minor uint32) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Identity is who a proxy has proven to be. The zero Identity is nobody: the
// stream came over an unauthenticated transport.
type Identity struct {
	TrustDomain    string
	Namespace      string
	ServiceAccount string
	Pod            string // empty when the proof does not name a pod
	PodUID         string
	// Expires is when the proof ends, and with it the stream. Zero: never.
	Expires time.Time
}

// String is "major.minor.patch".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// String is "pod namespace/name of service account name", or the service account
// alone when the proof does not name a pod.
func (i Identity) String() string {
	if i.Pod == "" {
		return "service account " + i.Namespace + "/" + i.ServiceAccount
	}
	return "pod " + i.Namespace + "/" + i.Pod + " of service account " + i.ServiceAccount
}

// prove holds what a proxy says of itself to what it has proven: with the
// token of one Pod nobody gets what is meant for another. Over a transport
// that proves nothing there is nothing to hold it to.
func (c Client) prove() error {
	if c.Identity == (Identity{}) {
		return nil
	}
	for _, f := range []struct{ what, proven, claimed string }{
		{"namespace", c.Identity.Namespace, c.Namespace},
		{"pod", c.Identity.Pod, c.Pod},
		{"service account", c.Identity.ServiceAccount, c.ServiceAccount},
	} {
		if f.proven != f.claimed && f.claimed != "" && (f.proven != "" || f.what != "pod") {
			return status.Errorf(codes.PermissionDenied, "the proxy says that its %s is %q, and its credential is that of %s: correct its node id or metadata",
				f.what, f.claimed, c.Identity)
		}
	}
	return nil
}
