package resource

import (
	"strconv"
	"strings"
)

// The clusters that every sidecar has.
const (
	PassthroughCluster        = "PassthroughCluster"
	BlackHoleCluster          = "BlackHoleCluster"
	InboundPassthroughCluster = "InboundPassthroughCluster"
)

// The ports that a proxy listens on for traffic of its pod.
const (
	OutboundPort = 15001
	InboundPort  = 15006
)

// OutboundCluster is the name of the cluster for a host's port and subset
// ("" is the whole service), in the form that Istio's tools read:
// "outbound|80|v1|reviews.default.svc.cluster.local".
func OutboundCluster(host string, port uint32, subset string) string {
	return "outbound|" + strconv.FormatUint(uint64(port), 10) + "|" + subset + "|" + host
}

// OriginalDestinationCluster is the name of the cluster that reaches a pod of
// a headless service by the address that the client chose, beside the
// load-balanced one.
func OriginalDestinationCluster(host string, port uint32) string {
	return OutboundCluster(host, port, "") + "|original-dst"
}

// InboundCluster is the name of the cluster for a port of the workload itself.
func InboundCluster(port uint32) string {
	return "inbound|" + strconv.FormatUint(uint64(port), 10) + "||"
}

// SNI is the server name that a sidecar sends for a cluster in the mesh's
// mutual TLS: "outbound_.80_.v1_.reviews.default.svc.cluster.local".
func SNI(host string, port uint32, subset string) string {
	return "outbound_." + strconv.FormatUint(uint64(port), 10) + "_." + subset + "_." + host
}

// SplitCluster reads an outbound cluster's name; false for other names.
func SplitCluster(name string) (host string, port uint32, subset string, ok bool) {
	p := strings.Split(name, "|")
	if len(p) < 4 || p[0] != "outbound" {
		return "", 0, "", false
	}
	n, err := strconv.ParseUint(p[1], 10, 16)
	return p[3], uint32(n), p[2], err == nil
}
