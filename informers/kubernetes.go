package informers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// KubeConfig says what a Kubernetes source reads.
type KubeConfig struct {
	// REST is how the API server is reached.
	REST *rest.Config
	// RootNamespace is where the ConfigMap with the mesh configuration lies;
	// empty: istio-system.
	RootNamespace string
	// MeshConfig is a file with a MeshConfig; empty: none.
	MeshConfig string
	// StartWithout are kinds that Run does not wait for before it calls synced,
	// as "Telemetry.telemetry.istio.io". They are followed all the same.
	StartWithout []string
	// SecretsPatience is how long a Secret that the API server refuses (403) is
	// waited for before it counts as missing; 0: for ever.
	SecretsPatience time.Duration
	// Report hears what is wrong with objects; nil: nobody does.
	Report Report
	// Log takes what concerns the API server and not the objects; nil: slog's default.
	Log *slog.Logger
}

// Kubernetes is the source that follows the objects of an API server.
type Kubernetes struct {
	config     KubeConfig
	link       *Link
	metadata   metadata.Interface // of all kinds
	views      views
	codecs     runtime.NegotiatedSerializer
	parameters runtime.ParameterCodec
	out        *outbox
	troubles   *troubles
	wanted     *wanted
	expected   *expected
	excused    map[schema.GroupKind]bool
}

// NewKubernetes makes the source; it connects to nothing before Run.
func NewKubernetes(config KubeConfig) (*Kubernetes, error) {
	if config.REST == nil {
		return nil, errors.New("no way to reach an API server is given")
	}
	if config.RootNamespace == "" {
		config.RootNamespace = mesh.DefaultConfig().RootNamespace
	}
	if config.Report == nil {
		config.Report = func(string, []object.Finding) {}
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	excused, err := checkExcused(config.StartWithout)
	if err != nil {
		return nil, fmt.Errorf("--start-without: %w", err)
	}
	link, err := NewLink(config.REST, config.Log)
	if err != nil {
		return nil, err
	}
	config.REST = link.REST()
	config.REST.QPS = -1 // a handful of lists and watches, each with its own backoff
	objects, err := metadata.NewForConfig(config.REST)
	if err != nil {
		return nil, fmt.Errorf("making a client for the API server: %w", err)
	}
	codecs, parameters, err := newCodecs()
	if err != nil {
		return nil, err
	}
	k := &Kubernetes{config: config, link: link, metadata: objects, codecs: codecs, parameters: parameters, out: newOutbox(), expected: newExpected(), excused: excused}
	k.views.list = map[*reflection]struct{}{}
	k.troubles = newTroubles(k)
	k.wanted = newWanted(k)
	return k, nil
}

// Link is how the source reaches the API server. Run looks after it, for all that
// use it.
func (k *Kubernetes) Link() *Link { return k.link }

// Want says which Secrets (and ConfigMaps, for certificates of authorities) the
// mesh names. Only these are read, each by a watch of its own; those that are no
// longer named are forgotten. It may be called at any time.
func (k *Kubernetes) Want(objects []object.Ref) { k.wanted.set(objects) }

// Run follows the API server until the context ends, and calls synced once all
// that there is has been handed to the sink. While the API server does not
// answer, what was read stays in force. The error says that the source cannot
// be set up at all.
func (k *Kubernetes) Run(ctx context.Context, sink Sink, synced func()) error {
	mc, err := newMeshConfigFile(k.config.MeshConfig, k.config.Report)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()

	k.out.put(mc.look(true)...)
	parts.Go(func() { mc.follow(ctx, k.out) })
	parts.Go(func() { k.link.Run(ctx) })
	follower := newFollower(k)
	if err := follower.start(ctx); err != nil {
		return err
	}
	parts.Go(func() { follower.run(ctx) })
	parts.Go(func() { k.wanted.run(ctx) })
	k.out.run(ctx, sink, k.expected.complete, synced)
	return nil
}

// Missing is what has not been read yet: of what has to be before synced is
// called, and of what is wanted.
func (k *Kubernetes) Missing() []Awaited {
	return append(k.expected.missing(), k.wanted.missing()...)
}

// meshConfigEvery is how often the file of --mesh-config is looked at beside an
// API server. It is one call of stat.
const meshConfigEvery = time.Second

// follow puts each new version of the file into the outbox until the context ends.
func (m *meshConfigFile) follow(ctx context.Context, out *outbox) {
	if m.path == "" {
		return
	}
	look := time.NewTicker(meshConfigEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			out.put(m.look(false)...)
		}
	}
}
