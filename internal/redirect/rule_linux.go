package redirect

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// statement is one word of a rule: how nft writes it and what the kernel gets.
type statement struct {
	text  string
	exprs []expr.Any
}

// rule is some conditions and, last, what happens when all hold.
type rule []statement

func when(conditions ...statement) rule { return conditions }

func (r rule) text() string {
	texts := make([]string, len(r))
	for i, s := range r {
		texts[i] = s.text
	}
	return strings.Join(texts, " ")
}

func (r rule) exprs() []expr.Any {
	var all []expr.Any
	for _, s := range r {
		all = append(all, s.exprs...)
	}
	return all
}

// leave lets the packet go its way, whatever follows.
func (r rule) leave() rule { return r.verdict("accept", expr.VerdictAccept, "") }

// jump goes on in another chain and comes back if that decides nothing.
func (r rule) jump(chain string) rule { return r.verdict("jump "+chain, expr.VerdictJump, chain) }

func (r rule) verdict(text string, kind expr.VerdictKind, chain string) rule {
	return append(r, statement{text, []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}})
}

// redirect turns the connection to a port of this machine. The hooks let pass
// nothing but TCP; nft wants the rule to say it again.
func (r rule) redirect(port uint16) rule {
	return append(r, statement{"meta l4proto tcp", isTCP()}, statement{fmt.Sprintf("redirect to :%d", port), []expr.Any{
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.Redir{RegisterProtoMin: 1},
	}})
}

// meta compares a property of the packet that is not in the packet.
func meta(key expr.MetaKey, op expr.CmpOp, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: value},
	}
}

func notTCP() statement {
	return statement{"meta l4proto != tcp", meta(expr.MetaKeyL4PROTO, expr.CmpOpNeq, []byte{unix.IPPROTO_TCP})}
}

func ofUser(id uint32) statement {
	return statement{fmt.Sprintf("meta skuid %d", id), meta(expr.MetaKeySKUID, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(id))}
}

func ofGroup(id uint32) statement {
	return statement{fmt.Sprintf("meta skgid %d", id), meta(expr.MetaKeySKGID, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(id))}
}

func in(name string) statement {
	return statement{fmt.Sprintf("iifname %q", name), meta(expr.MetaKeyIIFNAME, expr.CmpOpEq, device(name))}
}

func out(name string) statement {
	return statement{fmt.Sprintf("oifname %q", name), meta(expr.MetaKeyOIFNAME, expr.CmpOpEq, device(name))}
}

func outOther(name string) statement {
	return statement{fmt.Sprintf("oifname != %q", name), meta(expr.MetaKeyOIFNAME, expr.CmpOpNeq, device(name))}
}

// device is a name as the kernel compares it: IFNAMSIZ bytes, padded with zeros.
func device(name string) []byte {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return padded
}

func isTCP() []expr.Any {
	return meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{unix.IPPROTO_TCP})
}

// toPort looks at the TCP header.
func toPort(port uint16) statement {
	return statement{fmt.Sprintf("tcp dport %d", port), append(isTCP(),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	)}
}

func fromPrefix(p netip.Prefix) statement { return address("saddr", p, 12, 8) }

func toPrefix(p netip.Prefix) statement { return address("daddr", p, 16, 24) }

// address compares a field of the IP header, which lies at offset4 or offset6
// depending on the prefix's family.
func address(field string, p netip.Prefix, offset4, offset6 uint32) statement {
	text, family, offset := "ip6 "+field+" "+p.String(), byte(unix.NFPROTO_IPV6), offset6
	if p.Addr().Is4() {
		text, family, offset = "ip "+field+" "+p.String(), byte(unix.NFPROTO_IPV4), offset4
	}
	size := uint32(p.Addr().BitLen() / 8)
	exprs := append(meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size})
	if p.Bits() < p.Addr().BitLen() {
		exprs = append(exprs, &expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask(p), Xor: make([]byte, size),
		})
	}
	return statement{text, append(exprs, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()})}
}

func mask(p netip.Prefix) []byte {
	bytes := make([]byte, p.Addr().BitLen()/8)
	for bit := range p.Bits() {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return bytes
}
