//go:build linux

package local

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
)

// addresses hands out addresses. Those of pods and services are not used twice
// before the range is used up, so that a late packet never meets another pod.
type addresses struct {
	pod, service uint32
	loopback     uint32 // of this mesh, on the machine
	nextLoopback uint32
}

func newAddresses() addresses {
	// The first few addresses are the router's and the name server's. Loopback
	// addresses are shared with everyone on the machine: begin anywhere.
	return addresses{pod: 1, service: 0x100, loopback: 127<<24 | 64<<16 | rand.Uint32N(1<<21)<<1}
}

// nth is the n-th address of the network.
func nth(network netip.Prefix, n uint32) netip.Addr {
	b := network.Addr().AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += uint32(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// nextPod is a pod's IPv4 and IPv6 address. used says which are taken.
func (a *addresses) nextPod(used func(netip.Addr) bool) (v4, v6 netip.Addr, err error) {
	const size = 1<<16 - 4
	for range size {
		a.pod = a.pod%size + 1
		v4 := nth(podNetwork, a.pod)
		if a.pod > 1 && !used(v4) {
			return v4, nth(podNetwork6, a.pod), nil
		}
	}
	return netip.Addr{}, netip.Addr{}, fmt.Errorf("no pod address is free in %s", podNetwork)
}

// nextService is a service's IPv4 and IPv6 address.
func (a *addresses) nextService(used func(netip.Addr) bool) (v4, v6 netip.Addr, err error) {
	const size = 1<<16 - 2
	for range size {
		a.service = a.service%size + 1
		v4 := nth(serviceNetwork, a.service)
		if v4 != dnsAddress && !used(v4) {
			return v4, nth(serviceNetwork6, a.service%(1<<16)), nil
		}
	}
	return netip.Addr{}, netip.Addr{}, fmt.Errorf("no service address is free in %s", serviceNetwork)
}

// nextBalancer is a loopback address of the machine for a load balancer.
func (a *addresses) nextBalancer() netip.Addr {
	a.nextLoopback++
	n := a.loopback + a.nextLoopback
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
