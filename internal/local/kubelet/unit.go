//go:build linux

package kubelet

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/container"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unit is a container of a pod, through all its restarts.
type unit struct {
	pod  *Pod
	spec *corev1.Container
	init bool

	stopping sync.Once

	// Guarded by pod.mu:
	process  *container.Process // nil: none runs
	begun    metav1.Time
	started  bool
	ready    bool
	restarts int32
	waiting  string // why it does not run: CrashLoopBackOff, CreateContainerError
	message  string
	result   *corev1.ContainerStateTerminated // of the last run
}

// restartable says whether this is a native sidecar.
func (u *unit) restartable() bool {
	return u.init && u.spec.RestartPolicy != nil && *u.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// Waiting times between restarts: shorter than Kubernetes' 10 s to 5 min, since
// nothing here is shared with strangers.
const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 10 * time.Second
)

// supervise runs the container, again and again as the restart policy says, until
// the pod's life ends and the process with it.
func (u *unit) supervise(life context.Context) {
	backoff := firstBackoff
	for life.Err() == nil {
		began := time.Now()
		u.runOnce(life)
		if life.Err() != nil || !u.again() {
			return
		}
		if time.Since(began) > time.Minute {
			backoff = firstBackoff
		}
		u.update(func() { u.waiting = "CrashLoopBackOff" })
		select {
		case <-time.After(backoff):
		case <-life.Done():
			return
		}
		backoff = min(2*backoff, lastBackoff)
		u.update(func() { u.restarts++ })
	}
}

// again says whether the restart policy wants another run.
func (u *unit) again() bool {
	policy := u.pod.spec.Spec.RestartPolicy
	switch {
	case u.restartable():
		return true
	case u.init:
		return !u.succeeded() && policy != corev1.RestartPolicyNever
	case policy == corev1.RestartPolicyNever:
		return false
	case policy == corev1.RestartPolicyOnFailure:
		return !u.succeeded()
	}
	return true
}

func (u *unit) succeeded() bool {
	u.pod.mu.Lock()
	defer u.pod.mu.Unlock()
	return u.result != nil && u.result.ExitCode == 0
}

// runOnce starts the process, probes it, and returns when it has ended.
func (u *unit) runOnce(life context.Context) {
	process, log, err := u.start()
	if err != nil {
		u.pod.machine.Log.Warn("a container cannot start", "pod", u.pod.Name(), "container", u.spec.Name, "err", err)
		u.update(func() {
			u.waiting, u.message = "CreateContainerError", err.Error()
			u.result = &corev1.ContainerStateTerminated{ExitCode: container.SetupFailed, Reason: "Error", Message: err.Error(), FinishedAt: metav1.Now()}
		})
		return
	}
	defer log.Close()
	begun := metav1.Now()
	u.update(func() {
		u.process, u.begun, u.waiting, u.message = process, begun, "", ""
		u.started, u.ready = u.spec.StartupProbe == nil, u.spec.StartupProbe == nil && u.spec.ReadinessProbe == nil
	})
	watch, stopWatching := context.WithCancel(context.Background())
	var watchers sync.WaitGroup
	watchers.Go(func() { u.watch(watch, process) })
	<-process.Ended()
	stopWatching()
	watchers.Wait()
	code := process.ExitCode()
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	u.update(func() {
		u.process, u.started, u.ready = nil, false, false
		u.result = &corev1.ContainerStateTerminated{ExitCode: int32(code), Reason: reason, StartedAt: begun, FinishedAt: metav1.Now()}
	})
	if code != 0 && life.Err() == nil {
		u.pod.machine.Log.Warn("a container ended", "pod", u.pod.Name(), "container", u.spec.Name, "code", code, "log", log.Name())
	}
}

// start starts the process with its output going to the container's log.
func (u *unit) start() (*container.Process, *os.File, error) {
	spec, err := u.containerSpec()
	if err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(filepath.Join(u.pod.dir, u.spec.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log: %w", err)
	}
	process, err := u.pod.launch(spec, nil, log, log)
	if err != nil {
		log.Close()
		return nil, nil, err
	}
	return process, log, nil
}

func (p *Pod) launch(spec container.Spec, stdin io.Reader, stdout, stderr io.Writer) (*container.Process, error) {
	process, err := container.Start(p.wire.Namespace, p.machine.Fairway, spec, stdin, stdout, stderr)
	if err == nil && p.machine.Record != nil {
		p.machine.Record(process.PID())
	}
	return process, err
}

// containerSpec is what the manifest says, for this machine.
func (u *unit) containerSpec() (container.Spec, error) {
	m, pod := u.pod.machine, u.pod.spec
	env, err := m.environment(pod, u.spec)
	if err != nil {
		return container.Spec{}, err
	}
	command, err := m.command(u.spec)
	if err != nil {
		return container.Spec{}, err
	}
	mounted, err := mounts(u.spec, u.pod.volumes)
	if err != nil {
		return container.Spec{}, err
	}
	spec := container.Spec{
		Args: expand(command, env), Env: env, Dir: u.spec.WorkingDir,
		Hostname: hostname(pod), Files: m.files(pod), Programs: m.programs(), Mounts: mounted,
	}
	applySecurity(&spec, pod.Spec.SecurityContext, u.spec.SecurityContext)
	return spec, nil
}

// stop ends the container: preStop hook, SIGTERM, and SIGKILL when the context ends.
func (u *unit) stop(ctx context.Context) {
	u.pod.mu.Lock()
	process := u.process
	u.pod.mu.Unlock()
	if process == nil {
		return
	}
	u.stopping.Do(func() {
		if u.spec.Lifecycle != nil && u.spec.Lifecycle.PreStop != nil {
			if err := u.pod.hook(ctx, u, u.spec.Lifecycle.PreStop); err != nil && ctx.Err() == nil {
				u.pod.machine.Log.Warn("a preStop hook failed", "pod", u.pod.Name(), "container", u.spec.Name, "err", err)
			}
		}
		process.Signal(unix.SIGTERM)
	})
	select {
	case <-process.Ended():
	case <-ctx.Done():
		process.Signal(unix.SIGKILL)
		<-process.Ended()
	}
}

// waitStarted waits until the container has started (its startup probe has
// succeeded). False: the pod's life ended before.
func (u *unit) waitStarted(life context.Context) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		u.pod.mu.Lock()
		started := u.started
		u.pod.mu.Unlock()
		if started {
			return true
		}
		select {
		case <-life.Done():
			return false
		case <-tick.C:
		}
	}
}

// update changes the unit and reports the pod's status.
func (u *unit) update(f func()) {
	u.pod.mu.Lock()
	f()
	u.pod.mu.Unlock()
	u.pod.report()
}
