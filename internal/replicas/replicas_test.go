package replicas

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// TestFindAndGet: what a replica is like is told, and what it answers.
func TestFindAndGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/there":
			_, _ = w.Write([]byte("7"))
		case "/secret":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	_, text, _ := net.SplitHostPort(server.Listener.Addr().String())
	port, _ := strconv.Atoi(text)
	pod := func(name string, states ...corev1.ContainerState) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.0.0.1"}}
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http-monitoring", ContainerPort: int32(port)}}}} //nolint:gosec // a port is small
		for _, s := range states {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{State: s})
		}
		p.UID = types.UID(name)
		return p
	}
	running, waiting := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
	client := fake.NewClientset(pod("a", running), pod("b", waiting), pod("c"), pod("d", waiting, running))
	f := &Finder{Client: client, Namespace: "istio-system", Direct: true}
	found, err := f.Find(t.Context())
	if err != nil || len(found) != 4 {
		t.Fatalf("%v %v", found, err)
	}
	for i, down := range []bool{false, true, false, false} {
		if found[i].Down != down {
			t.Errorf("%s: down %v", found[i].Name, found[i].Down)
		}
	}
	n := 0
	if err := found[0].Get(t.Context(), "/there", &n); err != nil || n != 7 {
		t.Errorf("%d %v", n, err)
	}
	if err := found[0].Get(t.Context(), "/secret", &n); !errors.Is(err, ErrRefused) {
		t.Errorf("a page that is not permitted: %v", err)
	}
	if err := found[0].Get(t.Context(), "/none", &n); !errors.Is(err, ErrNotFound) {
		t.Errorf("a page that is not there: %v", err)
	}
	answer := func(list *corev1.PodList, err error) {
		client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, list, err })
	}
	answer(&corev1.PodList{ListMeta: metav1.ListMeta{Continue: "more"}}, nil)
	if _, err := f.Find(t.Context()); err == nil {
		t.Error("pods beyond the bound are passed over")
	}
	answer(&corev1.PodList{}, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no")))
	if _, err := f.Find(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("pods may not be listed: %v", err)
	}
}

// TestPatience: an answer may take as long as it needs, but not fall silent.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		parts int
		pause time.Duration
		want  string
	}{{8, 500 * time.Millisecond, ""}, {2, time.Minute, "it said nothing for 3s"}} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for i := range c.parts {
					if i > 0 {
						select {
						case <-r.Context().Done():
							return
						case <-time.After(c.pause):
						}
					}
					fmt.Fprint(w, " ")
					w.(http.Flusher).Flush()
				}
				fmt.Fprint(w, `"whole"`)
			}))
			defer server.Close()
			r := Replica{Name: "a", client: server.Client(), url: server.URL, patience: 3 * time.Second}
			var got string
			err := r.Get(t.Context(), "/", &got)
			if c.want == "" && (err != nil || got != "whole") {
				t.Errorf("a slow answer is %q, %v", got, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("a silent one is %v, want %q", err, c.want)
			}
		})
	}
}
