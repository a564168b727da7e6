//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/local/kubelet"
	"github.com/fairway-mesh/fairway/internal/local/nameserver"
	"github.com/fairway-mesh/fairway/internal/local/network"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Mesh is a running local mesh. All methods may be called at the same time.
type Mesh struct {
	config    Config
	injection inject.Params
	state     *state
	router    *network.Router
	names     *nameserver.Server
	machine   *kubelet.Machine
	relays    relays

	restarting sync.Mutex // guards control
	control    *controlPlane

	ctx    context.Context // of everything that runs; ended by Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	wake   chan struct{} // one signal: something has changed
	closed sync.Once

	mu        sync.Mutex
	objects   map[Key]*unstructured.Unstructured
	pods      map[string]*podEntry // by NAMESPACE/NAME
	version   int64                // of the last object written
	kicks     int64                // how often something has changed
	settled   int64                // kicks when the last pass of the reconcile loop began
	addresses addresses
	change    chan struct{}     // closed and replaced when a pod or an object has changed
	slices    map[Key][]byte    // EndpointSlices that the mesh made, encoded
	services  []network.Service // what the router translates
}

// Start makes a mesh and starts its control plane. It ends with Close, or when
// the context ends; even then Close waits until all is gone.
func Start(ctx context.Context, config Config) (*Mesh, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	m := &Mesh{
		config: config, injection: config.injection(), names: nameserver.New(clusterDomain),
		wake: make(chan struct{}, 1), change: make(chan struct{}),
		objects: map[Key]*unstructured.Unstructured{}, pods: map[string]*podEntry{}, slices: map[Key][]byte{},
		addresses: newAddresses(),
	}
	m.ctx, m.cancel = context.WithCancel(ctx)
	if m.state, err = newState(); err != nil {
		m.cancel()
		return nil, err
	}
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Mesh) start(ctx context.Context) error {
	var err error
	if m.router, err = network.NewRouter(routerAddress, routerAddress6, dnsAddress); err != nil {
		return fmt.Errorf("%w; the local mesh needs root, or a machine that allows user namespaces", err)
	}
	m.machine = &kubelet.Machine{
		Fairway: m.config.Fairway, Envoy: m.config.Envoy, Router: m.router, Dir: m.state.pods(),
		NodeIP: routerAddress, Nameserver: dnsAddress, ClusterDomain: clusterDomain,
		Objects: kubelet.Objects{ConfigMap: m.configMap, Secret: m.secret},
		Record:  m.state.record, Log: m.config.Log,
	}
	m.relays = newRelays(m)
	if err := m.serveNames(); err != nil {
		return err
	}
	for _, o := range m.config.Outside {
		if err := m.startOutside(o); err != nil {
			return err
		}
	}
	m.tasks.Go(m.reconcileLoop)
	if err := m.addBasics(ctx); err != nil {
		return err
	}
	if !m.config.NoControlPlane {
		if m.control, err = startControlPlane(ctx, m); err != nil {
			return err
		}
	}
	if m.config.Gateway {
		return m.Apply(ctx, gatewayManifest)
	}
	return nil
}

// serveNames starts the DNS server at both of its addresses.
func (m *Mesh) serveNames() error {
	var packets []net.PacketConn
	var listeners []net.Listener
	for _, a := range []netip.Addr{dnsAddress, routerAddress} {
		address := netip.AddrPortFrom(a, 53).String()
		packet, err := m.router.Namespace.ListenPacket("udp", address)
		if err != nil {
			return fmt.Errorf("starting the DNS server: %w", err)
		}
		packets = append(packets, packet)
		listener, err := m.router.Namespace.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("starting the DNS server: %w", err)
		}
		listeners = append(listeners, listener)
	}
	m.tasks.Go(func() {
		if err := m.names.Run(m.ctx, packets, listeners); err != nil {
			m.config.Log.Error("the DNS server ended", "err", err)
		}
	})
	return nil
}

// startOutside runs a host beyond the mesh as a pod that nobody knows of.
func (m *Mesh) startOutside(o Outside) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: o.Name, Namespace: "outside", UID: "outside"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "site", Command: append([]string{"fairway"}, o.Args...)}}},
	}
	runner := kubelet.NewPod(m.machine, pod, []netip.Addr{o.Address}, func(corev1.PodStatus) {})
	m.tasks.Go(func() { _ = runner.Run(m.ctx) }) // logged by itself
	_, err := runner.Network(m.ctx)
	return err
}

// Dir holds the mesh's files: config (what the control plane reads), pods (logs),
// and the control plane's log.
func (m *Mesh) Dir() string { return m.state.dir }

// Close ends everything at once, and waits until it is gone.
func (m *Mesh) Close() error {
	var err error
	m.closed.Do(func() {
		m.cancel()
		m.relays.close()
		m.tasks.Wait()
		m.restarting.Lock()
		if m.control != nil {
			m.control.stop()
		}
		m.restarting.Unlock()
		if m.router != nil {
			m.router.Close()
		}
		err = m.state.close(m.config.KeepFiles)
	})
	return err
}

// kick wakes the reconcile loop. Called with mu held.
func (m *Mesh) kick() {
	m.kicks++
	select {
	case m.wake <- struct{}{}:
	default: // it will run anyway
	}
}

// announce tells waiters of a change. Called with mu held.
func (m *Mesh) announce() {
	close(m.change)
	m.change = make(chan struct{})
}

// waitFor waits until f, called with mu held, says that it is satisfied. The
// error says what was missing last.
func (m *Mesh) waitFor(ctx context.Context, f func() (missing string)) error {
	for {
		m.mu.Lock()
		missing, change := f(), m.change
		m.mu.Unlock()
		if missing == "" {
			return nil
		}
		select {
		case <-change:
		case <-time.After(100 * time.Millisecond): // for what is not an object
		case <-m.ctx.Done():
			return fmt.Errorf("the local mesh has ended while %s", missing)
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ctx.Err(), missing)
		}
	}
}
