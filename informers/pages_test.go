package informers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/faults"
)

// TestPagesAfterTheFirst deletes an object of the second page, which that page, of the same
// moment as the first, still has: nothing is read anew for that. When the object is still
// there, the watch has lost it.
func TestPagesAfterTheFirst(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{false, true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			items := ""
			if there {
				items = `{"metadata":{"namespace":"x","name":"b","resourceVersion":"6"}}`
			}
			_, _ = io.WriteString(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"8"},"items":[`+items+`]}`)
		}))
		t.Cleanup(server.Close)
		k, err := NewKubernetes(KubeConfig{REST: &rest.Config{Host: server.URL}})
		must(t, err)
		s := newStore(kindOf[(&kind{name: "Pod"}).groupKind()], k.out, func(string, []object.Finding) {})
		a := &audit{r: &reflection{source: k, store: s, version: "v1"}, list: func(_ context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
			item, next := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "a", ResourceVersion: "5"}}, "second"
			if o.Continue == "second" {
				item.Name, item.ResourceVersion, next = "b", "6", ""
			}
			return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: next}, Items: []metav1.PartialObjectMetadata{item}}, nil
		}}
		must(t, s.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "a", ResourceVersion: "5"}}))
		a.compare(t.Context())
		a.compare(t.Context())
		if lost := s.view.relists == 1; lost != there || s.view.relists > 1 {
			t.Errorf("still there: %t; read anew %d times, problem %q", there, s.view.relists, s.view.problem)
		}
	}
}

// TestPagesOfALargeKind is the same with an API server and a kind of three pages.
func TestPagesOfALargeKind(t *testing.T) {
	t.Parallel()
	if !faults.Long() {
		t.Skip("takes 40 s; FAIRWAY_FAULTS=long runs it")
	}
	s := apiServer(t)
	link, err := faults.Start(s.REST)
	must(t, err)
	t.Cleanup(link.Close)
	a := newAPI(t, s.REST)
	a.namespace("pages")
	rule := func(n int) object.Ref {
		return object.Ref{Kind: object.KindDestinationRule, Namespace: "pages", Name: fmt.Sprintf("r%04d", n)}
	}
	const n = 2*auditPage + auditPage/2
	for x := range n {
		a.apply(rule(x), "v1", examples[object.KindDestinationRule].body)
	}
	i := &ill{T: t, api: a, link: link, space: "pages"}
	i.seen, i.source = followKube(t, KubeConfig{REST: link.REST()})
	i.seen.awaitSync()
	const kind = "DestinationRule.networking.istio.io"
	for x := range 100 { // for longer than a round of pages takes
		a.remove(rule(n-1-x), "v1")
		time.Sleep(400 * time.Millisecond)
	}
	if v := i.view(kind); v.Relists > 0 || v.Stale {
		t.Errorf("read anew although nothing was lost: %+v", v)
	}
}

// TestPagesThatAreTooOld has the API server forget the moment of the first page before the
// second one is asked for: it is taken as it is then, and what it has that the watch has
// not delivered is found.
func TestPagesThatAreTooOld(t *testing.T) {
	k, err := NewKubernetes(KubeConfig{REST: &rest.Config{Host: "http://127.0.0.1:1"}})
	must(t, err)
	s := newStore(kindOf[(&kind{name: "Pod"}).groupKind()], k.out, func(string, []object.Finding) {})
	for name, version := range map[string]uint64{"a": 5, "b": 6} {
		ref := object.Ref{Kind: object.KindPod, Namespace: "x", Name: name}
		s.prints[ref], s.versions[digestOf(ref)] = 1, version
	}
	pod := func(name, version string) metav1.PartialObjectMetadata {
		return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name, ResourceVersion: version}}
	}
	var asked []string
	a := &audit{r: &reflection{source: k, store: s}, list: func(_ context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
		asked = append(asked, o.Continue)
		switch o.Continue {
		case "":
			return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "old"}, Items: []metav1.PartialObjectMetadata{pod("a", "5")}}, nil
		case "old":
			gone := apierrors.NewResourceExpired("too old")
			gone.ErrStatus.Continue = "now"
			return nil, gone
		}
		return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "9"}, Items: []metav1.PartialObjectMetadata{pod("b", "9")}}, nil
	}}
	for range 3 {
		a.compare(t.Context())
	}
	if want := []string{"", "old", "now", "now"}; !slices.Equal(asked, want) || s.view.relists != 1 {
		t.Errorf("asked for %q, want %q; read anew %d times, want once", asked, want, s.view.relists)
	}
}

// TestPagesThatAreAlwaysTooOld has also the place where the API server would go on be too
// old, each time: then the comparison begins anew, and what is seen says why.
func TestPagesThatAreAlwaysTooOld(t *testing.T) {
	k, err := NewKubernetes(KubeConfig{REST: &rest.Config{Host: "http://127.0.0.1:1"}})
	must(t, err)
	s := newStore(kindOf[(&kind{name: "Pod"}).groupKind()], k.out, func(string, []object.Finding) {})
	var asked []string
	a := &audit{r: &reflection{source: k, store: s}, list: func(_ context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
		asked = append(asked, o.Continue)
		if o.Continue == "" {
			return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "old"}}, nil
		}
		gone := apierrors.NewResourceExpired("too old")
		gone.ErrStatus.Continue = "old as well"
		return nil, gone
	}}
	for look := range 7 {
		s.view.hears()
		a.compare(t.Context())
		if first := asked[len(asked)-1] == ""; first != (s.view.problem == "") || !first && !strings.Contains(s.view.problem, "too old") {
			t.Errorf("look %d: the problem is %q", look, s.view.problem)
		}
	}
	if want := []string{"", "old", "old as well", "", "old", "old as well", ""}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// TestVersionsThatGoBack has a version read of an object that the API server has not come
// to. When that is still so at the next look, all is read anew.
func TestVersionsThatGoBack(t *testing.T) {
	k, err := NewKubernetes(KubeConfig{REST: &rest.Config{Host: "http://127.0.0.1:1"}})
	must(t, err)
	s := newStore(kindOf[(&kind{name: "Pod"}).groupKind()], k.out, func(string, []object.Finding) {})
	ref := object.Ref{Kind: object.KindPod, Namespace: "x", Name: "a"}
	s.prints[ref], s.versions[digestOf(ref)] = 1, 400
	version := 100
	a := &audit{r: &reflection{source: k, store: s}, list: func(context.Context, metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
		version++
		return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(version)}, Items: []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "a", ResourceVersion: "90"}}}}, nil
	}}
	for look, want := range []uint64{0, 1} {
		if a.compare(t.Context()); s.view.relists != want {
			t.Errorf("look %d: read anew %d times, want %d", look, s.view.relists, want)
		}
	}
	s.versions[digestOf(ref)] = 103 // news of a moment ago
	if a.compare(t.Context()); s.view.relists != 1 {
		t.Error("what is newer than the page is read anew")
	}
}
