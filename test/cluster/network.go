package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// makeNetwork makes the bridge, and a namespace for each node that is joined to
// it; the host and the nodes have routes to all pods.
func (i *instance) makeNetwork(nodes int) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: i.bridge()}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("making the bridge %s: %w", i.bridge(), err)
	}
	if err := raise(i.bridge(), i.hostAddress()); err != nil {
		return err
	}
	for node := range nodes {
		if err := i.joinNode(node, nodes); err != nil {
			return fmt.Errorf("making the network of %s: %w", i.nodeName(node), err)
		}
		if err := route(i.pods(node), i.address(node)); err != nil {
			return err
		}
	}
	return nil
}

// raise gives a device its address and turns it on.
func raise(device, address string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("finding the device %s: %w", device, err)
	}
	if address != "" {
		a, err := netlink.ParseAddr(address + "/24")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("giving %s an address: %w", device, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("turning %s on: %w", device, err)
	}
	return nil
}

func route(to, via string) error {
	r := &netlink.Route{Gw: net.ParseIP(via)}
	if to != "" {
		_, network, err := net.ParseCIDR(to)
		if err != nil {
			return err
		}
		r.Dst = network
	}
	if err := netlink.RouteAdd(r); err != nil {
		return fmt.Errorf("making a route to %q by %s: %w", to, via, err)
	}
	return nil
}

// joinNode makes a node's namespace with one device, eth0, on the bridge.
func (i *instance) joinNode(node, nodes int) error {
	space, err := newNamespace(i.name(node))
	if err != nil {
		return err
	}
	defer space.Close()
	bridge, err := netlink.LinkByName(i.bridge())
	if err != nil {
		return err
	}
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: i.name(node), MasterIndex: bridge.Attrs().Index},
		PeerName:  "eth0", PeerNamespace: netlink.NsFd(space),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("making a pair of devices: %w", err)
	}
	if err := raise(i.name(node), ""); err != nil {
		return err
	}
	return inNamespace(space, func() error { return i.configureNode(node, nodes) })
}

// configureNode runs inside the node's namespace.
func (i *instance) configureNode(node, nodes int) error {
	if err := raise("lo", ""); err != nil {
		return err
	}
	if err := raise("eth0", i.address(node)); err != nil {
		return err
	}
	if err := route("", i.hostAddress()); err != nil {
		return err
	}
	for other := range nodes {
		if other == node {
			continue
		}
		if err := route(i.pods(other), i.address(other)); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("turning forwarding on: %w", err)
	}
	// Where bridges can skip the firewall, a pod that reaches a neighbour by a
	// Service would get answers from an address that it did not ask.
	_ = os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0o644)
	return nil
}

// newNamespace makes a network namespace with a name, without entering it.
func newNamespace(name string) (netns.NsHandle, error) {
	var space netns.NsHandle
	err := onThread(func() error {
		var err error
		space, err = netns.NewNamed(name)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("making the network namespace %s: %w", name, err)
	}
	return space, nil
}

func inNamespace(space netns.NsHandle, work func() error) error {
	return onThread(func() error {
		if err := netns.Set(space); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return work()
	})
}

// onThread works on a thread of its own, which ends afterwards: it may have
// changed its namespace.
func onThread(work func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- work()
	}()
	return <-done
}

func deleteNamespace(name string) error {
	if err := netns.DeleteNamed(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("removing the network namespace %s: %w", name, err)
	}
	return nil
}
