package registry

import "github.com/fairway-mesh/fairway/mesh/traffic"

// The labels by which a service asks for sessions that stay with their
// endpoint: the name of a cookie, or of a header.
const (
	sessionCookieLabel = "istio.io/persistent-session"
	sessionHeaderLabel = "istio.io/persistent-session-header"
)

// SessionKind is what tells the endpoint of a session.
type SessionKind uint8

// The kinds.
const (
	SessionNone SessionKind = iota
	SessionCookie
	SessionHeader
)

// Session is how the service asks for sessions that stay with their endpoint,
// and the name of the cookie or header that tells it.
func (s *Service) Session() (SessionKind, string) {
	if s == nil {
		return SessionNone, ""
	}
	if name := s.Labels[sessionCookieLabel]; name != "" {
		return SessionCookie, name
	}
	if name := s.Labels[sessionHeaderLabel]; traffic.SettableHeader(name, "") {
		return SessionHeader, name
	}
	return SessionNone, ""
}

// keeps tells whether sessions go on at an endpoint that ends.
func (s *Service) keeps() bool { k, _ := s.Session(); return k != SessionNone }
