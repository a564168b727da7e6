package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/internal/operate"
	"github.com/fairway-mesh/fairway/snapshot"
)

// waits runs `fairway wait` in the shop.
func waits(t *testing.T, p *plane, timeout time.Duration, args ...string) (string, error) {
	t.Helper()
	return runs(t, p, append([]string{"wait", "-n", "shop", "--timeout", timeout.String()}, args...)...)
}

// runs runs a command that finds the replicas through the API server.
func runs(t *testing.T, p *plane, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append(args, "--kubeconfig", p.kubeconfig, "--direct"))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// TestCommandsAskAllReplicas: what proxies of either replica hold is told by one command.
func TestCommandsAskAllReplicas(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a kube-apiserver; not with -short")
	}
	t.Parallel()
	b, _ := newReplicas(t, 2)
	for i, p := range b.replicas {
		f := follow(t, p, node{fmt.Sprintf("sidecar~10.10.3.%d~client-%d.shop~shop.svc.cluster.local", i+1, i), map[string]any{"app": "client"}}, nil)
		p.await("the proxies have all", time.Minute, func() bool {
			return f.holds()[snapshot.Endpoint]["outbound|8080|v1|web.shop.svc.cluster.local"] != ""
		})
	}
	said, err := runs(t, b.replicas[0], "status")
	for i, p := range b.replicas {
		if err != nil || !strings.Contains(said, fmt.Sprintf("client-%d.shop", i)) || !strings.Contains(said, p.name) {
			t.Errorf("status: %v\n%s", err, said)
		}
		if out, err := runs(t, p, "config", fmt.Sprintf("client-%d.shop", i), "clusters"); err != nil || !strings.Contains(out, "web.shop.svc.cluster.local") {
			t.Errorf("config of the proxy of %s: %v\n%s", p.name, err, out)
		}
		if out, err := runs(t, p, "explain", "-n", "shop", "--from", fmt.Sprintf("pod/client-%d", i), "http://web:8080/"); err != nil || !strings.Contains(out, "outbound|8080|v1|web.shop.svc.cluster.local") {
			t.Errorf("explain from a pod: %v\n%s", err, out)
		}
		if out, err := runs(t, p, "explain", fmt.Sprintf("client-%d.shop", i), "http://web:8080/"); err != nil || !strings.Contains(out, "outbound|8080|v1|web.shop.svc.cluster.local") {
			t.Errorf("explain at the proxy of %s: %v\n%s", p.name, err, out)
		}
	}
	var names bytes.Buffer
	root := newRoot()
	root.SetOut(&names)
	root.SetArgs([]string{"__complete", "explain", "--kubeconfig", b.replicas[0].kubeconfig, "--direct", ""})
	if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(names.String(), "client-0.shop") || !strings.Contains(names.String(), "client-1.shop") {
		t.Errorf("completion: %v\n%s", err, names.String())
	}
	if _, err := runs(t, b.replicas[0], "config", "nobody.shop"); err == nil || !strings.Contains(err.Error(), "no proxy") {
		t.Errorf("a proxy that is not there: %v", err)
	}
	b.replicas[1].kill()
	said, err = runs(t, b.replicas[0], "status")
	if err != nil || !strings.Contains(said, "client-0.shop") || strings.Contains(said, "client-1.shop") || !strings.Contains(said, "what replica "+b.replicas[1].name+" knows is missing here") {
		t.Errorf("status with a dead replica: %v\n%s", err, said)
	}
}

// TestHistory: what was changed is told by one command for all replicas: who did it, what
// that changed for whom, and how long it took to be accepted; and a finding that came of it.
func TestHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a kube-apiserver; not with -short")
	}
	t.Parallel()
	b, _ := newReplicas(t, 2)
	var proxies []*follower
	for i, p := range b.replicas {
		f := follow(t, p, node{fmt.Sprintf("sidecar~10.10.3.%d~client-%d.shop~shop.svc.cluster.local", i+1, i), map[string]any{"app": "client"}}, nil)
		p.await("the proxies have all", time.Minute, func() bool {
			return f.holds()[snapshot.Endpoint]["outbound|8080|v1|web.shop.svc.cluster.local"] != ""
		})
		proxies = append(proxies, f)
	}
	mute := make(chan struct{})
	proxies[1].mu.Lock()
	proxies[1].mute = mute
	proxies[1].mu.Unlock()
	says := func(what string, want []string, args ...string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Second) { // each time takes a connection, which lasts
			said, err := runs(t, b.replicas[0], append([]string{"history", "-n", "shop"}, args...)...)
			missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool { return strings.Contains(said, w) })
			if err == nil && len(missing) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v, and said\n%s\nwhich lacks %q", what, err, said, missing)
			}
		}
	}
	change(t, b.server.REST, "7s")
	says("one proxy is late", []string{"VirtualService shop/web (generation 2)", "fairway.test", "not yet by 1 proxy"}, "vs/web")
	close(mute)
	says("both have it", []string{"4 changed", "  2  ", "  in "}, "vs/web", "--since", "5m")
	says("in full", []string{"2 proxies of", "shop/client-0", "shop/client-1", "changed  virtual host 8080/web.shop.svc.cluster.local", "written by fairway.test at"}, "vs/web", "-o", "wide")
	says("a workload", []string{"VirtualService shop/web"}, "deploy/client-1")
	create(t, b.server.REST, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: astray, namespace: shop}\nspec: {hosts: [astray.example], http: [{route: [{destination: {host: nowhere.example}}]}]}\n")
	says("a finding", []string{"finding came", "nowhere.example"}, "virtualservice/astray")
	for _, p := range b.replicas {
		if code, body := p.page("/debug/historyz?since=never"); code != 400 {
			t.Errorf("%d %s", code, body)
		}
	}
	if _, err := runs(t, b.replicas[0], "history", "web"); err == nil {
		t.Error("a name without a kind is taken")
	}
}

// change gives the shop's route another time-out, which every proxy has to hear of.
func change(t *testing.T, config *rest.Config, timeout string) {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	patch := fmt.Sprintf(`{"spec":{"http":[{"timeout":%q,"route":[{"destination":{"host":"web","subset":"v1"}}]}]}}`, timeout)
	routes := client.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}).Namespace("shop")
	if _, err := routes.Patch(t.Context(), "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// leader is which of the replicas leads.
func leader(t *testing.T, b *balancer) int {
	t.Helper()
	client, err := kubernetes.NewForConfig(b.server.REST)
	if err != nil {
		t.Fatal(err)
	}
	found := -1
	b.replicas[0].await("a leader", time.Minute, func() bool {
		leases, err := client.CoordinationV1().Leases("istio-system").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false
		}
		for _, l := range leases.Items {
			for i, p := range b.replicas {
				if l.Spec.HolderIdentity != nil && strings.HasPrefix(*l.Spec.HolderIdentity, p.name) {
					found = i
				}
			}
		}
		return found >= 0
	})
	return found
}

// TestWait has two replicas with a proxy each: the command returns when both proxies have
// accepted, wherever they are, and when the leader is dead.
func TestWait(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a kube-apiserver; not with -short")
	}
	t.Parallel()
	b, _ := newReplicas(t, 2)
	lead := leader(t, b)
	first, second := b.replicas[lead], b.replicas[1-lead]
	proxies := []*follower{
		follow(t, first, node{"sidecar~10.10.3.1~near.shop~shop.svc.cluster.local", map[string]any{"app": "client"}}, nil),
		follow(t, second, node{"sidecar~10.10.3.2~far.shop~shop.svc.cluster.local", map[string]any{"app": "client"}}, nil),
	}
	for _, f := range proxies {
		first.await("the proxies have all", time.Minute, func() bool {
			return f.holds()[snapshot.Endpoint]["outbound|8080|v1|web.shop.svc.cluster.local"] != ""
		})
	}
	expect := func(what string, timeout time.Duration, want error, text string, args ...string) {
		t.Helper()
		said, err := waits(t, second, timeout, args...)
		if !errors.Is(err, want) || (err == nil) != (want == nil) || !strings.Contains(said, text) {
			t.Errorf("%s: %v, and said\n%s\nwant %v and %q", what, err, said, want, text)
		}
	}
	const all = "accepted by all that it concerns, 2 proxies at 2 replicas"
	expect("what is there", time.Minute, nil, all, "virtualservice/web")

	// The proxy that is with the other replica does not accept.
	mute := make(chan struct{})
	proxies[1].mu.Lock()
	proxies[1].mute = mute
	proxies[1].mu.Unlock()
	change(t, b.server.REST, "7s")
	expect("a proxy of the other replica is late", 3*time.Second, operate.ErrWaited, "not accepted yet by 1 proxy: far.shop at "+second.name, "vs/web")
	close(mute)
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(shop), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("it accepts", time.Minute, nil, all, "-f", file)

	create(t, b.server.REST, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: nobody, namespace: shop}\nspec: {host: nobody.example}\n")
	expect("an object that concerns nobody", time.Minute, nil, "it concerns no proxy", "destinationrule/nobody")
	expect("an object that is not there", time.Minute, operate.ErrNoWait, "", "vs/none")
	expect("a kind that is not waited for", time.Minute, operate.ErrNoWait, "", "service/web")
	expect("nothing", time.Minute, operate.ErrNoWait, "")

	// The leader dies. Until its pod is gone it may have proxies that nobody can ask about.
	first.kill()
	change(t, b.server.REST, "8s")
	expect("a replica that does not answer", 3*time.Second, operate.ErrNoWait, "replica "+first.name+" does not answer", "vs/web")
	client, err := kubernetes.NewForConfig(b.server.REST)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Pods("istio-system").Delete(context.WithoutCancel(t.Context()), first.name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		t.Fatal(err)
	}
	expect("the leader is gone", time.Minute, nil, "accepted by all that it concerns, 1 proxy at 1 replica", "vs/web")
}
