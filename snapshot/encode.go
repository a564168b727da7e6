package snapshot

import (
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// nameOf reads the name that a message gives itself.
func nameOf(message proto.Message) (string, bool) {
	switch m := message.(type) {
	case interface{ GetName() string }:
		return m.GetName(), true
	case interface{ GetClusterName() string }:
		return m.GetClusterName(), true
	}
	return "", false
}

// needsOf lists what Envoy asks for by name over the same stream once it holds
// the message, in a fixed order and each once.
func needsOf(message proto.Message) ([]Key, error) {
	var n needs
	switch m := message.(type) {
	case *clusterv3.Cluster:
		n.cluster(m)
	case *listenerv3.Listener:
		n.listener(m)
	}
	if n.err != nil {
		return nil, n.err
	}
	slices.SortFunc(n.keys, func(a, b Key) int {
		if a.Type != b.Type {
			return int(a.Type) - int(b.Type)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return slices.Clip(slices.Compact(n.keys)), nil
}

type needs struct {
	keys []Key
	err  error
}

func (n *needs) add(t Type, name string, source *corev3.ConfigSource) {
	if source.GetAds() != nil && name != "" {
		n.keys = append(n.keys, Key{t, name})
	}
}

func (n *needs) cluster(c *clusterv3.Cluster) {
	if eds := c.GetEdsClusterConfig(); c.GetType() == clusterv3.Cluster_EDS {
		name := eds.GetServiceName()
		if name == "" {
			name = c.GetName()
		}
		n.add(Endpoint, name, eds.GetEdsConfig())
	}
	n.socket(c.GetTransportSocket())
	for _, m := range c.GetTransportSocketMatches() {
		n.socket(m.GetTransportSocket())
	}
}

func (n *needs) listener(l *listenerv3.Listener) {
	for _, chain := range l.GetFilterChains() {
		n.chain(chain)
	}
	n.chain(l.GetDefaultFilterChain())
	n.manager(l.GetApiListener().GetApiListener())
}

func (n *needs) chain(chain *listenerv3.FilterChain) {
	n.socket(chain.GetTransportSocket())
	for _, f := range chain.GetFilters() {
		n.add(ExtensionConfig, f.GetName(), f.GetConfigDiscovery().GetConfigSource())
		n.manager(f.GetTypedConfig())
	}
}

// manager adds what an HTTP connection manager refers to; it passes over
// every other filter.
func (n *needs) manager(config *anypb.Any) {
	var manager hcmv3.HttpConnectionManager
	if !n.open(config, &manager) {
		return
	}
	n.add(RouteConfig, manager.GetRds().GetRouteConfigName(), manager.GetRds().GetConfigSource())
	for _, f := range manager.GetHttpFilters() {
		n.add(ExtensionConfig, f.GetName(), f.GetConfigDiscovery().GetConfigSource())
	}
}

// open decodes config into message when it is of that type.
func (n *needs) open(config *anypb.Any, message proto.Message) bool {
	if config == nil || !config.MessageIs(message) {
		return false
	}
	if err := config.UnmarshalTo(message); err != nil {
		n.err = fmt.Errorf("decoding %s: %w", config.GetTypeUrl(), err)
		return false
	}
	return true
}
