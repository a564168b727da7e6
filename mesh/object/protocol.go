package object

import "strings"

// Protocol is what a service port speaks.
type Protocol uint8

// The protocols. ProtocolAuto is a port whose protocol nobody declared: it is
// found out from the first bytes of a connection.
const (
	ProtocolAuto Protocol = iota
	ProtocolHTTP
	ProtocolHTTP2
	ProtocolGRPC
	ProtocolGRPCWeb
	ProtocolHTTPS
	ProtocolTLS
	ProtocolTCP
	ProtocolMongo
	ProtocolRedis
	ProtocolMySQL
	ProtocolUDP
)

var protocolNames = map[string]Protocol{
	"http": ProtocolHTTP, "http2": ProtocolHTTP2, "grpc": ProtocolGRPC, "grpc-web": ProtocolGRPCWeb, "https": ProtocolHTTPS,
	"tls": ProtocolTLS, "tcp": ProtocolTCP, "mongo": ProtocolMongo, "redis": ProtocolRedis, "mysql": ProtocolMySQL, "udp": ProtocolUDP,
	"http_proxy": ProtocolHTTP,
}

// String is the protocol as port names write it.
func (p Protocol) String() string {
	for n, v := range protocolNames {
		if v == p && n != "http_proxy" {
			return n
		}
	}
	return "auto"
}

// IsHTTP tells whether the plain port carries HTTP of any version.
func (p Protocol) IsHTTP() bool {
	return p == ProtocolHTTP || p == ProtocolHTTP2 || p == ProtocolGRPC || p == ProtocolGRPCWeb
}

// IsHTTP2 tells whether requests to the port are HTTP/2 by declaration.
func (p Protocol) IsHTTP2() bool {
	return p == ProtocolHTTP2 || p == ProtocolGRPC || p == ProtocolGRPCWeb
}

// IsTLS tells whether clients speak TLS to the port themselves.
func (p Protocol) IsTLS() bool { return p == ProtocolHTTPS || p == ProtocolTLS }

// ParseProtocol reads a protocol as Gateways and ServiceEntries write it, in
// any case. Unknown names give ProtocolAuto and false.
func ParseProtocol(name string) (Protocol, bool) {
	p, ok := protocolNames[strings.ToLower(name)]
	return p, ok
}

// wellKnownPorts are ports that are TCP unless declared otherwise: their
// servers speak first, so that waiting for the client's first bytes would hang.
var wellKnownPorts = map[uint32]bool{25: true, 53: true, 3306: true, 27017: true}

// KubernetesProtocol applies Kubernetes' rules for a port: UDP by its
// transport, then appProtocol, then the name before its first "-"
// (`http-8080` is HTTP), then ProtocolAuto.
func KubernetesProtocol(transport string, appProtocol *string, name string, number uint32) Protocol {
	if transport == "UDP" || transport == "SCTP" {
		return ProtocolUDP
	}
	if appProtocol != nil {
		switch a := strings.ToLower(*appProtocol); a {
		case "kubernetes.io/h2c":
			return ProtocolHTTP2
		case "kubernetes.io/ws":
			return ProtocolHTTP
		case "kubernetes.io/wss":
			return ProtocolHTTPS
		default:
			if p, ok := ParseProtocol(a); ok && p != ProtocolUDP {
				return p
			}
		}
	} else {
		n := strings.ToLower(name)
		if n == "grpc-web" || strings.HasPrefix(n, "grpc-web-") {
			return ProtocolGRPCWeb
		}
		word, _, _ := strings.Cut(n, "-")
		if p, ok := ParseProtocol(word); ok && p != ProtocolUDP {
			return p
		}
	}
	if wellKnownPorts[number] {
		return ProtocolTCP
	}
	return ProtocolAuto
}

// MaxPort is the highest port number of TCP and UDP. Objects that come from
// files may hold others, for which Envoy would refuse the resource.
const MaxPort = 65535
