package redirect

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Ports is a selection of TCP ports: all, some, or (zero value) none.
type Ports struct {
	All  bool
	List []uint16 // sorted, without duplicates; nil when All
}

// AllPorts selects every port.
func AllPorts() Ports { return Ports{All: true} }

// PortList selects the given ports.
func PortList(list ...uint16) Ports {
	list = slices.Clone(list)
	slices.Sort(list)
	return Ports{List: slices.Compact(list)}
}

// ParsePorts reads what Istio's annotations and iptables flags hold: "*" is all
// ports, "" none, else numbers separated by commas.
func ParsePorts(text string) (Ports, error) {
	var list []uint16
	for _, word := range words(text) {
		if word == "*" {
			return AllPorts(), nil
		}
		n, err := strconv.ParseUint(word, 10, 16)
		if err != nil || n == 0 {
			return Ports{}, fmt.Errorf("port %q: want a number from 1 to 65535, or * for all", word)
		}
		list = append(list, uint16(n))
	}
	return PortList(list...), nil
}

// Contains says whether port is selected.
func (p Ports) Contains(port uint16) bool {
	return p.All || slices.Contains(p.List, port)
}

// Add returns the selection with more ports.
func (p Ports) Add(more Ports) Ports {
	if p.All || more.All {
		return AllPorts()
	}
	return PortList(append(slices.Clone(p.List), more.List...)...)
}

// String is the text that ParsePorts reads.
func (p Ports) String() string {
	if p.All {
		return "*"
	}
	texts := make([]string, len(p.List))
	for i, port := range p.List {
		texts[i] = strconv.Itoa(int(port))
	}
	return strings.Join(texts, ",")
}

// Prefixes is a selection of addresses: all, some, or (zero value) none.
type Prefixes struct {
	All  bool
	List []netip.Prefix // masked, IPv4 and IPv6; nil when All
}

// AllPrefixes selects every address.
func AllPrefixes() Prefixes { return Prefixes{All: true} }

// ParsePrefixes reads what Istio's annotations and iptables flags hold: "*" is
// every address, "" none, else CIDRs or single addresses separated by commas.
func ParsePrefixes(text string) (Prefixes, error) {
	var list []netip.Prefix
	listed := map[netip.Prefix]bool{}
	for _, word := range words(text) {
		if word == "*" {
			return AllPrefixes(), nil
		}
		p, err := parsePrefix(word)
		if err != nil {
			return Prefixes{}, fmt.Errorf("range %q: want a CIDR such as 10.0.0.0/8 or fd00::/8, or * for all", word)
		}
		if !listed[p] {
			listed[p] = true
			list = append(list, p)
		}
	}
	return Prefixes{List: list}, nil
}

func parsePrefix(word string) (netip.Prefix, error) {
	if !strings.Contains(word, "/") {
		addr, err := netip.ParseAddr(word)
		if err != nil {
			return netip.Prefix{}, err
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone belongs to one machine")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(word)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, errors.New("an IPv4 address in IPv6 form needs at least 96 bits")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// String is the text that ParsePrefixes reads.
func (p Prefixes) String() string {
	if p.All {
		return "*"
	}
	texts := make([]string, len(p.List))
	for i, prefix := range p.List {
		texts[i] = prefix.String()
	}
	return strings.Join(texts, ",")
}

// words splits at commas and drops what is empty.
func words(text string) []string {
	var list []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	return list
}

// interfaceName is what this package takes for the name of a network device:
// less than the kernel allows, but at most IFNAMSIZ less the terminating zero.
var interfaceName = regexp.MustCompile(`^[A-Za-z0-9._:@-]{1,15}$`)

func validInterface(name string) error {
	if !interfaceName.MatchString(name) {
		return fmt.Errorf("interface %q: not the name of a network device", name)
	}
	return nil
}

// ParseInterfaces reads device names separated by commas.
func ParseInterfaces(text string) ([]string, error) {
	list := words(text)
	for _, name := range list {
		if err := validInterface(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func joinInterfaces(names []string) string { return strings.Join(names, ",") }
