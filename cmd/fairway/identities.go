package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/internal/identity"
	"github.com/fairway-mesh/fairway/internal/identity/kube"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/snapshot"
)

// identities are the certificates of the mesh: who signs, who holds, who is
// believed.
type identities struct {
	authority *identity.Authority
	source    *identity.Source
	review    identity.ReviewFunc // nil without Kubernetes
	namespace string
	log       *slog.Logger
	opening   opening
	told      *telling

	world   func() *mesh.World                    // set before run
	renewed func([]snapshot.CertificateKey, bool) // set before run
}

// newIdentities makes the mesh's authority. Where it lies in the cluster it is
// opened by run, which waits for the API server; else it is open.
func newIdentities(ctx context.Context, f serveFlags, s *source, log *slog.Logger) (*identities, error) {
	ids := &identities{namespace: f.namespace, log: log, opening: newOpening(), told: &telling{log: log}}
	if f.certificateLifetime < minCertificateLifetime {
		return nil, fmt.Errorf("--certificate-lifetime %s: must be at least %s", f.certificateLifetime, minCertificateLifetime)
	}
	o := identity.Options{Log: log, LeafLifetime: f.certificateLifetime}
	if s.client == nil {
		path, err := dataDirectory(f.caDirectory)
		if err != nil {
			return nil, err
		}
		o.Storage = &identity.Directory{Path: path}
	} else {
		keepIn(&o, s.client, f.namespace)
		// Proxies that all connect anew do not share the rate of what else is asked.
		config := rest.CopyConfig(s.rest)
		config.QPS = -1
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, fmt.Errorf("making a client for token reviews: %w", err)
		}
		ids.review = kube.Review(client)
	}
	var err error
	if ids.authority, err = identity.New(o); err != nil {
		return nil, err
	}
	if s.client == nil {
		if err := ids.open(ctx); err != nil {
			return nil, err
		}
	}
	ids.source = identity.NewSource(ids.authority, identity.SourceOptions{Changed: ids.changed, Log: log})
	return ids, nil
}

// minCertificateLifetime leaves proxies the time to fetch the next one.
const minCertificateLifetime = 30 * time.Second

// keepIn has the authority of a cluster in the Secrets of the control plane's
// namespace.
func keepIn(o *identity.Options, client kubernetes.Interface, namespace string) {
	plugged := &kube.Secret{Client: client, Namespace: namespace, Name: kube.PluggedInSecret}
	o.Storage = &kube.Secret{Client: client, Namespace: namespace, Name: kube.AuthoritySecret}
	o.PluggedIn, o.PluggedInName = plugged.PluggedIn, plugged.String()
	o.Told = kube.Told(client, namespace)
}

func (ids *identities) changed(c identity.Change) {
	keys := make([]snapshot.CertificateKey, 0, len(c.Workloads))
	for _, w := range c.Workloads {
		keys = append(keys, keyOf(w))
	}
	ids.renewed(keys, c.Bundle)
}

func keyOf(w identity.Workload) snapshot.CertificateKey {
	return snapshot.CertificateKey{TrustDomain: w.ID.TrustDomain, Namespace: w.ID.Namespace, ServiceAccount: w.ID.ServiceAccount, Workload: w.Name, App: w.App, Revision: w.Revision}
}

func workloadOf(k snapshot.CertificateKey) identity.Workload {
	return identity.Workload{ID: identity.ID{TrustDomain: k.TrustDomain, Namespace: k.Namespace, ServiceAccount: k.ServiceAccount}, Name: k.Workload, App: k.App, Revision: k.Revision}
}

// certificates hands the authority's work to the engine.
func (ids *identities) certificates() *snapshot.Certificates {
	return &snapshot.Certificates{
		Acquire: func(k snapshot.CertificateKey) (func(), error) {
			_, release, err := ids.source.Acquire(workloadOf(k))
			return release, err
		},
		Current: func(k snapshot.CertificateKey) (chain, key, roots []byte, err error) {
			c := ids.source.Current(workloadOf(k))
			if c == nil {
				return nil, nil, nil, errors.New("nobody has acquired it")
			}
			chain, key = c.SecretPEM()
			return chain, key, ids.authority.Bundle(), nil
		},
	}
}

// run opens the authority, follows it and replaces certificates in time.
func (ids *identities) run(ctx context.Context) error {
	if !ids.openAtLast(ctx) {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ids.authority.Run(ctx) })
	g.Go(func() error { return ids.source.Run(ctx) })
	return g.Wait()
}

func (ids *identities) trustDomain() string {
	if w := ids.world(); w != nil {
		return w.Config.TrustDomain
	}
	return mesh.DefaultConfig().TrustDomain
}

// gone says whether the world has no such pod: it was deleted, or is newer.
func (ids *identities) gone(namespace, pod, uid string) bool {
	w := ids.world()
	if w == nil {
		return false
	}
	x := w.Workload(namespace, pod)
	return x == nil || x.UID != uid
}

// transport is that of the secure port: TLS by the mesh's own authority, and
// proxies that prove who they are.
func (ids *identities) transport() (discovery.Transport, error) {
	o := identity.AuthenticatorOptions{Review: ids.review, TrustDomain: ids.trustDomain, Gone: ids.gone, Log: ids.log}
	if ids.review == nil {
		o.Authority = ids.authority
	}
	authenticator, err := identity.NewAuthenticator(o)
	if err != nil {
		return discovery.Transport{}, err
	}
	return discovery.Transport{TLS: identity.TLS(ids.certificate), Authenticate: func(ctx context.Context) (snapshot.Identity, error) {
		p, err := authenticator.Authenticate(ctx)
		if err != nil {
			return snapshot.Identity{}, err
		}
		return snapshot.Identity{TrustDomain: p.TrustDomain, Namespace: p.Namespace, ServiceAccount: p.ServiceAccount, Pod: p.Pod, PodUID: p.PodUID, Expires: p.Expires}, nil
	}}, nil
}
