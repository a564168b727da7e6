package cluster

import "slices"

// startPlane starts etcd and the API server in the first node's namespace.
func (n *namespaces) startPlane() error {
	i, me := n.instance, n.instance.address(0)
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	if err := n.run(0, "etcd", "etcd", "--data-dir", i.file("etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
	); err != nil {
		return err
	}
	return n.run(0, "api", "kube-apiserver",
		"--etcd-servers", client, "--bind-address", "0.0.0.0", "--advertise-address", me, "--secure-port", "6443",
		"--tls-cert-file", i.file("api.crt"), "--tls-private-key-file", i.file("api.key"), "--client-ca-file", i.file("ca.crt"), "--token-auth-file", i.file("tokens.csv"),
		"--authorization-mode", "Node,RBAC", "--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", i.file("sa.key"), "--service-account-signing-key-file", i.file("sa.key"),
		"--service-cluster-ip-range", serviceNetwork, "--allow-privileged",
		"--kubelet-preferred-address-types", "InternalIP", // names of nodes are in no DNS
		"--kubelet-client-certificate", i.file("kc.crt"), "--kubelet-client-key", i.file("kc.key"))
}

// startControllers starts what works on the API server's objects.
func (n *namespaces) startControllers() error {
	i := n.instance
	if err := n.run(0, "controllers", "kube-controller-manager", "--kubeconfig", i.kubeconfig(), "--leader-elect=false", "--use-service-account-credentials",
		"--service-account-private-key-file", i.file("sa.key"), "--root-ca-file", i.file("ca.crt"),
		"--cluster-signing-cert-file", i.file("ca.crt"), "--cluster-signing-key-file", i.file("ca.key"),
	); err != nil {
		return err
	}
	return n.run(0, "scheduler", "kube-scheduler", "--kubeconfig", i.kubeconfig(), "--leader-elect=false")
}

func (n *namespaces) run(node int, name, program string, arguments ...string) error {
	p, err := n.instance.start(n.keep, node, name, n.tools.path(program), arguments...)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.processes = append(n.processes, p)
	return nil
}

func (n *namespaces) started() []*process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.processes)
}
