//go:build linux

package demo

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
	"github.com/fairway-mesh/fairway/samples"
)

// file is the text of a manifest.
func file(name string) []byte {
	text, err := samples.Files.ReadFile(name)
	if err != nil {
		panic(err) // embedded in this binary
	}
	return text
}

// apply applies manifests as a step.
func (r *run) apply(ctx context.Context, title string, names ...string) error {
	return r.do(title, "kubectl apply"+flags(names), func() error {
		for _, name := range names {
			if err := r.mesh.Apply(ctx, file(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// remove deletes what the manifests name, as a step.
func (r *run) remove(ctx context.Context, title string, names ...string) error {
	return r.do(title, "kubectl delete"+flags(names), func() error {
		for _, name := range names {
			if err := r.mesh.Delete(ctx, file(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

func flags(names []string) string {
	text := ""
	for _, name := range names {
		text += " -f " + path.Join("samples", name)
	}
	return text
}

// inject applies manifests after manual injection by the real command.
func (r *run) inject(ctx context.Context, title string, names ...string) error {
	command := "fairway inject" + flags(names) + " | kubectl apply -f -"
	return r.do(title, command, func() error {
		for _, name := range names {
			injected, err := r.injected(ctx, file(name))
			if err != nil {
				return err
			}
			if err := r.mesh.Apply(ctx, injected); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *run) injected(ctx context.Context, manifests []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, r.options.Fairway, "inject", "-f", "-", "--plaintext", "--xds-address", local.XDSAddress(), "--drain-wait", "1s")
	cmd.Stdin = bytes.NewReader(manifests)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fairway inject: %w: %s", err, stderr.String())
	}
	return out, nil
}

// wait waits until the pods of the namespaces are as they should be, as a step.
func (r *run) wait(ctx context.Context, namespaces ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r.out.tell("waiting for pods ...")
	if err := r.mesh.WaitReady(ctx, namespaces...); err != nil {
		return fmt.Errorf("waiting for pods: %w", err)
	}
	return nil
}

// seePods checks the column READY of kubectl get pods.
func (r *run) seePods(namespace, must string, containers int) {
	r.see(must, func() (string, bool, error) {
		pods, err := r.mesh.Pods(namespace, "")
		var lines []string
		ok := len(pods) > 0
		for _, p := range pods {
			lines = append(lines, fmt.Sprintf("%-36s %d/%d  %s", p.Name, p.Ready, p.Of, p.Phase))
			ok = ok && p.Ready == p.Of && p.Of == containers
		}
		return strings.Join(lines, "\n"), ok, err
	})
}
