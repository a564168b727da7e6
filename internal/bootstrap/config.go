package bootstrap

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Role says what a proxy is for. It is the first part of its node id.
type Role string

const (
	// Sidecar is a proxy beside an application, fed by traffic capture.
	Sidecar Role = "sidecar"
	// Router is a gateway: a proxy of its own that listens on what Gateways ask for.
	Router Role = "router"
)

// Ports on which the static part of the configuration listens. They are never
// captured: internal/redirect leaves them out.
const (
	AdminPort      = 15000 // of sidecars, on 127.0.0.1 only
	ProbePort      = 15020 // rewritten application probes
	ReadinessPort  = 15021 // ReadinessPath
	PrometheusPort = 15090 // PrometheusPath
)

// Paths served on those ports.
const (
	ReadinessPath  = "/healthz/ready"
	PrometheusPath = "/stats/prometheus"
)

// MetadataVersion is the entry of node.metadata with Config.Version.
const MetadataVersion = "FAIRWAY_VERSION"

// AdminSocket is the abstract Unix socket of a gateway's admin interface. It
// belongs to the network namespace, so to the pod.
const AdminSocket = "fairway-admin"

// Static clusters: the control plane's xDS port, and the same address for what
// proxies report of single requests, with a small bound of its own so that
// reports never hold up configuration.
const (
	XDSCluster = "xds-grpc"
	TapCluster = "fairway-tap"
)

// RuntimeLayer is the RTDS layer by which the control plane switches features
// of a running proxy.
const RuntimeLayer = "fairway"

// DrainingKey is the entry of RuntimeLayer by which the control plane says that the
// pod's end has begun: a percentage of readiness checks that fail.
const DrainingKey = "fairway.draining"

// DefaultClusterDomain is the DNS domain of services when Config names none.
const DefaultClusterDomain = "cluster.local"

// Config is what differs from proxy to proxy. Pod, Namespace, IP and
// ServiceAccount are text or a Kubernetes placeholder such as "$(POD_NAME)";
// text that may hold a dollar sign and is to reach Envoy as it is goes through
// Escape first.
type Config struct {
	// Role is Sidecar (also when empty) or Router.
	Role Role
	// Pod and Namespace name the pod. Both are required.
	Pod, Namespace string
	// IP is the pod's first address, IPv4 or IPv6. Required.
	IP string
	// IPs are all addresses of the pod, comma separated; a hint for the control
	// plane in the metadata INSTANCE_IPS. Empty: IP.
	IPs string
	// IPv6 says of what family IP is when it is a placeholder, DualStack that the pod
	// has addresses of both. Of literal addresses either is seen.
	IPv6, DualStack bool
	// ServiceAccount is a hint in the metadata. Empty: left out.
	ServiceAccount string
	// Workload is the name of the Deployment, StatefulSet and so on. It becomes
	// node.cluster (with the namespace) and a hint in the metadata. Empty: Pod.
	Workload string
	// Labels are the pod's labels, a hint in the metadata.
	Labels map[string]string
	// Version is that of the Fairway which makes the configuration, a hint in the
	// metadata: MetadataVersion. Empty: left out.
	Version string
	// Metadata is added to node.metadata, over what is there.
	Metadata map[string]any
	// ClusterID names the Kubernetes cluster. Empty: "Kubernetes", as Istio's.
	ClusterID string
	// ClusterDomain is the DNS domain of services, DefaultClusterDomain if empty.
	ClusterDomain string

	// Listen is the address on which the static listeners are bound. Empty: any
	// address of the pod's families, or, when IP is a placeholder and the pod is not
	// known to be dual-stack, IP itself, which is right on IPv4 and IPv6 pods and on
	// kernels without IPv6; ReadinessPort then answers on 127.0.0.1, too.
	Listen string

	// XDSAddress is the control plane, host:port. A host name is resolved by DNS
	// and is the name that the server's certificate must bear. Required.
	XDSAddress string
	// Plaintext speaks to the control plane without TLS and without a token.
	Plaintext bool
	// CredentialDir is where the files of SDSFiles, the token and the authority's
	// certificates lie. Empty: DefaultCredentialDir. Unused with Plaintext.
	CredentialDir string
	// StateOfTheWorld uses the older variant of the protocol instead of delta.
	StateOfTheWorld bool

	// Stats are statistics to keep beside the usual ones.
	Stats Stats
	// Probes are application probes to serve on ProbePort.
	Probes []Probe
}

// isPlaceholder says whether s holds something for the kubelet to replace.
func isPlaceholder(s string) bool { return strings.Contains(s, "$(") }

// complete returns c with defaults filled in, or says what is wrong with it.
func (c Config) complete() (Config, error) {
	if c.Role == "" {
		c.Role = Sidecar
	}
	if c.Role != Sidecar && c.Role != Router {
		return c, fmt.Errorf("role %q: must be %q or %q", c.Role, Sidecar, Router)
	}
	for _, f := range []struct{ name, value string }{{"pod", c.Pod}, {"namespace", c.Namespace}, {"ip", c.IP}} {
		if f.value == "" {
			return c, fmt.Errorf("%s is missing: name it, or give a placeholder such as $(POD_NAME)", f.name)
		}
		if strings.ContainsAny(f.value, "~ \t\n") {
			return c, fmt.Errorf("%s %q: must not hold a tilde or white space, it is a part of the node id", f.name, f.value)
		}
	}
	if c.Workload == "" {
		c.Workload = c.Pod
	}
	if c.IPs == "" {
		c.IPs = c.IP
	}
	if c.ClusterID == "" {
		c.ClusterID = "Kubernetes"
	}
	if c.ClusterDomain == "" {
		c.ClusterDomain = DefaultClusterDomain
	}
	if c.CredentialDir == "" {
		c.CredentialDir = DefaultCredentialDir
	}
	c.families()
	var err error
	c.Listen, err = c.listen()
	return c, err
}

// families sees of what families literal addresses are.
func (c *Config) families() {
	if !isPlaceholder(c.IP) {
		ip, err := netip.ParseAddr(c.IP)
		c.IPv6 = err == nil && !ip.Unmap().Is4()
	}
	for text := range strings.SplitSeq(c.IPs, ",") {
		if ip, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil && !isPlaceholder(c.IP) && ip.Unmap().Is4() == c.IPv6 {
			c.DualStack = true
		}
	}
}

// listen decides Config.Listen.
func (c Config) listen() (string, error) {
	if !isPlaceholder(c.IP) {
		if _, err := netip.ParseAddr(c.IP); err != nil {
			return "", fmt.Errorf("ip %q: not an address: %w", c.IP, err)
		}
	}
	switch {
	case c.Listen != "":
		if _, err := netip.ParseAddr(c.Listen); err != nil && !isPlaceholder(c.Listen) {
			return "", fmt.Errorf("listen address %q: %w", c.Listen, err)
		}
		return c.Listen, nil
	case c.DualStack:
		return "::", nil
	case isPlaceholder(c.IP):
		return c.IP, nil
	case c.IPv6:
		return "::", nil
	}
	return "0.0.0.0", nil
}

// splitXDS takes XDSAddress apart.
func splitXDS(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("xDS address %q: want host:port: %w", address, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("xDS address %q: the port must be a number from 1 to 65535", address)
	}
	if host == "" || strings.ContainsAny(host, " \t\n/") {
		return "", 0, fmt.Errorf("xDS address %q: want host:port, with a host name or an address", address)
	}
	return host, int(n), nil
}
