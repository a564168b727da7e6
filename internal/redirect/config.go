package redirect

import (
	"errors"
	"fmt"
	"strconv"
)

// Ports and user of the proxy, as in Istio.
const (
	DefaultOutboundPort = 15001
	DefaultInboundPort  = 15006
	DefaultProxyUID     = 1337
	DefaultProxyGID     = 1337
)

// ExcludedInboundPorts are those of the proxy itself that people and the
// kubelet call directly: Prometheus, readiness, application probes.
func ExcludedInboundPorts() Ports { return PortList(15090, 15021, 15020) }

// Config says what to capture. Its zero value captures nothing; start from
// Default.
type Config struct {
	// OutboundPort receives what leaves the pod, InboundPort what enters it.
	OutboundPort, InboundPort uint16
	// ProxyUID and ProxyGID are the proxy's user and group: what either sends is
	// the proxy's. Nothing else in the pod may run as them.
	ProxyUID, ProxyGID uint32

	// IncludeInbound are the ports captured into the pod: all, some or none.
	IncludeInbound Ports
	// ExcludeInbound are left alone; it is stronger than IncludeInbound.
	ExcludeInbound Ports

	// IncludeOutboundPorts are captured out of the pod whatever the address.
	IncludeOutboundPorts Ports
	// IncludeOutbound are the destinations captured out of the pod, any port.
	IncludeOutbound Prefixes
	// ExcludeOutboundPorts and ExcludeOutbound are left alone; they are stronger
	// than the two above.
	ExcludeOutboundPorts Ports
	ExcludeOutbound      Prefixes

	// ExcludeInterfaces are devices whose traffic is left alone in both
	// directions, by exact name.
	ExcludeInterfaces []string
}

// Default captures everything but the proxy's own ports.
func Default() Config {
	return Config{
		OutboundPort: DefaultOutboundPort, InboundPort: DefaultInboundPort,
		ProxyUID: DefaultProxyUID, ProxyGID: DefaultProxyGID,
		IncludeInbound: AllPorts(), ExcludeInbound: ExcludedInboundPorts(),
		IncludeOutbound: AllPrefixes(),
	}
}

// Validate says what is wrong with c, or returns nil.
func (c Config) Validate() error {
	if c.OutboundPort == 0 || c.InboundPort == 0 {
		return errors.New("the proxy's outbound and inbound ports must be 1 to 65535")
	}
	if c.OutboundPort == c.InboundPort {
		return fmt.Errorf("the proxy's outbound and inbound port are both %d: they must differ", c.InboundPort)
	}
	if c.ProxyUID == 0 || c.ProxyGID == 0 {
		return errors.New("the proxy must not run as root (user or group 0): the rules tell its traffic from the application's by user and group")
	}
	for _, p := range []struct {
		name  string
		ports Ports
	}{{"excluded inbound", c.ExcludeInbound}, {"excluded outbound", c.ExcludeOutboundPorts}} {
		if p.ports.All {
			return fmt.Errorf("%s ports: * is not allowed, leave the included ones empty instead", p.name)
		}
	}
	if c.ExcludeOutbound.All {
		return errors.New("excluded outbound ranges: * is not allowed, leave the included ones empty instead")
	}
	for _, name := range c.ExcludeInterfaces {
		if err := validInterface(name); err != nil {
			return err
		}
	}
	return nil
}

// Args returns the arguments of "fairway redirect" that mean c.
func (c Config) Args() []string {
	args := []string{
		"-p", strconv.Itoa(int(c.OutboundPort)), "-z", strconv.Itoa(int(c.InboundPort)),
		"-u", strconv.FormatUint(uint64(c.ProxyUID), 10), "-g", strconv.FormatUint(uint64(c.ProxyGID), 10),
		"-m", modeRedirect,
		"-i", c.IncludeOutbound.String(), "-x", c.ExcludeOutbound.String(),
		"-b", c.IncludeInbound.String(), "-d", c.ExcludeInbound.String(),
		"-q", c.IncludeOutboundPorts.String(), "-o", c.ExcludeOutboundPorts.String(),
	}
	if len(c.ExcludeInterfaces) > 0 {
		args = append(args, "-c", joinInterfaces(c.ExcludeInterfaces))
	}
	return args
}
