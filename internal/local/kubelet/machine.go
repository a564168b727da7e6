//go:build linux

package kubelet

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/network"
	corev1 "k8s.io/api/core/v1"
)

// Machine is what all pods of a local mesh share. Its fields are set once.
type Machine struct {
	// Fairway is the path of the fairway binary, Envoy that of a stock Envoy.
	Fairway, Envoy string
	// Router connects the pods.
	Router *network.Router
	// Dir holds a directory per pod, for logs and volumes. The caller removes it.
	Dir string
	// NodeIP is what pods see as the address of their node, and where probes come from.
	NodeIP netip.Addr
	// Nameserver is the address of the cluster's DNS server, ClusterDomain its zone.
	Nameserver    netip.Addr
	ClusterDomain string
	// Objects answers for what pods refer to.
	Objects Objects
	// Record is told of every process, so that a later start can end those that
	// outlived this program. Nil: nobody is told.
	Record func(pid int)
	Log    *slog.Logger
}

// Objects are the objects that a pod's environment and volumes are made from. A
// nil function stands for no such object.
type Objects struct {
	ConfigMap func(namespace, name string) *corev1.ConfigMap
	Secret    func(namespace, name string) *corev1.Secret
	// Token issues a token of a service account.
	Token func(pod *corev1.Pod, audience string, lifetime time.Duration) (string, error)
}

// programs are the executables that stand for images.
func (m *Machine) programs() map[string]string {
	return map[string]string{"fairway": m.Fairway, "envoy": m.Envoy}
}

// command is the command line of a container before variables are expanded.
func (m *Machine) command(c *corev1.Container) ([]string, error) {
	command := slices.Clone(c.Command)
	if len(command) == 0 {
		name := path.Base(strings.SplitN(c.Image, "@", 2)[0])
		name, _, _ = strings.Cut(name, ":")
		if m.programs()[name] == "" {
			return nil, fmt.Errorf("image %s: the local mesh pulls no images; it knows those of fairway and envoy, and any program of this machine that a container's command names", c.Image)
		}
		command = []string{name}
	}
	// An image has its program elsewhere than this machine.
	if base := path.Base(command[0]); m.programs()[base] != "" {
		if _, err := os.Stat(command[0]); err != nil && path.IsAbs(command[0]) {
			command[0] = base
		}
	}
	return append(command, c.Args...), nil
}

// files are the pod's own files in /etc.
func (m *Machine) files(pod *corev1.Pod) map[string]string {
	hostname := hostname(pod)
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, ip := range pod.Status.PodIPs {
		hosts += ip.IP + " " + hostname + "\n"
	}
	for _, alias := range pod.Spec.HostAliases {
		hosts += alias.IP + " " + strings.Join(alias.Hostnames, " ") + "\n"
	}
	return map[string]string{
		"/etc/resolv.conf": m.resolver(pod),
		"/etc/hosts":       hosts,
		"/etc/hostname":    hostname + "\n",
	}
}

// Search are the domains that complete short names inside the pod.
func (m *Machine) Search(pod *corev1.Pod) []string {
	return []string{pod.Namespace + ".svc." + m.ClusterDomain, "svc." + m.ClusterDomain, m.ClusterDomain}
}

// resolver is the text of resolv.conf, by dnsPolicy and dnsConfig.
func (m *Machine) resolver(pod *corev1.Pod) string {
	servers, search, options := []string{m.Nameserver.String()}, m.Search(pod), []string{"ndots:5"}
	if pod.Spec.DNSPolicy == corev1.DNSNone {
		servers, search, options = nil, nil, nil
	}
	if c := pod.Spec.DNSConfig; c != nil {
		servers, search = append(servers, c.Nameservers...), append(search, c.Searches...)
		for _, o := range c.Options {
			text := o.Name
			if o.Value != nil {
				text += ":" + *o.Value
			}
			options = append(options, text)
		}
	}
	var text strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&text, "nameserver %s\n", s)
	}
	if len(search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(search, " "))
	}
	if len(options) > 0 {
		fmt.Fprintf(&text, "options %s\n", strings.Join(options, " "))
	}
	return text.String()
}

func hostname(pod *corev1.Pod) string {
	name := pod.Name
	if pod.Spec.Hostname != "" {
		name = pod.Spec.Hostname
	}
	return name[:min(len(name), 63)]
}

// directory makes the pod's directory below Dir.
func (m *Machine) directory(pod *corev1.Pod) (string, error) {
	dir := path.Join(m.Dir, pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the pod's directory: %w", err)
	}
	return dir, nil
}
