package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/faults"
)

// selfSigned is a certificate for a host, and its key.
func selfSigned(t *testing.T, host string) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// soon is how long what should take a moment may take on a machine that is busy.
const soon = 15 * time.Second

// settled are a sidecar and a gateway that hold all that the shop has for them.
func settled(t *testing.T, config *rest.Config) (sidecar, gateway *follower) {
	t.Helper()
	p := newPlane(t, config)
	p.start()
	p.await("ready", soon, p.ready)
	sidecar, gateway = follow(t, p, sidecarNode, nil), follow(t, p, gatewayNode, nil)
	steady := quiet(sidecar, gateway)
	p.await("both proxies have all", soon, func() bool { return steady() && complete(sidecar, gateway) })
	sidecar.end()
	gateway.end()
	p.kill()
	return sidecar, gateway
}

// quiet tells, from its second call on, whether proxies were told nothing for a second: one
// that is stopped in the middle of what it is told goes on otherwise than one that has all.
func quiet(proxies ...*follower) func() bool {
	heard, since := -1, time.Now()
	return func() bool {
		sum := 0
		for _, f := range proxies {
			sum += f.heard()
		}
		if sum != heard {
			heard, since = sum, time.Now()
		}
		return time.Since(since) > time.Second
	}
}

// complete tells whether the proxies hold what the shop has for them.
func complete(sidecar, gateway *follower) bool {
	s, g := sidecar.holds(), gateway.holds()
	_, subset := s[snapshot.Cluster]["outbound|8080|v1|web.shop.svc.cluster.local"]
	_, endpoints := s[snapshot.Endpoint]["outbound|8080|v1|web.shop.svc.cluster.local"]
	return subset && endpoints && len(s[snapshot.RouteConfig]) > 0 && len(g[snapshot.Listener]) > 0 && len(g[snapshot.RouteConfig]) > 0
}

// equalFresh waits until the proxies hold what new ones get, resource by resource.
func equalFresh(t *testing.T, p *plane, sidecar, gateway *follower) {
	t.Helper()
	s, g := follow(t, p, sidecarNode, nil), follow(t, p, gatewayNode, nil)
	defer s.end()
	defer g.end()
	p.await("proxies hold what new ones get", soon, func() bool {
		return complete(s, g) && same(s.holds(), sidecar.holds()) && same(g.holds(), gateway.holds())
	})
}

// TestStartWaits starts control planes from which something is kept that the mesh
// names. Each says what is missing, tells proxies nothing, and goes on as soon
// as it comes. The control planes run side by side, since all of them wait.
func TestStartWaits(t *testing.T) {
	t.Parallel()
	s := sharedWorld(t)
	wasSidecar, wasGateway := settled(t, s.REST)
	const secrets = "/api/v1/namespaces/shop/secrets"
	type start struct {
		name    string
		fault   faults.Fault
		missing string
		plane   *plane
		link    *faults.Proxy
		proxies [2]*follower
	}
	starts := []*start{
		{name: "a group not served yet", fault: faults.Fault{Missing: "networking.istio.io"}, missing: "VirtualService.networking.istio.io"},
		{name: "a kind refused", fault: faults.Fault{Resource: "virtualservices", Status: 403}, missing: "VirtualService.networking.istio.io"},
		{name: "a kind at 429", fault: faults.Fault{Resource: "destinationrules", Status: 429, RetryAfter: 3600}, missing: "DestinationRule.networking.istio.io"},
		{name: "a kind at 500", fault: faults.Fault{Resource: "gateways", Status: 500}, missing: "Gateway.networking.istio.io"},
		{name: "Pods at 503", fault: faults.Fault{Resource: "pods", Status: 503}, missing: "Pod"},
		{name: "a list broken off", fault: faults.Fault{Resource: "virtualservices", CutAfter: 100}, missing: "VirtualService.networking.istio.io"},
		{name: "a list cut short", fault: faults.Fault{Resource: "virtualservices", Truncate: 100}, missing: "VirtualService.networking.istio.io"},
		{name: "the mesh configuration hangs", fault: faults.Fault{Path: "/api/v1/namespaces/istio-system/configmaps", Hang: true}, missing: "ConfigMap"},
		{name: "Secrets hang", fault: faults.Fault{Path: secrets, Hang: true}, missing: "Secret shop/certificate"},
		{name: "Secrets at 429", fault: faults.Fault{Path: secrets, Status: 429, RetryAfter: 3600}, missing: "Secret shop/certificate"},
		{name: "Secrets at 500", fault: faults.Fault{Path: secrets, Status: 500}, missing: "Secret shop/certificate"},
		{name: "Secrets refused", fault: faults.Fault{Path: secrets, Status: 403}, missing: "Secret shop/certificate"},
	}
	for _, x := range starts {
		link, err := faults.Start(s.REST)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(link.Close)
		link.Set(x.fault)
		x.link, x.plane = link, newPlane(t, link.REST())
		x.plane.start()
		x.proxies = [2]*follower{follow(t, x.plane, sidecarNode, wasSidecar), follow(t, x.plane, gatewayNode, wasGateway)}
	}
	for _, x := range starts {
		x.plane.await(x.name+": it says that this is missing", soon, func() bool {
			code, body := x.plane.page("/readyz")
			return code == http.StatusServiceUnavailable && strings.Contains(body, x.missing+": for ")
		})
	}
	late := 7 * time.Second // longer than any start has waited before it went on without
	if faults.Long() {
		late = 15 * time.Second
	}
	time.Sleep(late)
	for _, x := range starts {
		if code, body := x.plane.page("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, x.missing+": for ") {
			t.Errorf("%s: /readyz says %d %s", x.name, code, body)
		}
		if !x.plane.healthy() {
			t.Errorf("%s: not healthy", x.name)
		}
		for _, f := range x.proxies {
			if n := f.heard(); n != 0 {
				t.Errorf("%s: %s was told %d things", x.name, f.options.NodeID, n)
			}
		}
		x.link.Set()
		t.Logf("%s: ready %s after it has come", x.name, x.plane.await(x.name+": ready", soon, x.plane.ready).Round(time.Millisecond))
		equalFresh(t, x.plane, x.proxies[0], x.proxies[1])
		for _, f := range x.proxies {
			f.undisturbed(t, x.name)
			f.end()
		}
		x.plane.kill()
	}
}

// TestStartWithoutAPIServer starts control planes while there is no API server:
// their ports are open and they stay, and they are ready soon after it answers.
func TestStartWithoutAPIServer(t *testing.T) {
	t.Parallel()
	s := sharedWorld(t)
	wasSidecar, wasGateway := settled(t, s.REST)
	for name, c := range map[string]struct{ state, back faults.State }{
		"it hangs": {faults.Hangs, faults.Passes}, "it hangs and is reset": {faults.Hangs, faults.Resets}, "it refuses connections": {faults.Cut, faults.Passes},
	} {
		t.Run(name, func(t *testing.T) {
			link, err := faults.Start(s.REST)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(link.Close)
			link.Link(c.state)
			p := newPlane(t, link.REST())
			p.start()
			p.await("healthy", soon, p.healthy)
			for _, address := range []string{p.xds, p.secure} {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
			}
			sidecar, gateway := follow(t, p, sidecarNode, wasSidecar), follow(t, p, gatewayNode, wasGateway)
			time.Sleep(3 * time.Second)
			if code, body := p.page("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "Pod: for ") {
				t.Errorf("/readyz says %d %s", code, body)
			}
			if !p.healthy() || sidecar.heard()+gateway.heard() > 0 {
				t.Errorf("healthy: %v; proxies were told %d things", p.healthy(), sidecar.heard()+gateway.heard())
			}
			link.Link(c.back)
			t.Logf("ready %s after it answers", p.await("ready", soon, p.ready).Round(time.Millisecond))
			equalFresh(t, p, sidecar, gateway)
			sidecar.undisturbed(t, name)
			gateway.undisturbed(t, name)
			if strings.Count(p.said.String(), "msg=serving") != 1 {
				t.Errorf("it has been started anew:\n%s", p.said.String())
			}
		})
	}
}

// TestStartsWithoutKindsThatDoNotExist removes the definition of a kind. Nothing
// waits for it.
func TestStartsWithoutKindsThatDoNotExist(t *testing.T) {
	t.Parallel()
	s := newWorld(t)
	removeDefinition(t, s.REST, "telemetries.telemetry.istio.io")
	p := newPlane(t, s.REST)
	p.start()
	p.await("ready", soon, p.ready)
}

// TestRestartsRemoveNothing restarts a control plane at random moments, also
// before it is up, gently or not. Proxies that come back hear nothing, since
// nothing has changed.
func TestRestartsRemoveNothing(t *testing.T) {
	t.Parallel()
	s := sharedWorld(t)
	restarts := 15
	if faults.Long() {
		restarts = 50
	}
	lot := seeded(t)
	p := newPlane(t, s.REST)
	p.start()
	p.await("ready", soon, p.ready)
	sidecar, gateway := follow(t, p, sidecarNode, nil), follow(t, p, gatewayNode, nil)
	steady := quiet(sidecar, gateway)
	p.await("both proxies have all", soon, func() bool { return steady() && complete(sidecar, gateway) })
	sidecar.observe()
	gateway.observe()
	for i := range restarts {
		if i%2 == 0 { // else whenever it is
			p.await("ready", soon, p.ready)
		}
		time.Sleep(time.Duration(lot.Int64N(int64(time.Second))))
		if lot.IntN(2) == 0 {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-p.gone:
			case <-time.After(time.Duration(lot.Int64N(int64(time.Second)))):
			}
		}
		p.kill()
		p.start()
	}
	p.await("ready", soon, p.ready)
	equalFresh(t, p, sidecar, gateway)
	sidecar.undisturbed(t, fmt.Sprintf("%d restarts", restarts))
	gateway.undisturbed(t, fmt.Sprintf("%d restarts", restarts))
}

// TestTenantsDoNotHoldUpStarts has objects of one namespace name Secrets that
// there are not, many of them, and some that the control plane may not read.
func TestTenantsDoNotHoldUpStarts(t *testing.T) {
	t.Parallel()
	s := newWorld(t)
	wasSidecar, wasGateway := settled(t, s.REST)
	create(t, s.REST, "apiVersion: v1\nkind: Namespace\nmetadata: {name: tenant}\n")
	create(t, s.REST, strings.NewReplacer("shop", "tenant", "ingressgateway", "theirs", "10.10.0.9", "10.10.0.8").Replace(gate))
	var servers []string
	for i := range 500 {
		servers = append(servers, fmt.Sprintf("{port: {number: %d, name: p%d, protocol: HTTPS}, hosts: [h%d.example.com], tls: {mode: SIMPLE, credentialName: missing-%d}}", 20000+i, i, i, i))
	}
	create(t, s.REST, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: many, namespace: tenant}\nspec: {selector: {istio: theirs}, servers: ["+strings.Join(servers, ", ")+"]}\n")
	for name, c := range map[string]struct {
		fault  faults.Fault
		within time.Duration
	}{
		"500 that do not exist": {within: soon},
		"500 that are refused":  {faults.Fault{Path: "/api/v1/namespaces/tenant/secrets", Status: 403}, refusedWait + soon},
	} {
		t.Run(name, func(t *testing.T) {
			link, err := faults.Start(s.REST)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(link.Close)
			if c.fault.Status != 0 {
				link.Set(c.fault)
			}
			p := newPlane(t, link.REST())
			p.start()
			sidecar, gateway := follow(t, p, sidecarNode, wasSidecar), follow(t, p, gatewayNode, wasGateway)
			t.Logf("ready after %s", p.await("ready", c.within, p.ready).Round(time.Millisecond))
			equalFresh(t, p, sidecar, gateway)
			sidecar.undisturbed(t, name)
			gateway.undisturbed(t, name)
		})
	}
}
