//go:build linux

package kubelet

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// report tells a new status, if it is new.
func (p *Pod) report() {
	p.reporting.Lock()
	defer p.reporting.Unlock()
	p.mu.Lock()
	status := p.status()
	same := equality.Semantic.DeepEqual(status, p.last)
	p.last = *status.DeepCopy()
	p.mu.Unlock()
	if !same {
		p.changed(status)
	}
}

// status is called with mu held.
func (p *Pod) status() corev1.PodStatus {
	s := corev1.PodStatus{
		PodIP: p.spec.Status.PodIP, PodIPs: p.spec.Status.PodIPs,
		HostIP: p.machine.NodeIP.String(), HostIPs: []corev1.HostIP{{IP: p.machine.NodeIP.String()}},
		StartTime: &p.startTime, Message: p.trouble,
	}
	if p.trouble != "" {
		s.Reason, s.PodIP, s.PodIPs = "FailedToStart", "", nil
	}
	initialised, ready := true, len(p.mains) > 0
	for _, u := range p.inits {
		c := u.status()
		s.InitContainerStatuses = append(s.InitContainerStatuses, c)
		if u.restartable() {
			initialised, ready = initialised && u.started, ready && c.Ready
		} else {
			initialised = initialised && c.Ready
		}
	}
	for _, u := range p.mains {
		c := u.status()
		s.ContainerStatuses = append(s.ContainerStatuses, c)
		ready = ready && c.Ready
	}
	s.Phase = p.phase()
	if s.Phase != corev1.PodRunning {
		ready = false
	}
	for _, c := range []struct {
		kind corev1.PodConditionType
		ok   bool
	}{
		{corev1.PodScheduled, true}, {corev1.PodInitialized, initialised || p.running},
		{corev1.ContainersReady, ready}, {corev1.PodReady, ready},
	} {
		s.Conditions = append(s.Conditions, p.condition(c.kind, c.ok))
	}
	return s
}

func (p *Pod) condition(kind corev1.PodConditionType, ok bool) corev1.PodCondition {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now()}
	if ok {
		c.Status = corev1.ConditionTrue
	}
	for _, old := range p.last.Conditions {
		if old.Type == kind && old.Status == c.Status {
			return old
		}
	}
	return c
}

func (p *Pod) phase() corev1.PodPhase {
	failed, finished := false, len(p.mains) > 0
	for _, u := range p.mains {
		done := u.process == nil && u.result != nil && u.waiting == ""
		finished = finished && done
		failed = failed || done && u.result.ExitCode != 0
	}
	for _, u := range p.inits {
		if !p.running && !u.restartable() && u.result != nil && u.result.ExitCode != 0 && p.spec.Spec.RestartPolicy == corev1.RestartPolicyNever {
			return corev1.PodFailed
		}
	}
	switch {
	case !p.running:
		return corev1.PodPending
	case finished && (p.ended || p.spec.Spec.RestartPolicy == corev1.RestartPolicyNever || p.spec.Spec.RestartPolicy == corev1.RestartPolicyOnFailure):
		if failed {
			return corev1.PodFailed
		}
		return corev1.PodSucceeded
	}
	return corev1.PodRunning
}

func (u *unit) status() corev1.ContainerStatus {
	started := u.started
	c := corev1.ContainerStatus{
		Name: u.spec.Name, Image: u.spec.Image, ImageID: u.spec.Image, RestartCount: u.restarts,
		Started: &started, Ready: u.ready && u.process != nil,
	}
	switch {
	case u.process != nil:
		c.State.Running = &corev1.ContainerStateRunning{StartedAt: u.begun}
		if u.result != nil {
			c.LastTerminationState.Terminated = u.result
		}
	case u.waiting != "":
		c.State.Waiting = &corev1.ContainerStateWaiting{Reason: u.waiting, Message: u.message}
		if u.result != nil {
			c.LastTerminationState.Terminated = u.result
		}
	case u.result != nil:
		c.State.Terminated = u.result
		c.Ready = u.init && !u.restartable() && u.result.ExitCode == 0
	default:
		c.State.Waiting = &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return c
}
