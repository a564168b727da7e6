package mesh

import "strings"

// HostHeader tells whether the name is that of the request's host, which is
// replaced in a way of its own and not by header operations.
func HostHeader(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// EscapeHeaderFormat writes a header value so that Envoy takes each "%" that
// begins no command as it stands.
func EscapeHeaderFormat(value string) string { return value }
