package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/test/faults"
	"github.com/fairway-mesh/fairway/test/wire"
)

// seeded are draws that follow from $SEED, or from the time, which is said.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("SEED"); given != "" {
		if _, err := fmt.Sscan(given, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// TestRandomBadDays draws harms, for how long each lasts, and whether another one begins
// before it ends. After each, proxies hold what new ones get, resource by resource, and
// they have not lost anything. SEED repeats a run.
func TestRandomBadDays(t *testing.T) {
	t.Parallel()
	lot := seeded(t)
	d := newBadDay(t)
	rounds, longest := 4, 3*time.Second
	if faults.Long() {
		rounds, longest = 40, 20*time.Second
	}
	last := func() time.Duration { return time.Duration(lot.Int64N(int64(longest))) }
	harms := d.harms()
	beside := slices.DeleteFunc(slices.Clone(harms), func(h harm) bool { return !h.answers })
	for range rounds {
		first := harms[lot.IntN(len(harms))]
		name := first.name
		first.do()
		time.Sleep(last())
		if lot.IntN(2) == 0 && !strings.Contains(name, "stands still") && !strings.Contains(name, "the API server is killed") { // which an endpoint could not be changed in
			second := beside[lot.IntN(len(beside))]
			if second.name == name { // which begins once
				second = beside[(slices.IndexFunc(beside, func(h harm) bool { return h.name == name })+1)%len(beside)]
			}
			name += ", and " + second.name
			second.do()
			time.Sleep(last())
			second.end()
		}
		first.end()
		d.change()
		took := d.plane.await(name+": the sidecar has the endpoint that is new", time.Minute, d.new)
		t.Logf("%s: right %s after its end", name, took.Round(time.Millisecond))
		equalFresh(t, d.plane, d.sidecar, d.gateway)
	}
	d.lostNothing(t)
}

// TestMassEvents has very much happen at once: pods come, nine of ten endpoints go, rules
// come, and all of a namespace goes. Beside the proxies that are looked at, one reads and
// accepts nothing, and one connects anew after 20 ms, again and again. After each, proxies
// hold what new ones get.
func TestMassEvents(t *testing.T) {
	t.Parallel()
	d := newBadDay(t)
	pods, rules := 100, 200
	if faults.Long() {
		pods, rules = 1000, 2000
	}
	stuck := follow(t, d.plane, node{"sidecar~10.10.1.2~client-1.shop~shop.svc.cluster.local", map[string]any{"app": "client"}}, nil)
	stuck.mu.Lock()
	stuck.mute = make(chan struct{})
	stuck.mu.Unlock()
	t.Cleanup(func() { close(stuck.mute) })
	ctx, cancel := context.WithCancel(t.Context())
	var hasty sync.WaitGroup
	defer hasty.Wait()
	defer cancel()
	connections := 0
	hasty.Go(func() {
		for ctx.Err() == nil {
			moment, end := context.WithTimeout(ctx, 20*time.Millisecond)
			options := d.sidecar.options
			options.NodeID, options.OnResponse, options.Held, options.Wants = "sidecar~10.10.1.3~client-2.shop~shop.svc.cluster.local", func(wire.Response) error { return nil }, nil, nil
			_ = wire.New(options).Run(moment, d.plane.xds)
			end()
			connections++
		}
	})
	objects, err := dynamic.NewForConfig(d.server.REST)
	if err != nil {
		t.Fatal(err)
	}
	clear := func(group, resource, selector string) {
		gvr := schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
		zero := int64(0)
		if err := objects.Resource(gvr).Namespace("crowd").DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: &zero}, metav1.ListOptions{LabelSelector: selector}); err != nil {
			t.Fatal(err)
		}
	}
	const cluster = "outbound|8080||crowd.crowd.svc.cluster.local"
	right := func(what string, is func() bool) {
		t.Helper()
		took := d.plane.await(what, time.Minute, is)
		t.Logf("%s: %s after the last of it", what, took.Round(time.Millisecond))
		equalFresh(t, d.plane, d.sidecar, d.gateway)
	}
	create(t, d.server.REST, "apiVersion: v1\nkind: Namespace\nmetadata: {name: crowd}\n")
	create(t, d.server.REST, "apiVersion: v1\nkind: Service\nmetadata: {name: crowd, namespace: crowd}\nspec: {selector: {app: crowd}, ports: [{name: http, port: 8080}]}\n")
	many(t, d.server.REST, pods, `apiVersion: v1
kind: Pod
metadata: {name: crowd-N, namespace: crowd, labels: {app: crowd, tenth: "TENTH"}}
spec: {nodeName: node-1, containers: [{name: a, image: a}]}
status: {phase: Running, podIP: 10.20.HIGH.LOW, podIPs: [{ip: 10.20.HIGH.LOW}], conditions: [{type: Ready, status: "True"}]}
`)
	has := func(n int) bool {
		return d.sidecar.reaches(cluster, fmt.Sprintf("10.20.%d.%d", n/200, 1+n%200))
	}
	right(fmt.Sprintf("%d pods", pods), func() bool { return has(0) && has(pods-1) })
	clear("", "pods", "tenth!=0")
	right("nine of ten endpoints gone", func() bool { return has(0) && !has(pods-1) })
	many(t, d.server.REST, rules, `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule-N, namespace: crowd}
spec: {host: hN.example.com, trafficPolicy: {connectionPool: {http: {maxRetries: 3}}}}
`)
	create(t, d.server.REST, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: crowd, namespace: crowd}\nspec: {host: crowd, subsets: [{name: all}]}\n")
	subset := "outbound|8080|all|crowd.crowd.svc.cluster.local"
	right(fmt.Sprintf("%d rules", rules), func() bool { return d.sidecar.reaches(subset, "10.20.0.1") })
	clear("networking.istio.io", "destinationrules", "")
	clear("", "services", "")
	clear("", "pods", "")
	right("a namespace emptied", func() bool {
		for _, held := range d.sidecar.holds() {
			for name := range held {
				if strings.Contains(name, "crowd") {
					return false
				}
			}
		}
		return true
	})
	cancel()
	hasty.Wait()
	t.Logf("%d connections of a proxy in haste", connections)
	if connections < 10 {
		t.Error("next to none were made")
	}
	if _, said := d.plane.page("/healthz"); said != "ok\n" {
		t.Errorf("/healthz: %s", said)
	}
}

// many makes objects of a text, some at a time.
func many(t *testing.T, config *rest.Config, n int, text string) {
	t.Helper()
	var makers sync.WaitGroup
	for at := range 8 {
		makers.Go(func() {
			for i := at; i < n; i += 8 {
				create(t, config, strings.NewReplacer("TENTH", fmt.Sprint(i%10), "HIGH", fmt.Sprint(i/200), "LOW", fmt.Sprint(1+i%200), "-N", fmt.Sprint("-", i), "hN", fmt.Sprint("h", i)).Replace(text))
			}
		})
	}
	makers.Wait()
}
