package redirect

import (
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Apply makes the network namespace of the calling thread capture what c says,
// in place of what an earlier call said. On error nothing has changed but, at
// most, the address ::6 on the loopback device.
func Apply(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := addPassthrough6(); err != nil {
		return err
	}
	conn := &nftables.Conn{}
	table := replaceTable(conn)
	conn.AddTable(table)
	chains := map[string]*nftables.Chain{}
	set := c.ruleset()
	for _, chain := range set {
		chains[chain.name] = conn.AddChain(kernelChain(table, chain))
	}
	for _, chain := range set {
		for _, r := range chain.rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chains[chain.name], Exprs: r.exprs()})
		}
	}
	return explain("writing the nftables rules", conn.Flush())
}

// Remove takes away what Apply did. It is no error when there is nothing.
func Remove() error {
	conn := &nftables.Conn{}
	replaceTable(conn)
	if err := explain("removing the nftables rules", conn.Flush()); err != nil {
		return err
	}
	return removePassthrough6()
}

// replaceTable queues the removal of our table. Adding it first makes the
// removal succeed whether or not it was there.
func replaceTable(conn *nftables.Conn) *nftables.Table {
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	conn.AddTable(table)
	conn.DelTable(table)
	return table
}

func kernelChain(table *nftables.Table, c chain) *nftables.Chain {
	k := &nftables.Chain{Name: c.name, Table: table}
	if c.hook == "" {
		return k
	}
	accept := nftables.ChainPolicyAccept
	k.Type, k.Policy, k.Priority = nftables.ChainTypeNAT, &accept, nftables.ChainPriorityNATDest
	k.Hooknum = map[string]*nftables.ChainHook{
		"output": nftables.ChainHookOutput, "prerouting": nftables.ChainHookPrerouting,
	}[c.hook]
	return k
}

// passthroughAddress is ::6 as an address of a device. IPv4 needs none: all of
// 127.0.0.0/8 is local.
func passthroughAddress() *netlink.Addr {
	return &netlink.Addr{
		IPNet: &net.IPNet{IP: passthrough6.Addr().AsSlice(), Mask: net.CIDRMask(128, 128)},
		Flags: unix.IFA_F_NODAD,
	}
}

func addPassthrough6() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	err = netlink.AddrReplace(lo, passthroughAddress())
	if noIPv6(err) {
		return nil
	}
	return explain("adding ::6 to the loopback device", err)
}

func removePassthrough6() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	err = netlink.AddrDel(lo, passthroughAddress())
	if errors.Is(err, unix.EADDRNOTAVAIL) || noIPv6(err) {
		return nil
	}
	return explain("removing ::6 from the loopback device", err)
}

// noIPv6 recognises a kernel or a namespace in which IPv6 is switched off. There
// is then no IPv6 traffic to capture either. (A namespace with disable_ipv6 = 1
// answers EACCES, which the lack of NET_ADMIN never does: that is EPERM.)
func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES)
}

// explain adds the remedy to the kernel's answers.
func explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: %w: the process needs the capability NET_ADMIN in this network namespace", doing, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%s: %w: the kernel needs nftables with NAT in the family inet (Linux 5.2, modules nft_chain_nat and nft_redir)", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
