//go:build linux

package local

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/network"
	corev1 "k8s.io/api/core/v1"
)

// entrance is a place on the machine from which a Service's port can be reached.
type entrance struct {
	service   string // NAMESPACE/NAME
	port      int32  // of the Service
	wanted    netip.AddrPort
	anyPort   bool // another port will do where that one is taken
	backends  []netip.AddrPort
	balancing bool // the load balancer's address, not the node port
}

// nodeAddress is where node ports are on the machine.
var nodeAddress = netip.MustParseAddr("127.0.0.1")

// entrancesOf are the node ports, and the load balancer's ports, of a Service.
func entrancesOf(s *corev1.Service, backends []backend) (out []entrance) {
	if !external(s) {
		return nil
	}
	for _, p := range s.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP {
			continue
		}
		e := entrance{service: s.Namespace + "/" + s.Name, port: p.Port, backends: targets(p.Name, false, backends)}
		e.wanted, e.anyPort = netip.AddrPortFrom(nodeAddress, uint16(p.NodePort)), true
		out = append(out, e)
		for _, ingress := range s.Status.LoadBalancer.Ingress {
			if a, err := netip.ParseAddr(ingress.IP); err == nil {
				e.wanted, e.anyPort, e.balancing = netip.AddrPortFrom(a, uint16(p.Port)), false, true
				out = append(out, e)
			}
		}
	}
	return out
}

// relays carry connections from the machine into the mesh, in user space, so that
// the machine's network stays as it is.
type relays struct {
	life context.Context
	ns   *network.Namespace
	warn func(message string, args ...any)

	mu     *sync.Mutex
	wanted map[relayKey]entrance
	open   map[relayKey]*relay
	extras []*relay // of DebugURL
	closed bool
}

type relayKey struct {
	service   string
	port      int32
	balancing bool
	wanted    netip.AddrPort
}

func (e entrance) key() relayKey { return relayKey{e.service, e.port, e.balancing, e.wanted} }

// relay is one listener. A nil listener could not be opened, which is told once.
type relay struct {
	listener net.Listener
	tasks    sync.WaitGroup

	mu       sync.Mutex
	backends []netip.AddrPort
	conns    map[net.Conn]struct{}
}

func newRelays(m *Mesh) relays {
	return relays{life: m.ctx, ns: m.router.Namespace, warn: m.config.Log.Warn, mu: new(sync.Mutex), wanted: map[relayKey]entrance{}, open: map[relayKey]*relay{}}
}

// allocate gives the Service node ports where it names none.
func (r *relays) allocate(s *corev1.Service) {
	for i := range s.Spec.Ports {
		if p := &s.Spec.Ports[i]; p.NodePort == 0 {
			p.NodePort = 30000 + rand.Int32N(2768) // taken ones are replaced when listening
		}
	}
}

// set says which entrances shall be open; listen opens them.
func (r *relays) set(entrances []entrance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = map[relayKey]entrance{}
	for _, e := range entrances {
		r.wanted[e.key()] = e
		if open := r.open[e.key()]; open != nil {
			open.mu.Lock()
			open.backends = e.backends
			open.mu.Unlock()
		}
	}
}

// listen opens and closes listeners until they are as set says.
func (r *relays) listen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for key, open := range r.open {
		if _, wanted := r.wanted[key]; !wanted {
			delete(r.open, key)
			open.close()
		}
	}
	for key, e := range r.wanted {
		if r.open[key] == nil {
			r.open[key] = r.newRelay(r.life, e)
		}
	}
}

func (r *relays) newRelay(ctx context.Context, e entrance) *relay {
	relay := &relay{backends: e.backends, conns: map[net.Conn]struct{}{}}
	listener, err := net.Listen("tcp", e.wanted.String())
	if err != nil && e.anyPort { // another mesh, or another program, has it
		listener, err = net.Listen("tcp", netip.AddrPortFrom(e.wanted.Addr(), 0).String())
	}
	if err != nil {
		r.warn("a port of a Service is not offered on this machine", "service", e.service, "address", e.wanted.String(), "err", err)
		return relay
	}
	relay.listener = listener
	relay.tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			relay.tasks.Go(func() { relay.carry(ctx, r.ns, conn) })
		}
	})
	return relay
}

// carry connects to a backend chosen at random and copies both ways.
func (r *relay) carry(ctx context.Context, ns *network.Namespace, in net.Conn) {
	defer in.Close()
	r.mu.Lock()
	backends := r.backends
	r.mu.Unlock()
	if len(backends) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	out, err := ns.Dial(ctx, "tcp", backends[rand.IntN(len(backends))].String())
	cancel()
	if err != nil {
		return // the client sees its connection closed
	}
	defer out.Close()
	if !r.remember(in, out) {
		return
	}
	defer r.forget(in, out)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0])
			if half, ok := way[1].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
}

func (r *relay) remember(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	for _, c := range conns {
		r.conns[c] = struct{}{}
	}
	return true
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

func (r *relay) close() {
	if r.listener != nil {
		r.listener.Close()
	}
	r.mu.Lock()
	for c := range r.conns {
		c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.tasks.Wait()
}

// close closes all.
func (r *relays) close() {
	if r.mu == nil {
		return // never started
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, open := range r.open {
		open.close()
	}
	for _, open := range r.extras {
		open.close()
	}
}

// address is where an entrance is in fact.
func (r *relays) address(service string, port int32, balancing bool) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, open := range r.open {
		if key.service == service && key.port == port && key.balancing == balancing && open.listener != nil {
			return open.listener.Addr().String(), true
		}
	}
	return "", false
}

// NodePortURL is where the machine reaches a port of a NodePort or LoadBalancer
// Service by its node port. The context bounds the wait for it to open.
func (m *Mesh) NodePortURL(ctx context.Context, namespace, service string, port int) (string, error) {
	return m.entranceURL(ctx, namespace, service, port, false)
}

// LoadBalancerURL is the same by the load balancer's own address.
func (m *Mesh) LoadBalancerURL(ctx context.Context, namespace, service string, port int) (string, error) {
	return m.entranceURL(ctx, namespace, service, port, true)
}

func (m *Mesh) entranceURL(ctx context.Context, namespace, service string, port int, balancing bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	address := ""
	err := m.waitFor(ctx, func() string {
		var open bool
		if address, open = m.relays.address(namespace+"/"+service, int32(port), balancing); !open {
			return fmt.Sprintf("Service %s/%s does not offer port %d on this machine", namespace, service, port)
		}
		return ""
	})
	if err != nil {
		return "", err
	}
	return "http://" + address, nil
}

// extra opens a relay to one address on a free port, once, and returns its URL.
func (r *relays) extra(ctx context.Context, to netip.AddrPort) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, open := range r.extras {
		if open.backends[0] == to {
			return "http://" + open.listener.Addr().String(), nil
		}
	}
	if r.closed {
		return "", net.ErrClosed
	}
	open := r.newRelay(r.life, entrance{wanted: netip.AddrPortFrom(nodeAddress, 0), backends: []netip.AddrPort{to}})
	if open.listener == nil {
		return "", fmt.Errorf("no port is free on %s", nodeAddress)
	}
	r.extras = append(r.extras, open)
	return "http://" + open.listener.Addr().String(), ctx.Err()
}
