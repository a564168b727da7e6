package redirect

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// modeRedirect is the only way of interception that needs no privilege in the proxy.
const modeRedirect = "REDIRECT"

// NewCommand is "fairway redirect", the program of the init container. Its
// flags are those of istio-iptables where that has them.
func NewCommand() *cobra.Command {
	var undo, dryRun bool
	var flags flags
	cmd := &cobra.Command{
		Use:   "redirect",
		Short: "Capture the TCP traffic of this network namespace for its proxy",
		Long: `Writes nftables rules that send the TCP traffic of this network namespace (of the pod) through its proxy.
Needs the capability NET_ADMIN and no other program. Running it again replaces the rules.`,
		Example: `  fairway redirect
  fairway redirect -b '*' -d 15090,15021,15020 -o 3306 -x 10.1.0.0/16
  fairway redirect --dry-run
  fairway redirect --undo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if undo && dryRun {
				return fmt.Errorf("--undo and --dry-run exclude each other")
			}
			if undo {
				return Remove()
			}
			c, err := flags.config()
			if err != nil {
				return err
			}
			if dryRun {
				_, err := fmt.Fprint(cmd.OutOrStdout(), c.Text())
				return err
			}
			return Apply(c)
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().BoolVar(&undo, "undo", false, "remove the rules")
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "print the rules in the language of nft and change nothing")
	return cmd
}

// flags are the flags as text; config reads them.
type flags struct {
	outboundPort, inboundPort                              uint16
	uid, gid                                               uint32
	mode                                                   string
	includeIn, excludeIn, includeOutPorts, excludeOutPorts string
	includeOut, excludeOut, excludeInterfaces              string
}

func (f *flags) register(set *pflag.FlagSet) {
	d := Default()
	set.Uint16VarP(&f.outboundPort, "envoy-port", "p", d.OutboundPort, "the proxy's port for outbound traffic")
	set.Uint16VarP(&f.inboundPort, "inbound-capture-port", "z", d.InboundPort, "the proxy's port for inbound traffic")
	set.Uint32VarP(&f.uid, "proxy-uid", "u", d.ProxyUID, "user id of the proxy")
	set.Uint32VarP(&f.gid, "proxy-gid", "g", d.ProxyGID, "group id of the proxy")
	set.StringVarP(&f.mode, "istio-inbound-interception-mode", "m", modeRedirect, "REDIRECT (TPROXY would need privileges in the proxy)")
	set.StringVarP(&f.includeIn, "istio-inbound-ports", "b", d.IncludeInbound.String(), `inbound ports to capture; * is all, "" none`)
	set.StringVarP(&f.excludeIn, "istio-local-exclude-ports", "d", d.ExcludeInbound.String(), "inbound ports to leave alone")
	set.StringVarP(&f.includeOut, "istio-service-cidr", "i", d.IncludeOutbound.String(), `outbound address ranges to capture; * is all, "" none`)
	set.StringVarP(&f.excludeOut, "istio-service-exclude-cidr", "x", "", "outbound address ranges to leave alone")
	set.StringVarP(&f.includeOutPorts, "istio-outbound-ports", "q", "", "outbound ports to capture whatever the address")
	set.StringVarP(&f.excludeOutPorts, "istio-local-outbound-ports-exclude", "o", "", "outbound ports to leave alone")
	set.StringVarP(&f.excludeInterfaces, "istio-exclude-interfaces", "c", "", "network devices whose traffic is left alone")
}

// config reads the flags. An error names the flag.
func (f *flags) config() (Config, error) {
	if f.mode != modeRedirect {
		return Config{}, fmt.Errorf("--istio-inbound-interception-mode %q: only %s is supported", f.mode, modeRedirect)
	}
	c := Config{OutboundPort: f.outboundPort, InboundPort: f.inboundPort, ProxyUID: f.uid, ProxyGID: f.gid}
	for _, p := range []struct {
		flag, text string
		to         *Ports
	}{
		{"istio-inbound-ports", f.includeIn, &c.IncludeInbound},
		{"istio-local-exclude-ports", f.excludeIn, &c.ExcludeInbound},
		{"istio-outbound-ports", f.includeOutPorts, &c.IncludeOutboundPorts},
		{"istio-local-outbound-ports-exclude", f.excludeOutPorts, &c.ExcludeOutboundPorts},
	} {
		ports, err := ParsePorts(p.text)
		if err != nil {
			return Config{}, fmt.Errorf("--%s: %w", p.flag, err)
		}
		*p.to = ports
	}
	for _, p := range []struct {
		flag, text string
		to         *Prefixes
	}{
		{"istio-service-cidr", f.includeOut, &c.IncludeOutbound},
		{"istio-service-exclude-cidr", f.excludeOut, &c.ExcludeOutbound},
	} {
		prefixes, err := ParsePrefixes(p.text)
		if err != nil {
			return Config{}, fmt.Errorf("--%s: %w", p.flag, err)
		}
		*p.to = prefixes
	}
	var err error
	if c.ExcludeInterfaces, err = ParseInterfaces(f.excludeInterfaces); err != nil {
		return Config{}, fmt.Errorf("--istio-exclude-interfaces: %w", err)
	}
	return c, c.Validate()
}
