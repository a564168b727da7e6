package cluster

import (
	"context"
	"embed"
	"fmt"
	"os"
	"strings"
	"text/template"
)

//go:embed config
var configs embed.FS

// settings are what the files in config/ are filled with.
type settings struct {
	Dir, Bin, Socket, Group, Name, Address, Pods, Bridge string
	Authority, Kubeconfig, Pause, DNS                    string
}

func (n *namespaces) settings(node int) settings {
	i := n.instance
	return settings{
		Dir: i.nodeDir(node), Bin: i.file("bin"), Socket: i.socket(node), Group: i.name(node), Name: i.nodeName(node), Address: i.address(node),
		Pods: i.pods(node), Bridge: i.bridge(), Authority: i.file("ca.crt"), Kubeconfig: i.kubeconfig(), Pause: pauseImage, DNS: dnsService,
	}
}

// configure writes a file of config/ into the node's directory and returns its
// path.
func (n *namespaces) configure(node int, name string) (string, error) {
	t, err := template.ParseFS(configs, "config/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, n.settings(node)); err != nil {
		return "", err
	}
	relative := n.instance.nodeName(node) + "/" + name
	return n.instance.file(relative), n.instance.write(relative, b.String())
}

// startRuntime starts a node's containerd.
func (n *namespaces) startRuntime(node int) error {
	dir := n.instance.nodeDir(node)
	if err := os.MkdirAll(dir+"/cni", 0o755); err != nil {
		return err
	}
	if _, err := n.configure(node, "cni/pods.conflist"); err != nil {
		return err
	}
	file, err := n.configure(node, "containerd.toml")
	if err != nil {
		return err
	}
	return n.run(node, fmt.Sprintf("containerd%d", node+1), "containerd", "--config", file)
}

// startNode starts a node's kubelet and kube-proxy.
func (n *namespaces) startNode(node int) error {
	if err := makeGroups(n.instance.name(node)); err != nil {
		return err
	}
	if _, err := n.configure(node, "kubelet.yaml"); err != nil {
		return err
	}
	if err := n.startKubelet(node); err != nil {
		return err
	}
	file, err := n.configure(node, "kube-proxy.yaml")
	if err != nil {
		return err
	}
	return n.run(node, fmt.Sprintf("kube-proxy%d", node+1), "kube-proxy", "--config", file)
}

func (n *namespaces) startKubelet(node int) error {
	i, dir := n.instance, n.instance.nodeDir(node)
	return n.run(node, kubeletName(node), "kubelet", "--config", dir+"/kubelet.yaml", "--kubeconfig", i.kubeconfig(),
		"--hostname-override", i.nodeName(node), "--node-ip", i.address(node), "--root-dir", dir+"/kubelet", "--cert-dir", dir+"/pki",
		"--node-labels", fmt.Sprintf("topology.kubernetes.io/zone=z%d", node+1))
}

func kubeletName(node int) string { return fmt.Sprintf("kubelet%d", node+1) }

func (n *namespaces) restartKubelet(ctx context.Context, node int) error {
	for _, p := range n.started() {
		if p.name == kubeletName(node) && p.running() {
			if err := p.end(ctx); err != nil {
				return err
			}
		}
	}
	return n.startKubelet(node)
}
