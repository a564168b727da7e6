package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/test/kube"
)

var shared struct {
	sync.Once
	server *kube.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Close()
	}
	os.Exit(code)
}

// bed is a client through a proxy of its own, in a namespace of its own.
type bed struct {
	*testing.T
	proxy     *Proxy
	direct    kubernetes.Interface
	client    kubernetes.Interface
	namespace string
}

// forms are the content types in which answers come.
var forms = []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON}

func newBed(t *testing.T, form string) *bed {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a kube-apiserver; not with -short")
	}
	shared.Do(func() { shared.server, shared.err = kube.Start(context.Background(), kube.Options{NoCRDs: true}) })
	must(t, shared.err)
	p, err := Start(shared.server.REST)
	must(t, err)
	t.Cleanup(p.Close)
	b := &bed{T: t, proxy: p}
	client := func(c *rest.Config) kubernetes.Interface {
		c = rest.CopyConfig(c)
		c.ContentType = form
		k, err := kubernetes.NewForConfig(c)
		must(t, err)
		return k
	}
	b.direct, b.client = client(shared.server.REST), client(p.REST())
	n, err := b.direct.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "faults-"}}, metav1.CreateOptions{})
	must(t, err)
	b.namespace = n.Name
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bed) create(name string) {
	b.Helper()
	_, err := b.direct.CoreV1().ConfigMaps(b.namespace).Create(b.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	must(b.T, err)
}

func (b *bed) list() (int, error) {
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
	defer cancel()
	l, err := b.client.CoreV1().ConfigMaps(b.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	return len(l.Items), nil
}

func (b *bed) watch(o metav1.ListOptions) watch.Interface {
	b.Helper()
	w, err := b.client.CoreV1().ConfigMaps(b.namespace).Watch(b.Context(), o)
	must(b.T, err)
	b.Cleanup(w.Stop)
	return w
}

// next is the next event of a watch; its zero value says that the watch ended.
func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came of the watch")
		return watch.Event{}
	}
}

// silent makes sure that nothing comes of a watch until something else is done.
func silent(t *testing.T, w watch.Interface) {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		t.Fatalf("came: %v", e)
	case <-time.After(300 * time.Millisecond):
	}
}

func name(e watch.Event) string {
	if o, ok := e.Object.(metav1.Object); ok {
		return o.GetName()
	}
	return fmt.Sprintf("%T", e.Object)
}

func TestAnswersInPlace(t *testing.T) {
	b := newBed(t, forms[0])
	b.create("a")
	for code, is := range map[int]func(error) bool{
		403: apierrors.IsForbidden, 404: apierrors.IsNotFound, 410: apierrors.IsResourceExpired, 429: apierrors.IsTooManyRequests, 500: apierrors.IsInternalError, 503: apierrors.IsServiceUnavailable,
	} {
		b.proxy.Set(Fault{Verb: List, Resource: "configmaps", Status: code})
		if _, err := b.list(); !is(err) {
			t.Errorf("%d: %v", code, err)
		}
		if _, err := b.client.CoreV1().Secrets(b.namespace).List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Errorf("%d for another kind: %v", code, err)
		}
	}
	b.proxy.Set()
	if n, err := b.list(); n != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
	if n := b.proxy.Requests(List, "configmaps"); n < 7 {
		t.Errorf("counted %d lists", n)
	}
}

func TestListsThatAreNotWhole(t *testing.T) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			b := newBed(t, form)
			for i := range 10 {
				b.create(fmt.Sprintf("c%d", i))
			}
			for what, f := range map[string]Fault{"cut": {CutAfter: 300}, "cut at once": {CutAfter: -1}, "truncated": {Truncate: 300}} {
				f.Verb = List
				b.proxy.Set(f)
				if n, err := b.list(); err == nil {
					t.Errorf("%s: a list of %d is taken", what, n)
				}
			}
			b.proxy.Set(Fault{Half: true})
			if n, err := b.list(); n != 5 || err != nil {
				t.Errorf("half: %d, %v", n, err)
			}
			yes := true
			w := b.watch(metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true})
			n := 0
			for next(t, w).Type == watch.Added {
				n++
			}
			if n != 5 {
				t.Errorf("half of a list that is streamed: %d", n)
			}
			b.create("news")
			if e := next(t, w); name(e) != "news" {
				t.Errorf("afterwards: %v", e)
			}
			b.proxy.Set(Fault{Verb: List, BytesPerSecond: 1000})
			began := time.Now()
			if n, err := b.list(); n != 11 || err != nil || time.Since(began) < 500*time.Millisecond {
				t.Errorf("slowly: %d, %v after %s", n, err, time.Since(began))
			}
			b.proxy.Set(Fault{Delay: 400 * time.Millisecond})
			began = time.Now()
			if n, err := b.list(); n != 11 || err != nil || time.Since(began) < 400*time.Millisecond {
				t.Errorf("late: %d, %v after %s", n, err, time.Since(began))
			}
		})
	}
}

func TestWatches(t *testing.T) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			b := newBed(t, form)
			w := b.watch(metav1.ListOptions{})
			b.create("a")
			if e := next(t, w); name(e) != "a" {
				t.Fatalf("%v", e)
			}
			b.proxy.Set(Fault{Verb: Watch, LoseEvents: true})
			b.create("lost")
			silent(t, w)
			b.proxy.Set(Fault{Verb: Watch, Resource: "configmaps", Hang: true})
			b.create("held")
			silent(t, w)
			b.proxy.Set()
			if e := next(t, w); name(e) != "held" {
				t.Fatalf("after the hang: %v", e)
			}
			b.proxy.Set(Fault{Verb: Watch, Expired: true})
			b.create("late")
			e := next(t, w)
			if e.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
				t.Fatalf("expired: %v", e)
			}
			if e := next(t, w); e.Type != "" {
				t.Fatalf("goes on with %v", e)
			}
			b.proxy.Set(Fault{Verb: Watch, EndAfter: time.Millisecond})
			if e := next(t, b.watch(metav1.ListOptions{ResourceVersion: "0"})); e.Type != "" && e.Type != watch.Added {
				t.Fatalf("ended: %v", e)
			}
			b.proxy.Set()
			w = b.watch(metav1.ListOptions{LabelSelector: "none=1"})
			b.proxy.Set(Fault{Verb: Watch, EndAfter: time.Millisecond})
			if e := next(t, w); e.Type != "" {
				t.Fatalf("a running watch does not end, but has %v", e)
			}
		})
	}
}

// TestEventsInPlace changes what a watch says, and what a list does.
func TestEventsInPlace(t *testing.T) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			b := newBed(t, form)
			w := b.watch(metav1.ListOptions{})
			b.proxy.Set(Fault{Verb: Watch, Events: func(e Event) []Event { return []Event{e, {Type: "DELETED", Object: e.Object, Protobuf: e.Protobuf}} }})
			b.create("a")
			if e, again := next(t, w), next(t, w); e.Type != watch.Added || again.Type != watch.Deleted || name(e) != "a" || name(again) != "a" {
				t.Errorf("%v, %v", e, again)
			}
			b.proxy.Set(Fault{Verb: Watch, Events: func(e Event) []Event { e.Type = "NONSENSE"; return []Event{e} }})
			b.create("b")
			if e := next(t, w); e.Type != watch.Error {
				t.Errorf("a type that is none: %v", e)
			}
			b.proxy.Set(Fault{Verb: List, Body: func([]byte) []byte { return []byte("no gzip") }, Encoding: "gzip"})
			if _, err := b.list(); err == nil {
				t.Error("garbage is taken")
			}
			b.proxy.Set(Fault{Verb: List, Query: "limit=1", Status: 500})
			if n, err := b.list(); n != 2 || err != nil {
				t.Errorf("another query: %d, %v", n, err)
			}
			client := b.client.CoreV1().ConfigMaps(b.namespace)
			if _, err := client.List(t.Context(), metav1.ListOptions{Limit: 1}); !apierrors.IsInternalError(err) {
				t.Errorf("the query: %v", err)
			}
			b.proxy.Set(Fault{Verb: List, Query: "continue=", Status: 410})
			first, err := client.List(t.Context(), metav1.ListOptions{Limit: 1})
			must(t, err)
			_, err = client.List(t.Context(), metav1.ListOptions{Limit: 1, Continue: first.Continue})
			status := apierrors.APIStatus(nil)
			if !errors.As(err, &status) || !apierrors.IsResourceExpired(err) || status.Status().Continue == "" {
				t.Fatalf("a page that is too old: %v", err)
			}
			rest, err := client.List(t.Context(), metav1.ListOptions{Continue: status.Status().Continue})
			if err != nil || len(rest.Items) != 1 || rest.Items[0].Name != "b" {
				t.Errorf("where it says: %v, %v", rest, err)
			}
		})
	}
}

func TestHungLinks(t *testing.T) {
	b := newBed(t, forms[0])
	b.create("a")
	w := b.watch(metav1.ListOptions{})
	next(t, w)
	b.proxy.Link(HangsAnew)
	conn, err := net.Dial("tcp", b.proxy.Address())
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(300*time.Millisecond)))
	_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new connection: %d, %v", n, err)
	}
	if n, err := b.list(); n != 1 || err != nil {
		t.Errorf("the open connection: %d, %v", n, err)
	}
	b.proxy.Link(Hangs)
	b.create("held")
	silent(t, w)
	if _, err := b.list(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a list on a hung link: %v", err)
	}
	b.proxy.Link(Passes)
	if e := next(t, w); name(e) != "held" {
		t.Errorf("after the hang: %v", e)
	}
	b.proxy.Link(Cut)
	if e := next(t, w); e.Type != "" && e.Type != watch.Error {
		t.Errorf("cut: %v", e)
	}
	if _, err := b.list(); err == nil {
		t.Error("a list on a link that is cut")
	}
	b.proxy.Link(Passes)
	if n, err := b.list(); n != 2 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestMissingGroup(t *testing.T) {
	b := newBed(t, forms[0])
	groups := func() (names []string) {
		l, err := b.client.Discovery().ServerGroups()
		must(t, err)
		for _, g := range l.Groups {
			names = append(names, g.Name)
		}
		return names
	}
	if !slices.Contains(groups(), "apps") {
		t.Fatalf("served: %q", groups())
	}
	b.proxy.Set(Fault{Missing: "apps"})
	if g := groups(); slices.Contains(g, "apps") || !slices.Contains(g, "batch") {
		t.Errorf("served: %q", g)
	}
	if _, err := b.client.AppsV1().Deployments("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a kind of the group: %v", err)
	}
}

func TestRequestsAreRead(t *testing.T) {
	for _, c := range []struct {
		method, url string
		want        request
	}{
		{"GET", "/api/v1/pods?limit=1", request{List, "pods", "/api/v1/pods", "limit=1"}},
		{"GET", "/api/v1/pods?watch=true", request{Watch, "pods", "/api/v1/pods", "watch=true"}},
		{"GET", "/api/v1/namespaces", request{List, "namespaces", "/api/v1/namespaces", ""}},
		{"GET", "/api/v1/namespaces/a", request{Get, "namespaces", "/api/v1/namespaces/a", ""}},
		{"GET", "/api/v1/namespaces/a/secrets?watch=1", request{Watch, "secrets", "/api/v1/namespaces/a/secrets", "watch=1"}},
		{"POST", "/apis/apps/v1/namespaces/a/deployments", request{Write, "deployments", "/apis/apps/v1/namespaces/a/deployments", ""}},
		{"GET", "/apis/networking.istio.io/v1/virtualservices", request{List, "virtualservices", "/apis/networking.istio.io/v1/virtualservices", ""}},
		{"GET", "/apis", request{Get, "", "/apis", ""}},
		{"GET", "/version", request{Get, "", "/version", ""}},
	} {
		if got := parse(c.method, mustURL(t, c.url)); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.method, c.url, got, c.want)
		}
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	must(t, err)
	return u
}
