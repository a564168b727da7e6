package snapshot

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate"
)

// CertificateKey is whom a certificate is for.
type CertificateKey struct {
	TrustDomain    string
	Namespace      string
	ServiceAccount string
	// What the metrics of its peers call the workload.
	Workload, App, Revision string
}

// Certificates is where the certificates of workloads come from.
type Certificates struct {
	// Acquire makes the certificate exist and keeps it fresh until release is
	// called.
	Acquire func(CertificateKey) (release func(), err error)
	// Current is the certificate that Acquire made exist, as PEM, with the
	// roots that verify its peers.
	Current func(CertificateKey) (chain, key, roots []byte, err error)
}

// secretLayer is the secrets of one identity.
type secretLayer struct {
	key      CertificateKey
	revision atomic.Pointer[Revision]
	release  func()
	users    int
}

// secretLayers are the identities of connected proxies.
type secretLayers struct {
	log    *slog.Logger
	source *Certificates // nil: there are none

	mu     sync.Mutex // guards what follows; held while a certificate is signed
	layers map[CertificateKey]*secretLayer
	roots  *Resource                   // the latest, which all identities share
	failed map[CertificateKey]struct{} // those that could not be had when last asked for
}

func newSecretLayers(log *slog.Logger, source *Certificates) *secretLayers {
	return &secretLayers{log: log, source: source, layers: map[CertificateKey]*secretLayer{}, failed: map[CertificateKey]struct{}{}}
}

// enter is the layer of the workload's identity, signed before it returns so
// that a proxy never waits for its certificate; nil when there is none.
func (s *secretLayers) enter(w *mesh.World, x *registry.Workload) *secretLayer {
	if s.source == nil {
		return nil
	}
	key := keyOfWorkload(w, x)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.layers[key]
	if l == nil {
		release, err := s.source.Acquire(key)
		if err != nil {
			if _, again := s.failed[key]; !again {
				s.log.Error("signing for a workload failed; trying again", "namespace", key.Namespace, "serviceAccount", key.ServiceAccount, "err", err)
				s.fail(key)
			}
			return nil
		}
		delete(s.failed, key)
		l = &secretLayer{key: key, release: release}
		s.layers[key] = l
		s.refresh(l)
	}
	l.users++
	return l
}

// mostFailed bounds what is remembered of certificates that could not be had.
const mostFailed = 1000

func (s *secretLayers) fail(key CertificateKey) {
	if len(s.failed) >= mostFailed {
		clear(s.failed)
	}
	s.failed[key] = struct{}{}
}

// keyOfWorkload is whom the certificate of a workload is for.
func keyOfWorkload(w *mesh.World, x *registry.Workload) CertificateKey {
	return CertificateKey{w.Config.TrustDomain, x.Namespace, x.ServiceAccount, x.Owner, x.CanonicalName(), x.CanonicalRevision()}
}

func (s *secretLayers) leave(l *secretLayer) {
	if l == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(s.layers, l.key)
		l.release()
	}
}

// refresh reads the certificate again. What fails keeps the last good one.
func (s *secretLayers) refresh(l *secretLayer) {
	chain, key, roots, err := s.source.Current(l.key)
	if err != nil {
		s.log.Error("a workload keeps its last certificate", "namespace", l.key.Namespace, "serviceAccount", l.key.ServiceAccount, "err", err)
		return
	}
	own := &workloadSecret{chain, key}
	var put []*Resource
	if r := s.rootsOf(roots); r != nil {
		put = append(put, r)
	}
	if r := own.resource(); r != nil {
		put = append(put, r.without(own)) // its source keeps chain and key, and the proxy gets them once
	}
	l.revision.Store(l.revision.Load().With(put))
}

// workloadSecret is the certificate of a workload, as a source.
type workloadSecret struct{ chain, key []byte }

// resource implements source.
func (s *workloadSecret) resource() *Resource {
	r, _ := encode(Secret, translate.WorkloadSecretName, translate.WorkloadSecret(s.chain, s.key))
	return r
}

// rootsOf is the secret of the roots, one for all identities.
func (s *secretLayers) rootsOf(roots []byte) *Resource {
	r, _ := encode(Secret, translate.RootSecretName, translate.RootSecret(roots))
	if r != nil && !r.Same(s.roots) {
		s.roots = r
	}
	return s.roots
}

// Renew reads the certificates of the keys again, all of them when the roots
// changed, and publishes them.
func (e *Engine) Renew(keys []CertificateKey, roots bool) {
	e.secrets.renew(keys, roots)
	e.mu.Lock()
	defer e.mu.Unlock()
	for a := range e.proxies {
		a.view.Publish(e.stack(a))
	}
}

func (s *secretLayers) renew(keys []CertificateKey, roots bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if roots {
		for _, l := range s.layers {
			s.refresh(l)
		}
	}
	for _, k := range keys {
		if l := s.layers[k]; l != nil {
			s.refresh(l)
		}
	}
}
