//go:build linux

package network

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The functions of this file run on a thread inside a namespace: the package
// netlink opens its socket where the calling thread is.

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("setting the loopback device up: %w", err)
	}
	return nil
}

// host is the network of one address.
func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// addAddress gives the device an address of its own, without a network around it.
func addAddress(device string, a netip.Addr) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("finding device %s: %w", device, err)
	}
	addr := &netlink.Addr{IPNet: host(a)}
	if a.Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("adding address %s to %s: %w", a, device, err)
	}
	return nil
}

// addVeth makes a pair of devices: name here, eth0 in the namespace peer.
func addVeth(name string, peer int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: podDevice, PeerNamespace: netlink.NsFd(peer)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("making the wire %s: %w", name, err)
	}
	return up(name)
}

func up(device string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("finding device %s: %w", device, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", device, err)
	}
	return nil
}

// addRoute sends what is for dst (zero: everything of via's family) through the
// device, by the gateway via and from the address src where they are valid.
func addRoute(device string, dst netip.Prefix, via, src netip.Addr) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("finding device %s: %w", device, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index}
	if dst.IsValid() {
		route.Dst = &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), dst.Addr().BitLen())}
	}
	if via.IsValid() {
		route.Gw = via.AsSlice()
		route.Flags = int(netlink.FLAG_ONLINK)
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	if src.IsValid() {
		route.Src = src.AsSlice()
	}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("adding a route to %s on %s: %w", dst, device, err)
	}
	return nil
}
