package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// kind is nodes in containers, made by the program of that name.
type kind struct {
	tools     toolset
	engine    string // docker or podman
	name      string
	dir       string
	nodes     []string
	addresses []string
}

const kindPrefix = "fairway-test-"

func startKind(ctx context.Context, o Options) (*Cluster, error) {
	engine, err := runningEngine(ctx)
	if err != nil {
		return nil, err
	}
	tools, err := newToolset(ctx, o.Progress, "kind")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", kindPrefix)
	if err != nil {
		return nil, err
	}
	k := &kind{tools: tools, engine: engine, name: fmt.Sprintf("%s%d", kindPrefix, os.Getpid()), dir: dir}
	k.removeDead(ctx)
	c := &Cluster{Kubeconfig: dir + "/kubeconfig", tools: tools, up: k}
	if k.nodes, err = k.start(ctx, o, c.Kubeconfig); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a cluster of kind: %w", err), k.remove())
	}
	c.Nodes = k.nodes
	return c, nil
}

// runningEngine is the container engine that answers: the client alone is no use.
func runningEngine(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, engine := range []string{"docker", "podman"} {
		if exec.CommandContext(ctx, engine, "info").Run() == nil {
			return engine, nil
		}
	}
	return "", fmt.Errorf("%w: kind needs a container engine, and neither docker nor podman answers", ErrImpossible)
}

// kindConfig lets pods run on the first node too, and has kubelets tell them soon
// of new roots, as the nodes in namespaces do.
const kindConfig = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
kubeadmConfigPatches:
- |
  kind: InitConfiguration
  nodeRegistration: {taints: []}
- |
  kind: KubeletConfiguration
  syncFrequency: 10s
nodes:
`

func (k *kind) start(ctx context.Context, o Options, kubeconfig string) ([]string, error) {
	var config strings.Builder
	config.WriteString(kindConfig)
	for node := range o.Nodes {
		role := "worker"
		if node == 0 {
			role = "control-plane"
		}
		fmt.Fprintf(&config, "- role: %s\n  labels: {topology.kubernetes.io/zone: z%d}\n", role, node+1)
	}
	if err := os.WriteFile(k.dir+"/kind.yaml", []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	if _, err := k.run(ctx, "create", "cluster", "--name", k.name, "--config", k.dir+"/kind.yaml", "--kubeconfig", kubeconfig, "--wait", "3m"); err != nil {
		return nil, err
	}
	for n, image := range o.Images {
		at := fmt.Sprintf("%s/image-%d.tar", k.dir, n)
		if err := image.Write(at); err != nil {
			return nil, err
		}
		if err := k.load(ctx, at); err != nil {
			return nil, err
		}
	}
	return k.readNodes(ctx, kubeconfig)
}

// readNodes asks the API server for names and addresses; these are reached from
// the machine that runs the engine.
func (k *kind) readNodes(ctx context.Context, kubeconfig string) ([]string, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	var names []string
	for _, n := range list.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && strings.Contains(a.Address, ".") {
				names, k.addresses = append(names, n.Name), append(k.addresses, a.Address)
			}
		}
	}
	return names, nil
}

func (k *kind) load(ctx context.Context, archive string) error {
	_, err := k.run(ctx, "load", "image-archive", archive, "--name", k.name)
	return err
}

func (k *kind) address(node int) string { return k.addresses[node] }

func (k *kind) restartKubelet(ctx context.Context, node int) error {
	cmd := exec.CommandContext(ctx, k.engine, "exec", k.nodes[node], "systemctl", "restart", "kubelet")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("restarting the kubelet of %s: %w: %s", k.nodes[node], err, bytes.TrimSpace(out))
	}
	return nil
}

func (k *kind) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := k.run(ctx, "delete", "cluster", "--name", k.name)
	return errors.Join(err, os.RemoveAll(k.dir))
}

// removeDead removes clusters whose maker is gone: its pid is in their name.
func (k *kind) removeDead(ctx context.Context) {
	names, err := k.run(ctx, "get", "clusters")
	if err != nil {
		return // create will say more
	}
	for _, name := range strings.Fields(names) {
		pid, ours := strings.CutPrefix(name, kindPrefix)
		if _, err := os.Stat("/proc/" + pid); ours && err != nil {
			_, _ = k.run(ctx, "delete", "cluster", "--name", name)
		}
	}
}

func (k *kind) run(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.tools.path("kind"), arguments...)
	cmd.Env = append(os.Environ(), "KIND_EXPERIMENTAL_PROVIDER="+k.engine)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kind %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
