package kube

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/internal/identity"
)

func configMap(t *testing.T, namespace string) *corev1.ConfigMap {
	t.Helper()
	m, err := client(t).CoreV1().ConfigMaps(namespace).Get(t.Context(), BundleConfigMap, metav1.GetOptions{})
	if err != nil {
		return &corev1.ConfigMap{}
	}
	return m
}

func TestBundleReachesEveryNamespace(t *testing.T) {
	c, early, ending := client(t), namespace(t), namespace(t)
	ctx := t.Context()
	// Nothing removes a namespace here: it stays terminating.
	if err := c.CoreV1().Namespaces().Delete(ctx, ending, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	a, err := identity.Open(ctx, identity.Options{Storage: &identity.Memory{}, Overlap: time.Hour, Poll: 100 * time.Millisecond, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	b := &Bundle{Client: c, Authority: a, Files: map[string]string{"token-sds.yaml": "resources: []"}, Log: quiet()}
	start := func() (stop func()) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := start()
	right := func(namespace string) func() bool {
		return func() bool {
			d := configMap(t, namespace).Data
			return len(d) == 3 && d[BundleKey] == string(a.Bundle()) && d[BundleKeyShort] == string(a.Bundle()) && d["token-sds.yaml"] == "resources: []"
		}
	}
	eventually(t, "a namespace that was there is told", right(early))
	eventually(t, "the namespace default is told", right("default"))
	late := namespace(t)
	eventually(t, "a new namespace is told", right(late))

	m := configMap(t, early)
	m.Data[BundleKey], m.Data["more"] = "somebody else's root", "x"
	if _, err := c.CoreV1().ConfigMaps(early).Update(ctx, m, metav1.UpdateOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an edit is undone", func() bool { return configMap(t, early).Data[BundleKey] == string(a.Bundle()) })
	if err := c.CoreV1().ConfigMaps(late).Delete(ctx, BundleConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was deleted is back", right(late))

	if err := a.RotateRoot(ctx); err != nil {
		t.Fatal(err)
	}
	go a.Run(ctx) //nolint:errcheck // returns nil
	eventually(t, "a new root is told", func() bool { return len(a.Roots()) == 2 && right(late)() && right("default")() })

	stop()
	before := configMap(t, late).ResourceVersion
	stop = start()
	another := namespace(t)
	eventually(t, "the next leader tells new namespaces", right(another))
	stop()
	if configMap(t, late).ResourceVersion != before {
		t.Error("the next leader wrote what was right already")
	}
	if d := configMap(t, ending).Data; d != nil {
		t.Errorf("a terminating namespace was told: %v", d)
	}
}

// TestRivalBundles runs two control planes that write the same ConfigMaps, and
// somebody who makes one that cannot be changed.
func TestRivalBundles(t *testing.T) {
	c, ns := client(t), namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	told := make(chan string, 100)
	run := func(of string) *identity.Authority {
		a := authority(t, &identity.Memory{})
		b := &Bundle{Client: c, Authority: a, Namespace: of, Log: quiet(), Undone: func(namespace, by string) {
			if namespace == ns {
				told <- of + " by " + by
			}
		}}
		running.Go(func() {
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		return a
	}
	first := run("one")
	eventually(t, "the namespace is told", func() bool { return configMap(t, ns).Data[BundleKey] == string(first.Bundle()) })
	yes, m := true, configMap(t, ns)
	m.Data, m.BinaryData, m.Immutable = nil, map[string][]byte{BundleKey: {0xff}}, &yes
	if _, err := c.CoreV1().ConfigMaps(ns).Update(ctx, m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an immutable one is replaced", func() bool { return configMap(t, ns).Data[BundleKey] == string(first.Bundle()) })

	w, err := c.CoreV1().ConfigMaps(ns).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + BundleConfigMap})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	run("two")
	heard := map[string]bool{}
	for len(heard) < 2 {
		select {
		case one := <-told:
			if heard[one] {
				t.Errorf("told twice: %s", one)
			}
			heard[one] = true
		case <-time.After(60 * time.Second):
			t.Fatalf("told %v", heard)
		}
	}
	if !heard["one by two"] || !heard["two by one"] {
		t.Errorf("told %v", heard)
	}
	writes := 0
	for end := time.After(10 * time.Second); ; {
		select {
		case <-w.ResultChan():
			writes++
			continue
		case <-end:
		}
		break
	}
	if writes > 40 {
		t.Errorf("%d writes", writes)
	}
	t.Logf("%d writes", writes)
}
