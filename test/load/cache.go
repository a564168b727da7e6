package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"istio.io/client-go/pkg/clientset/versioned"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	k8sruntime "k8s.io/apimachinery/pkg/runtime"
)

// nothing measures the control plane of an empty mesh.
func (b *bench) nothing(ctx context.Context) error {
	plane, _, err := startPlane(ctx, b.program, b.dir, b.source.arguments()...)
	if err != nil {
		return err
	}
	defer plane.stop()
	if b.blank, err = plane.heap(); err != nil {
		return err
	}
	b.add(result{Scenario: "nothing in the mesh", Changes: 1, Heap: b.blank, RSS: plane.cost().RSS})
	return nil
}

// afterLists is how long the first state took once all objects had been read.
func (b *bench) afterLists() {
	listed, err := b.plane.logged(`"the first lists are in"`)
	if err != nil {
		b.failed = err
		return
	}
	ready, err := b.plane.logged("ready")
	if err != nil {
		b.failed = err
		return
	}
	b.add(result{Scenario: "cold start, after the lists", Changes: 1, lasts: []time.Duration{ready.Sub(listed)}})
}

// cached compares what the world takes in the control plane with what the same
// objects take in an informer's cache that keeps all of them.
func (b *bench) cached(ctx context.Context, heap int64) error {
	b.add(result{Scenario: "world in the control plane", Changes: 1, Heap: heap - b.blank})
	if b.source.server == nil {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-cache", b.source.server.Kubeconfig)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("filling a cache: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return fmt.Errorf("filling a cache: %w", err)
	}
	b.add(result{Scenario: "world in an untrimmed cache", Changes: 1, Heap: n})
	return nil
}

// cacheMain is the process that holds the objects, decoded and whole, in the
// stores of client-go, and says how much heap that takes.
func cacheMain(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	own, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	config.ContentType = k8sruntime.ContentTypeProtobuf
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, all := context.Background(), metav1.ListOptions{}
	lists := []func() (k8sruntime.Object, error){
		func() (k8sruntime.Object, error) { return kube.CoreV1().Namespaces().List(ctx, all) },
		func() (k8sruntime.Object, error) { return kube.CoreV1().Services("").List(ctx, all) },
		func() (k8sruntime.Object, error) { return kube.CoreV1().Pods("").List(ctx, all) },
		func() (k8sruntime.Object, error) { return kube.DiscoveryV1().EndpointSlices("").List(ctx, all) },
		func() (k8sruntime.Object, error) { return own.NetworkingV1().VirtualServices("").List(ctx, all) },
		func() (k8sruntime.Object, error) { return own.NetworkingV1().DestinationRules("").List(ctx, all) },
		func() (k8sruntime.Object, error) { return own.NetworkingV1().ServiceEntries("").List(ctx, all) },
		func() (k8sruntime.Object, error) { return own.NetworkingV1().Gateways("").List(ctx, all) },
	}
	before := reachable()
	var stores []cache.Store
	for _, list := range lists {
		store, err := keep(list)
		if err != nil {
			return err
		}
		stores = append(stores, store)
	}
	fmt.Println(reachable() - before)
	runtime.KeepAlive(stores)
	return nil
}

// keep puts a copy of each object of a list into a store, as a watch brings
// them: an item of a list would keep the whole list.
func keep(list func() (k8sruntime.Object, error)) (cache.Store, error) {
	l, err := list()
	if err != nil {
		return nil, err
	}
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	return store, meta.EachListItem(l, func(o k8sruntime.Object) error { return store.Add(o.DeepCopyObject()) })
}

func reachable() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // no heap is that large
}
