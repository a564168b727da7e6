package redirect

import (
	"fmt"
	"net/netip"
	"strings"
)

// tableName is the one table, of family inet, that belongs to this package.
const tableName = "fairway"

// Addresses from which the proxy calls the application behind it.
var (
	passthrough4 = netip.MustParsePrefix("127.0.0.6/32")
	passthrough6 = netip.MustParsePrefix("::6/128")
)

// chain is a list of rules, with a hook when the kernel calls it itself.
type chain struct {
	name  string
	hook  string // "output", "prerouting", or "" for a chain that others jump to
	rules []rule
}

// ruleset returns what c means, in the order in which the kernel shall see it.
// A chain that is jumped to comes before the one that jumps.
func (c Config) ruleset() []chain {
	return []chain{
		{name: "inbound", rules: c.inbound()},
		{name: "proxy", rules: proxy()},
		{name: "output", hook: "output", rules: c.output()},
		{name: "prerouting", hook: "prerouting", rules: c.prerouting()},
	}
}

// inbound decides about a connection to the pod.
func (c Config) inbound() []rule {
	var rules []rule
	for _, port := range c.ExcludeInbound.List {
		rules = append(rules, when(toPort(port)).leave())
	}
	return append(rules, captured(c.IncludeInbound, c.InboundPort)...)
}

// captured redirects the selected ports.
func captured(ports Ports, to uint16) []rule {
	if ports.All {
		return []rule{when().redirect(to)}
	}
	var rules []rule
	for _, port := range ports.List {
		rules = append(rules, when(toPort(port)).redirect(to))
	}
	return rules
}

// proxy decides about a connection that the proxy makes.
func proxy() []rule {
	return []rule{
		when(outOther("lo")).leave(),
		when(toPrefix(netip.MustParsePrefix("127.0.0.0/8"))).leave(),
		when(toPrefix(netip.MustParsePrefix("::1/128"))).leave(),
		when().jump("inbound"),
		when().leave(),
	}
}

// output sees what leaves a process of the pod.
func (c Config) output() []rule {
	rules := []rule{
		when(notTCP()).leave(),
		when(out("lo"), fromPrefix(passthrough4)).leave(),
		when(out("lo"), fromPrefix(passthrough6)).leave(),
	}
	for _, name := range c.ExcludeInterfaces {
		rules = append(rules, when(out(name)).leave())
	}
	rules = append(rules,
		when(ofUser(c.ProxyUID)).jump("proxy"),
		when(ofGroup(c.ProxyGID)).jump("proxy"),
		when(out("lo")).leave(),
	)
	for _, port := range c.ExcludeOutboundPorts.List {
		rules = append(rules, when(toPort(port)).leave())
	}
	for _, prefix := range c.ExcludeOutbound.List {
		rules = append(rules, when(toPrefix(prefix)).leave())
	}
	rules = append(rules, captured(c.IncludeOutboundPorts, c.OutboundPort)...)
	if c.IncludeOutbound.All {
		return append(rules, when().redirect(c.OutboundPort))
	}
	for _, prefix := range c.IncludeOutbound.List {
		rules = append(rules, when(toPrefix(prefix)).redirect(c.OutboundPort))
	}
	return rules
}

// prerouting sees what comes into the pod.
func (c Config) prerouting() []rule {
	rules := []rule{when(notTCP()).leave(), when(in("lo")).leave()}
	for _, name := range c.ExcludeInterfaces {
		rules = append(rules, when(in(name)).leave())
	}
	return append(rules, when().jump("inbound"))
}

// Text returns the rules in the language of the program nft.
func (c Config) Text() string {
	var text strings.Builder
	fmt.Fprintf(&text, "table inet %s {\n", tableName)
	for _, chain := range c.ruleset() {
		fmt.Fprintf(&text, "\tchain %s {\n", chain.name)
		if chain.hook != "" {
			fmt.Fprintf(&text, "\t\ttype nat hook %s priority -100; policy accept;\n", chain.hook)
		}
		for _, r := range chain.rules {
			fmt.Fprintf(&text, "\t\t%s\n", r.text())
		}
		text.WriteString("\t}\n")
	}
	text.WriteString("}\n")
	return text.String()
}
