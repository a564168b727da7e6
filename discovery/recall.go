package discovery

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairway-mesh/fairway/snapshot"
)

// A state-of-the-world client that comes back does not say which clusters it
// holds, and takes what an answer lacks as removed, while its routes may still
// lead there. But it lists the endpoints that it wants, and so the names of its
// clusters. Those that are gone stay in the answers as stand-ins until the
// routes have moved: a cluster that Envoy is to have instead and that never gets
// warm, so that the one that it holds goes on serving. An Envoy with a cluster
// that is not warm does not acknowledge the response, so that in this time only
// its endpoints tell how far it is.
//
// Clusters whose endpoints come by DNS or are part of them cannot be known.

// standInPrefix begins the names of endpoints that nobody ever gets.
const standInPrefix = "fairway.stand-in/"

// standIn is a cluster that never gets warm.
func standIn(name string) *snapshot.Resource {
	r, err := snapshot.NewResource(snapshot.Cluster, name, &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		ConnectTimeout: durationpb.New(time.Second),
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{ServiceName: standInPrefix + name, EdsConfig: &corev3.ConfigSource{
			ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0), // without end
			ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		}},
	})
	if err != nil { // the name came over the wire, and so is UTF-8
		return nil
	}
	return r
}

// recall begins a stream with a client that holds unknown clusters of an
// earlier one. They are answered when it has said which.
func (s *session) recall() {
	s.warming = true
	s.enter(phaseRecalling)
}

// recalled takes the endpoints that the client asks for.
func (s *session) recalled(endpoints []string) {
	s.phase = phaseResuming // in the time that recalling had
	asked := make(map[string]struct{}, len(endpoints))
	var unknown []string
	for _, name := range endpoints {
		asked[name] = struct{}{}
		if s.target.Get(snapshot.Cluster, name) != nil {
			continue
		}
		unknown = append(unknown, name)
	}
	if len(unknown) <= maxStandIns {
		s.standIns(unknown)
	}
	for r := range s.target.All(snapshot.Cluster) {
		if name := needsEndpoints(r); name != "" {
			s.expects = true
			if _, known := asked[name]; !known {
				s.await(snapshot.Key{Type: snapshot.Endpoint, Name: name})
			}
		}
	}
}

// maxStandIns bounds for how many clusters of its past a proxy gets stand-ins: a
// cluster costs far more than its name in the request. One that names more
// loses them at once, as without.
const maxStandIns = 4096

func (s *session) standIns(names []string) {
	for _, name := range names {
		if r := standIn(name); r != nil {
			if s.linger == nil {
				s.linger = map[string]*snapshot.Resource{}
			}
			s.linger[name], s.standsIn = r, true
		}
	}
}

// release goes on without the acknowledgement of clusters among which are
// stand-ins: it does not come.
func (s *session) release() {
	if s.standsIn {
		s.types[snapshot.Cluster].flight = nil
	}
}
