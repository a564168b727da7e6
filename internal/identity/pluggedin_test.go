package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// company is a root with one or two intermediates, as a company would have.
type company struct {
	root, upper, lower *x509.Certificate
	rootKey, key       crypto.Signer
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func sign(t testing.TB, name string, parent *x509.Certificate, key, parentKey crypto.Signer, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(5 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if edit != nil {
		edit(c)
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ec(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newCompany(t testing.TB, key crypto.Signer) company {
	t.Helper()
	c := company{rootKey: ec(t), key: key}
	c.root = sign(t, "company root", nil, c.rootKey, nil, nil)
	upperKey := ec(t)
	c.upper = sign(t, "company upper", c.root, upperKey, c.rootKey, nil)
	c.lower = sign(t, "company mesh", c.upper, key, upperKey, nil)
	return c
}

// istio is the Secret cacerts in Istio's form.
func (c company) istio(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"ca-cert.pem":    encodeCertificates([]*x509.Certificate{c.lower}),
		"ca-key.pem":     keyPEM(t, c.key),
		"root-cert.pem":  encodeCertificates([]*x509.Certificate{c.root}),
		"cert-chain.pem": encodeCertificates([]*x509.Certificate{c.lower, c.upper, c.root}),
	}
}

// kubernetes is the same in the form of a Secret of type kubernetes.io/tls.
func (c company) kubernetes(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"tls.crt": encodeCertificates([]*x509.Certificate{c.lower, c.upper}),
		"tls.key": keyPEM(t, c.key),
		"ca.crt":  encodeCertificates([]*x509.Certificate{c.root}),
	}
}

// shelf is a place from which an authority can be plugged in.
type shelf struct {
	mu   sync.Mutex
	data map[string][]byte
	err  error
}

func (s *shelf) put(data map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = data
}

func (s *shelf) read(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, s.err
}

func TestPluggedInFromTheBeginning(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ECDSA": ec(t), "RSA": rsaKey} {
		c := newCompany(t, key)
		for form, data := range map[string]map[string][]byte{"istio": c.istio(t), "kubernetes": c.kubernetes(t)} {
			t.Run(name+" "+form, func(t *testing.T) {
				storage := &Memory{}
				a := open(t, Options{Storage: storage, PluggedIn: (&shelf{data: data}).read})
				cert := issue(t, a)
				mustVerify(t, cert, encodeCertificates([]*x509.Certificate{c.root}))
				if string(a.Bundle()) != string(encodeCertificates([]*x509.Certificate{c.root})) {
					t.Errorf("the bundle holds more than the company's root:\n%s", a.Bundle())
				}
				if n := strings.Count(string(cert.Chain), "BEGIN CERTIFICATE"); n != 3 {
					t.Errorf("%d certificates in the chain, want the leaf and two intermediates", n)
				}
				if entries, _, _ := storage.Load(t.Context()); entries != nil {
					t.Error("a self-signed root was made although nobody needs it")
				}
			})
		}
	}
}

func TestPluggedInRefused(t *testing.T) {
	c, other := newCompany(t, ec(t)), newCompany(t, ec(t))
	leafKey := ec(t)
	noCA := sign(t, "no authority", c.root, leafKey, c.rootKey, func(x *x509.Certificate) { x.IsCA = false })
	old := sign(t, "ended", c.root, leafKey, c.rootKey, func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) })
	narrow := sign(t, "narrow", nil, c.rootKey, nil, func(x *x509.Certificate) { x.MaxPathLenZero = true })
	narrowSub := sign(t, "below narrow", narrow, leafKey, c.rootKey, nil)
	one := func(x *x509.Certificate) []byte { return encodeCertificates([]*x509.Certificate{x}) }
	for name, row := range map[string]struct {
		change map[string][]byte
		want   string
	}{
		"no certificate":       {map[string][]byte{"ca-cert.pem": nil}, "ca-cert.pem"},
		"no key":               {map[string][]byte{"ca-key.pem": nil}, "ca-key.pem"},
		"no root":              {map[string][]byte{"root-cert.pem": nil}, "root-cert.pem"},
		"text as key":          {map[string][]byte{"ca-key.pem": []byte("secret words")}, "ca-key.pem"},
		"key cut short":        {map[string][]byte{"ca-key.pem": keyPEM(t, c.key)[:100]}, "ca-key.pem"},
		"certificate as key":   {map[string][]byte{"ca-key.pem": one(c.lower)}, "ca-key.pem"},
		"key of another":       {map[string][]byte{"ca-key.pem": keyPEM(t, other.key)}, "is not the key of"},
		"root of another":      {map[string][]byte{"root-cert.pem": one(other.root)}, "vouches"},
		"broken chain":         {map[string][]byte{"cert-chain.pem": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}, "cert-chain.pem"},
		"missing intermediate": {map[string][]byte{"cert-chain.pem": nil}, "vouches"},
		"no authority":         {map[string][]byte{"ca-cert.pem": one(noCA), "ca-key.pem": keyPEM(t, leafKey)}, "keyCertSign"},
		"ended":                {map[string][]byte{"ca-cert.pem": one(old), "ca-key.pem": keyPEM(t, leafKey)}, "expired"},
		"path too long":        {map[string][]byte{"ca-cert.pem": one(narrowSub), "ca-key.pem": keyPEM(t, leafKey), "root-cert.pem": one(narrow)}, "vouches"},
	} {
		t.Run(name, func(t *testing.T) {
			data := c.istio(t)
			maps.Copy(data, row.change)
			_, err := Open(t.Context(), Options{Storage: &Memory{}, Log: quiet(), PluggedIn: (&shelf{data: data}).read, PluggedInName: "Secret istio-system/cacerts"})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range []string{"Secret istio-system/cacerts", row.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secret words") {
				t.Errorf("%q quotes the key", err)
			}
		})
	}
}

func TestPluggedInBrokenKeepsLastGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCompany(t, ec(t))
		s := &shelf{data: c.istio(t)}
		a := open(t, Options{PluggedIn: s.read, PluggedInName: "Secret istio-system/cacerts"})
		go a.Run(ctx) //nolint:errcheck // returns nil
		broken := c.istio(t)
		broken["ca-key.pem"] = keyPEM(t, ec(t))
		s.put(broken)
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := a.Problem(); err == nil || !strings.Contains(err.Error(), "ca-key.pem is not the key of ca-cert.pem") {
			t.Errorf("reported: %v", err)
		}
		mustVerify(t, issue(t, a), encodeCertificates([]*x509.Certificate{c.root}))
		s.put(c.istio(t))
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := a.Problem(); err != nil {
			t.Errorf("mended, and yet: %v", err)
		}
		cancel()
		synctest.Wait()
	})
}

// TestPluggedInLater plugs an authority into a mesh that has a root already,
// replaces it by another, and takes it out, with two replicas and a restarted
// one at each step.
func TestPluggedInLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, storage := &shelf{}, &Memory{}
		o := Options{Storage: storage, PluggedIn: s.read, Poll: time.Minute, LeafLifetime: 3 * time.Hour}
		leader, replica := open(t, o), open(t, o)
		go leader.Run(ctx)      //nolint:errcheck // returns nil
		go leader.Maintain(ctx) //nolint:errcheck // returns nil
		go replica.Run(ctx)     //nolint:errcheck // returns nil
		first, second := newCompany(t, ec(t)), newCompany(t, ec(t))
		for _, step := range []struct {
			name  string
			data  map[string][]byte
			after string // whose root is alone in the end; empty: a new one
		}{
			{"plugged in", first.istio(t), fingerprint(first.root)},
			{"replaced", second.istio(t), fingerprint(second.root)},
			{"taken out", nil, ""},
		} {
			last := issue(t, replica)
			oldBundle := replica.Bundle()
			s.put(step.data)
			time.Sleep(4 * time.Minute) // for both loops of the leader and the replica's
			synctest.Wait()
			mustVerify(t, issue(t, replica), oldBundle)
			mustVerify(t, issue(t, leader), oldBundle)
			if step.name == "plugged in" { // else a restarted replica cannot have the former key
				mustVerify(t, issue(t, open(t, o)), oldBundle)
			}
			if step.data == nil {
				for _, a := range []*Authority{leader, replica} {
					if err := a.Problem(); err == nil || !strings.Contains(err.Error(), "fairway ca rotate") {
						t.Errorf("%s: %v", step.name, err)
					}
				}
				time.Sleep(30 * time.Hour) // it stays, until somebody says so
				synctest.Wait()
				last = issue(t, replica)
				mustVerify(t, last, oldBundle)
				if err := leader.RotateRoot(ctx); err != nil {
					t.Fatal(err)
				}
				time.Sleep(4 * time.Minute)
				synctest.Wait()
			}
			during := replica.Bundle()
			time.Sleep(70 * time.Minute)
			synctest.Wait()
			restarted := open(t, o)
			for _, a := range []*Authority{leader, replica, restarted} {
				mustVerify(t, issue(t, a), during)
				mustVerify(t, last, a.Bundle())
				if _, err := verify(t, issue(t, a).Chain, oldBundle, x509.ExtKeyUsageClientAuth); err == nil {
					t.Errorf("%s: the former authority still signs after the overlap", step.name)
				}
				if string(a.Bundle()) != string(leader.Bundle()) {
					t.Errorf("%s: replicas hand out different bundles", step.name)
				}
				if err := a.Problem(); err != nil {
					t.Errorf("%s: %v", step.name, err)
				}
			}
			time.Sleep(time.Until(last.NotAfter) - time.Minute)
			synctest.Wait()
			mustVerify(t, last, replica.Bundle())
			time.Sleep(12 * time.Hour)
			synctest.Wait()
			if r := replica.Roots(); len(r) != 1 || !r[0].Signing || step.after != "" && r[0].Fingerprint != step.after {
				t.Errorf("%s: in the end roots are %v", step.name, r)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// TestIntermediateNamedAsItsRoot has an intermediate whose subject is that of
// its issuer: not signed by its own key, it is no root.
func TestIntermediateNamedAsItsRoot(t *testing.T) {
	c := company{rootKey: ec(t), key: ec(t)}
	c.root = sign(t, "company", nil, c.rootKey, nil, nil)
	c.lower = sign(t, "company", c.root, c.key, c.rootKey, nil)
	c.upper = c.lower
	data := c.istio(t)
	data["cert-chain.pem"] = encodeCertificates([]*x509.Certificate{c.lower, c.root})
	a := open(t, Options{PluggedIn: (&shelf{data: data}).read})
	mustVerify(t, issue(t, a), encodeCertificates([]*x509.Certificate{c.root}))
}

// TestPluggedInGone deletes, empties and damages what is plugged in, also while
// the mesh's own root is still there.
func TestPluggedInGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCompany(t, ec(t))
		s, storage := &shelf{data: c.istio(t)}, &safe{}
		o := Options{Storage: storage, PluggedIn: s.read, PluggedInName: "Secret istio-system/cacerts"}
		a := open(t, o)
		go a.Run(ctx)      //nolint:errcheck // returns nil
		go a.Maintain(ctx) //nolint:errcheck // returns nil
		time.Sleep(time.Minute)
		bundle := a.Bundle()
		for name, data := range map[string]map[string][]byte{"deleted": nil, "emptied": {}, "without a root": {"ca-cert.pem": c.istio(t)["ca-cert.pem"]}} {
			s.put(data)
			for range 30 { // longer than anything is trusted that is not used
				time.Sleep(time.Hour)
				synctest.Wait()
				mustVerify(t, issue(t, a), bundle)
				if string(a.Bundle()) != string(bundle) {
					t.Fatalf("%s: the bundle has changed", name)
				}
			}
			if pluggedIn, _ := a.Problems(); pluggedIn == nil || !strings.Contains(pluggedIn.Error(), "cacerts") {
				t.Errorf("%s: %v", name, pluggedIn)
			}
			if _, err := Open(ctx, Options{Storage: storage, PluggedIn: s.read, Log: quiet()}); err == nil {
				t.Errorf("%s: a replica that starts signs with a root that nobody knows", name)
			}
			s.put(c.istio(t))
			time.Sleep(time.Minute)
			if err := a.Problem(); err != nil {
				t.Errorf("%s: mended, and yet: %v", name, err)
			}
		}
		cancel()
		synctest.Wait()
	})
}
