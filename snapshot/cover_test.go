package snapshot

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestCover(t *testing.T) {
	list := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	var many, spread []netip.Addr
	for i := range 2000 {
		many = append(many, netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}))
	}
	for i := range 100 {
		spread = append(spread, netip.AddrFrom4([4]byte{byte(i + 1), 1, 1, 1}))
	}
	for _, c := range []struct {
		name      string
		addresses []netip.Addr
		want      []string
	}{
		{"none", nil, nil},
		{"one is itself", list("203.0.113.5"), []string{"203.0.113.5/32"}},
		{"neighbours", list("10.96.0.1", "10.96.0.14"), []string{"10.96.0.0/28"}},
		{"two blocks stay two", list("10.96.0.1", "203.0.113.5"), []string{"10.96.0.1/32", "203.0.113.5/32"}},
		{"one block", many, []string{"10.96.0.0/20"}},
		{"never wider than a block", list("10.96.0.1", "10.96.255.1"), []string{"10.96.0.0/16"}},
		{"both families", list("fd00::1", "10.96.0.1", "fd00::ff"), []string{"10.96.0.1/32", "fd00::/120"}},
	} {
		var got []string
		for _, p := range cover(c.addresses, mostRanges) {
			got = append(got, p.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	got := cover(append(spread, many...), mostRanges)
	if len(got) != mostRanges || !slices.ContainsFunc(got, func(p netip.Prefix) bool { return p.Contains(many[0]) }) {
		t.Errorf("%d prefixes for 101 blocks, want %d with the fullest block among them: %s", len(got), mostRanges, fmt.Sprint(got))
	}
}
