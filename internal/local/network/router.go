//go:build linux

package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
)

// podDevice is the name of the network device in every pod.
const podDevice = "eth0"

// gateway6 is the router's address on each wire, for IPv6: routers are known by
// link-local addresses there.
var gateway6 = netip.MustParseAddr("fe80::1")

// Router joins the namespaces. Every wire is a pair of devices between a
// namespace and the router, and every packet between two namespaces is routed,
// so that address translation sees both directions of a connection.
type Router struct {
	// Namespace is where the router itself, and servers that all pods may reach, live.
	Namespace *Namespace

	addresses []netip.Addr

	mu    sync.Mutex
	wires int // number of the last wire; names are never used twice
}

// NewRouter makes a router that answers on the addresses (the first IPv4 one is
// the gateway of pods with an IPv4 address).
func NewRouter(addresses ...netip.Addr) (*Router, error) {
	ns, err := NewNamespace()
	if err != nil {
		return nil, err
	}
	r := &Router{Namespace: ns, addresses: addresses}
	if err := ns.Do(r.prepare); err != nil {
		ns.Close()
		return nil, fmt.Errorf("preparing the router: %w", err)
	}
	return r, nil
}

func (r *Router) prepare() error {
	for name, value := range map[string]string{
		"ipv4/ip_forward":                  "1",
		"ipv4/conf/all/rp_filter":          "0", // replies of translated connections come from elsewhere
		"ipv6/conf/all/forwarding":         "1",
		"ipv4/conf/all/arp_ignore":         "0", // the gateway address is on the loopback device
		"ipv4/conf/all/send_redirects":     "0",
		"ipv4/conf/default/send_redirects": "0",
	} {
		if err := setting(name, value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, a := range r.addresses {
		if err := addAddress("lo", a); err != nil {
			return err
		}
	}
	return nil
}

// gateway is the router's address of the family.
func (r *Router) gateway(is6 bool) netip.Addr {
	for _, a := range r.addresses {
		if a.Is6() == is6 {
			return a
		}
	}
	return netip.Addr{}
}

// Wire is a namespace that is connected to the router.
type Wire struct {
	*Namespace
	router    *Router
	device    string // in the router
	Addresses []netip.Addr
}

// Connect makes a namespace with the addresses and connects it.
func (r *Router) Connect(addresses ...netip.Addr) (*Wire, error) {
	ns, err := NewNamespace()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.wires++
	w := &Wire{Namespace: ns, router: r, device: fmt.Sprintf("pod%d", r.wires), Addresses: addresses}
	r.mu.Unlock()
	// Addresses first: a route's preferred source must exist.
	err = r.Namespace.Do(func() error { return addVeth(w.device, ns.fd) })
	if err == nil {
		err = ns.Do(w.podSide)
	}
	if err == nil {
		err = r.Namespace.Do(w.routerSide)
	}
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("connecting a namespace: %w", err)
	}
	return w, nil
}

func (w *Wire) podSide() error {
	if err := up(podDevice); err != nil {
		return err
	}
	for _, a := range w.Addresses {
		if err := addAddress(podDevice, a); err != nil {
			return err
		}
		via := w.router.gateway(false)
		if a.Is6() {
			via = gateway6
		}
		if err := addRoute(podDevice, netip.Prefix{}, via, a); err != nil {
			return err
		}
	}
	return nil
}

func (w *Wire) routerSide() error {
	for _, a := range w.Addresses {
		if a.Is6() {
			if err := addAddress(w.device, gateway6); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
		if err := addRoute(w.device, netip.PrefixFrom(a, a.BitLen()), netip.Addr{}, w.router.gateway(a.Is6())); err != nil {
			return err
		}
	}
	return nil
}

// Close disconnects the namespace and gives it up.
func (w *Wire) Close() {
	// A process that outlives its namespace by a moment would keep the device.
	_ = w.router.Namespace.Do(func() error {
		link, err := netlink.LinkByName(w.device)
		if err != nil {
			return nil //nolint:nilerr // gone with the other end
		}
		return netlink.LinkDel(link)
	})
	w.Namespace.Close()
}

// Close gives the router up; wires must be closed before.
func (r *Router) Close() { r.Namespace.Close() }
