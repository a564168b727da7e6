// Package explain follows one request through the Envoy resources of a proxy
// and says in sentences which listener, filter chain, route, cluster and
// endpoints it meets, and why each was chosen.
//
// It is pure: it reads resources and a request, and never asks a proxy, the
// control plane or a network. It never decides anything that Envoy does not
// decide by configuration: which of several weighted clusters or endpoints a
// request gets is told as shares, not guessed.
package explain
