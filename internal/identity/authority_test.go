package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var app = Workload{
	ID:   ID{"cluster.local", "default", "flaskapp"},
	Name: "flaskapp-v1", App: "flaskapp", Revision: "v1",
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func open(t *testing.T, o Options) *Authority {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet()
	}
	if o.Storage == nil {
		o.Storage = &Memory{}
	}
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *Authority) *Certificate {
	t.Helper()
	c, err := a.Issue(app)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verify checks a chain as a peer that trusts the bundle does.
func verify(t *testing.T, chain, bundle []byte, usage x509.ExtKeyUsage) (*x509.Certificate, error) {
	t.Helper()
	certs, err := parseCertificates(chain)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		t.Fatalf("no root in the bundle %q", bundle)
	}
	_, err = certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool(certs[1:]), KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: time.Now()})
	return certs[0], err
}

func mustVerify(t *testing.T, c *Certificate, bundle []byte) *x509.Certificate {
	t.Helper()
	leaf, err := verify(t, c.Chain, bundle, x509.ExtKeyUsageClientAuth)
	if err == nil {
		_, err = verify(t, c.Chain, bundle, x509.ExtKeyUsageServerAuth)
	}
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	return leaf
}

func TestIssue(t *testing.T) {
	a := open(t, Options{})
	c := issue(t, a)
	leaf := mustVerify(t, c, a.Bundle())
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://cluster.local/ns/default/sa/flaskapp" {
		t.Errorf("URI SANs %v", leaf.URIs)
	}
	if n := len(leaf.DNSNames) + len(leaf.IPAddresses) + len(leaf.EmailAddresses); n != 0 {
		t.Errorf("%d further names, want none", n)
	}
	// The order in which Envoy prints it, RFC 2253.
	if got := leaf.Subject.String(); got != "CN=flaskapp,OU=v1,O=flaskapp-v1" {
		t.Errorf("Subject %s", got)
	}
	if leaf.IsCA || leaf.PublicKeyAlgorithm != x509.ECDSA {
		t.Errorf("IsCA %v, algorithm %v", leaf.IsCA, leaf.PublicKeyAlgorithm)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life != 24*time.Hour+backdate {
		t.Errorf("it lasts %s", life)
	}
	if left := time.Until(c.RotateAt); left < 10*time.Hour || left > 14*time.Hour {
		t.Errorf("rotates in %s, want about 12h", left)
	}
	other := issue(t, a)
	if string(other.Key.PEM()) == string(c.Key.PEM()) {
		t.Error("two certificates share a key")
	}
	if l := mustVerify(t, other, a.Bundle()); l.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
		t.Error("two certificates share a serial number")
	}
}

func TestIssueRefuses(t *testing.T) {
	a := open(t, Options{})
	for name, w := range map[string]Workload{
		"no namespace":        {ID: ID{"cluster.local", "", "a"}},
		"no account":          {ID: ID{"cluster.local", "a", ""}},
		"slash in namespace":  {ID: ID{"cluster.local", "a/sa/b", "c"}},
		"dots as account":     {ID: ID{"cluster.local", "a", ".."}},
		"query in account":    {ID: ID{"cluster.local", "a", "b?c"}},
		"trust domain":        {ID: ID{"Cluster.Local", "a", "b"}},
		"user in trustdomain": {ID: ID{"u@cluster.local", "a", "b"}},
		"comma in name":       {ID: app.ID, Name: "a,O=b"},
		"equals in app":       {ID: app.ID, App: "O=b"},
		"space in revision":   {ID: app.ID, Revision: "v 1"},
	} {
		if c, err := a.Issue(w); err == nil {
			t.Errorf("%s: issued %v", name, c)
		}
	}
}

func TestReplicasShareOneRoot(t *testing.T) {
	for _, storage := range []Storage{&Memory{}, &Directory{Path: t.TempDir()}} {
		const replicas = 8
		bundles := make(chan string, replicas)
		for range replicas {
			go func() {
				a, err := Open(context.Background(), Options{Storage: storage, Log: quiet()})
				if err != nil {
					bundles <- err.Error()
					return
				}
				bundles <- string(a.Bundle())
			}()
		}
		first := <-bundles
		if !strings.HasPrefix(first, "-----BEGIN CERTIFICATE-----") {
			t.Fatalf("%T: %s", storage, first)
		}
		for range replicas - 1 {
			if b := <-bundles; b != first {
				t.Errorf("%T: replicas differ:\n%s\n%s", storage, first, b)
			}
		}
	}
}

func TestRootSurvivesRestart(t *testing.T) {
	dir := &Directory{Path: t.TempDir()}
	c := issue(t, open(t, Options{Storage: dir}))
	a := open(t, Options{Storage: &Directory{Path: dir.Path}})
	mustVerify(t, c, a.Bundle())
	mustVerify(t, issue(t, a), a.Bundle())
}

func TestDirectoryConflict(t *testing.T) {
	ctx := t.Context()
	for _, s := range []Storage{&Memory{}, &Directory{Path: t.TempDir()}} {
		one := map[string][]byte{"a": []byte("1")}
		if err := s.Save(ctx, one, "stale"); !errors.Is(err, ErrConflict) {
			t.Errorf("%T: update of nothing: %v", s, err)
		}
		if err := s.Save(ctx, one, ""); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(ctx, one, ""); !errors.Is(err, ErrConflict) {
			t.Errorf("%T: second creation: %v", s, err)
		}
		_, v, err := s.Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Save(ctx, map[string][]byte{"a": []byte("2")}, v); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(ctx, one, v); !errors.Is(err, ErrConflict) {
			t.Errorf("%T: stale update: %v", s, err)
		}
		if got, _, err := s.Load(ctx); err != nil || string(got["a"]) != "2" {
			t.Errorf("%T: holds %q, %v", s, got, err)
		}
	}
}

// TestRootRotation follows one succession of roots and, at each step, checks
// that whoever is connected trusts whoever may speak.
func TestRootRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage := &Memory{}
		leader, replica := open(t, Options{Storage: storage}), open(t, Options{Storage: storage})
		go leader.Run(ctx)      //nolint:errcheck // returns nil
		go leader.Maintain(ctx) //nolint:errcheck // returns nil
		go replica.Run(ctx)     //nolint:errcheck // returns nil
		synctest.Wait()
		before := issue(t, replica)
		oldBundle := replica.Bundle()

		if err := leader.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(replica.Roots()); n != 2 {
			t.Fatalf("%d roots after the rotation began, want both", n)
		}
		if string(leader.Bundle()) != string(replica.Bundle()) {
			t.Error("replicas hand out different bundles")
		}
		during := issue(t, replica)
		mustVerify(t, during, oldBundle) // not signed by the new root yet
		if err := leader.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(replica.Roots()); n != 2 {
			t.Fatalf("%d roots after asking twice", n)
		}

		time.Sleep(time.Hour)
		synctest.Wait()
		after := issue(t, replica)
		if _, err := verify(t, after.Chain, oldBundle, x509.ExtKeyUsageClientAuth); err == nil {
			t.Error("the new root does not sign after the overlap")
		}
		for _, c := range []*Certificate{before, during, after} {
			mustVerify(t, c, replica.Bundle())
		}

		time.Sleep(27 * time.Hour)
		synctest.Wait()
		if n := len(replica.Roots()); n != 1 {
			t.Errorf("%d roots when nothing under the old one is valid any more", n)
		}
		mustVerify(t, issue(t, replica), replica.Bundle())
		cancel()
		synctest.Wait()
	})
}

// TestRootIsSucceededInTime lets ten years pass.
func TestRootIsSucceededInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := open(t, Options{Poll: 3 * 24 * time.Hour, Overlap: 30 * 24 * time.Hour})
		go a.Run(ctx)      //nolint:errcheck // returns nil
		go a.Maintain(ctx) //nolint:errcheck // returns nil
		first := a.Roots()[0].Fingerprint
		for range 11 * 12 {
			time.Sleep(30 * 24 * time.Hour)
			synctest.Wait()
			mustVerify(t, issue(t, a), a.Bundle())
			if r := a.Roots(); len(r) > 2 {
				t.Fatalf("%d roots", len(r))
			}
		}
		if a.Roots()[0].Fingerprint == first {
			t.Error("the first root is still there")
		}
		cancel()
		synctest.Wait()
	})
}

func TestOpenRefuses(t *testing.T) {
	broken := &Memory{}
	a := open(t, Options{Storage: broken})
	good := issue(t, a)
	entries, v, _ := broken.Load(t.Context())
	entries[entryKey] = good.Key.PEM()
	if err := broken.Save(t.Context(), entries, v); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"a root that ends too soon": {Storage: &Memory{}, RootLifetime: time.Hour},
		"a key of another root":     {Storage: broken},
	} {
		o.Log = quiet()
		_, err := Open(t.Context(), o)
		if err == nil {
			t.Errorf("%s: opened", name)
		} else if strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The replica that runs goes on.
	if _, err := a.reload(t.Context()); err == nil {
		t.Error("a broken keyring is not reported")
	}
	mustVerify(t, issue(t, a), a.Bundle())
}
