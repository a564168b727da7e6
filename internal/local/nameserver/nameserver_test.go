package nameserver

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func view() *View {
	pods := map[string][]netip.Addr{}
	var many []netip.Addr
	for i := range 100 {
		many = append(many, netip.AddrFrom4([4]byte{10, 244, 1, byte(i)}))
	}
	pods["db-0"] = addrs("10.244.0.7", "fd00::7")
	return &View{
		Domain:     "cluster.local",
		Namespaces: map[string]bool{"default": true, "shop": true},
		Services: map[string]Service{
			"web.default":   {Addresses: addrs("10.96.0.20"), Ports: map[string]uint16{"_http._tcp": 80}},
			"dual.default":  {Addresses: addrs("10.96.0.21", "fd00:96::21")},
			"db.default":    {Headless: true, Addresses: addrs("10.244.0.7", "fd00::7"), Pods: pods, Ports: map[string]uint16{"_sql._tcp": 5432}},
			"empty.default": {Headless: true},
			"many.default":  {Headless: true, Addresses: many},
			"alias.shop":    {Alias: "web.default.svc.cluster.local"},
			"out.shop":      {Alias: "styles.example.com."},
			"lost.shop":     {Alias: "nowhere.example.com"},
			"loop.shop":     {Alias: "loop.shop.svc.cluster.local"},
		},
		External: map[string][]netip.Addr{"styles.example.com": addrs("203.0.113.10")},
	}
}

func TestAnswers(t *testing.T) {
	s := New("cluster.local")
	s.Set(view())
	for _, c := range []struct {
		name  string
		kind  uint16
		code  int
		wants string // the data of the answers, sorted
	}{
		{"web.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, "10.96.0.20"},
		{"WEB.Default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, "10.96.0.20"},
		{"web.default.svc.cluster.local.", dns.TypeAAAA, dns.RcodeSuccess, ""}, // exists, without such data
		{"web.default.svc.cluster.local.", dns.TypeMX, dns.RcodeSuccess, ""},
		{"dual.default.svc.cluster.local.", dns.TypeAAAA, dns.RcodeSuccess, "fd00:96::21"},
		{"web.shop.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, ""},
		{"web.", dns.TypeA, dns.RcodeNameError, ""},
		{"db.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, "10.244.0.7"},
		{"db-0.db.default.svc.cluster.local.", dns.TypeAAAA, dns.RcodeSuccess, "fd00::7"},
		{"db-1.db.default.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, ""},
		{"empty.default.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, ""},
		{"_sql._tcp.db.default.svc.cluster.local.", dns.TypeSRV, dns.RcodeSuccess, "0 100 5432 db-0.db.default.svc.cluster.local."},
		{"_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV, dns.RcodeSuccess, "0 100 80 web.default.svc.cluster.local."},
		{"_tcp.web.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, ""},
		{"alias.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, "10.96.0.20 web.default.svc.cluster.local."},
		{"alias.shop.svc.cluster.local.", dns.TypeCNAME, dns.RcodeSuccess, "web.default.svc.cluster.local."},
		{"out.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, "203.0.113.10 styles.example.com."},
		{"lost.shop.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, "nowhere.example.com."},
		{"styles.example.com.", dns.TypeA, dns.RcodeSuccess, "203.0.113.10"},
		{"styles.example.com.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{"other.example.com.", dns.TypeA, dns.RcodeNameError, ""},
		{"10-244-0-7.default.pod.cluster.local.", dns.TypeA, dns.RcodeSuccess, "10.244.0.7"},
		{"default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, ""},
		{"gone.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, ""},
		{"svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, ""},
		{"cluster.local.", dns.TypeA, dns.RcodeSuccess, ""},
	} {
		query := new(dns.Msg).SetQuestion(c.name, c.kind)
		reply := s.reply(query)
		var got []string
		for _, rr := range reply.Answer {
			got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		slices.Sort(got)
		if reply.Rcode != c.code || strings.Join(got, " ") != c.wants {
			t.Errorf("%s %s: %s %q, want %s %q", c.name, dns.TypeToString[c.kind], dns.RcodeToString[reply.Rcode], got, dns.RcodeToString[c.code], c.wants)
		}
		if len(got) == 0 && len(reply.Ns) != 1 {
			t.Errorf("%s %s: no SOA with a negative answer", c.name, dns.TypeToString[c.kind])
		}
	}
	if reply := s.reply(new(dns.Msg).SetQuestion("loop.shop.svc.cluster.local.", dns.TypeA)); len(reply.Answer) != maxAliases {
		t.Errorf("a loop gave %d aliases", len(reply.Answer))
	}
}

// TestLargeAnswerFallsBackToTCP uses real sockets: an answer that UDP cannot carry
// is truncated, and whole over TCP.
func TestLargeAnswerFallsBackToTCP(t *testing.T) {
	s := New("cluster.local")
	s.Set(view())
	packet, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", packet.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, []net.PacketConn{packet}, []net.Listener{listener}) }()
	query := new(dns.Msg).SetQuestion("many.default.svc.cluster.local.", dns.TypeA)
	for _, c := range []struct {
		network   string
		truncated bool
	}{{"udp", true}, {"tcp", false}} {
		client := &dns.Client{Net: c.network, Timeout: 3 * time.Second}
		reply, _, err := client.ExchangeContext(t.Context(), query, packet.LocalAddr().String())
		if err != nil {
			t.Fatalf("%s: %v", c.network, err)
		}
		if reply.Truncated != c.truncated || !c.truncated && len(reply.Answer) != 100 {
			t.Errorf("%s: truncated %v, %d answers", c.network, reply.Truncated, len(reply.Answer))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func FuzzReply(f *testing.F) {
	for _, name := range []string{"web.default.svc.cluster.local", "_a._b.c.d.svc.cluster.local", ".", "1-2-3-4.x.pod.cluster.local", "pod.cluster.local"} {
		f.Add(name, dns.TypeA)
	}
	s := New("cluster.local")
	s.Set(view())
	f.Fuzz(func(t *testing.T, name string, kind uint16) {
		query := &dns.Msg{Question: []dns.Question{{Name: name, Qtype: kind, Qclass: dns.ClassINET}}}
		if s.reply(query) == nil {
			t.Error("no reply")
		}
	})
}
