package translate

import (
	"cmp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	cookiev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/type/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// SessionFilter is the HTTP filter that leads a session to the endpoint which
// it began with. Routes to services that ask for it configure it.
const SessionFilter = "envoy.filters.http.stateful_session"

// sessionAge is how long a client keeps the cookie, in seconds, as Istio has it.
const sessionAge = 120

// session is how the service remembers the endpoint of a session, by its
// labels (mesh.Service.Session); nil when it does not. It is strict about
// nothing: when the endpoint is gone another takes over.
func session(s *registry.Service) proto.Message {
	kind, name := s.Session()
	state := &corev3.TypedExtensionConfig{}
	switch kind {
	case registry.SessionCookie:
		name, path, _ := strings.Cut(name, ":")
		state.Name = "envoy.http.stateful_session.cookie"
		state.TypedConfig = resource.Pack(&cookiev3.CookieBasedSessionState{Cookie: &httpv3.Cookie{
			Name: name, Path: cmp.Or(path, "/"), Ttl: &durationpb.Duration{Seconds: sessionAge},
		}})
	case registry.SessionHeader:
		state.Name = "envoy.http.stateful_session.header"
		state.TypedConfig = resource.Pack(&headerv3.HeaderBasedSessionState{Name: name})
	default:
		return nil
	}
	return &sessionv3.StatefulSessionPerRoute{Override: &sessionv3.StatefulSessionPerRoute_StatefulSession{
		StatefulSession: &sessionv3.StatefulSession{SessionState: state},
	}}
}

// withSession remembers the endpoints of one of several destinations.
func withSession(c *routev3.WeightedCluster_ClusterWeight, s proto.Message) {
	if s != nil {
		c.TypedPerFilterConfig = map[string]*anypb.Any{SessionFilter: resource.Pack(s)}
	}
}

// overridable are the states of endpoints to which sessions still lead.
func overridable() *corev3.HealthStatusSet {
	return &corev3.HealthStatusSet{Statuses: []corev3.HealthStatus{
		corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DRAINING, corev3.HealthStatus_DEGRADED,
	}}
}
