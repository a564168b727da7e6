package soak

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/random"
)

// The mesh has so many of each, at any time. Some come and go under names that
// never return.
const (
	namespaces = 5
	services   = 40
	leastPods  = 6 // of a service
	mostPods   = 16
	passing    = 8 // Services and ServiceEntries each
	slots      = 30
)

// world writes the objects of a mesh to an API server.
type world struct {
	*testing.T
	client dynamic.Interface
	draw   *rand.Rand
	source *random.Source

	count  int                // of all that was ever named
	pods   [services][]string // names
	passed [2][]string        // names of Services and of ServiceEntries that will go
	random map[object.Ref]any // what the slots hold
	done   map[string]int     // changes, by what they are
}

func newWorld(t *testing.T, config *rest.Config, seed uint64) *world {
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{} // random objects earn many
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	words := random.DefaultWords()
	words.Namespaces = []string{"a", "b"}
	w := &world{T: t, client: client, draw: rand.New(rand.NewPCG(seed, 0)), random: map[object.Ref]any{}, done: map[string]int{}} //nolint:gosec // equal seeds, equal worlds
	w.source = &random.Source{Choices: random.NewChoices(seed, nil), Words: words}
	return w
}

// resources are where objects of a kind are.
var resources = map[object.Kind]schema.GroupVersionResource{
	object.KindNamespace:             {Version: "v1", Resource: "namespaces"},
	object.KindService:               {Version: "v1", Resource: "services"},
	object.KindPod:                   {Version: "v1", Resource: "pods"},
	object.KindSecret:                {Version: "v1", Resource: "secrets"},
	object.KindEndpointSlice:         {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	object.KindVirtualService:        {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	object.KindDestinationRule:       {Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
	object.KindGateway:               {Group: "networking.istio.io", Version: "v1", Resource: "gateways"},
	object.KindServiceEntry:          {Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
	object.KindWorkloadEntry:         {Group: "networking.istio.io", Version: "v1", Resource: "workloadentries"},
	object.KindSidecar:               {Group: "networking.istio.io", Version: "v1", Resource: "sidecars"},
	object.KindProxyConfig:           {Group: "networking.istio.io", Version: "v1beta1", Resource: "proxyconfigs"},
	object.KindPeerAuthentication:    {Group: "security.istio.io", Version: "v1", Resource: "peerauthentications"},
	object.KindRequestAuthentication: {Group: "security.istio.io", Version: "v1", Resource: "requestauthentications"},
	object.KindAuthorizationPolicy:   {Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"},
	object.KindTelemetry:             {Group: "telemetry.istio.io", Version: "v1", Resource: "telemetries"},
}

// randomKinds are those of which the slots hold objects. Pods and Services are
// the world's own.
var randomKinds = append([]object.Kind{object.KindSecret, object.KindEndpointSlice}, random.Kinds...)

func (w *world) resource(ref object.Ref) dynamic.ResourceInterface {
	r := w.client.Resource(resources[ref.Kind])
	if ref.Namespace == "" {
		return r
	}
	return r.Namespace(ref.Namespace)
}

// apply creates or replaces an object, with its status, and tells whether the API
// server took it. The control plane writes conditions of the same objects.
func (w *world) apply(ctx context.Context, ref object.Ref, body map[string]any) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error { return w.put(ctx, ref, body) })
}

func (w *world) put(ctx context.Context, ref object.Ref, body map[string]any) error {
	gvr := resources[ref.Kind]
	o := (&unstructured.Unstructured{Object: body}).DeepCopy()
	o.SetAPIVersion(gvr.GroupVersion().String())
	o.SetKind(string(ref.Kind))
	o.SetName(ref.Name)
	o.SetNamespace(ref.Namespace)
	status, has := body["status"]
	made, err := w.resource(ref).Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		was, err := w.resource(ref).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		o.SetResourceVersion(was.GetResourceVersion())
		if made, err = w.resource(ref).Update(ctx, o, metav1.UpdateOptions{}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if has {
		made.Object["status"] = status
		_, err = w.resource(ref).UpdateStatus(ctx, made, metav1.UpdateOptions{})
		return err
	}
	return nil
}

// must applies text that is good.
func (w *world) must(kind object.Kind, namespace, name, format string, a ...any) {
	w.Helper()
	var body map[string]any
	if err := yaml.Unmarshal(fmt.Appendf(nil, format, a...), &body); err != nil {
		w.Fatal(err)
	}
	ref := object.Ref{Kind: kind, Namespace: namespace, Name: name}
	if err := w.apply(w.Context(), ref, body); err != nil {
		w.Fatalf("%v: %v", ref, err)
	}
}

func (w *world) remove(kind object.Kind, namespace, name string) {
	w.Helper()
	now := int64(0)
	ref := object.Ref{Kind: kind, Namespace: namespace, Name: name}
	if err := w.resource(ref).Delete(w.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil && !apierrors.IsNotFound(err) {
		w.Fatalf("%v: %v", ref, err)
	}
}

func space(service int) string { return fmt.Sprint("ns-", service%namespaces) }
func named(service int) string { return fmt.Sprint("s-", service) }

// fill makes the mesh.
func (w *world) fill() {
	for _, n := range []string{"istio-system", "a", "b"} {
		w.must(object.KindNamespace, "", n, "{}")
	}
	for n := range namespaces {
		w.must(object.KindNamespace, "", space(n), "{}")
	}
	for s := range services {
		w.must(object.KindService, space(s), named(s), "spec: {selector: {app: %s}, ports: [{name: http, port: 8080}, {name: tcp-data, port: %d}]}", named(s), 9000+s)
		for range (leastPods + mostPods) / 2 {
			w.addPod(s)
		}
		w.subsets(s)
		w.route(s)
	}
	w.certificate()
	w.must(object.KindGateway, "ns-0", "front", "spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, hosts: ['*.example.com'], tls: {mode: SIMPLE, credentialName: front}}]}")
	for range passing {
		w.pass(0)
		w.pass(1)
	}
	for range slots {
		w.other()
	}
}

func (w *world) addPod(s int) {
	w.count++
	name := fmt.Sprintf("%s-%d", named(s), w.count)
	w.pods[s] = append(w.pods[s], name)
	w.move(s, name)
}

// move gives a Pod an address that was never used.
func (w *world) move(s int, name string) {
	w.count++
	ip := fmt.Sprintf("10.%d.%d.%d", 1+w.count>>16, w.count>>8&255, w.count&255)
	w.must(object.KindPod, space(s), name, `
metadata: {labels: {app: %s, version: v%d}}
spec: {nodeName: node-1, containers: [{name: a, image: a}]}
status: {phase: Running, podIP: %s, podIPs: [{ip: %s}], conditions: [{type: Ready, status: "True"}]}`, named(s), len(name)%2, ip, ip)
}

func (w *world) subsets(s int) {
	w.must(object.KindDestinationRule, space(s), named(s), "spec: {host: %s, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: %d}}}, subsets: [{name: v0, labels: {version: v0}}, {name: v1, labels: {version: v1}}]}", named(s), 1+w.draw.IntN(1<<20))
}

func (w *world) route(s int) {
	part := w.draw.IntN(101)
	w.must(object.KindVirtualService, space(s), named(s), `
spec:
  hosts: [%s, %s.example.com]
  gateways: [mesh, ns-0/front]
  http:
  - {match: [{headers: {x-draw: {exact: "%d"}}}], route: [{destination: {host: %s, subset: v1}}]}
  - {route: [{destination: {host: %s, subset: v0}, weight: %d}, {destination: {host: %s, subset: v1}, weight: %d}]}`,
		named(s), named(s), w.draw.IntN(1<<30), named(s), named(s), part, named(s), 100-part)
}

func (w *world) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"*.example.com"}, NotAfter: time.Now().Add(100 * time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, c, c, key.Public(), key)
	if err != nil {
		w.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.Fatal(err)
	}
	w.must(object.KindSecret, "ns-0", "front", "{type: kubernetes.io/tls, stringData: {tls.crt: %q, tls.key: %q}}",
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// pass makes a Service (0) or a ServiceEntry (1) that will not stay.
func (w *world) pass(what int) {
	w.count++
	name := fmt.Sprint("passing-", w.count)
	kind := object.KindService
	if what == 0 {
		w.must(kind, "ns-1", name, "spec: {selector: {app: %s}, ports: [{name: http, port: %d}]}", named(w.draw.IntN(services)), 10000+w.count%20000)
	} else {
		kind = object.KindServiceEntry
		w.must(kind, "ns-1", name, "spec: {hosts: [%s.example.org], resolution: DNS, ports: [{number: %d, name: tcp, protocol: TCP}]}", name, 10000+w.count%20000)
	}
	w.passed[what] = append(w.passed[what], name)
	if len(w.passed[what]) > passing {
		w.remove(kind, "ns-1", w.passed[what][0])
		w.passed[what] = w.passed[what][1:]
	}
}

// other puts a random object into a slot, or changes or removes the one there.
// The API server may refuse it.
func (w *world) other() {
	kind := randomKinds[w.draw.IntN(len(randomKinds))]
	c := w.source.Change(kind)
	was, there := w.random[c.Ref]
	switch {
	case there && w.draw.IntN(4) == 0, len(w.random) > slots && there:
		w.remove(c.Ref.Kind, c.Ref.Namespace, c.Ref.Name)
		delete(w.random, c.Ref)
		return
	case len(w.random) > slots:
		return
	case there:
		c = w.source.Other(mesh.Change{Ref: c.Ref, Object: was})
	}
	text, err := json.Marshal(c.Object)
	if err != nil {
		return // of texts that are no text
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		w.Fatal(err)
	}
	delete(body, "status")
	if err := w.apply(w.Context(), c.Ref, body); err != nil {
		if strings.Contains(err.Error(), "context") {
			w.Fatal(err)
		}
		w.done["refused by the API server"]++
		return
	}
	w.random[c.Ref] = c.Object
}

// change makes one random change.
func (w *world) change() {
	s := w.draw.IntN(services)
	what := "a pod has another address"
	switch d := w.draw.IntN(100); {
	case d < 40:
		w.move(s, w.pods[s][w.draw.IntN(len(w.pods[s]))])
	case d < 55:
		what = "a pod is another"
		switch i := w.draw.IntN(len(w.pods[s])); {
		case len(w.pods[s]) < mostPods && w.draw.IntN(2) == 0, len(w.pods[s]) <= leastPods:
			w.addPod(s)
		default:
			w.remove(object.KindPod, space(s), w.pods[s][i])
			w.pods[s] = append(w.pods[s][:i], w.pods[s][i+1:]...)
		}
	case d < 65:
		what = "a VirtualService"
		w.route(s)
	case d < 70:
		what = "a DestinationRule"
		w.subsets(s)
	case d < 75:
		what = "a Service goes and another comes"
		w.pass(0)
	case d < 80:
		what = "a ServiceEntry goes and another comes"
		w.pass(1)
	case d < 83:
		what = "a certificate"
		w.certificate()
	default:
		what = "a random object"
		w.other()
	}
	w.done[what]++
}
