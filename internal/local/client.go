//go:build linux

package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/network"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// PodSummary is one line of kubectl get pods.
type PodSummary struct {
	Namespace, Name string
	Ready, Of       int // containers
	Phase           string
	IP, Node        string
	Labels          map[string]string
	Terminating     bool
	Restarts        int
	Pod             *corev1.Pod // a copy
}

// Pods lists the pods of a namespace that a label selector ("app=sleep",
// everything if empty) selects, by name.
func (m *Mesh) Pods(namespace, selector string) ([]PodSummary, error) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("selector %q: %w", selector, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []PodSummary
	for _, name := range slices.Sorted(maps.Keys(m.pods)) {
		e := m.pods[name]
		if e.pod.Namespace != namespace || !parsed.Matches(labels.Set(e.pod.Labels)) {
			continue
		}
		s := PodSummary{
			Namespace: namespace, Name: e.pod.Name, Phase: string(e.pod.Status.Phase), IP: e.pod.Status.PodIP,
			Node: e.pod.Spec.NodeName, Labels: maps.Clone(e.pod.Labels), Terminating: e.deleting(), Pod: e.pod.DeepCopy(), Of: len(e.pod.Spec.Containers),
		}
		for _, c := range e.pod.Spec.InitContainers {
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
				s.Of++
			}
		}
		for _, c := range slices.Concat(e.pod.Status.ContainerStatuses, e.pod.Status.InitContainerStatuses) {
			if c.Ready && c.State.Running != nil {
				s.Ready++
			}
			s.Restarts += int(c.RestartCount)
		}
		out = append(out, s)
	}
	return out, nil
}

// Pod is the name, NAMESPACE/NAME, of the first pod that the selector selects and
// that is not ending.
func (m *Mesh) Pod(namespace, selector string) (string, error) {
	pods, err := m.Pods(namespace, selector)
	if err != nil {
		return "", err
	}
	for _, p := range pods {
		if !p.Terminating {
			return p.Namespace + "/" + p.Name, nil
		}
	}
	return "", fmt.Errorf("no pod in namespace %s has the labels %s", namespace, selector)
}

// WaitReady waits until every workload of the namespaces has all its pods, of its
// current template, ready, and none besides. The error says what is missing.
func (m *Mesh) WaitReady(ctx context.Context, namespaces ...string) error {
	return m.waitFor(ctx, func() string {
		for _, n := range namespaces {
			if missing := m.missing(n); missing != "" {
				return missing
			}
		}
		if m.settled != m.kicks {
			return "services do not know of the last change yet"
		}
		return ""
	})
}

// WaitGone waits until no pod that the selector selects is left.
func (m *Mesh) WaitGone(ctx context.Context, namespace, selector string) error {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return fmt.Errorf("selector %q: %w", selector, err)
	}
	return m.waitFor(ctx, func() string {
		for name, e := range m.pods {
			if e.pod.Namespace == namespace && parsed.Matches(labels.Set(e.pod.Labels)) {
				return "pod " + name + " is still there"
			}
		}
		return ""
	})
}

func (m *Mesh) entry(name string) (*podEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.pods[name]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("Pod %s does not exist", name)
}

// Exec runs a command inside a pod (NAMESPACE/NAME), as kubectl exec does in its
// default container, and returns what it wrote. A command that fails is an error.
func (m *Mesh) Exec(ctx context.Context, pod string, command ...string) (string, error) {
	return m.ExecIn(ctx, pod, "", command...)
}

// ExecIn is Exec in a container by name.
func (m *Mesh) ExecIn(ctx context.Context, pod, container string, command ...string) (string, error) {
	e, err := m.entry(pod)
	if err != nil {
		return "", err
	}
	var out, trouble bytes.Buffer
	code, err := e.runner.Exec(ctx, container, command, nil, &out, &trouble)
	if err == nil && code != 0 {
		err = fmt.Errorf("it ended with code %d: %s", code, strings.TrimSpace(trouble.String()))
	}
	if err != nil {
		return out.String(), fmt.Errorf("running %s in pod %s: %w", command[0], pod, err)
	}
	return out.String(), nil
}

// Dialer opens connections from inside a pod, so through its proxy, resolving
// names as the pod does.
func (m *Mesh) Dialer(ctx context.Context, pod string) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	e, err := m.entry(pod)
	if err != nil {
		return nil, err
	}
	ns, err := e.runner.Network(ctx)
	if err != nil {
		return nil, err
	}
	search := m.machine.Search(e.pod)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dialling: %w", err)
		}
		addresses, err := resolve(ctx, ns, search, host)
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			var conn net.Conn
			if conn, err = ns.Dial(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}, nil
}

// HTTP is a client whose requests come from inside a pod.
func (m *Mesh) HTTP(ctx context.Context, pod string) (*http.Client, error) {
	dial, err := m.Dialer(ctx, pod)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// resolve asks the cluster's DNS server, from inside the namespace, as a C library
// does with resolv.conf (search, ndots:5).
func resolve(ctx context.Context, ns *network.Namespace, search []string, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	names := []string{host}
	if !strings.HasSuffix(host, ".") {
		names = nil
		for _, domain := range search {
			names = append(names, host+"."+domain)
		}
		if strings.Count(host, ".") >= 5 {
			names = append([]string{host}, names...)
		} else {
			names = append(names, host)
		}
	}
	for _, name := range names {
		var out []netip.Addr
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			found, err := lookup(ctx, ns, name, kind)
			if err != nil {
				return nil, fmt.Errorf("resolving %s: %w", host, err)
			}
			out = append(out, found...)
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, Server: dnsAddress.String(), IsNotFound: true}
}

func lookup(ctx context.Context, ns *network.Namespace, name string, kind uint16) ([]netip.Addr, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind).SetEdns0(4096, false)
	var last error
	for range 3 { // a datagram may be lost
		conn, err := ns.Dial(ctx, "udp", netip.AddrPortFrom(dnsAddress, 53).String())
		if err != nil {
			return nil, err
		}
		client := &dns.Client{Timeout: 2 * time.Second}
		reply, _, err := client.ExchangeWithConnContext(ctx, query, &dns.Conn{Conn: conn, UDPSize: 4096})
		conn.Close()
		if err != nil {
			last = err
			continue
		}
		if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
			return nil, errors.New(dns.RcodeToString[reply.Rcode])
		}
		var out []netip.Addr
		for _, rr := range reply.Answer {
			var a netip.Addr
			var ok bool
			switch rr := rr.(type) {
			case *dns.A:
				a, ok = netip.AddrFromSlice(rr.A.To4())
			case *dns.AAAA:
				a, ok = netip.AddrFromSlice(rr.AAAA)
			}
			if ok {
				out = append(out, a)
			}
		}
		return out, nil
	}
	return nil, last
}
