//go:build linux

package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Service is a virtual address that stands for backends.
type Service struct {
	// Address and Port are what clients connect to.
	Address netip.AddrPort
	// UDP chooses the protocol; false is TCP.
	UDP bool
	// Backends share the connections evenly, at random. Without any, the address
	// is unreachable, which clients learn at once.
	Backends []netip.AddrPort
}

const serviceTable = "services"

// SetServices replaces the router's whole table of services in one step.
// Connections that exist stay with their backend.
func (r *Router) SetServices(services []Service) error {
	return r.Namespace.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("opening nftables: %w", err)
		}
		table := &nftables.Table{Family: nftables.TableFamilyINet, Name: serviceTable}
		conn.AddTable(table) // so that deleting it never fails
		conn.DelTable(table)
		conn.AddTable(table)
		pre := conn.AddChain(&nftables.Chain{Table: table, Name: "prerouting", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
		post := conn.AddChain(&nftables.Chain{Table: table, Name: "postrouting", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
		hairpins := map[netip.Addr]bool{}
		for _, s := range services {
			for i, b := range s.Backends {
				conn.AddRule(&nftables.Rule{Table: table, Chain: pre, Exprs: s.translate(b, len(s.Backends)-i)})
				if a := b.Addr(); !hairpins[a] {
					hairpins[a] = true
					conn.AddRule(&nftables.Rule{Table: table, Chain: post, Exprs: hairpin(a)})
				}
			}
		}
		if err := conn.Flush(); err != nil {
			return fmt.Errorf("writing the table of services: %w", err)
		}
		return nil
	})
}

// translate sends one of every n connections that reach it to the backend.
func (s Service) translate(backend netip.AddrPort, n int) []expr.Any {
	protocol := byte(unix.IPPROTO_TCP)
	if s.UDP {
		protocol = unix.IPPROTO_UDP
	}
	rule := append(ofFamily(s.Address.Addr()),
		payload(expr.PayloadBaseNetworkHeader, destination(s.Address.Addr()), s.Address.Addr().BitLen()/8), equal(s.Address.Addr().AsSlice()),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{protocol}),
		payload(expr.PayloadBaseTransportHeader, 2, 2), equal(binary.BigEndian.AppendUint16(nil, s.Address.Port())))
	if n > 1 {
		rule = append(rule, &expr.Numgen{Register: 1, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM}, equal(binaryutil.NativeEndian.PutUint32(0)))
	}
	return append(rule,
		&expr.Immediate{Register: 1, Data: backend.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, backend.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(family(backend.Addr())), RegAddrMin: 1, RegProtoMin: 2})
}

// hairpin lets a pod reach itself through a service: it would drop packets that
// come from outside with its own address.
func hairpin(a netip.Addr) []expr.Any {
	size := a.BitLen() / 8
	return append(ofFamily(a),
		payload(expr.PayloadBaseNetworkHeader, destination(a)-uint32(size), size), equal(a.AsSlice()),
		payload(expr.PayloadBaseNetworkHeader, destination(a), size), equal(a.AsSlice()),
		&expr.Masq{})
}

func ofFamily(a netip.Addr) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal([]byte{family(a)})}
}

func family(a netip.Addr) byte {
	if a.Is6() {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// destination is where the destination address stands in the header.
func destination(a netip.Addr) uint32 {
	if a.Is6() {
		return 24
	}
	return 16
}

func payload(base expr.PayloadBase, offset uint32, size int) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(size)}
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
