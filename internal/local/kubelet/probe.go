package kubelet

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/container"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
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

// hook runs a lifecycle hook.
func (p *Pod) hook(ctx context.Context, u *unit, h *corev1.LifecycleHandler) error {
	if h.Sleep != nil {
		pause(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
		return nil
	}
	return p.handle(ctx, u, corev1.ProbeHandler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket})
}

// handle does what a probe or hook says: from the node, as the kubelet would, or
// inside the container.
func (p *Pod) handle(ctx context.Context, u *unit, h corev1.ProbeHandler) error {
	switch {
	case h.HTTPGet != nil:
		return p.httpGet(ctx, u, h.HTTPGet)
	case h.TCPSocket != nil:
		address, err := p.address(u, h.TCPSocket.Host, h.TCPSocket.Port)
		if err != nil {
			return err
		}
		conn, err := p.machine.Router.Namespace.Dial(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	case h.GRPC != nil:
		return p.grpcCheck(ctx, h.GRPC)
	case h.Exec != nil:
		code, err := p.Exec(ctx, u.spec.Name, h.Exec.Command, nil, io.Discard, io.Discard)
		if err == nil && code != 0 {
			err = fmt.Errorf("%v ended with code %d", h.Exec.Command, code)
		}
		return err
	}
	return nil
}

// address is where a probe goes: the port by number or by its name.
func (p *Pod) address(u *unit, host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = p.spec.Status.PodIP
	}
	number := port.IntValue()
	if port.Type == intstr.String {
		for _, c := range u.spec.Ports {
			if c.Name == port.StrVal {
				number = int(c.ContainerPort)
			}
		}
	}
	if number <= 0 {
		return "", fmt.Errorf("container %s has no port %s", u.spec.Name, port.String())
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

func (p *Pod) httpGet(ctx context.Context, u *unit, get *corev1.HTTPGetAction) error {
	address, err := p.address(u, get.Host, get.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if get.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	path := get.Path
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/1.36")
	for _, h := range get.HTTPHeaders {
		req.Header.Set(h.Name, h.Value)
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
		}
	}
	transport := &http.Transport{
		DialContext: p.machine.Router.Namespace.Dial, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as the kubelet does
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<10))
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	return nil
}

func (p *Pod) grpcCheck(ctx context.Context, check *corev1.GRPCAction) error {
	address := net.JoinHostPort(p.spec.Status.PodIP, strconv.Itoa(int(check.Port)))
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return p.machine.Router.Namespace.Dial(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	request := &grpc_health_v1.HealthCheckRequest{}
	if check.Service != nil {
		request.Service = *check.Service
	}
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, request)
	if err == nil && answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("%s says %s", address, answer.Status)
	}
	return err
}

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
