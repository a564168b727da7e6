package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
)

// startNames deploys CoreDNS. It does not wait for it: pods wait by themselves.
func (n *namespaces) startNames(ctx context.Context) error {
	manifest, err := configs.ReadFile("config/coredns.yaml")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, n.tools.path("kubectl"), "apply", "-f", "-")
	cmd.Env, cmd.Stdin = append(os.Environ(), "KUBECONFIG="+n.instance.kubeconfig()), bytes.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("deploying CoreDNS: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
