//go:build linux

package kubelet

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Exec runs a command inside a container of the pod (the first one if the name is
// empty), with its user, environment and mounts. The error is why the command did
// not run; when the context ends, the command is killed.
func (p *Pod) Exec(ctx context.Context, name string, command []string, stdin io.Reader, stdout, stderr io.Writer) (code int, err error) {
	if _, err := p.Network(ctx); err != nil {
		return 0, err
	}
	u := p.find(name)
	if u == nil {
		return 0, fmt.Errorf("pod %s has no container %q", p.Name(), name)
	}
	spec, err := u.containerSpec()
	if err != nil {
		return 0, err
	}
	spec.Args, spec.Capabilities = command, nil
	process, err := p.launch(spec, stdin, stdout, stderr)
	if err != nil {
		return 0, err
	}
	select {
	case <-process.Ended():
	case <-ctx.Done():
		process.Signal(unix.SIGKILL)
		<-process.Ended()
		return process.ExitCode(), ctx.Err()
	}
	return process.ExitCode(), nil
}

func (p *Pod) find(name string) *unit {
	if name == "" {
		name = p.spec.Annotations["kubectl.kubernetes.io/default-container"]
	}
	for _, u := range p.mains {
		if u.spec.Name == name || name == "" {
			return u
		}
	}
	for _, u := range p.inits {
		if u.spec.Name == name && u.restartable() {
			return u
		}
	}
	return nil
}
