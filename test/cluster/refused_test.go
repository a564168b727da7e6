package cluster_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	secretType  = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// podsManifest are two that only lend their identities.
const podsManifest = `apiVersion: v1
kind: ServiceAccount
metadata: {name: anna}
---
apiVersion: v1
kind: Pod
metadata: {name: anna, labels: {app: anna}, annotations: {sidecar.istio.io/inject: "false"}}
spec: {serviceAccountName: anna, terminationGracePeriodSeconds: 0, containers: [{name: app, image: "ghcr.io/fairway-mesh/fairway:latest", imagePullPolicy: IfNotPresent, args: [sample, sleep]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bob, labels: {app: bob}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: "ghcr.io/fairway-mesh/fairway:latest", imagePullPolicy: IfNotPresent, args: [sample, sleep]}]}
---
apiVersion: v1
kind: Service
metadata: {name: xds, namespace: %s}
spec: {type: NodePort, selector: {app: fairway}, ports: [{port: 15012}]}
`

// intruder talks to the secure xDS port as a proxy would.
type intruder struct {
	suite   *suite
	address string
	creds   credentials.TransportCredentials
}

func testRefused(t *testing.T, s *suite) {
	s.namespace(t, "refused", false)
	pods, service, _ := strings.Cut(podsManifest, "---\napiVersion: v1\nkind: Service\n")
	s.apply(t, "refused", pods)
	s.apply(t, system, fmt.Sprintf("apiVersion: v1\nkind: Service\n"+service, system))
	defer s.kubectl(t, "delete", "service", "-n", system, "xds")
	s.kubectl(t, "wait", "-n", "refused", "pod/anna", "pod/bob", "--for=condition=Ready", "--timeout=60s")
	i := &intruder{suite: s, address: strings.TrimPrefix(s.nodePort(t, system, "xds", 15012), "http://")}
	bundle := s.kubectl(t, "get", "configmap", "-n", "refused", "fairway-ca-root-cert", "-o", `jsonpath={.data.root-cert\.pem}`)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(bundle)) {
		t.Fatalf("the namespace's roots are no certificates: %q", bundle)
	}
	i.creds = credentials.NewClientTLSFromCert(roots, "fairway."+system+".svc")

	anna, bob := s.pod(t, "refused", "anna"), s.pod(t, "refused", "bob")
	token := i.token(t, anna, "fairway")
	if _, err := i.ask(t, token, node("sidecar", anna), clusterType, "*"); err != nil {
		t.Fatalf("who may come in does not: %v", err)
	}
	gone := i.token(t, bob, "fairway")
	ghost := node("sidecar", bob)
	cut := i.stay(t, gone, ghost) // every control plane may remember the token
	s.kubectl(t, "delete", "pod", "-n", "refused", "bob", "--wait")
	for range cap(cut) {
		select {
		case err := <-cut:
			t.Logf("the stream of a pod that is deleted: %v", err)
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("the stream of a deleted pod ended with %v", err)
			}
		case <-time.After(soon):
			t.Error("the stream of a deleted pod goes on")
		}
	}

	for _, a := range []struct {
		what  string
		token string
		node  *corev3.Node
		want  codes.Code
	}{
		{"no token", "", node("sidecar", anna), codes.Unauthenticated},
		{"not a token", "x.y.z", node("sidecar", anna), codes.Unauthenticated},
		{"a token of another audience", i.token(t, anna, "somebody-else"), node("sidecar", anna), codes.Unauthenticated},
		{"the API server's own audience", i.token(t, anna), node("sidecar", anna), codes.Unauthenticated},
		{"a token that no pod is bound to", i.unbound(t, "refused", "anna"), node("sidecar", anna), codes.Unauthenticated},
		{"the token of a deleted pod", gone, ghost, codes.Unauthenticated},
		{"pod A's token, pod B's node id", token, node("sidecar", s.anyPod(t, system, "istio=ingressgateway")), codes.PermissionDenied},
		{"a sidecar's token, a node id of another name", token, renamed(node("sidecar", anna), "somebody"), codes.PermissionDenied},
	} {
		_, err := i.ask(t, a.token, a.node, clusterType, "*")
		t.Logf("%s: %v", a.what, err)
		if got := status.Code(err); got != a.want {
			t.Errorf("%s: got %v, want %v", a.what, got, a.want)
		}
		if a.token != "" && err != nil && strings.Contains(err.Error(), a.token) {
			t.Errorf("%s: the answer holds the token", a.what)
		}
	}
	i.expired(t, anna)
	i.foreignSecrets(t, token, anna)
	s.noKeys(t, s.anyPod(t, system, "istio=ingressgateway"))
}

// expired signs a token that ended, with the key of the cluster, where it can be
// had: the API server issues none of less than ten minutes.
func (i *intruder) expired(t *testing.T, pod *corev1.Pod) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(i.suite.Kubeconfig), "sa.key"))
	if err != nil {
		t.Log("an expired token is not tried: this cluster's key is out of reach")
		return
	}
	block, _ := pem.Decode(b)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(i.token(t, pod, "fairway"), ".")
	claims := map[string]any{}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(body, &claims) != nil {
		t.Fatal("the token cannot be read: ", err)
	}
	sign := func(lifetime time.Duration) string {
		now := time.Now()
		claims["iat"], claims["nbf"], claims["exp"] = now.Add(-time.Hour).Unix(), now.Add(-time.Hour).Unix(), now.Add(lifetime).Unix()
		body, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		text := parts[0] + "." + base64.RawURLEncoding.EncodeToString(body)
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	if _, err := i.ask(t, sign(time.Hour), node("sidecar", pod), clusterType, "*"); err != nil {
		t.Fatalf("the forged token is not even good while it lasts: %v", err)
	}
	_, err = i.ask(t, sign(-time.Minute), node("sidecar", pod), clusterType, "*")
	t.Logf("an expired token: %v", err)
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("an expired token: got %v", err)
	}
}

// foreignSecrets asks, let in, for what belongs to others.
func (i *intruder) foreignSecrets(t *testing.T, token string, pod *corev1.Pod) {
	own, err := i.ask(t, token, node("sidecar", pod), secretType, "default")
	if err != nil || len(own.GetResources()) != 1 {
		t.Fatalf("a proxy's own certificate: %v, %v", own, err)
	}
	if !strings.Contains(certificates(t, own), "spiffe://cluster.local/ns/refused/sa/anna") {
		t.Errorf("a proxy's own certificate is somebody else's: %s", certificates(t, own))
	}
	for _, name := range []string{
		"spiffe://cluster.local/ns/istio-system/sa/fairway", "kubernetes://fairway-ca-secret", "kubernetes://istio-system/fairway-ca-secret", "fairway-ca-secret",
	} {
		got, err := i.ask(t, token, node("sidecar", pod), secretType, name, "default")
		var names []string
		for _, r := range got.GetResources() {
			names = append(names, r.GetName())
		}
		t.Logf("asked for the foreign secret %s and its own: got %v, %v", name, names, err)
		if err != nil || len(names) != 1 || names[0] != "default" {
			t.Errorf("asked for %s and its own, got %v, %v", name, names, err)
		}
	}
	posing := node("sidecar", pod)
	posing.Metadata.Fields["SERVICE_ACCOUNT"] = stringValue("fairway")
	got, err := i.ask(t, token, posing, secretType, "default")
	t.Logf("posing as another account: %v", err)
	if err == nil && !strings.Contains(certificates(t, got), "/sa/anna") {
		t.Errorf("a node that says another account got a certificate of it: %s", certificates(t, got))
	}
}

// noKeys looks for private keys and tokens where people look, at what the control
// planes say of a connected proxy too.
func (s *suite) noKeys(t *testing.T, proxy *corev1.Pod) {
	t.Helper()
	var texts map[string]string
	eventually(t, 3*soon, "the logs and debug pages of all control planes", func() (any, bool) {
		var err error
		texts, err = s.said(t.Context(), proxy)
		return err, err == nil
	})
	jwt := regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20,}\.eyJ`)
	for where, text := range texts {
		// Bytes are base64 in JSON; the others are "PRIVATE KEY" there.
		if strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "UFJJVkFURSBLRV") || strings.Contains(text, "BSSVZBVEUgS0VZ") || strings.Contains(text, "QUklWQVRFIEtFW") || jwt.MatchString(text) {
			t.Errorf("a private key or a token is in %s", where)
		}
	}
}

// said is what the control planes say in logs and debug pages, and of a proxy.
// It fails while one comes or goes.
func (s *suite) said(ctx context.Context, proxy *corev1.Pod) (map[string]string, error) {
	log, err := s.Kubectl(ctx, "", "logs", "-n", system, "-l", "app=fairway", "--tail=-1")
	if err != nil {
		return nil, fmt.Errorf("reading the logs: %w: %s", err, log)
	}
	texts := map[string]string{"the log": log}
	for _, path := range []string{"/debug/findings", "/debug/syncz", "/debug/registryz", "/metrics"} {
		pages, err := s.pages(ctx, path)
		if err != nil {
			return nil, err
		}
		texts[path] = strings.Join(pages, "\n")
	}
	names, err := s.Kubectl(ctx, "", "get", "pods", "-n", system, "-l", "app=fairway", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return nil, fmt.Errorf("listing control planes: %w: %s", err, names)
	}
	dumped := "/debug/config_dump?proxyID=" + proxy.Name + "." + proxy.Namespace
	for _, pod := range strings.Fields(names) {
		if page, err := s.page(ctx, pod, dumped); err == nil { // it is connected to this one
			texts[dumped] += page
		}
	}
	if texts[dumped] == "" {
		return nil, fmt.Errorf("no control plane shows what %s was given", proxy.Name)
	}
	return texts, nil
}

// stay opens streams that go on, over connections of their own so that each
// control plane gets some, and returns a channel with room for how each ends.
func (i *intruder) stay(t *testing.T, token string, n *corev3.Node) chan error {
	t.Helper()
	const streams = 6
	ended := make(chan error, streams)
	for range streams {
		conn, err := grpc.NewClient("passthrough:///"+i.address, grpc.WithTransportCredentials(i.creds))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: clusterType, ResourceNamesSubscribe: []string{"*"}}) // Recv says why
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("who may come in does not: %v", err)
		}
		go func() {
			for {
				if _, err := stream.Recv(); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	return ended
}

// ask opens a stream, asks for things of one type and returns the first answer.
func (i *intruder) ask(t *testing.T, token string, n *corev3.Node, kind string, names ...string) (*discoveryv3.DeltaDiscoveryResponse, error) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+i.address, grpc.WithTransportCredentials(i.creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	_ = stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: kind, ResourceNamesSubscribe: names}) // Recv says why
	return stream.Recv()
}

// token is one of the pod's ServiceAccount, bound to the pod.
func (i *intruder) token(t *testing.T, pod *corev1.Pod, audiences ...string) string {
	t.Helper()
	seconds := int64(600)
	got, err := i.suite.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(t.Context(), pod.Spec.ServiceAccountName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: &seconds,
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.Token
}

func (i *intruder) unbound(t *testing.T, namespace, account string) string {
	t.Helper()
	got, err := i.suite.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"fairway"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.Token
}

func (s *suite) pod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	p, err := s.client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *suite) anyPod(t *testing.T, namespace, selector string) *corev1.Pod {
	t.Helper()
	list, err := s.client.CoreV1().Pods(namespace).List(t.Context(), listOptions(selector))
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("no pod %s: %v", selector, err)
	}
	return &list.Items[0]
}

func listOptions(selector string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: selector}
}
