//go:build linux

package kubelet

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/network"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pod is a pod that runs, will run or has run. Methods may be called at any time.
type Pod struct {
	machine *Machine
	spec    *corev1.Pod // never changed; its status holds the addresses
	changed func(corev1.PodStatus)

	deletion sync.Once
	deleted  chan struct{}
	grace    time.Duration // valid once deleted is closed
	up       chan struct{} // closed when wire and volumes are there
	done     chan struct{}

	wire    *network.Wire
	dir     string
	volumes map[string]string
	inits   []*unit
	mains   []*unit

	reporting sync.Mutex // one report at a time, so that none overtakes another

	mu        sync.Mutex
	trouble   string // why the pod cannot start
	startTime metav1.Time
	running   bool // init containers are through
	ended     bool
	last      corev1.PodStatus
}

// NewPod prepares the pod with its addresses. changed is told of every new
// status, one at a time; it must neither block nor call back.
func NewPod(m *Machine, pod *corev1.Pod, addresses []netip.Addr, changed func(corev1.PodStatus)) *Pod {
	p := &Pod{
		machine: m, spec: pod.DeepCopy(), changed: changed,
		deleted: make(chan struct{}), up: make(chan struct{}), done: make(chan struct{}), startTime: metav1.Now(),
	}
	p.spec.Status = corev1.PodStatus{}
	for _, a := range addresses {
		p.spec.Status.PodIPs = append(p.spec.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	if len(addresses) > 0 {
		p.spec.Status.PodIP = addresses[0].String()
	}
	for i := range p.spec.Spec.InitContainers {
		p.inits = append(p.inits, &unit{pod: p, spec: &p.spec.Spec.InitContainers[i], init: true})
	}
	for i := range p.spec.Spec.Containers {
		p.mains = append(p.mains, &unit{pod: p, spec: &p.spec.Spec.Containers[i]})
	}
	return p
}

// Run runs the pod until it has ended by itself or by Delete. When the context
// ends, everything is killed at once. An error is why the pod never started; it
// is in the status too.
func (p *Pod) Run(ctx context.Context) error {
	defer close(p.done)
	life, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-p.deleted:
			end()
		case <-life.Done():
		}
	}()
	if err := p.prepare(); err != nil {
		p.mu.Lock()
		p.trouble = err.Error()
		p.mu.Unlock()
		p.report()
		p.machine.Log.Warn("a pod cannot start", "pod", p.Name(), "err", err)
		<-life.Done()
		return err
	}
	defer p.wire.Close()
	close(p.up)
	p.report()
	var units sync.WaitGroup
	if p.initialise(life, &units) {
		p.mu.Lock()
		p.running = true
		p.mu.Unlock()
		finished := make(chan struct{})
		var mains sync.WaitGroup
		for _, u := range p.mains {
			mains.Go(func() { u.supervise(life) })
		}
		units.Go(func() { mains.Wait(); close(finished) })
		select {
		case <-life.Done():
		case <-finished:
		}
	} else {
		<-life.Done() // a pod that failed stays until it is deleted
	}
	end()
	p.shutdown(ctx)
	units.Wait()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.report()
	return nil
}

func (p *Pod) prepare() (err error) {
	if p.spec.Spec.HostNetwork {
		return fmt.Errorf("hostNetwork is not supported by the local mesh")
	}
	if p.dir, err = p.machine.directory(p.spec); err != nil {
		return err
	}
	if p.volumes, err = p.machine.volumes(p.spec, p.dir); err != nil {
		return err
	}
	var addresses []netip.Addr
	for _, ip := range p.spec.Status.PodIPs {
		addresses = append(addresses, netip.MustParseAddr(ip.IP)) // written by NewPod
	}
	p.wire, err = p.machine.Router.Connect(addresses...)
	return err
}

// initialise runs the init containers one after the other. A restartable one
// only has to have started. False: one failed for good, or the pod's life ended.
func (p *Pod) initialise(life context.Context, units *sync.WaitGroup) bool {
	for _, u := range p.inits {
		if u.restartable() {
			units.Go(func() { u.supervise(life) })
			if !u.waitStarted(life) {
				return false
			}
			continue
		}
		u.supervise(life)
		if life.Err() != nil || !u.succeeded() {
			p.report()
			return false
		}
	}
	return life.Err() == nil
}

// shutdown ends the containers: the plain ones together, with their preStop hooks
// first, then restartable init containers from the last to the first.
func (p *Pod) shutdown(ctx context.Context) {
	grace := 30 * time.Second
	if s := p.spec.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	select {
	case <-p.deleted:
		grace = p.grace
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	var all sync.WaitGroup
	for _, u := range p.mains {
		all.Go(func() { u.stop(ctx) })
	}
	all.Wait()
	for i := len(p.inits) - 1; i >= 0; i-- {
		p.inits[i].stop(ctx)
	}
}

// Delete begins the end of the pod. Hooks and processes get the grace together;
// negative is the pod's own terminationGracePeriodSeconds. Only the first call counts.
func (p *Pod) Delete(grace time.Duration) {
	p.deletion.Do(func() {
		if grace < 0 {
			grace = 30 * time.Second
			if s := p.spec.Spec.TerminationGracePeriodSeconds; s != nil {
				grace = time.Duration(*s) * time.Second
			}
		}
		p.grace = grace
		close(p.deleted)
	})
}

// Done is closed when Run has returned.
func (p *Pod) Done() <-chan struct{} { return p.done }

// Name is NAMESPACE/NAME.
func (p *Pod) Name() string { return p.spec.Namespace + "/" + p.spec.Name }

// Network is the pod's namespace, once it is there. The context bounds the wait.
func (p *Pod) Network(ctx context.Context) (*network.Namespace, error) {
	select {
	case <-p.up:
	case <-p.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("pod %s: waiting for its network: %w", p.Name(), ctx.Err())
	}
	select {
	case <-p.done:
		return nil, fmt.Errorf("pod %s has ended", p.Name())
	default:
		return p.wire.Namespace, nil
	}
}
