//go:build linux

package kubelet

import (
	"context"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/container"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// eager is how often a probe that never succeeded yet is tried, whatever its
// period: Kubernetes' 10 s are for clusters, not for someone who waits for a sample.
const eager = 100 * time.Millisecond

// watch probes one run of the container until the context ends: first the startup
// probe, then readiness and liveness together, and the postStart hook before.
func (u *unit) watch(ctx context.Context, process *container.Process) {
	if l := u.spec.Lifecycle; l != nil && l.PostStart != nil {
		if err := u.pod.hook(ctx, u, l.PostStart); err != nil && ctx.Err() == nil {
			u.pod.machine.Log.Warn("a postStart hook failed", "pod", u.pod.Name(), "container", u.spec.Name, "err", err)
			u.kill(process)
			return
		}
	}
	if probe := u.spec.StartupProbe; probe != nil {
		if !u.probeUntil(ctx, probe) {
			if ctx.Err() == nil {
				u.pod.machine.Log.Warn("a container did not start in time", "pod", u.pod.Name(), "container", u.spec.Name)
				u.kill(process)
			}
			return
		}
		u.update(func() { u.started, u.ready = true, u.spec.ReadinessProbe == nil })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if probe := u.spec.ReadinessProbe; probe != nil {
			u.follow(ctx, probe, func(ok bool) bool {
				u.update(func() { u.ready = ok && u.process == process })
				return true
			})
		}
	}()
	if probe := u.spec.LivenessProbe; probe != nil {
		u.follow(ctx, probe, func(ok bool) bool {
			if !ok {
				u.pod.machine.Log.Warn("a container is no longer alive", "pod", u.pod.Name(), "container", u.spec.Name)
				u.kill(process)
			}
			return ok
		})
	}
	<-done
}

// kill ends one run of the container, which the restart policy then follows.
func (u *unit) kill(process *container.Process) {
	process.Signal(unix.SIGTERM)
	select {
	case <-process.Ended():
	case <-time.After(5 * time.Second):
		process.Signal(unix.SIGKILL)
	}
}

// or is value, or the API's default where it is zero.
func or(value, otherwise int32) int32 {
	if value == 0 {
		return otherwise
	}
	return value
}

// probeUntil tries a startup probe until it succeeds. False: it failed for as long
// as the threshold allows, or the context ended.
func (u *unit) probeUntil(ctx context.Context, probe *corev1.Probe) bool {
	if !pause(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second) {
		return false
	}
	limit := time.Now().Add(time.Duration(or(probe.FailureThreshold, 3)*or(probe.PeriodSeconds, 10)) * time.Second)
	for time.Now().Before(limit) {
		if u.pod.attempt(ctx, u, probe) == nil {
			return true
		}
		if !pause(ctx, eager) {
			return false
		}
	}
	return false
}

// follow probes for as long as the context and tell allow, and tells changes:
// thresholds say how many results in a row count.
func (u *unit) follow(ctx context.Context, probe *corev1.Probe, tell func(ok bool) bool) {
	if !pause(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second) {
		return
	}
	period := time.Duration(or(probe.PeriodSeconds, 10)) * time.Second
	state, ever, successes, failures := false, false, int32(0), int32(0)
	begun := time.Now()
	patience := time.Duration(or(probe.FailureThreshold, 3)) * period
	for {
		if u.pod.attempt(ctx, u, probe) == nil {
			successes, failures = successes+1, 0
		} else {
			successes, failures = 0, failures+1
		}
		if ctx.Err() != nil {
			return
		}
		if !state && successes >= or(probe.SuccessThreshold, 1) {
			state, ever = true, true
			if !tell(true) {
				return
			}
		}
		failed := failures >= or(probe.FailureThreshold, 3)
		if (state && failed) || (!ever && failed && time.Since(begun) > patience) {
			state, ever = false, true
			if !tell(false) {
				return
			}
		}
		wait := period
		if !ever {
			wait = min(eager, period)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// attempt runs a probe once, within its timeout.
func (p *Pod) attempt(ctx context.Context, u *unit, probe *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(or(probe.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	return p.handle(ctx, u, probe.ProbeHandler)
}
