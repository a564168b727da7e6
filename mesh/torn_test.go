package mesh

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// tornObjects are written short: "service reviews", "rule v1 v2", "route v1".
func tornObject(t *testing.T, what string) Change {
	t.Helper()
	kind, rest, _ := strings.Cut(what, " ")
	gone := strings.HasPrefix(kind, "-")
	meta := "metadata: {name: reviews, namespace: default}\n"
	var c Change
	var err error
	switch strings.TrimPrefix(kind, "-") {
	case "service":
		o := &corev1.Service{}
		err = yaml.Unmarshal([]byte(meta+"spec: {clusterIP: 10.0.0.1, selector: {app: reviews}, ports: [{name: http, port: 80}]}"), o)
		c = Change{Ref{KindService, "default", "reviews"}, o}
	case "rule":
		o := &networkingv1.DestinationRule{}
		var subsets []string
		for _, s := range strings.Fields(rest) {
			subsets = append(subsets, "{name: "+s+", labels: {version: "+s+"}}")
		}
		err = yaml.Unmarshal([]byte(meta+"spec: {host: reviews, subsets: ["+strings.Join(subsets, ", ")+"]}"), o)
		c = Change{Ref{KindDestinationRule, "default", "reviews"}, o}
	case "route":
		o := &networkingv1.VirtualService{}
		err = yaml.Unmarshal([]byte(meta+"spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: "+rest+"}}]}]}"), o)
		c = Change{Ref{KindVirtualService, "default", "reviews"}, o}
	default:
		t.Fatalf("what is %q?", what)
	}
	if err != nil {
		t.Fatal(err)
	}
	if gone {
		c.Object = nil
	}
	return c
}

// TestChangesThatBelongTogether takes changes one by one: those that would cut
// routes off are published with their other half, all others at once.
func TestChangesThatBelongTogether(t *testing.T) {
	for _, c := range []struct {
		name  string
		start []string
		// steps are submitted one after the other; each waits for a World unless
		// it ends in " ...".
		steps []string
	}{
		{"a rule goes before its route", []string{"service", "rule v1", "route v1"}, []string{"-rule ...", "-route"}},
		{"a route comes before its rule", []string{"service"}, []string{"route v1 ...", "rule v1"}},
		{"a subset is renamed, the rule first", []string{"service", "rule v1", "route v1"}, []string{"rule v2 ...", "route v2"}},
		{"a subset is renamed, the route first", []string{"service", "rule v1", "route v1"}, []string{"route v2 ...", "rule v2"}},
		{"a route flips", []string{"service", "rule v1 v2", "route v1"}, []string{"route v2", "route v1", "rule v1 v2 v3", "-route", "-rule"}},
		{"what leads nowhere anyway waits for nothing", []string{"service", "route v1"}, []string{"rule v2", "rule v3", "-rule", "rule v1", "-route"}},
		{"the service goes before the route", []string{"service", "rule v1", "route v1"}, []string{"-service ...", "-route"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			worlds := make(chan *World, 16)
			s := NewStore(slog.New(slog.DiscardHandler), func(w *World, _ *Dirty) { worlds <- w })
			s.Patience = time.Hour // so that waiting for it is not a question of time
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			t.Cleanup(func() { cancel(); <-done })
			for _, o := range c.start {
				s.Submit([]Change{tornObject(t, o)})
			}
			s.Synced()
			next := func(after string) {
				t.Helper()
				select {
				case <-worlds:
				case <-time.After(10 * time.Second):
					t.Fatalf("no world after %q", after)
				}
			}
			next("the start")
			for _, step := range c.steps {
				o, waits := strings.CutSuffix(step, " ...")
				s.Submit([]Change{tornObject(t, o)})
				if !waits {
					next(step)
					continue
				}
				for s.isPending() { // taken, and held back
					time.Sleep(time.Millisecond)
				}
				time.Sleep(20 * time.Millisecond)
				if len(worlds) > 0 {
					t.Fatalf("published after %q alone", step)
				}
			}
		})
	}
}

func (s *Store) isPending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order) > 0
}

// TestPatienceEnds publishes what leads nowhere when nothing mends it, also
// while other changes keep coming.
func TestPatienceEnds(t *testing.T) {
	worlds := make(chan *World, 1024)
	s := NewStore(slog.New(slog.DiscardHandler), func(w *World, _ *Dirty) { worlds <- w })
	s.Patience = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	s.Submit([]Change{tornObject(t, "service"), tornObject(t, "rule v1"), tornObject(t, "route v1")})
	s.Synced()
	<-worlds
	s.Submit([]Change{tornObject(t, "-rule")})
	deadline := time.After(10 * time.Second)
	for i := 0; ; i++ {
		select {
		case w := <-worlds:
			if _, left := w.rules.Get("reviews.default.svc." + Domain); left {
				t.Error("the rule is still there")
			}
			return
		case <-deadline:
			t.Fatal("the change was never published")
		case <-time.After(2 * time.Millisecond):
			c := tornObject(t, "service")
			c.Ref.Name, c.Object.(*corev1.Service).Name = "other", "other"
			c.Object.(*corev1.Service).Spec.Ports[0].Port = int32(1000 + i)
			s.Submit([]Change{c})
		}
	}
}
