package conformance

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/snapshot"
)

// meshConfig is the key of the object with the mesh configuration.
const meshConfig = "ConfigMap istio-system/istio"

// learn writes a mesh configuration where the case has none, if sidecars are to learn.
func (w *world) learn() error {
	if !w.learned || w.objects[meshConfig] != nil {
		return nil
	}
	return w.applyObject(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "istio", "namespace": "istio-system"},
	}})
}

// teach has a mesh configuration say that all sidecars learn.
func teach(u *unstructured.Unstructured) {
	text, _, _ := unstructured.NestedString(u.Object, "data", "mesh")
	const setting = "fairway:\n  learnedScope: \"*\"\n"
	if before, after, ok := strings.Cut("\n"+text, "\nfairway:\n"); ok {
		text = before + "\n" + setting + after
	} else {
		text += "\n" + setting
	}
	_ = unstructured.SetNestedField(u.Object, text, "data", "mesh")
}

// questions is how many names sidecars asked for that are hosts, and that are none.
func (w *world) questions(t *testing.T) (hosts, none int) {
	t.Helper()
	text, err := w.debug("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, `fairway_xds_questions_total{answer="host"} %d`, &hosts)
		_, _ = fmt.Sscanf(line, `fairway_xds_questions_total{answer="none"} %d`, &none)
	}
	return hosts, none
}

// held are the hosts for which the proxy of a workload holds a cluster.
func (w *world) held(t *testing.T, workload string) map[string]bool {
	t.Helper()
	for _, p := range w.pods {
		if p.workload != workload {
			continue
		}
		text, err := askProxy(p.wire.Namespace, "/config_dump?resource=dynamic_active_clusters&mask=cluster.name")
		if err != nil {
			t.Fatal(err)
		}
		var dump struct {
			Configs []struct{ Cluster struct{ Name string } }
		}
		if err := json.Unmarshal(text, &dump); err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, c := range dump.Configs {
			if _, host, ok := strings.Cut(c.Cluster.Name, "||"); ok {
				out[host] = true
			}
		}
		return out
	}
	t.Fatalf("no pod of %s", workload)
	return nil
}

const learnedHosts = 60

// learnedWorld is a world of many services with the same pod behind them, of which one has
// a rule, and a client.
func learnedWorld(t *testing.T) (*world, step) {
	t.Helper()
	w := newWorld(t, localtest.Need(t), "learned")
	sleep, err := readObjects("testdata/worlds/sleep.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := parseObjects([]byte(`
{apiVersion: apps/v1, kind: Deployment, metadata: {name: server}, spec: {template: {metadata: {labels: {app: server}, annotations: {sidecar.istio.io/inject: "true"}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: s-1}
spec: {hosts: [s-1], http: [{route: [{destination: {host: s-2}}], headers: {request: {set: {x-rule: one}}}}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i := range learnedHosts {
		service, err := parseObjects(fmt.Appendf(nil, "{apiVersion: v1, kind: Service, metadata: {name: s-%d}, spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}]}}", i))
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, service...)
	}
	return w, step{objects: append(sleep, objects...)}
}

func to(i int) request { return request{URL: fmt.Sprintf("http://s-%d/", i)} }

// TestSidecarsHoldWhatTheirWorkloadsUse: a sidecar with a learned scope holds no host before
// the first request to it, which is served as all others are; a rule's destination comes with
// the rule's host. While the control plane is away what is held goes on, what is not and may
// be of the mesh is refused once the sidecar knows that it cannot ask, and all else follows
// the mesh's policy. A control plane that knows nothing of what was learned takes nothing away.
func TestSidecarsHoldWhatTheirWorkloadsUse(t *testing.T) {
	t.Parallel()
	w, s := learnedWorld(t)
	one, rule := to(0), to(1)
	mark := "one"
	rule.Want.Seen = map[string]*string{"x-rule": &mark}
	s.Requests = []request{one, rule, one}
	if !w.run(t, 0, s) {
		return
	}
	held := w.held(t, "sleep")
	if host := func(i int) string { return fmt.Sprintf("s-%d.default.svc.cluster.local", i) }; !held[host(0)] || !held[host(2)] || held[host(1)] || held[host(3)] {
		t.Errorf("the sidecar holds %v, want s-0, and s-2 to which the rule of s-1 leads", held)
	}
	if hosts, _ := w.questions(t); hosts != 2 {
		t.Errorf("%d hosts were asked for, want 2", hosts)
	}

	// Another workload asks by names that are those of hosts.
	named := request{From: "server", URL: "http://s-1.default.svc.cluster.local/"}
	named.Want.Seen = rule.Want.Seen
	if !w.run(t, 1, step{Requests: []request{named}}) {
		return
	}

	stop := w.load(t, []string{"http://s-0/", "http://s-1/"})
	w.stopControlPlane()
	time.Sleep(time.Second)
	w.startControlPlane(t)
	if !eventually(20*time.Second, func() bool { hosts, _ := w.questions(t); return hosts >= 3 }) {
		t.Error("sidecars that come back do not say what they have learned")
	}
	time.Sleep(2 * time.Second) // what is to be taken away has been by then
	if !w.run(t, 1, step{Requests: []request{to(3), one, rule, named}}) || !stop() {
		return
	}
	stop = w.load(t, []string{"http://s-0/", "http://s-1/", "http://s-3/"})
	w.stopControlPlane()
	time.Sleep(snapshot.LeaseTime + 2*time.Second)
	away := to(4)
	away.Want.Status, away.Want.Body = 503, "cannot ask the control plane"
	full := request{URL: "http://s-4.default.svc.cluster.local/", Want: away.Want}
	for _, r := range []request{away, full, one, rule} {
		if _, problem := w.expect(r); problem != "" {
			t.Errorf("with the control plane away: %s", problem)
		}
	}
	w.startControlPlane(t)
	if !w.run(t, 2, step{Requests: []request{to(4), one, rule}}) || !stop() {
		return
	}
}

// TestManyHostsAtOnce: requests to hosts that are not held yet, all at once, with and
// without a body, over HTTP/1.1 and HTTP/2, are all served.
func TestManyHostsAtOnce(t *testing.T) {
	t.Parallel()
	w, s := learnedWorld(t)
	if !w.run(t, 0, s) {
		return
	}
	var group sync.WaitGroup
	for i := range learnedHosts {
		r := to(i)
		if r.HTTP2 = i%2 == 0; i%3 == 0 {
			r.Method, r.Body = "POST", strings.Repeat("x", 1<<20)
		}
		group.Go(func() {
			results, err := w.do(r)
			if err != nil {
				t.Error(err)
				return
			}
			for _, got := range results {
				if got.err != nil || got.status != 200 {
					t.Errorf("%s: %v", r.URL, got)
				}
			}
		})
	}
	group.Wait()
	if hosts, _ := w.questions(t); hosts != learnedHosts {
		t.Errorf("%d hosts were asked for, want %d", hosts, learnedHosts)
	}
}

// TestLearnedScopeIsSwitched: a mesh begins to learn, and stops, under load without a failed
// request, on connections from before as well; sidecars hold the one and the other.
func TestLearnedScopeIsSwitched(t *testing.T) {
	t.Parallel()
	w, s := learnedWorld(t)
	w.learned, w.drain = false, 5*time.Second
	s.Requests = []request{to(0)}
	if !w.run(t, 0, s) {
		return
	}
	config := func(learns bool) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "istio", "namespace": "istio-system"}, "data": map[string]any{"mesh": "{}\n"}}}
		if learns {
			_ = unstructured.SetNestedField(u.Object, "", "data", "mesh")
			teach(u)
			text, _, _ := unstructured.NestedString(u.Object, "data", "mesh")
			_ = unstructured.SetNestedField(u.Object, text+"  listenerDrain: 5s\n", "data", "mesh")
		}
		return u
	}
	for i, learns := range []bool{true, false} {
		s := step{Requests: []request{to(2)}}
		for host := range 16 { // each on connections of its own
			s.Under = append(s.Under, fmt.Sprintf("http://s-%d/", 10+host))
		}
		s.objects = []*unstructured.Unstructured{config(learns)}
		stop := w.load(t, s.Under)
		s.Under = nil
		ok := w.run(t, i+1, s)
		if !eventually(90*time.Second, func() bool { return w.held(t, "sleep")["s-9.default.svc.cluster.local"] != learns }) {
			t.Errorf("step %d: learned scope is %t, and the sidecar holds a host that it does not use: %t", i+1, learns, !learns)
		}
		if !stop() || !ok {
			return
		}
	}
}

// TestUnusedHostsAreForgotten: a sidecar forgets what its workload does not use any more, and
// learns it again with the next request. No request fails that is under way, to a host that is
// used or to one that was forgotten.
func TestUnusedHostsAreForgotten(t *testing.T) {
	t.Parallel()
	w, s := learnedWorld(t)
	s.objects = append(s.objects, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "istio", "namespace": "istio-system"},
		"data": map[string]any{"mesh": "fairway:\n  learnedFor: 12s\n"}}})
	s.Requests = []request{to(0), to(1), to(2)}
	if !w.run(t, 0, s) {
		return
	}
	stop := w.load(t, []string{"http://s-0/", "http://s-3/", "http://s-4/"})
	slow := to(5)
	slow.Headers = map[string]string{"echo-delay": "18s"}
	answered := make(chan string, 1)
	go func() {
		results, err := w.do(slow)
		answered <- fmt.Sprint(results[0].status, results[0].err, err)
	}()
	host := func(i int) string { return fmt.Sprintf("s-%d.default.svc.cluster.local", i) }
	if !eventually(60*time.Second, func() bool { held := w.held(t, "sleep"); return !held[host(2)] && !held[host(1)] }) {
		t.Error("the sidecar does not forget what is not used")
	}
	for range 2 {
		if !w.run(t, 1, step{Requests: []request{to(2), to(1)}}) {
			break
		}
		if !eventually(10*time.Second, func() bool { // it may forget at this moment
			_, err := w.do(to(2))
			return err == nil && w.held(t, "sleep")[host(2)]
		}) {
			t.Error("a host that is used again is not held")
		}
		time.Sleep(13 * time.Second)
	}
	stop()
	if got := <-answered; got != fmt.Sprint(200, nil, nil) {
		t.Errorf("a request that was under way while its host was forgotten: %s", got)
	}
}
