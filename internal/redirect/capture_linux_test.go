package redirect

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// pair is a pod and somebody outside it, two network namespaces joined by a
// pair of devices, with IPv4 and IPv6. A third address, the "service", is
// routed to the outside.
type pair struct {
	pod, outside netns.NsHandle
}

const (
	podIP4, podIP6         = "10.99.0.2", "fd99::2"
	outsideIP4, outsideIP6 = "10.99.0.1", "fd99::1"
	serviceIP4, serviceIP6 = "10.98.0.10", "fd98::10"
)

// inside runs f on a thread of its own in a namespace, which is thrown away
// after. Sockets that f opens belong to the namespace.
func inside(t *testing.T, ns netns.NsHandle, f func() error) {
	t.Helper()
	if err := threadIn(ns, f); err != nil {
		t.Fatal(err)
	}
}

func threadIn(ns netns.NsHandle, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func newPair(t *testing.T) pair {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	var p pair
	for _, ns := range []*netns.NsHandle{&p.pod, &p.outside} {
		ready := make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			var err error
			*ns, err = netns.New() // nameless: the kernel removes it with its last handle
			ready <- err
		}()
		if err := <-ready; err != nil {
			t.Skipf("cannot make network namespaces here: %v", err)
		}
		t.Cleanup(func() { ns.Close() })
	}
	inside(t, p.outside, func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "out0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(p.pod))}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return address2("out0", outsideIP4+"/24", outsideIP6+"/64", serviceIP4+"/32", serviceIP6+"/128")
	})
	inside(t, p.pod, func() error {
		if err := address2("eth0", podIP4+"/24", podIP6+"/64"); err != nil {
			return err
		}
		for _, gw := range []string{outsideIP4, outsideIP6} {
			if err := netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(gw)}); err != nil {
				return fmt.Errorf("route by %s: %w", gw, err)
			}
		}
		return nil
	})
	return p
}

// address2 raises lo and a device and gives the device its addresses.
func address2(name string, addresses ...string) error {
	for _, device := range []string{"lo", name} {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		if device == "lo" {
			continue
		}
		for _, a := range addresses {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			if addr.IP.To4() == nil {
				addr.Flags = unix.IFA_F_NODAD
			}
			if err := netlink.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("%s: %w", a, err)
			}
		}
	}
	return nil
}

// serve answers each connection with one line: who it is, and to whom the
// client believes it speaks.
func (p pair) serve(t *testing.T, ns netns.NsHandle, name string, port int) {
	t.Helper()
	inside(t, ns, func() error {
		l, err := net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s %s\n", name, originalDestination(c.(*net.TCPConn)))
				c.Close()
			}
		}()
		return nil
	})
}

// originalDestination asks the kernel as Envoy's original_dst filter does.
func originalDestination(c *net.TCPConn) string {
	local := c.LocalAddr().(*net.TCPAddr).AddrPort()
	level, option := unix.SOL_IP, 80 // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
	if !local.Addr().Unmap().Is4() {
		level = unix.SOL_IPV6
	}
	var raw [28]byte
	size := uint32(len(raw))
	conn, err := c.SyscallConn()
	if err != nil {
		return err.Error()
	}
	var errno unix.Errno
	if err := conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, uintptr(level), uintptr(option),
			uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)), 0)
	}); err != nil {
		return err.Error()
	}
	if errno != 0 { // not redirected
		return netip.AddrPortFrom(local.Addr().Unmap(), local.Port()).String()
	}
	port := binary.BigEndian.Uint16(raw[2:])
	addr, _ := netip.AddrFromSlice(raw[4:8])
	if level == unix.SOL_IPV6 {
		addr, _ = netip.AddrFromSlice(raw[8:24])
	}
	return netip.AddrPortFrom(addr, port).String()
}

// call is one connection and what it is answered.
type call struct {
	name     string
	from     netns.NsHandle
	uid, gid int
	source   string
	to       string
	want     string
}

// do connects as the given user. The kernel remembers the file system ids that
// the thread has when it opens the socket.
func (c call) do() (string, error) {
	var answer string
	err := threadIn(c.from, func() error {
		if c.gid != 0 {
			if _, err := unix.SetfsgidRetGid(c.gid); err != nil {
				return err
			}
		}
		if c.uid != 0 {
			if _, err := unix.SetfsuidRetUid(c.uid); err != nil {
				return err
			}
		}
		d := net.Dialer{Timeout: 3 * time.Second}
		if c.source != "" {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.source), 0))
		}
		conn, err := d.Dial("tcp", c.to)
		if err != nil {
			return err
		}
		defer conn.Close()
		answer, err = bufio.NewReader(conn).ReadString('\n')
		return err
	})
	return answer, err
}

func (p pair) check(t *testing.T, calls []call) {
	t.Helper()
	for _, c := range calls {
		got, err := c.do()
		if errors.Is(err, unix.ECONNREFUSED) {
			got = "refused\n"
		} else if err != nil {
			got = err.Error() + "\n"
		}
		if got != c.want+"\n" {
			t.Errorf("%s (%s): answered %q, want %q", c.name, c.to, got, c.want)
		}
	}
}

// mesh is a pair in which the proxy's two ports, an application and a service
// outside answer.
func mesh(t *testing.T) pair {
	p := newPair(t)
	p.serve(t, p.pod, "outbound", DefaultOutboundPort)
	p.serve(t, p.pod, "inbound", DefaultInboundPort)
	for _, port := range []int{8080, 9090, 15090, 15021, 15020} {
		p.serve(t, p.pod, "app", port)
	}
	p.serve(t, p.outside, "service", 80)
	p.serve(t, p.outside, "service", 3306)
	return p
}

func (p pair) apply(t *testing.T, c Config) {
	t.Helper()
	inside(t, p.pod, func() error { return Apply(c) })
}

func at(ip string, port int) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

func TestCaptureByDefault(t *testing.T) {
	p := mesh(t)
	p.apply(t, Default())
	for _, family := range []struct{ name, pod, outside, service, loopback, passthrough string }{
		{"IPv4", podIP4, outsideIP4, serviceIP4, "127.0.0.1", "127.0.0.6"},
		{"IPv6", podIP6, outsideIP6, serviceIP6, "::1", "::6"},
	} {
		t.Run(family.name, func(t *testing.T) {
			service, app := at(family.service, 80), at(family.pod, 8080)
			p.check(t, []call{
				{name: "application to a service", from: p.pod, to: service, want: "outbound " + service},
				{name: "application to a stranger", from: p.pod, to: at(family.outside, 80), want: "outbound " + at(family.outside, 80)},
				{name: "proxy to a service", from: p.pod, uid: 1337, to: service, want: "service " + service},
				{name: "proxy's group to a service", from: p.pod, gid: 1337, to: service, want: "service " + service},
				{name: "from outside to the application", from: p.outside, to: app, want: "inbound " + app},
				{name: "from outside to a port where nobody listens", from: p.outside, to: at(family.pod, 7), want: "inbound " + at(family.pod, 7)},
				{name: "Prometheus", from: p.outside, to: at(family.pod, 15090), want: "app " + at(family.pod, 15090)},
				{name: "readiness", from: p.outside, to: at(family.pod, 15021), want: "app " + at(family.pod, 15021)},
				{name: "probes", from: p.outside, to: at(family.pod, 15020), want: "app " + at(family.pod, 15020)},
				{name: "application to itself by loopback", from: p.pod, to: at(family.loopback, 8080), want: "app " + at(family.loopback, 8080)},
				{name: "application to itself by its address", from: p.pod, to: app, want: "app " + app},
				{name: "proxy to the pod: hairpin", from: p.pod, uid: 1337, to: app, want: "inbound " + app},
				{name: "proxy's group to the pod: hairpin", from: p.pod, gid: 1337, to: app, want: "inbound " + app},
				{name: "proxy to the pod's own excluded port", from: p.pod, uid: 1337, to: at(family.pod, 15021), want: "app " + at(family.pod, 15021)},
				{name: "proxy to the application by loopback", from: p.pod, uid: 1337, to: at(family.loopback, 8080), want: "app " + at(family.loopback, 8080)},
				{name: "proxy to the application by its address, inbound", from: p.pod, uid: 1337, source: family.passthrough, to: app, want: "app " + app},
			})
		})
	}
}

func TestIncludeAndExclude(t *testing.T) {
	p := mesh(t)
	for _, tc := range []struct {
		name  string
		args  []string
		calls func(pod, service string) []call
	}{
		{"no inbound ports", []string{"-b", ""}, func(pod, service string) []call {
			return []call{
				{from: p.outside, to: at(pod, 8080), want: "app " + at(pod, 8080)},
				{name: "hairpin", from: p.pod, uid: 1337, to: at(pod, 8080), want: "app " + at(pod, 8080)},
				{from: p.pod, to: at(service, 80), want: "outbound " + at(service, 80)},
			}
		}},
		{"one inbound port", []string{"-b", "8080"}, func(pod, _ string) []call {
			return []call{
				{from: p.outside, to: at(pod, 8080), want: "inbound " + at(pod, 8080)},
				{from: p.outside, to: at(pod, 9090), want: "app " + at(pod, 9090)},
			}
		}},
		{"one inbound port left alone", []string{"-d", "15090,9090"}, func(pod, _ string) []call {
			return []call{
				{from: p.outside, to: at(pod, 8080), want: "inbound " + at(pod, 8080)},
				{from: p.outside, to: at(pod, 9090), want: "app " + at(pod, 9090)},
			}
		}},
		{"one outbound port left alone", []string{"-o", "3306"}, func(_, service string) []call {
			return []call{
				{from: p.pod, to: at(service, 80), want: "outbound " + at(service, 80)},
				{from: p.pod, to: at(service, 3306), want: "service " + at(service, 3306)},
			}
		}},
		{"no outbound ranges", []string{"-i", ""}, func(_, service string) []call {
			return []call{{from: p.pod, to: at(service, 80), want: "service " + at(service, 80)}}
		}},
		{"one outbound port only", []string{"-i", "", "-q", "3306"}, func(_, service string) []call {
			return []call{
				{from: p.pod, to: at(service, 80), want: "service " + at(service, 80)},
				{from: p.pod, to: at(service, 3306), want: "outbound " + at(service, 3306)},
			}
		}},
		{"outbound ranges only", []string{"-i", "10.98.0.8/29,fd98::/33"}, func(_, service string) []call {
			other := map[string]string{serviceIP4: outsideIP4, serviceIP6: outsideIP6}[service]
			return []call{
				{from: p.pod, to: at(service, 80), want: "outbound " + at(service, 80)},
				{from: p.pod, to: at(other, 80), want: "service " + at(other, 80)},
			}
		}},
		{"outbound ranges left alone", []string{"-x", "10.98.0.8/29,fd98::10"}, func(_, service string) []call {
			other := map[string]string{serviceIP4: outsideIP4, serviceIP6: outsideIP6}[service]
			return []call{
				{from: p.pod, to: at(service, 80), want: "service " + at(service, 80)},
				{from: p.pod, to: at(other, 80), want: "outbound " + at(other, 80)},
			}
		}},
		{"an interface left alone", []string{"-c", "eth0"}, func(pod, service string) []call {
			return []call{
				{from: p.pod, to: at(service, 80), want: "service " + at(service, 80)},
				{from: p.outside, to: at(pod, 8080), want: "app " + at(pod, 8080)},
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := parse(t, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			p.apply(t, c)
			p.check(t, tc.calls(podIP4, serviceIP4))
			p.check(t, tc.calls(podIP6, serviceIP6))
		})
	}
}

// TestUDPIsUntouched asks a "DNS server" outside.
func TestUDPIsUntouched(t *testing.T) {
	p := mesh(t)
	p.apply(t, Default())
	inside(t, p.outside, func() error {
		l, err := net.ListenPacket("udp", ":53")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			buf := make([]byte, 16)
			for {
				n, from, err := l.ReadFrom(buf)
				if err != nil {
					return
				}
				l.WriteTo(buf[:n], from)
			}
		}()
		return nil
	})
	for _, ip := range []string{outsideIP4, outsideIP6} {
		inside(t, p.pod, func() error {
			c, err := net.Dial("udp", at(ip, 53))
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(3 * time.Second))
			fmt.Fprint(c, "who")
			buf := make([]byte, 16)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "who" {
				return fmt.Errorf("%s answered %q: %w", ip, buf[:n], err)
			}
			return nil
		})
	}
}

// kernelRules counts what the kernel holds, and whether lo has ::6.
func kernelState(t *testing.T, p pair) (tables, rules int, passthrough bool) {
	t.Helper()
	inside(t, p.pod, func() error {
		conn := &nftables.Conn{}
		list, err := conn.ListTables()
		if err != nil {
			return err
		}
		tables = len(list)
		chains, err := conn.ListChains()
		if err != nil {
			return err
		}
		for _, c := range chains {
			r, err := conn.GetRules(c.Table, c)
			if err != nil {
				return err
			}
			rules += len(r)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(lo, netlink.FAMILY_V6)
		for _, a := range addrs {
			passthrough = passthrough || a.IP.Equal(net.ParseIP("::6"))
		}
		return err
	})
	return tables, rules, passthrough
}

func TestApplyReplacesAndRemoveLeavesNothing(t *testing.T) {
	p := mesh(t)
	inside(t, p.pod, Remove) // nothing there yet
	p.apply(t, Default())
	_, want, _ := kernelState(t, p)
	total := 0
	for _, chain := range Default().ruleset() {
		total += len(chain.rules)
	}
	if want != total {
		t.Errorf("the kernel holds %d rules of %d", want, total)
	}
	p.apply(t, Default())
	if tables, rules, passthrough := kernelState(t, p); tables != 1 || rules != want || !passthrough {
		t.Errorf("twice applied: %d tables, %d rules (want %d), ::6 %v", tables, rules, want, passthrough)
	}
	inside(t, p.pod, func() error {
		conn := &nftables.Conn{}
		conn.AddTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyINet})
		return conn.Flush()
	})
	for range 2 {
		inside(t, p.pod, Remove)
		if tables, rules, passthrough := kernelState(t, p); tables != 1 || rules != 0 || passthrough {
			t.Errorf("removed: %d tables (want the stranger's), %d rules, ::6 %v", tables, rules, passthrough)
		}
	}
	p.check(t, []call{
		{name: "after undo", from: p.pod, to: at(serviceIP4, 80), want: "service " + at(serviceIP4, 80)},
		{name: "after undo", from: p.outside, to: at(podIP6, 8080), want: "app " + at(podIP6, 8080)},
	})
}

func TestApplyWithoutIPv6(t *testing.T) {
	p := mesh(t)
	inside(t, p.pod, func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	})
	p.apply(t, Default())
	p.check(t, []call{{name: "IPv4", from: p.pod, to: at(serviceIP4, 80), want: "outbound " + at(serviceIP4, 80)}})
}

// TestApplyWithoutPrivilege drops NET_ADMIN on one thread.
func TestApplyWithoutPrivilege(t *testing.T) {
	p := newPair(t)
	err := threadIn(p.pod, func() error {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			return err
		}
		return Apply(Default())
	})
	if !errors.Is(err, unix.EPERM) {
		t.Fatalf("got %v, want EPERM and the remedy", err)
	}
	t.Log(err)
}
