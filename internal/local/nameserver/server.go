package nameserver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// ttl of all answers, in seconds, as CoreDNS gives.
const ttl = 5

// maxAliases bounds a chain of aliases.
const maxAliases = 8

// Server answers from its current View.
type Server struct {
	view atomic.Pointer[View]
}

// New returns a server that knows nothing but the domain.
func New(domain string) *Server {
	s := &Server{}
	s.Set(&View{Domain: domain})
	return s
}

// Set replaces what the server knows.
func (s *Server) Set(v *View) { s.view.Store(v) }

// Run answers on the sockets, which it closes, until the context ends.
func (s *Server) Run(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	var servers []*dns.Server
	for _, p := range packets {
		servers = append(servers, &dns.Server{PacketConn: p, Handler: s})
	}
	for _, l := range listeners {
		servers = append(servers, &dns.Server{Listener: l, Handler: s})
	}
	for _, server := range servers {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		failed := make(chan struct{})
		group.Go(func() error {
			defer close(failed)
			if err := server.ActivateAndServe(); err != nil && ctx.Err() == nil {
				return fmt.Errorf("answering DNS: %w", err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			select { // a server that has not started cannot be shut down
			case <-ready:
			case <-failed:
				return nil
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = server.ShutdownContext(last) // a query under way does not matter any more
			return nil
		})
	}
	return group.Wait()
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := s.reply(query)
	size := dns.MinMsgSize
	if o := query.IsEdns0(); o != nil {
		size = max(size, int(o.UDPSize()))
		reply.SetEdns0(o.UDPSize(), false)
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		reply.Truncate(size)
	}
	_ = w.WriteMsg(reply) // the client went away
}

func (s *Server) reply(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.RecursionAvailable = true
	if query.Opcode != dns.OpcodeQuery || len(query.Question) != 1 {
		reply.Rcode = dns.RcodeNotImplemented
		return reply
	}
	view, question := s.view.Load(), query.Question[0]
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	owner := question.Name
	for range maxAliases {
		found, inside := view.find(name)
		reply.Authoritative = reply.Authoritative || inside
		if !found.exists {
			// Also for an alias: the name exists, what it stands for does not.
			reply.Rcode = dns.RcodeNameError
			break
		}
		if found.alias == "" || question.Qtype == dns.TypeCNAME {
			reply.Answer = append(reply.Answer, records(owner, question.Qtype, found)...)
			break
		}
		target := dns.Fqdn(found.alias)
		reply.Answer = append(reply.Answer, &dns.CNAME{Hdr: header(owner, dns.TypeCNAME), Target: target})
		name, owner = strings.ToLower(strings.TrimSuffix(target, ".")), target
	}
	if len(reply.Answer) == 0 || reply.Rcode != dns.RcodeSuccess {
		reply.Ns = []dns.RR{authority(view.Domain)} // says how long the absence may be remembered
	}
	return reply
}

// records are those of one name and type.
func records(owner string, kind uint16, a answer) (out []dns.RR) {
	addresses := slices.Clone(a.addresses)
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	switch kind {
	case dns.TypeA, dns.TypeAAAA:
		for _, ip := range addresses {
			if rr := address(owner, ip); rr.Header().Rrtype == kind {
				out = append(out, rr)
			}
		}
	case dns.TypeCNAME:
		if a.alias != "" {
			out = append(out, &dns.CNAME{Hdr: header(owner, dns.TypeCNAME), Target: dns.Fqdn(a.alias)})
		}
	case dns.TypeSRV:
		for _, target := range a.targets {
			out = append(out, &dns.SRV{Hdr: header(owner, dns.TypeSRV), Weight: uint16(100 / len(a.targets)), Port: a.port, Target: dns.Fqdn(target)})
		}
	}
	return out
}

func address(owner string, ip netip.Addr) dns.RR {
	if ip.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA), A: ip.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA), AAAA: ip.AsSlice()}
}

func header(owner string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func authority(domain string) dns.RR {
	return &dns.SOA{
		Hdr: header(dns.Fqdn(domain), dns.TypeSOA), Ns: dns.Fqdn("ns.dns." + domain), Mbox: dns.Fqdn("hostmaster." + domain),
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}
