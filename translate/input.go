package translate

import (
	security "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Destination is what a route has to know of the host that it leads to.
type Destination struct {
	Service *registry.Service        // nil: no such host in the scope
	Rule    *traffic.DestinationRule // in force for the host in the scope; nil: the mesh's defaults
	Kept    *mesh.KeptList           // ports and subsets that are gone and still served; nil: none
}

// Client holds the facts about a client that endpoints may depend on. Each is
// zero unless the service, its rule or the mesh asks for it, so that clients
// that need not be told apart share their endpoints.
type Client struct {
	Locality registry.Locality
	Node     string
	Labels   string // as in mesh.Scope.Labels
}

// ClusterInput is everything that may shape one outbound cluster. Its pointers
// are to objects of a World, which never change: equal inputs give equal
// output.
type ClusterInput struct {
	Service *registry.Service
	Port    uint32                   // of Service.Ports
	Subset  *traffic.Subset          // nil: the whole service
	Rule    *traffic.DestinationRule // nil: the mesh's defaults
	TLS     *gatewayapi.BackendTLS   // what a BackendTLSPolicy asks for, before all that a rule says of TLS; nil: none does
	Config  *mesh.Config
	// Router: the client is a gateway, whose connections have no original
	// destination.
	Router bool
	// Certificate is what a gateway shows to servers as TLS asks.
	Certificate traffic.ClientCertificate
	// Identities and MutualTLS are those of the service's endpoints
	// (mesh.EndpointSet).
	Identities string
	MutualTLS  bool
	// OriginalDestination makes a cluster that connects to the address that
	// the client chose, for headless services without a rule of their own.
	OriginalDestination bool
	// Endpoints stand in the cluster itself when the proxy resolves their
	// names (DNS resolutions), and decide about mutual TLS where addresses are
	// the client's choice; nil for clusters that get theirs by EDS.
	Endpoints *registry.EndpointSet
	Client    Client
	// PeerAuthentications matter to Endpoints; nil without them.
	PeerAuthentications *mesh.Policies[*security.PeerAuthentication]
}

// EndpointsInput is everything that may shape the endpoints of one outbound
// cluster of type EDS.
type EndpointsInput struct {
	Service             *registry.Service
	Port                uint32
	Subset              *traffic.Subset
	Rule                *traffic.DestinationRule
	Config              *mesh.Config
	Endpoints           *registry.EndpointSet
	Client              Client
	PeerAuthentications *mesh.Policies[*security.PeerAuthentication]
}

// RouteInput is everything that may shape the routes that one VirtualService
// makes for one listener port.
type RouteInput struct {
	VirtualService *traffic.VirtualService
	Gateway        string // mesh.MeshGateway, or the Gateway's "namespace/name"
	Port           uint32 // declared port of the listener: the service's, or servers[].port.number
	Source         Source
	Config         *mesh.Config
	// Destinations are the hosts that the routes name, fully qualified.
	Destinations map[string]Destination
}

// Source is the client as sourceLabels and sourceNamespace see it; zero for
// VirtualServices that ask for neither.
type Source struct {
	Namespace string
	Labels    string // as in mesh.Scope.Labels
}
