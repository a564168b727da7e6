package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

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

	world   func() *mesh.World                    // set before run
	renewed func([]snapshot.CertificateKey, bool) // set before run
}

func newIdentities(ctx context.Context, f serveFlags, s *source, log *slog.Logger) (*identities, error) {
	ids := &identities{namespace: f.namespace, log: log}
	o := identity.Options{Log: log}
	if s.client == nil {
		path, err := dataDirectory(f.caDirectory)
		if err != nil {
			return nil, err
		}
		o.Storage = &identity.Directory{Path: path}
	} else {
		plugged := &kube.Secret{Client: s.client, Namespace: f.namespace, Name: "cacerts"}
		o.Storage = &kube.Secret{Client: s.client, Namespace: f.namespace, Name: "fairway-ca-secret"}
		o.PluggedIn, o.PluggedInName = plugged.PluggedIn, plugged.String()
		ids.review = kube.Review(s.client)
	}
	var err error
	if ids.authority, err = identity.Open(ctx, o); err != nil {
		return nil, fmt.Errorf("opening the certificate authority: %w", err)
	}
	ids.source = identity.NewSource(ids.authority, identity.SourceOptions{Changed: ids.changed, Log: log})
	return ids, nil
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

// run follows the authority and replaces certificates in time.
func (ids *identities) run(ctx context.Context) error {
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

// transport is that of the secure port: TLS by the mesh's own authority, and
// proxies that prove who they are.
func (ids *identities) transport() (discovery.Transport, error) {
	server, err := ids.authority.ServerCertificate(serviceNames(ids.namespace)...)
	if err != nil {
		return discovery.Transport{}, fmt.Errorf("issuing the certificate of the secure xDS port: %w", err)
	}
	o := identity.AuthenticatorOptions{Review: ids.review, TrustDomain: ids.trustDomain, Log: ids.log}
	if ids.review == nil {
		o.Authority = ids.authority
	}
	authenticator, err := identity.NewAuthenticator(o)
	if err != nil {
		return discovery.Transport{}, err
	}
	return discovery.Transport{TLS: server.TLS(), Authenticate: func(ctx context.Context) (snapshot.Identity, error) {
		p, err := authenticator.Authenticate(ctx)
		if err != nil {
			return snapshot.Identity{}, err
		}
		return snapshot.Identity{TrustDomain: p.TrustDomain, Namespace: p.Namespace, ServiceAccount: p.ServiceAccount, Pod: p.Pod, PodUID: p.PodUID}, nil
	}}, nil
}
